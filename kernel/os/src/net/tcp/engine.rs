//! Connections and listeners, and the packets and timers that move them.

use super::buffer::Buffer;
use super::congestion;
use super::connection::Connection;
use super::listener::{Listener, Listeners};
use super::requests::Requests;
use super::segment::{Key, PROTOCOL, Segment, parse};
use super::table::Table;
use super::time_wait::TimeWait;
use super::vigil::{Verdict, Vigil};
use super::window::Window;
use super::wire::{Wire, instant, interface};
use crate::abi::entropy;
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::net::inet::{self, Ports};
use crate::net::socket::Common;
use crate::net::stack::{self, Count, NEVER, Packet};
use crate::sched::wait::Queue;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::{Rc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::{IpAddr, SocketAddr};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use smoltcp::iface::{Interface, PollResult, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State as Phase};
use smoltcp::time::Instant;
use smoltcp::wire::{IpCidr, IpListenEndpoint};

crate::param! {
    static RECEIVE_BUFFER: u64 = "receive-buffer"
}
crate::param! {
    static SEND_BUFFER: u64 = "send-buffer"
}
crate::param! {
    pub static HALF_OPEN: u64 = "half-open"
}

crate::register!("ip-protocol": fn(&Packet) -> bool = { PROTOCOL => receive });
crate::register!("network-work": fn(u64) -> u64 = { 20 => work, 21 => work_off });
crate::register!("packet-failed": fn(&stack::Failure) = { 6 => failed });
crate::register!("packet-sent": fn(&stack::Quoted) -> bool = { PROTOCOL => is_on_its_way });

const SECOND: u64 = 1_000_000_000;
/// How long a connection may take to be made: by a peer, and to a peer (`tcp_syn_retries` of Linux comes to the same).
pub const ACCEPT_TIME: u64 = 60 * SECOND;
/// How long a connection that is being made is safe from newer ones.
pub const HALF_OPEN_TIME: u64 = 2 * SECOND;
/// How long a burst is taken to last.
const BURST_TIME: u64 = SECOND;
/// Connections of a listener that have buffers while they are being made; more are only noted.
const DIRECT: usize = 32;
const CONNECT_TIME: u64 = 127 * SECOND;
/// How long a closed connection may take to end (`tcp_fin_timeout`).
pub const CLOSE_TIME: u64 = 60 * SECOND;
/// The state machine never waits for longer than this with something to send (its longest time to send again is a minute).
const FORGOTTEN: u64 = 120 * SECOND;
/// How long the state machine waits for an answer to acknowledge with (set for each socket, `Tcp::set_up`).
pub const ACK_DELAY: u64 = 10_000_000;
/// Bytes that may stay unacknowledged for that long whatever the peer's segments hold: the least that everybody takes in one (RFC 9293,
/// section 3.7.1).
const FEW: u32 = 536;
/// The state machine's shortest time to send again.
const SHORTEST_RETRY: u64 = SECOND;
/// When to try again what could not be sent for want of room.
pub const RETRY: u64 = 200_000;

pub struct Engine {
    pub interface: Interface,
    /// Bytes of its packets at most.
    mtu: usize,
    /// The address that the interface has now.
    local: Option<IpAddr>,
    pub random: ChaCha20Rng,
    pub connections: Table,
    pub requests: Requests,
    pub listeners: Listeners,
    /// Connections by when they want to be looked at, and by their numbers.
    timers: BTreeMap<(u64, u64), Weak<Connection>>,
    /// Those that may owe an acknowledgement, by when: all of them wait equally long, so that they are in order as they come. Nearly always it
    /// has left with an answer before.
    owing: VecDeque<(u64, Weak<Connection>)>,
    /// Connections there ever were.
    made: u64,
    pub time_wait: TimeWait,
    ports: Ports,
}

static ENGINE: KernelCell<Option<Engine>> = KernelCell::new(None);

/// Queues to wake when no borrow is held any more.
#[derive(Default)]
pub struct Wakes {
    pub connection: Option<Rc<Queue>>,
    pub listener: Option<Rc<Queue>>,
}

impl Wakes {
    fn tell(self) {
        for queue in self.connection.into_iter().chain(self.listener) {
            queue.wake_all();
        }
    }
}

impl Engine {
    fn new() -> Self {
        let mut seed = [0; 32];
        entropy::fill(&mut seed);
        let mut random = ChaCha20Rng::from_seed(seed);
        Self {
            interface: interface(random.next_u64(), stack::mtu()),
            mtu: stack::mtu(),
            local: None,
            connections: Table::new(|| random.next_u64()),
            random,
            requests: Requests::EMPTY,
            listeners: Listeners::EMPTY,
            timers: BTreeMap::new(),
            owing: VecDeque::new(),
            made: 0,
            time_wait: TimeWait::EMPTY,
            ports: Ports::EMPTY,
        }
    }

    /// Makes a connection that is in the tables, in no state yet.
    fn connection(
        &mut self,
        key: Key,
        queue: Rc<Queue>,
        sizes: (usize, usize),
        doom: u64,
    ) -> Option<Rc<Connection>> {
        let buffers = [Buffer::new(sizes.0)?, Buffer::new(sizes.1)?];
        let seed = self.random.next_u64();
        let connection = self.make(key, queue, buffers, doom, seed);
        self.connections.insert(connection.clone());
        Some(connection)
    }

    /// Makes a connection in no state, and an interface for it whose sequence numbers come from `seed`: a generator for each, so that
    /// nothing can be told about one from others.
    pub fn make(
        &mut self,
        key: Key,
        queue: Rc<Queue>,
        buffers: [Buffer; 2],
        doom: u64,
        seed: u64,
    ) -> Rc<Connection> {
        // SAFETY: called once for each, and the sockets are dropped before the buffers.
        let [receive, send] = buffers.each_ref().map(|buffer| unsafe { buffer.memory() });
        // A byte less than 64 KiB needs no unit: a window is told to the byte.
        let receive = if receive.len() == 1 << 16 { &mut receive[1..] } else { receive };
        let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(send));
        socket.set_congestion_control(congestion::algorithm());
        let mut sockets = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = sockets.add(socket);
        self.renew(stack::mtu_to(&key.remote), seed);
        self.made += 1;
        Rc::new(Connection {
            key,
            sockets: RefCell::new(sockets),
            handle,
            _buffers: buffers,
            queue,
            error: Cell::new(None),
            listener: RefCell::new(Weak::new()),
            orphan: Cell::new(false),
            starved: Cell::new(false),
            corked: Cell::new(false),
            next: RefCell::new(None),
            scheduled: Cell::new(NEVER),
            number: self.made,
            owing: Cell::new(false),
            doom: Cell::new(doom),
            vigil: Vigil::new(),
            refused: Cell::new(false),
            window: Window::default(),
        })
    }

    /// A fresh interface, for packets of at most so many bytes.
    fn renew(&mut self, mtu: usize, seed: u64) {
        self.interface = interface(seed, mtu);
        self.mtu = mtu;
        self.local = None;
    }

    /// Has the interface be that of a connection.
    pub fn turn_to(&mut self, key: &Key) {
        let mtu = stack::mtu_to(&key.remote);
        if mtu != self.mtu {
            let seed = self.random.next_u64();
            self.renew(mtu, seed);
        }
        self.set_local(key.local);
    }

    /// The link to a connection's peer, with a packet from it.
    pub fn wire<'a>(&self, key: &Key, packet: Option<&'a [u8]>) -> Wire<'a> {
        Wire { packet, destination: key.remote, mtu: self.mtu, window: None, muted: false }
    }

    fn set_local(&mut self, local: IpAddr) {
        if self.local != Some(local) {
            self.local = Some(local);
            let prefix = if local.is_ipv4() { 32 } else { 128 };
            self.interface.update_ip_addrs(|addresses| {
                addresses.clear();
                let _ = addresses.push(IpCidr::new(local.into(), prefix));
            });
        }
    }

    /// Feeds a packet to a connection, if there is one, sends what it wants to send, and sees what became of it.
    pub fn drive(&mut self, connection: &Rc<Connection>, arrived: Option<(&Packet, &Segment)>) -> Wakes {
        let now = tsc::now();
        let at = instant(now);
        let mut wakes = Wakes::default();
        self.turn_to(&connection.key);
        let mut sockets = connection.sockets.borrow_mut();
        let handle = connection.handle;
        let look = |sockets: &mut SocketSet| {
            let socket = sockets.get_mut::<Socket>(handle);
            let room = socket.send_queue() * 3 <= socket.send_capacity() * 2;
            (socket.state(), socket.recv_queue(), socket.send_queue(), room)
        };
        let before = look(&mut sockets);
        let mut after = before;
        // Whether it is known, without asking, that the state machine has nothing to send, and waits for nothing that the timers do not.
        let mut rests = false;
        let is_plain = before.0 == Phase::Established && !connection.orphan.get();
        let (again, instead);
        let packet = arrived.map(|(packet, _)| packet.whole);
        let mut wire = self.wire(&connection.key, packet);
        wire.window = Some(&connection.window);
        if let Some((packet, segment)) = arrived {
            connection.vigil.hears(now);
            instead = match before.0 {
                Phase::SynSent if segment.syn => {
                    connection.window.answered(packet.payload, segment);
                    None
                }
                Phase::SynReceived if !segment.syn => {
                    connection.window.hears(segment);
                    None
                }
                Phase::Listen | Phase::SynSent | Phase::SynReceived => None,
                _ => connection.window.admit(packet, segment),
            };
            if let Some(instead) = &instead {
                if instead.before.is_some() {
                    wire.packet = instead.before.as_deref();
                    self.interface.poll_ingress_single(at, &mut wire, &mut sockets);
                    wire.packet = Some(packet.whole);
                }
                if instead.packet.is_some() {
                    wire.packet = instead.packet.as_deref();
                }
            }
            self.interface.poll_ingress_single(at, &mut wire, &mut sockets);
            after = look(&mut sockets);
            let ended = may_end(before.0) && has_ended(after.0);
            connection.window.took(after.1 - before.1 + usize::from(ended));
            // All that was sent is acknowledged, and what came can wait for an answer to be acknowledged with.
            rests = is_plain
                && instead.is_none()
                && after.0 == Phase::Established
                && after.2 == 0
                && connection.window.owed() <= FEW
                && sockets.get::<Socket>(handle).ack_delay().is_some();
        }
        let held = connection.corked.get() && after.0 == Phase::Established && after.2 < self.mtu;
        // TIME-WAIT ends when the program has read what is there, not by itself.
        let waits = before.0 == Phase::TimeWait && arrived.is_none();
        let mut tried = false;
        if arrived.is_none() && before.2 > 0 && !held && !waits {
            tried = true;
            // To try costs no more than to ask first, and nearly always there is something.
            self.interface.poll_egress(at, &mut wire, &mut sockets);
            // All that there was is on its way, and it is looked at again before it could be lost.
            rests = is_plain
                && connection.window.ends_with(before.2)
                && !connection.window.owes()
                && connection.scheduled.get() <= now + SHORTEST_RETRY;
        }
        let mut wanted = match rests {
            true if connection.window.owes() => Some(instant(now + ACK_DELAY)),
            true => None,
            false => self.interface.poll_at(at, &sockets),
        };
        let forgotten = |wanted: Option<Instant>, sockets: &mut SocketSet| {
            wanted.is_none_or(|at| at > instant(now + FORGOTTEN)) && {
                let (phase, _, queued, _) = look(sockets);
                queued > 0 && !matches!(phase, Phase::SynSent | Phase::SynReceived | Phase::Closed)
            }
        };
        // There is something to send, or to send again, and the state machine waits for nothing: segments were lost while the peer had no
        // room, which has it forget them. An acknowledgement that comes again makes it ask for room, a third one makes it send again.
        if arrived.is_none() && !rests && forgotten(wanted, &mut sockets) {
            tried = true;
            again = connection.window.acknowledged_again(&connection.key);
            for _ in 0..3 {
                wire.packet = again.as_deref();
                self.interface.poll_ingress_single(at, &mut wire, &mut sockets);
                wanted = self.interface.poll_at(at, &sockets);
                if !forgotten(wanted, &mut sockets) {
                    break;
                }
            }
        }
        if !held && !waits {
            while wanted.is_some_and(|wanted| wanted <= at) {
                tried = true;
                if self.interface.poll_egress(at, &mut wire, &mut sockets) == PollResult::None {
                    break;
                }
                wanted = self.interface.poll_at(at, &sockets);
            }
        }
        if connection.orphan.get() {
            let socket = sockets.get_mut::<Socket>(handle);
            if socket.recv_queue() > 0 && !connection.refused.replace(true) {
                // Nobody will ever read it: the peer is told so.
                socket.abort();
                tried = true;
                self.interface.poll_egress(at, &mut wire, &mut sockets);
                wanted = self.interface.poll_at(at, &sockets);
            }
        }
        if tried && !rests {
            after = look(&mut sockets);
        }
        let room = after.3;

        if before.0 == Phase::SynReceived && matches!(after.0, Phase::Established | Phase::CloseWait) {
            wakes.listener = established(connection);
        }
        if before.0 == Phase::SynSent && after.0 == Phase::Established {
            connection.doom.set(NEVER);
        }
        if after.0 != before.0
            || after.1 > before.1
            || (room && after.2 < before.2 && connection.starved.take())
        {
            wakes.connection = Some(connection.queue.clone());
        }
        let over = match after.0 {
            Phase::Closed => {
                if before.0 != Phase::Closed {
                    connection.error.set(reason(before.0, arrived.is_some_and(|(_, segment)| segment.reset)));
                }
                true
            }
            // A peer that was accepting took it back.
            Phase::Listen => true,
            Phase::TimeWait if connection.orphan.get() => {
                drop(sockets);
                self.time_wait.remember(connection.key, connection.last_word(), now);
                self.remove(connection);
                return wakes;
            }
            _ => false,
        };
        if over {
            drop(sockets);
            self.remove(connection);
            return wakes;
        }
        let forgotten = !rests && forgotten(wanted, &mut sockets);
        let deadline = match wanted {
            _ if waits => NEVER,
            _ if forgotten => now + SECOND,
            // Now, although it was just looked at: there was no room to send, or it is held back.
            Some(wanted) if wanted <= at => now + if held { SECOND / 5 } else { RETRY },
            Some(wanted) => wanted.total_micros() as u64 * 1000,
            None => NEVER,
        };
        let waits_to_answer =
            deadline > now + RETRY && deadline <= now + ACK_DELAY && connection.window.owes();
        let deadline = if waits_to_answer && self.owes(connection, now) { NEVER } else { deadline };
        let owes = after.2 > 0 || is_owing(after.0);
        connection.vigil.owes(owes, after.2 < before.2, now);
        self.schedule(connection, deadline.min(connection.doom.get()).min(connection.vigil.deadline()));
        wakes
    }

    /// Has a connection looked at when its acknowledgement is due at the latest. False: there is no memory to remember it.
    ///
    /// What else it waits for is found when the acknowledgement leaves: that is a turn of [`Engine::drive`] too.
    fn owes(&mut self, connection: &Rc<Connection>, now: u64) -> bool {
        if !connection.owing.get() {
            if self.owing.try_reserve(1).is_err() {
                return false;
            }
            let deadline = now + ACK_DELAY;
            self.owing.push_back((deadline, Rc::downgrade(connection)));
            connection.owing.set(true);
            stack::at(deadline);
        }
        true
    }

    /// A connection that is to be looked at now, or when there will be one.
    fn due(&mut self, now: u64) -> core::result::Result<Rc<Connection>, u64> {
        let mut later = NEVER;
        while let Some((deadline, connection)) = self.owing.front() {
            if let Some(connection) = connection.upgrade() {
                let owes = connection.window.owes();
                if owes && *deadline > now {
                    later = *deadline;
                    break;
                }
                connection.owing.set(false);
                if owes {
                    self.owing.pop_front();
                    return Ok(connection);
                }
            }
            self.owing.pop_front();
        }
        while let Some(first) = self.timers.first_entry() {
            let deadline = first.key().0;
            if deadline > now {
                return Err(deadline.min(later));
            }
            if let Some(connection) = first.remove().upgrade() {
                connection.scheduled.set(NEVER);
                return Ok(connection);
            }
        }
        Err(later)
    }

    /// Has the timers look at a connection at a time, or before.
    fn schedule(&mut self, connection: &Rc<Connection>, deadline: u64) {
        let scheduled = connection.scheduled.get();
        if deadline < scheduled {
            if scheduled != NEVER {
                self.timers.remove(&(scheduled, connection.number));
            }
            self.timers.insert((deadline, connection.number), Rc::downgrade(connection));
            stack::at(deadline);
            connection.scheduled.set(deadline);
        }
    }

    /// Takes a connection out of the tables.
    pub fn remove(&mut self, connection: &Rc<Connection>) {
        let scheduled = connection.scheduled.replace(NEVER);
        if scheduled != NEVER {
            self.timers.remove(&(scheduled, connection.number));
        }
        self.connections.remove(connection);
        if let Some(listener) = connection.listener.take().upgrade() {
            listener.half_open.borrow_mut().retain(|other| !Rc::ptr_eq(other, connection));
        }
    }

    pub fn receive(&mut self, packet: &Packet, segment: &Segment) -> Wakes {
        if let Some(connection) = self.connections.get(&segment.key) {
            return self.drive(&connection, Some((packet, segment)));
        }
        if self.time_wait.recall(segment) {
            return Wakes::default();
        }
        if !segment.syn
            && segment.ack | segment.reset
            && let Some(wakes) = self.go_on(packet, segment)
        {
            return wakes;
        }
        if segment.syn
            && !segment.ack
            && !segment.reset
            && packet.unicast
            && let Some(listener) = self.listeners.find(&segment.key).cloned()
        {
            return self.open(&listener, packet, segment);
        }
        if packet.unicast {
            // Nobody: smoltcp answers a valid packet with a reset.
            stack::count(Count::TcpReset, 1);
            self.set_local(segment.key.local);
            let mut wire = self.wire(&segment.key, Some(packet.whole));
            let mut nobody = SocketSet::new(Vec::new());
            self.interface.poll_ingress_single(instant(tsc::now()), &mut wire, &mut nobody);
        }
        Wakes::default()
    }

    /// A peer wants a connection.
    fn open(&mut self, listener: &Rc<Listener>, packet: &Packet, segment: &Segment) -> Wakes {
        let full = listener.is_full();
        // A full backlog drops the request; the peer asks again. But a burst comes before the program has had a turn to accept any of it.
        let sudden = tsc::now() < listener.full_since.get() + BURST_TIME && !stack::is_own(&packet.source);
        if full && !sudden {
            return Wakes::default();
        }
        if full || listener.half_open.borrow().len() >= DIRECT {
            self.note(listener, packet, segment.key);
            return Wakes::default();
        }
        let now = tsc::now();
        let doom = now + ACCEPT_TIME;
        let Some(connection) =
            self.connection(segment.key, Rc::new(Queue::new()), listener.sizes.get(), doom)
        else {
            return Wakes::default();
        };
        if !connection.listen() {
            self.remove(&connection);
            return Wakes::default();
        }
        connection.made_for(listener);
        let wakes = self.drive(&connection, Some((packet, segment)));
        // A packet that was not valid made nothing of it.
        if connection.phase() == Phase::Listen {
            self.remove(&connection);
        }
        wakes
    }
}

