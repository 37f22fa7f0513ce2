//! The family AF_UNIX (`unix(7)`): what one socket sends is put into the other's inbox.

use super::socket::{self, AF_UNIX, Call, Common, Family, Protocol, Reply};
use crate::abi::open::masked;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::{Description, Readiness, Stat};
use crate::fs::node::{Event, Name, Wish, permit, tell};
use crate::fs::path::{self, Last};
use crate::list;
use crate::sched::wait::Queue;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general::{S_IFSOCK, W_OK};
use linux_raw_sys::net::*;

crate::param! {
    static BUFFER: u64 = "buffer"
}

crate::register!("socket-family": Family = { AF_UNIX => create });

// Takes descriptors out of control messages that are sent.
crate::hook!(fn packers() -> "pack-rights": fn(&[u8]) -> Result<Vec<Rc<Description>>>);
// Makes a control message of descriptors that were received; false: they did not fit.
crate::hook!(fn unpackers() -> "unpack-rights": fn(Vec<Rc<Description>>, usize, bool, &mut Vec<u8>) -> bool);

const STREAM: u32 = 1;
const DATAGRAM: u32 = 2;
const SEQUENCE: u32 = 5;

/// What a chunk costs beyond its bytes.
const OVERHEAD: usize = 128;
/// Writes to a stream are joined up to this size.
const JOINED: usize = 4096;
/// Bytes of a path (`struct sockaddr_un`).
const PATH: usize = 108;

/// What a socket is bound to.
#[derive(Clone, PartialEq, Eq)]
enum Place {
    /// A node: its file system and its inode there.
    Node(u64, u64),
    Abstract(Vec<u8>),
}

impl Place {
    fn of(stat: &Stat) -> Self {
        Self::Node(stat.filesystem, stat.inode)
    }
}

struct Chunk {
    bytes: Vec<u8>,
    /// How many of them are read.
    read: usize,
    /// The sender's address.
    from: Vec<u8>,
    rights: Vec<Rc<Description>>,
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
    inbox: RefCell<VecDeque<Chunk>>,
    held: Cell<usize>,
    /// The other end closed, or writes no more.
    ended: Cell<bool>,
    shut_read: Cell<bool>,
    shut_write: Cell<bool>,
    error: Cell<Option<Errno>>,
    queue: Queue,
}

/// Bound sockets.
static PLACES: KernelCell<Vec<(Place, Weak<Unix>)>> = KernelCell::new(Vec::new());

fn nameless() -> Vec<u8> {
    AF_UNIX.to_le_bytes().to_vec()
}

