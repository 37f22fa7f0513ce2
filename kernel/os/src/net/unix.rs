//! The family AF_UNIX (`unix(7)`): what one socket sends is put into the other's inbox.

mod connecting;
pub mod credentials;
mod names;
mod transfer;

use super::socket::{AF_UNIX, Call, Common, Family, Protocol, Reply};
use crate::abi::process::credentials;
use crate::errno::{Errno, Result};
use crate::fs::file::{Description, Readiness};
use crate::sched::wait::Queue;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use linux_raw_sys::net::*;
use names::{Place, nameless};

crate::param! {
    static BUFFER: u64 = "buffer"
}

crate::register!("socket-family": Family = { AF_UNIX => create });

const STREAM: u32 = 1;
const DATAGRAM: u32 = 2;
const SEQUENCE: u32 = 5;

/// What a chunk costs beyond its bytes.
const OVERHEAD: usize = 128;
/// Writes to a stream are joined up to this size.
const JOINED: usize = 4096;

struct Chunk {
    bytes: Vec<u8>,
    /// How many of them are read.
    read: usize,
    /// The sender's address.
    from: Vec<u8>,
    beside: Beside,
}

/// Who sends: process, user and group (`struct ucred`).
pub type Sender = [u32; 3];
/// No process, and no user.
const NOBODY: Sender = [0, u32::MAX, u32::MAX];

/// What comes beside bytes.
#[derive(Clone, Default)]
pub struct Beside {
    pub rights: Vec<Rc<Description>>,
    /// Where somebody wants to know.
    pub sender: Option<Sender>,
}

/// How control messages are to be received.
#[derive(Clone, Copy)]
pub struct Receiver {
    pub wants_sender: bool,
    pub closes_on_exec: bool,
}

enum State {
    Idle,
    Listening {
        backlog: usize,
        waiting: VecDeque<Rc<Unix>>,
    },
    /// The other end, for as long as it lives; of a datagram socket, where it sends to.
    Connected(Weak<Unix>),
}

pub struct Unix {
    this: Weak<Unix>,
    common: Common,
    state: RefCell<State>,
    place: RefCell<Option<Place>>,
    /// The own address, as `struct sockaddr_un`; without a path when there is none.
    name: RefCell<Vec<u8>>,
    /// The other end's, which outlives it.
    peer_name: RefCell<Vec<u8>>,
    /// Who made the other end.
    peer: Cell<Sender>,
    /// Nobody has accepted it yet.
    waits: Cell<bool>,
    inbox: RefCell<VecDeque<Chunk>>,
    held: Cell<usize>,
    /// Somebody found no room in it, and wants to know when there is some.
    starved: Cell<bool>,
    /// The other end closed, or writes no more.
    ended: Cell<bool>,
    shut_read: Cell<bool>,
    shut_write: Cell<bool>,
    error: Cell<Option<Errno>>,
    queue: Queue,
}

fn make(common: Common) -> Rc<Unix> {
    Rc::new_cyclic(|this| Unix {
        this: this.clone(),
        common,
        state: RefCell::new(State::Idle),
        place: RefCell::new(None),
        name: RefCell::new(nameless()),
        peer_name: RefCell::new(nameless()),
        peer: Cell::new(NOBODY),
        waits: Cell::new(false),
        inbox: RefCell::new(VecDeque::new()),
        held: Cell::new(0),
        starved: Cell::new(false),
        ended: Cell::new(false),
        shut_read: Cell::new(false),
        shut_write: Cell::new(false),
        error: Cell::new(None),
        queue: Queue::new(),
    })
}