/// A connection is made: on to those that wait to be accepted.
fn established(connection: &Rc<Connection>) -> Option<Rc<Queue>> {
    connection.doom.set(NEVER);
    stack::count(Count::TcpPassive, 1);
    let listener = connection.listener.take().upgrade()?;
    listener.half_open.borrow_mut().retain(|other| !Rc::ptr_eq(other, connection));
    listener.ready.borrow_mut().push_back(connection.clone());
    if listener.is_full() {
        listener.full_since.set(tsc::now());
    }
    Some(listener.queue.clone())
}

/// Whether the peer's end can come in a phase, and whether it has.
fn may_end(phase: Phase) -> bool {
    matches!(phase, Phase::SynReceived | Phase::Established | Phase::FinWait1 | Phase::FinWait2)
}

/// Whether what the peer has not acknowledged is our request or our end.
fn is_owing(phase: Phase) -> bool {
    matches!(phase, Phase::SynSent | Phase::FinWait1 | Phase::Closing | Phase::LastAck)
}

fn has_ended(phase: Phase) -> bool {
    matches!(phase, Phase::CloseWait | Phase::Closing | Phase::TimeWait)
}

/// Why a connection in a phase is closed.
fn reason(before: Phase, reset: bool) -> Option<Errno> {
    match before {
        Phase::SynSent if reset => Some(Errno::ECONNREFUSED),
        Phase::CloseWait if reset => Some(Errno::EPIPE),
        _ if reset => Some(Errno::ECONNRESET),
        Phase::LastAck | Phase::TimeWait | Phase::Closing => None,
        _ => Some(Errno::ETIMEDOUT),
    }
}

