//! All connections, and the ways that packets take.

use super::connection::{Connection, Phase};
use super::packet::{ANY, Address, HOST, Header, LOCAL, Operation};
use super::ports;
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::sched::timer::{self, Expire};
use crate::sched::wait::Queue;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

/// The way to the host.
pub trait Link {
    /// This machine's context.
    fn cid(&self) -> u32;
    /// Sends a packet. False: there is no room, for now.
    fn send(&self, header: &Header, bytes: &[u8]) -> bool;
    /// Has what was sent leave.
    fn flush(&self);
}

/// What names a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub local: Address,
    pub remote: Address,
}

type Packet = (Header, Vec<u8>);

struct Engine {
    link: Option<Rc<dyn Link>>,
    connections: BTreeMap<Key, Rc<Connection>>,
    /// When to give up those that wait for an answer.
    deadlines: BTreeSet<(u64, Key)>,
    /// What is on its way to this machine itself, and what waits for room on the way to the host.
    local: VecDeque<Packet>,
    leaving: VecDeque<Packet>,
    bell: Option<Rc<Bell>>,
}

static ENGINE: KernelCell<Engine> = KernelCell::new(Engine {
    link: None,
    connections: BTreeMap::new(),
    deadlines: BTreeSet::new(),
    local: VecDeque::new(),
    leaving: VecDeque::new(),
    bell: None,
});
static MOVING: AtomicBool = AtomicBool::new(false);

/// How long a peer may take to agree to the end (`VSOCK_CLOSE_TIMEOUT`).
const CLOSE_TIME: u64 = 8_000_000_000;
/// Packets that wait for room at most before writers have to.
const MOST: usize = 64;

/// A device is there. Inlined: with a caller alone, the compiler puts that driver's own code in here, where it does not belong.
#[inline(always)]
pub fn attach(link: Rc<dyn Link>) {
    ENGINE.borrow().link = Some(link);
}

pub fn is_linked() -> bool {
    ENGINE.borrow().link.is_some()
}

/// This machine's context; [`ANY`] where no device says one.
pub fn own_cid() -> u32 {
    let link = ENGINE.borrow().link.clone();
    link.map_or(ANY, |link| link.cid())
}

/// Whether a context is this machine (`vsock_use_local_transport` of Linux).
fn is_local(cid: u32) -> bool {
    cid == LOCAL || cid == if is_linked() { own_cid() } else { HOST }
}

/// Whether a writer may go on.
pub fn has_room() -> bool {
    ENGINE.borrow().leaving.len() < MOST
}

/// Sends a packet.
pub fn send(header: Header, bytes: Vec<u8>) {
    {
        let mut engine = ENGINE.borrow();
        let way = if header.source.cid == LOCAL || header.destination.cid == LOCAL {
            &mut engine.local
        } else {
            &mut engine.leaving
        };
        if way.try_reserve(1).is_err() {
            return;
        }
        way.push_back((header, bytes));
    }
    go_on();
}

/// Has packets go where they are to go, as far as there is room.
fn go_on() {
    // What a packet causes is seen by the round that is under way.
    if MOVING.swap(true, Ordering::Relaxed) {
        return;
    }
    loop {
        let next = ENGINE.borrow().local.pop_front();
        let Some((header, bytes)) = next else { break };
        arrive(&header, bytes);
    }
    let link = ENGINE.borrow().link.clone();
    if let Some(link) = link {
        while let Some((header, bytes)) = { ENGINE.borrow().leaving.pop_front() } {
            if !link.send(&header, &bytes) {
                // There is room: it came from there.
                ENGINE.borrow().leaving.push_front((header, bytes));
                break;
            }
        }
        link.flush();
    }
    MOVING.store(false, Ordering::Relaxed);
}

/// The device has room again.
pub fn resume() {
    if ENGINE.borrow().leaving.is_empty() {
        return;
    }
    go_on();
    if has_room() {
        let starved: Vec<_> =
            ENGINE.borrow().connections.values().filter(|one| one.starved.take()).cloned().collect();
        starved.iter().for_each(|connection| connection.queue.wake_all());
    }
}

/// A packet came from the host.
pub fn receive(header: &Header, bytes: Vec<u8>) {
    // Who is elsewhere cannot be here.
    if header.destination.cid == own_cid() && !is_local(header.source.cid) {
        arrive(header, bytes);
    }
}

