//! A connection: what it holds, what its peer has room for, and what packets make of it.

use super::engine::{self, Key};
use super::packet::{Header, Operation, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND};
use crate::errno::{Errno, Result};
use crate::sched::wait::Queue;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Packets are joined up to this size.
const JOINED: usize = 4096;
/// With less room left than this as the peer knows it, it is told of more: the largest packet of Linux.
const LOW: u32 = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Asked for.
    Asked,
    Open,
    /// The peer ended it, or there never was one.
    Closed,
}

pub struct Connection {
    pub key: Key,
    pub phase: Cell<Phase>,
    /// What has come and was not read, and how much of the first piece was.
    inbox: RefCell<VecDeque<Vec<u8>>>,
    read: Cell<usize>,
    held: Cell<u32>,
    /// Bytes that there is room for.
    pub room: Cell<u32>,
    /// Bytes that the program has taken since the beginning, and as the peer knows it.
    taken: Cell<u32>,
    told: Cell<u32>,
    /// Bytes sent since the beginning.
    sent: Cell<u32>,
    /// What the peer said of itself.
    peer_room: Cell<u32>,
    peer_taken: Cell<u32>,
    /// What the peer does no more, and what this end does no more.
    pub peer_shut: Cell<u32>,
    pub shut: Cell<u32>,
    /// The peer was asked for room and has told nothing new since.
    asked: Cell<bool>,
    /// A write found no room.
    pub starved: Cell<bool>,
    /// The program is done with it.
    pub orphan: Cell<bool>,
    pub error: Cell<Option<Errno>>,
    pub queue: Rc<Queue>,
}

impl Connection {
    pub fn new(key: Key, phase: Phase, room: u32, queue: Rc<Queue>) -> Rc<Self> {
        Rc::new(Self {
            key,
            phase: Cell::new(phase),
            inbox: RefCell::new(VecDeque::new()),
            read: Cell::new(0),
            held: Cell::new(0),
            room: Cell::new(room),
            taken: Cell::new(0),
            told: Cell::new(0),
            sent: Cell::new(0),
            peer_room: Cell::new(0),
            peer_taken: Cell::new(0),
            peer_shut: Cell::new(0),
            shut: Cell::new(0),
            asked: Cell::new(false),
            starved: Cell::new(false),
            orphan: Cell::new(false),
            error: Cell::new(None),
            queue,
        })
    }

    /// Bytes that can be read.
    pub fn held(&self) -> usize {
        self.held.get() as usize
    }

    /// Bytes that the peer has room for (section 5.10.6.3).
    pub fn credit(&self) -> usize {
        let under_way = self.sent.get().wrapping_sub(self.peer_taken.get());
        self.peer_room.get().saturating_sub(under_way) as usize
    }

    /// A packet to the peer.
    pub fn say(&self, operation: Operation, flags: u32, bytes: Vec<u8>) {
        self.sent.set(self.sent.get().wrapping_add(bytes.len() as u32));
        self.told.set(self.taken.get());
        let header = Header {
            source: self.key.local,
            destination: self.key.remote,
            length: bytes.len() as u32,
            is_stream: true,
            operation,
            flags,
            room: self.room.get(),
            taken: self.taken.get(),
        };
        engine::send(header, bytes);
    }

    /// Notes what a packet says of its sender.
    pub fn note(&self, header: &Header) {
        let before = (self.peer_room.replace(header.room), self.peer_taken.replace(header.taken));
        if before != (header.room, header.taken) {
            self.asked.set(false);
        }
    }

    /// Asks the peer for room, once until it has news: some tell of it only then.
    pub fn ask_for_room(&self) {
        if self.credit() == 0 && !self.asked.replace(true) {
            self.say(Operation::CreditRequest, 0, Vec::new());
        }
    }

    /// A packet from the peer.
    pub fn take(self: &Rc<Self>, header: &Header, bytes: Vec<u8>) {
        self.note(header);
        match (self.phase.get(), header.operation) {
            (_, Operation::Reset) => {
                let asked = self.phase.get() == Phase::Asked;
                self.end(asked.then_some(Errno::ECONNRESET));
                return;
            }
            (Phase::Asked, Operation::Response) => {
                self.phase.set(Phase::Open);
                engine::forget(&self.key);
            }
            (Phase::Asked, _) => {
                self.say(Operation::Reset, 0, Vec::new());
                self.end(Some(Errno(linux_raw_sys::errno::EPROTO as u16)));
                return;
            }
            (Phase::Open, Operation::Data) => self.put(bytes),
            (Phase::Open, Operation::CreditRequest) => self.say(Operation::Credit, 0, Vec::new()),
            (Phase::Open, Operation::Shutdown) => {
                self.peer_shut.set(self.peer_shut.get() | header.flags & SHUT_BOTH);
                if self.peer_shut.get() == SHUT_BOTH && (self.held() == 0 || self.orphan.get()) {
                    self.say(Operation::Reset, 0, Vec::new());
                    self.end(None);
                    return;
                }
            }
            _ => {}
        }
        self.queue.wake_all();
    }