/// Calls `f` with the engine, and wakes whom it says when nothing is borrowed.
pub fn with(f: impl FnOnce(&mut Engine) -> Wakes) {
    let wakes = f(ENGINE.borrow().get_or_insert_with(Engine::new));
    wakes.tell();
}

/// A packet of a connection did not arrive. One that is being made ends with it; one that is made sends it again (`tcp(7)`).
fn failed(failure: &stack::Failure) {
    if failure.protocol != PROTOCOL {
        return;
    }
    let key = Key::new(failure.source, failure.destination);
    let connection = known(&key).filter(|connection| connection.window.is_on_its_way(failure.number));
    if let Some(connection) = connection.filter(|connection| connection.phase() == Phase::SynSent) {
        connection.give_up(failure.error);
    }
}

fn known(key: &Key) -> Option<Rc<Connection>> {
    ENGINE.borrow().as_ref().and_then(|engine| engine.connections.get(key))
}

/// Whether what somebody on the way says about a packet can be true (RFC 5927, section 4.1).
fn is_on_its_way(quoted: &stack::Quoted) -> bool {
    let key = Key::new(quoted.source, quoted.destination);
    known(&key).is_some_and(|connection| connection.window.is_on_its_way(quoted.number))
}

fn receive(packet: &Packet) -> bool {
    stack::count(Count::TcpIn, 1);
    match parse(packet) {
        Some(segment) => with(|engine| engine.receive(packet, &segment)),
        None => stack::count(Count::TcpBad, 1),
    }
    true
}