fn arrive(header: &Header, bytes: Vec<u8>) {
    let key = Key { local: header.destination, remote: header.source };
    let known = ENGINE.borrow().connections.get(&key).cloned();
    match known {
        Some(connection) if header.is_stream => connection.take(header, bytes),
        None if header.operation == Operation::Request && header.is_stream => asked(key, header),
        _ if header.operation != Operation::Reset => refuse(key),
        _ => {}
    }
}

fn refuse(key: Key) {
    let header = Header {
        source: key.local,
        destination: key.remote,
        length: 0,
        is_stream: true,
        operation: Operation::Reset,
        flags: 0,
        room: 0,
        taken: 0,
    };
    send(header, Vec::new());
}

/// A peer wants a connection.
fn asked(key: Key, header: &Header) {
    let listener = ports::listener(key.local);
    let listener = listener.filter(|listener| listener.ready.borrow().len() <= listener.backlog.get());
    let Some(listener) = listener.filter(|listener| listener.ready.borrow_mut().try_reserve(1).is_ok())
    else {
        return refuse(key);
    };
    let connection = Connection::new(key, Phase::Open, listener.room.get(), Rc::new(Queue::new()));
    connection.note(header);
    ENGINE.borrow().connections.insert(key, connection.clone());
    connection.say(Operation::Response, 0, Vec::new());
    listener.ready.borrow_mut().push_back(connection);
    listener.queue.wake_all();
}

/// Asks for a connection; it is given up after so many nanoseconds.
pub fn connect(port: u32, remote: Address, room: u32, time: u64, queue: Rc<Queue>) -> Result<Rc<Connection>> {
    let cid = if is_local(remote.cid) {
        LOCAL
    } else if is_linked() {
        own_cid()
    } else {
        return Err(Errno::ENODEV);
    };
    let key = Key { local: Address { cid, port }, remote };
    let connection = Connection::new(key, Phase::Asked, room, queue);
    {
        let mut engine = ENGINE.borrow();
        if engine.connections.contains_key(&key) {
            return Err(Errno::EADDRINUSE);
        }
        engine.connections.insert(key, connection.clone());
        engine.deadlines.insert((tsc::now().saturating_add(time), key));
    }
    ring();
    connection.say(Operation::Request, 0, Vec::new());
    Ok(connection)
}

/// A closed connection waits for its peer to agree.
pub fn expect_end(connection: &Rc<Connection>) {
    if connection.phase.get() != Phase::Open {
        return;
    }
    ENGINE.borrow().deadlines.insert((tsc::now() + CLOSE_TIME, connection.key));
    ring();
}

/// A connection waits for nothing any more.
pub fn forget(key: &Key) {
    ENGINE.borrow().deadlines.retain(|(_, other)| other != key);
}

pub fn remove(connection: &Rc<Connection>) {
    let mut engine = ENGINE.borrow();
    if engine.connections.get(&connection.key).is_some_and(|found| Rc::ptr_eq(found, connection)) {
        engine.connections.remove(&connection.key);
        engine.deadlines.retain(|(_, other)| *other != connection.key);
    }
}

/// The host begins anew, perhaps elsewhere: of its connections none is left (section 5.10.6.7).
pub fn renew() {
    let all: Vec<_> = ENGINE.borrow().connections.values().cloned().collect();
    for connection in all
        .iter()
        .filter(|connection| connection.key.local.cid != LOCAL && connection.key.remote.cid != LOCAL)
    {
        connection.end(Some(Errno::ECONNRESET));
    }
}

/// What the timers call.
struct Bell;

impl Expire for Bell {
    fn expire(&self, now: u64) -> Option<u64> {
        loop {
            let due = {
                let mut engine = ENGINE.borrow();
                let &(deadline, key) = engine.deadlines.first()?;
                if deadline > now {
                    return Some(deadline);
                }
                engine.deadlines.pop_first();
                engine.connections.get(&key).cloned()
            };
            if let Some(connection) = due {
                let asked = connection.phase.get() == Phase::Asked;
                if !asked {
                    connection.say(Operation::Reset, 0, Vec::new());
                }
                connection.end(asked.then_some(Errno::ETIMEDOUT));
            }
        }
    }
}

/// Has the timers call when the next connection is to be given up.
fn ring() {
    let (bell, first) = {
        let mut engine = ENGINE.borrow();
        let Some(&(first, _)) = engine.deadlines.first() else { return };
        (engine.bell.get_or_insert_with(|| Rc::new(Bell)).clone(), first)
    };
    let bell: Weak<dyn Expire> = Rc::downgrade(&bell) as _;
    timer::cancel(&bell);
    // Without memory for an alarm it waits for its peer.
    let _ = timer::call_at(first, bell);
}