fn new(kind: u32, protocol: u32) -> Result<Rc<Unix>> {
    if protocol > 1 {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match kind {
        STREAM | DATAGRAM | SEQUENCE => Ok(make(Common::new(AF_UNIX, kind, 0))),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

fn create(kind: u32, protocol: u32) -> Result<Rc<dyn Protocol>> {
    Ok(new(kind, protocol)?)
}

/// Two sockets that are connected to each other.
pub fn pair(kind: u32, protocol: u32) -> Result<[Rc<dyn Protocol>; 2]> {
    let (one, other) = (new(kind, protocol)?, new(kind, protocol)?);
    join(&one, &other);
    one.peer.set(effective());
    other.peer.set(effective());
    Ok([one, other])
}

/// The process by its effective ids.
fn effective() -> Sender {
    let who = credentials();
    [1, who.user(), who.group()]
}

fn join(one: &Rc<Unix>, other: &Rc<Unix>) {
    *one.state.borrow_mut() = State::Connected(Rc::downgrade(other));
    *other.state.borrow_mut() = State::Connected(Rc::downgrade(one));
    *one.peer_name.borrow_mut() = other.name.borrow().clone();
    *other.peer_name.borrow_mut() = one.name.borrow().clone();
}

impl Unix {
    fn is_stream(&self) -> bool {
        self.common.kind == STREAM
    }

    fn is_datagram(&self) -> bool {
        self.common.kind == DATAGRAM
    }

    fn room(&self) -> usize {
        match self.common.receive_buffer.get() {
            0 => BUFFER.get() as usize,
            wanted => wanted,
        }
    }

    /// The other end; `Err` when there never was one.
    fn other(&self) -> Result<Option<Rc<Unix>>> {
        match &*self.state.borrow() {
            State::Connected(other) => Ok(other.upgrade()),
            _ => Err(Errno::ENOTCONN),
        }
    }

    /// Tells the other end that nothing more comes.
    fn end(&self) {
        if let Ok(Some(other)) = self.other()
            && !self.is_datagram()
        {
            other.ended.set(true);
            other.queue.wake_all();
        }
    }
}

impl Protocol for Unix {
    fn common(&self) -> &Common {
        &self.common
    }

    fn queue(&self) -> &Queue {
        &self.queue
    }

    fn bind(&self, name: &[u8]) -> Result<()> {
        self.bind_to(name)
    }

    fn listen(&self, backlog: u32) -> Result<()> {
        self.listen_for(backlog)
    }

    fn accept(&self, nonblocking: bool) -> Result<(Rc<dyn Protocol>, Vec<u8>)> {
        self.accept_one(nonblocking)
    }

    fn connect(&self, name: &[u8], nonblocking: bool) -> Result<()> {
        self.connect_to(name, nonblocking)
    }

    fn send(&self, call: &Call, to: Option<&[u8]>, control: &[u8]) -> Result<usize> {
        self.send_bytes(call, to, control)
    }

    fn receive(&self, call: &Call, reply: &mut Reply) -> Result<usize> {
        self.receive_bytes(call, reply)
    }

    fn shutdown(&self, how: u32) -> Result<()> {
        let other = self.other()?;
        if how != SHUT_WR {
            self.shut_read.set(true);
            if let Some(other) = &other {
                other.queue.wake_all();
            }
        }
        if how != SHUT_RD {
            self.shut_write.set(true);
            self.end();
        }
        self.queue.wake_all();
        Ok(())
    }

    fn name(&self) -> Result<Vec<u8>> {
        Ok(self.name.borrow().clone())
    }

    fn peer(&self) -> Result<Vec<u8>> {
        self.other()?;
        Ok(self.peer_name.borrow().clone())
    }

    fn readiness(&self) -> Readiness {
        let mut ready = Readiness::empty();
        match &*self.state.borrow() {
            State::Listening { waiting, .. } => {
                ready.set(Readiness::READ, !waiting.is_empty());
                return ready;
            }
            State::Idle if !self.is_datagram() => return Readiness::WRITE | Readiness::HANG_UP,
            _ => {}
        }
        let other = self.other().ok().flatten();
        let ended = self.ended.get() || self.shut_read.get();
        let failed = self.error.get().is_some();
        // Something of a fair size is to fit.
        let room = match &other {
            Some(other) => {
                let room = other.has_room(other.room() / 4);
                other.starved.set(other.starved.get() | !room);
                room
            }
            None => true,
        };
        let gone = other.is_none() && !self.is_datagram();
        ready.set(Readiness::READ, !self.inbox.borrow().is_empty() || ended || gone || failed);
        ready.set(Readiness::WRITE, room || gone || self.shut_write.get());
        ready.set(Readiness::PEER_SHUT, ended || gone);
        ready.set(Readiness::HANG_UP, gone || ended && self.shut_write.get());
        ready.set(Readiness::ERROR, failed);
        ready
    }

    fn take_error(&self) -> Option<Errno> {
        self.error.take()
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        match (level, name) {
            (SOL_SOCKET, SO_PEERCRED) => {
                Ok(self.peer.get().iter().flat_map(|word| word.to_le_bytes()).collect())
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn pending(&self) -> (usize, usize) {
        let inbox = self.inbox.borrow();
        let left = |chunk: &Chunk| chunk.bytes.len() - chunk.read;
        let here =
            if self.is_stream() { inbox.iter().map(left).sum() } else { inbox.front().map_or(0, left) };
        (here, self.other().ok().flatten().map_or(0, |other| other.held.get()))
    }

    fn is_listening(&self) -> bool {
        matches!(*self.state.borrow(), State::Listening { .. })
    }

    fn buffers(&self) -> (usize, usize) {
        let send = self.common.send_buffer.get();
        (self.room(), if send != 0 { send } else { BUFFER.get() as usize })
    }
}

impl Drop for Unix {
    fn drop(&mut self) {
        if let Ok(Some(other)) = self.other()
            && !self.is_datagram()
        {
            // What was not read is lost, and its writer is told.
            if !self.inbox.borrow().is_empty() {
                other.error.set(Some(Errno::ECONNRESET));
            }
            other.ended.set(true);
            other.queue.wake_all();
        }
        // Writers that wait for room here look again, and find nobody.
        self.queue.wake_all();
        if self.place.borrow().is_some() {
            names::forget();
        }
    }
}