fn make(common: Common) -> Rc<Unix> {
    Rc::new_cyclic(|this| Unix {
        this: this.clone(),
        common,
        state: RefCell::new(State::Idle),
        place: RefCell::new(None),
        name: RefCell::new(nameless()),
        peer_name: RefCell::new(nameless()),
        inbox: RefCell::new(VecDeque::new()),
        held: Cell::new(0),
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
    Ok([one, other])
}

fn join(one: &Rc<Unix>, other: &Rc<Unix>) {
    *one.state.borrow_mut() = State::Connected(Rc::downgrade(other));
    *other.state.borrow_mut() = State::Connected(Rc::downgrade(one));
    *one.peer_name.borrow_mut() = other.name.borrow().clone();
    *other.peer_name.borrow_mut() = one.name.borrow().clone();
}

/// The path or abstract name in an address; empty: none.
fn parse(name: &[u8]) -> Result<&[u8]> {
    let (family, path) = name.split_first_chunk::<2>().ok_or(Errno::EINVAL)?;
    if u16::from_le_bytes(*family) != AF_UNIX {
        return Err(Errno::EINVAL);
    }
    if path.len() > PATH {
        return Err(Errno::EINVAL);
    }
    match path.first() {
        // Abstract: every byte counts.
        None | Some(0) => Ok(path),
        _ => Ok(path.split(|&byte| byte == 0).next().unwrap_or_default()),
    }
}

/// The socket that is bound to an address.
fn find(name: &[u8]) -> Result<Rc<Unix>> {
    let path = parse(name)?;
    let place = match path.first() {
        None => return Err(Errno::EINVAL),
        Some(0) => Place::Abstract(path.to_vec()),
        _ => {
            let found = path::resolve(&path::working_directory(), path, true)?;
            permit(&*found.node, Wish::Use(W_OK))?;
            Place::of(&found.node.stat())
        }
    };
    let places = PLACES.borrow();
    let found = places.iter().find(|(other, _)| *other == place);
    found.and_then(|(_, socket)| socket.upgrade()).ok_or(Errno::ECONNREFUSED)
}

fn address(path: &[u8]) -> Vec<u8> {
    let mut name = nameless();
    name.extend_from_slice(path);
    if path.first().is_some_and(|&byte| byte != 0) {
        name.push(0);
    }
    name
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

    /// Whether a message of a length can be put into the inbox now. Any fits an empty one.
    fn has_room(&self, length: usize) -> bool {
        self.held.get() == 0 || self.held.get() + length + OVERHEAD <= self.room()
    }

    /// Puts bytes into the inbox.
    fn put(&self, bytes: Vec<u8>, from: Vec<u8>, rights: Vec<Rc<Description>>) -> Result<()> {
        let mut inbox = self.inbox.borrow_mut();
        if self.is_stream()
            && rights.is_empty()
            && let Some(last) = inbox.back_mut()
            && last.bytes.len() + bytes.len() <= JOINED
            && last.bytes.try_reserve(bytes.len()).is_ok()
        {
            self.held.set(self.held.get() + bytes.len());
            last.bytes.extend_from_slice(&bytes);
        } else {
            inbox.try_reserve(1).map_err(|_| Errno::ENOBUFS)?;
            self.held.set(self.held.get() + bytes.len() + OVERHEAD);
            inbox.push_back(Chunk { bytes, read: 0, from, rights });
        }
        drop(inbox);
        self.queue.wake_all();
        Ok(())
    }

    /// Sends one piece; waits for room.
    fn send_piece(
        &self,
        to: Option<&Rc<Unix>>,
        call: &Call,
        at: usize,
        length: usize,
        rights: &mut Vec<Rc<Description>>,
    ) -> Result<usize> {
        let mut started = None;
        let other = loop {
            if self.shut_write.get() {
                return Err(Errno::EPIPE);
            }
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            let other = match to {
                Some(to) => to.clone(),
                None => match self.other()? {
                    Some(other) => other,
                    None if self.is_datagram() => return Err(Errno::ECONNREFUSED),
                    None => return Err(Errno::EPIPE),
                },
            };
            if other.shut_read.get() {
                return Err(Errno::EPIPE);
            }
            if other.has_room(length) {
                break other;
            }
            // The reader wakes those who wait at its own queue.
            let timeout = self.common.send_timeout.get();
            call.wait(&other.queue, timeout, &mut started)?;
        };
        let mut bytes = list::zeroes(length).map_err(|_| Errno::ENOBUFS)?;
        call.read(at, &mut bytes)?;
        other.put(bytes, self.name.borrow().clone(), core::mem::take(rights))?;
        Ok(length)
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

    /// Hands a chunk's descriptors to the receiver.
    fn hand_over(&self, rights: Vec<Rc<Description>>, call: &Call, reply: &mut Reply) {
        if rights.is_empty() {
            return;
        }
        let close_on_exec = call.flags & MSG_CMSG_CLOEXEC != 0;
        let all = unpackers().first().is_some_and(|unpacker| {
            (unpacker.item)(rights, reply.control_room, close_on_exec, &mut reply.control)
        });
        if !all {
            reply.flags |= MSG_CTRUNC;
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
        let path = parse(name)?;
        if self.place.borrow().is_some() {
            return Err(Errno::EINVAL);
        }
        let (place, path) = match path.first() {
            // Nothing but the family: any abstract name (`unix(7)`, autobind).
            None => {
                let mut seed = [0; 4];
                crate::abi::entropy::fill(&mut seed);
                let number = u32::from_le_bytes(seed) & 0xf_ffff;
                let digits = (0..5).map(|digit| b"0123456789abcdef"[(number >> (4 * digit) & 15) as usize]);
                let name: Vec<u8> = core::iter::once(0).chain(digits).collect();
                (Place::Abstract(name.clone()), name)
            }
            Some(0) => (Place::Abstract(path.to_vec()), path.to_vec()),
            _ => {
                let target = path::walk(&path::working_directory(), path, Last::Name)?;
                if target.found.is_some() || target.name().is_empty() {
                    return Err(Errno::EADDRINUSE);
                }
                let (directory, name) = (&target.directory, target.name());
                permit(&**directory, Wish::Use(W_OK))?;
                let node = directory.create(name, S_IFSOCK | masked(0o777), &[])?;
                tell(&Event::Created(Name { directory, name, node: &node }));
                (Place::of(&node.stat()), path.to_vec())
            }
        };
        let mut places = PLACES.borrow();
        if places.iter().any(|(other, socket)| *other == place && socket.strong_count() > 0) {
            return Err(Errno::EADDRINUSE);
        }
        list::push(&mut places, (place.clone(), self.this.clone()))?;
        *self.place.borrow_mut() = Some(place);
        *self.name.borrow_mut() = address(&path);
        Ok(())
    }

    fn listen(&self, backlog: u32) -> Result<()> {
        if self.is_datagram() {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.place.borrow().is_none() {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.borrow_mut();
        match &mut *state {
            State::Connected(_) => return Err(Errno::EINVAL),
            State::Listening { backlog: old, .. } => *old = backlog as usize,
            State::Idle => {
                *state = State::Listening { backlog: backlog as usize, waiting: VecDeque::new() };
            }
        }
        Ok(())
    }

    fn accept(&self, nonblocking: bool) -> Result<(Rc<dyn Protocol>, Vec<u8>)> {
        if self.is_datagram() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut started = None;
        loop {
            match &mut *self.state.borrow_mut() {
                State::Listening { waiting, .. } => {
                    if let Some(connection) = waiting.pop_front() {
                        let peer = connection.peer_name.borrow().clone();
                        return Ok((connection, peer));
                    }
                }
                _ => return Err(Errno::EINVAL),
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            socket::wait(&self.queue, self.common.receive_timeout.get(), &mut started)?;
        }
    }

    fn connect(&self, name: &[u8], nonblocking: bool) -> Result<()> {
        let this = self.this.upgrade().ok_or(Errno::EINVAL)?;
        if self.is_datagram() {
            if name.len() >= 2 && name[..2] == [0, 0] {
                *self.state.borrow_mut() = State::Idle;
                return Ok(());
            }
            let other = find(name)?;
            if !other.is_datagram() {
                return Err(Errno::EPROTOTYPE);
            }
            *self.peer_name.borrow_mut() = other.name.borrow().clone();
            *self.state.borrow_mut() = State::Connected(Rc::downgrade(&other));
            return Ok(());
        }
        match &*self.state.borrow() {
            State::Connected(_) => return Err(Errno::EISCONN),
            State::Listening { .. } => return Err(Errno::EINVAL),
            State::Idle => {}
        }
        let mut started = None;
        loop {
            let other = find(name)?;
            if other.common.kind != self.common.kind {
                return Err(Errno::EPROTOTYPE);
            }
            let room = match &*other.state.borrow() {
                State::Listening { backlog, waiting } => waiting.len() <= *backlog,
                _ => return Err(Errno::ECONNREFUSED),
            };
            if room {
                let end = make(other.common.clone());
                *end.name.borrow_mut() = other.name.borrow().clone();
                join(&this, &end);
                if let State::Listening { waiting, .. } = &mut *other.state.borrow_mut() {
                    waiting.push_back(end);
                }
                other.queue.wake_all();
                return Ok(());
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            socket::wait(&other.queue, self.common.send_timeout.get(), &mut started)?;
        }
    }

    fn send(&self, call: &Call, to: Option<&[u8]>, control: &[u8]) -> Result<usize> {
        if call.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let to = match to {
            Some(name) if self.is_datagram() => Some(find(name)?),
            Some(_) if self.other().is_ok() => return Err(Errno::EISCONN),
            Some(_) => return Err(Errno::EOPNOTSUPP),
            None => None,
        };
        if let Some(to) = &to
            && !to.is_datagram()
        {
            return Err(Errno::EPROTOTYPE);
        }
        let mut rights = match packers().first() {
            Some(packer) if !control.is_empty() => (packer.item)(control)?,
            _ => Vec::new(),
        };
        let length = call.length();
        if !self.is_stream() {
            if length > self.room() {
                return Err(Errno::EMSGSIZE);
            }
            return self.send_piece(to.as_ref(), call, 0, length, &mut rights);
        }
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(JOINED * 4);
            match self.send_piece(None, call, done, piece, &mut rights) {
                Ok(sent) => done += sent,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn receive(&self, call: &Call, reply: &mut Reply) -> Result<usize> {
        if call.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let wanted = call.length();
        let peek = call.flags & MSG_PEEK != 0;
        let mut started = None;
        let mut done = 0;
        loop {
            let chunk = self.inbox.borrow_mut().pop_front();
            if let Some(mut chunk) = chunk {
                // Descriptors mark where a read of a stream ends (`unix(7)`).
                if done > 0 && !chunk.rights.is_empty() {
                    self.inbox.borrow_mut().push_front(chunk);
                    break;
                }
                let left = chunk.bytes.len() - chunk.read;
                let taken = left.min(wanted - done);
                let copied = call.write(done, &chunk.bytes[chunk.read..chunk.read + taken]);
                if copied.is_err() {
                    self.inbox.borrow_mut().push_front(chunk);
                    return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
                }
                if done == 0 && reply.wants_name && self.is_datagram() {
                    // A sender without a name gives none, not even the family.
                    if chunk.from.len() > nameless().len() {
                        reply.name = chunk.from.clone();
                    }
                }
                if peek {
                    let rights = chunk.rights.clone();
                    self.inbox.borrow_mut().push_front(chunk);
                    self.hand_over(rights, call, reply);
                    if taken < left && !self.is_stream() {
                        reply.flags |= MSG_TRUNC;
                    }
                    return Ok(if !self.is_stream() && call.flags & MSG_TRUNC != 0 { left } else { taken });
                }
                let rights = core::mem::take(&mut chunk.rights);
                let had_rights = !rights.is_empty();
                self.hand_over(rights, call, reply);
                chunk.read += taken;
                done += taken;
                let over = chunk.read == chunk.bytes.len();
                if over || !self.is_stream() {
                    self.held.set(self.held.get().saturating_sub(chunk.bytes.len() + OVERHEAD));
                } else {
                    self.inbox.borrow_mut().push_front(chunk);
                }
                // Writers wait at the reader's queue; those that poll, at their own.
                self.queue.wake_all();
                if let Ok(Some(other)) = self.other() {
                    other.queue.wake_all();
                }
                if !self.is_stream() {
                    if !over {
                        reply.flags |= MSG_TRUNC;
                    }
                    return Ok(if call.flags & MSG_TRUNC != 0 { left } else { taken });
                }
                if done == wanted || had_rights {
                    break;
                }
                continue;
            }
            if done > 0 && call.flags & MSG_WAITALL == 0 {
                break;
            }
            if let Some(error) = self.error.take() {
                return if done > 0 { Ok(done) } else { Err(error) };
            }
            if self.ended.get() || self.shut_read.get() {
                break;
            }
            if !self.is_datagram() {
                // Never connected, or a listener.
                match self.other() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return Err(Errno::EINVAL),
                }
            }
            if let Err(error) = call.wait(&self.queue, self.common.receive_timeout.get(), &mut started) {
                return if done > 0 { Ok(done) } else { Err(error) };
            }
        }
        Ok(done)
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
            Some(other) => other.has_room(other.room() / 4),
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
            // `struct ucred` of the only process there is.
            (SOL_SOCKET, SO_PEERCRED) => {
                Ok([1u32, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect())
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
            PLACES.borrow().retain(|(_, socket)| socket.strong_count() > 0);
        }
    }
}