/// Goes on with requests for which there was no room, on the way out or in a backlog.
fn work_off(now: u64) -> u64 {
    let (again, wakes) = match ENGINE.borrow().as_mut() {
        Some(engine) => (engine.answer(now), engine.resume()),
        None => return NEVER,
    };
    wakes.into_iter().for_each(Wakes::tell);
    again
}

/// What is due, one connection at a time.
fn work(now: u64) -> u64 {
    loop {
        let due = {
            let mut engine = ENGINE.borrow();
            let Some(engine) = engine.as_mut() else { return NEVER };
            match engine.due(now) {
                Ok(connection) => connection,
                Err(later) => return later,
            }
        };
        let verdict = due.vigil.verdict(now);
        if due.doom.get() <= now || verdict == Verdict::GiveUp {
            due.give_up(Errno::ETIMEDOUT);
            continue;
        }
        if verdict == Verdict::Probe {
            due.probe();
        }
        due.push();
    }
}

/// All that is made, being made or ending.
pub fn connections() -> Vec<Rc<Connection>> {
    ENGINE.borrow().as_ref().map(|engine| engine.connections.all()).unwrap_or_default()
}

/// Bytes of the buffers for receiving and sending of a socket's connections.
pub fn sizes(common: &Common) -> (usize, usize) {
    let or = |wanted: usize, own: u64| if wanted != 0 { wanted } else { own as usize };
    (or(common.receive_buffer.get(), RECEIVE_BUFFER.get()), or(common.send_buffer.get(), SEND_BUFFER.get()))
}

