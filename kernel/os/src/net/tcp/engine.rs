//! Connections and listeners, and the packets and timers that move them.

mod drive;
mod timers;

use super::buffer::Buffer;
use super::congestion;
use super::connection::Connection;
use super::listener::{Listener, Listeners};
use super::marks::alarms;
use super::requests::Requests;
use super::segment::{Key, PROTOCOL, Segment, parse};
use super::table::Table;
use super::time_wait::TimeWait;
use super::vigil::Vigil;
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
use smoltcp::iface::{Interface, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State as Phase};
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
/// How long the state machine waits for an answer to acknowledge with (set for each socket, `Tcp::set_up`).
pub const ACK_DELAY: u64 = 10_000_000;
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
    /// The connection's peer has urgent data.
    pub urgent: bool,
}

impl Wakes {
    fn tell(self) {
        if self.urgent
            && let Some(queue) = &self.connection
        {
            alarms().iter().for_each(|alarm| (alarm.item)(queue));
        }
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