    /// Puts bytes into the inbox. What is more than the peer was told of is lost, as on Linux.
    fn put(&self, bytes: Vec<u8>) {
        let fits = self.held().saturating_add(bytes.len()) <= self.room.get() as usize;
        if self.orphan.get() || self.shut.get() & SHUT_RECEIVE != 0 || bytes.is_empty() || !fits {
            return;
        }
        let mut inbox = self.inbox.borrow_mut();
        if inbox.try_reserve(1).is_err() {
            return;
        }
        self.held.set(self.held.get() + bytes.len() as u32);
        if let Some(last) = inbox.back_mut()
            && last.len() + bytes.len() <= JOINED
            && last.try_reserve(bytes.len()).is_ok()
        {
            last.extend_from_slice(&bytes);
        } else {
            inbox.push_back(bytes);
        }
    }

    /// Hands what is there to `give`, piece by piece, for as long as that takes all of a piece: with where it is, it says how much it took.
    pub fn read(
        &self,
        wanted: usize,
        peek: bool,
        mut give: impl FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<usize> {
        let mut done = 0;
        let mut seen = VecDeque::new();
        let mut result = Ok(());
        while done < wanted {
            // Nothing is borrowed while the program's memory is written to.
            let Some(piece) = self.inbox.borrow_mut().pop_front() else { break };
            let from = if seen.is_empty() { self.read.get() } else { 0 };
            let count = (piece.len() - from).min(wanted - done);
            result = give(done, &piece[from..from + count]);
            let taken = if result.is_ok() { count } else { 0 };
            done += taken;
            if peek {
                seen.push_back(piece);
            } else {
                self.read.set(from + taken);
                if from + taken < piece.len() {
                    self.inbox.borrow_mut().push_front(piece);
                } else {
                    self.read.set(0);
                }
            }
            if result.is_err() {
                break;
            }
        }
        for piece in seen.into_iter().rev() {
            self.inbox.borrow_mut().push_front(piece);
        }
        if !peek {
            self.held.set(self.held.get() - done as u32);
            self.taken.set(self.taken.get().wrapping_add(done as u32));
            self.tell_room();
        }
        if done == 0 { result.map(|()| 0) } else { Ok(done) }
    }

    /// Tells the peer of room, if it may need it.
    fn tell_room(&self) {
        let news = self.taken.get().wrapping_sub(self.told.get());
        let left = self.room.get().saturating_sub(news);
        if news > 0 && self.phase.get() == Phase::Open && (left < LOW || self.held() == 0) {
            self.say(Operation::Credit, 0, Vec::new());
        }
    }

    /// No more is sent, or taken.
    pub fn shut(&self, how: u32) {
        if self.phase.get() != Phase::Open || self.shut.get() & how == how {
            return;
        }
        self.shut.set(self.shut.get() | how);
        self.say(Operation::Shutdown, self.shut.get(), Vec::new());
        self.queue.wake_all();
    }

    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        self.phase.get() == Phase::Closed || self.peer_shut.get() & SHUT_SEND != 0
    }

    /// There is no connection any more.
    pub fn end(self: &Rc<Self>, error: Option<Errno>) {
        self.phase.set(Phase::Closed);
        self.peer_shut.set(SHUT_BOTH);
        if error.is_some() {
            self.error.set(error);
        }
        engine::remove(self);
        self.queue.wake_all();
    }

    /// The program is done with it.
    pub fn release(self: &Rc<Self>) {
        self.orphan.set(true);
        match self.phase.get() {
            Phase::Open if self.peer_shut.get() == SHUT_BOTH => {
                self.say(Operation::Reset, 0, Vec::new());
                self.end(None);
            }
            Phase::Open => {
                self.shut.set(SHUT_BOTH);
                self.say(Operation::Shutdown, SHUT_BOTH, Vec::new());
                engine::expect_end(self);
            }
            Phase::Asked | Phase::Closed => self.end(None),
        }
    }
}