/// Calls `f` with the ports in use.
pub fn ports<R>(f: impl FnOnce(&mut Ports) -> R) -> R {
    f(&mut ENGINE.borrow().get_or_insert_with(Engine::new).ports)
}

/// A local port from which no connection to a peer exists, and that nobody bound: a connection to a listener here from the listener's
/// own port would meet itself.
pub fn free_port(local: IpAddr, remote: SocketAddr) -> Option<u16> {
    let mut engine = ENGINE.borrow();
    let engine = engine.get_or_insert_with(Engine::new);
    inet::any_port(|port| {
        let key = Key::new(SocketAddr::new(local, port), remote);
        !engine.ports.has(port) && engine.connections.get(&key).is_none() && !engine.time_wait.holds(&key)
    })
}

/// Starts to make a connection; `set_up` prepares the state machine.
pub fn connect(
    key: Key,
    queue: Rc<Queue>,
    sizes: (usize, usize),
    set_up: impl FnOnce(&Connection),
) -> Result<Rc<Connection>> {
    let mut made = Err(Errno::ENOBUFS);
    with(|engine| {
        if engine.connections.get(&key).is_some() {
            made = Err(Errno::EADDRINUSE);
            return Wakes::default();
        }
        engine.time_wait.end(&key);
        let doom = tsc::now() + CONNECT_TIME;
        let Some(connection) = engine.connection(key, queue, sizes, doom) else { return Wakes::default() };
        engine.set_local(key.local);
        set_up(&connection);
        let started = {
            let mut sockets = connection.sockets.borrow_mut();
            let socket = sockets.get_mut::<Socket>(connection.handle);
            let local = IpListenEndpoint { addr: Some(key.local.into()), port: key.local_port };
            let remote = (smoltcp::wire::IpAddress::from(key.remote), key.remote_port);
            socket.connect(engine.interface.context(), remote, local)
        };
        if started.is_err() {
            engine.remove(&connection);
            made = Err(Errno::EADDRNOTAVAIL);
            return Wakes::default();
        }
        stack::count(Count::TcpActive, 1);
        made = Ok(connection.clone());
        engine.drive(&connection, None)
    });
    let connection = made?;
    // Answered at once, by this very machine.
    stack::run();
    Ok(connection)
}
