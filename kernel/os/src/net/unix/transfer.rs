//! What is sent, and what is taken out of the inbox.

use super::names::{find, nameless};
use super::{Beside, Chunk, JOINED, OVERHEAD, Receiver, Sender, Unix};
use crate::abi::process::credentials;
use crate::errno::{Errno, Result};
use crate::list;
use crate::net::socket::control::{self, Messages};
use crate::net::socket::{Call, Reply};
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::net::*;

// Takes what a control message says, of the type that is the key.
crate::hook!(fn packers() -> "pack-control": fn(&[u8], &mut Beside) -> Result<()>);
// Makes control messages of what came beside bytes, and takes it.
crate::hook!(fn unpackers() -> "unpack-control": fn(&mut Beside, Receiver, &mut Messages));

/// What control messages are about at this level: SCM_RIGHTS and SCM_CREDENTIALS.
const KINDS: core::ops::RangeInclusive<u32> = 1..=2;

/// What is to be sent beside bytes.
fn pack(control: &[u8]) -> Result<Beside> {
    let mut beside = Beside::default();
    control::each(control, |level, kind, value| match level {
        SOL_SOCKET if !KINDS.contains(&kind) => Err(Errno::EINVAL),
        SOL_SOCKET => match packers().iter().find(|packer| packer.key == u64::from(kind)) {
            Some(packer) => (packer.item)(value, &mut beside),
            None => Ok(()),
        },
        _ => Ok(()),
    })?;
    Ok(beside)
}

impl Unix {
    /// Whether a message of a length can be put into the inbox now. Any fits an empty one.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.held.get() == 0 || self.held.get() + length + OVERHEAD <= self.room()
    }

    /// Puts bytes into the inbox.
    fn put(&self, bytes: Vec<u8>, from: Vec<u8>, beside: Beside) -> Result<()> {
        let mut inbox = self.inbox.borrow_mut();
        if self.is_stream()
            && beside.rights.is_empty()
            && let Some(last) = inbox.back_mut()
            && last.beside.sender == beside.sender
            && last.bytes.len() + bytes.len() <= JOINED
            && last.bytes.try_reserve(bytes.len()).is_ok()
        {
            self.held.set(self.held.get() + bytes.len());
            last.bytes.extend_from_slice(&bytes);
        } else {
            inbox.try_reserve(1).map_err(|_| Errno::ENOBUFS)?;
            self.held.set(self.held.get() + bytes.len() + OVERHEAD);
            inbox.push_back(Chunk { bytes, read: 0, from, beside });
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
        beside: &mut Beside,
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
            other.starved.set(true);
            // The reader wakes those who wait at its own queue.
            let timeout = self.common.send_timeout.get();
            call.wait(&other.queue, timeout, &mut started)?;
        };
        let mut bytes = list::zeroes(length).map_err(|_| Errno::ENOBUFS)?;
        call.read(at, &mut bytes)?;
        let wanted = self.common.pass_credentials.get() || other.common.pass_credentials.get();
        if beside.sender.is_none() && (wanted || other.waits.get()) {
            let who = credentials();
            beside.sender = Some([1, who.users[0], who.groups[0]]);
        }
        let beside = Beside { rights: core::mem::take(&mut beside.rights), sender: beside.sender };
        other.put(bytes, self.name.borrow().clone(), beside)?;
        Ok(length)
    }

    /// Tells the receiver what came beside bytes.
    fn hand_over(&self, mut beside: Beside, call: &Call, reply: &mut Reply) {
        let receiver = Receiver {
            wants_sender: self.common.pass_credentials.get(),
            closes_on_exec: call.flags & MSG_CMSG_CLOEXEC != 0,
        };
        for unpacker in unpackers() {
            (unpacker.item)(&mut beside, receiver, &mut reply.control);
        }
        reply.control.is_cut |= !beside.rights.is_empty();
    }

    pub(super) fn send_bytes(&self, call: &Call, to: Option<&[u8]>, control: &[u8]) -> Result<usize> {
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
        let mut beside = pack(control)?;
        if self.is_datagram() {
            self.name_itself()?;
        }
        let length = call.length();
        if !self.is_stream() {
            if length > self.room() {
                return Err(Errno::EMSGSIZE);
            }
            return self.send_piece(to.as_ref(), call, 0, length, &mut beside);
        }
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(JOINED * 4);
            match self.send_piece(None, call, done, piece, &mut beside) {
                Ok(sent) => done += sent,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Whether a read of a stream that began with something goes on with a chunk: descriptors begin a new one, and so does another sender
    /// where it is told (`unix(7)`).
    fn goes_on(&self, first: Option<Sender>, chunk: &Chunk) -> bool {
        let is_told = self.common.pass_credentials.get();
        self.is_stream() && chunk.beside.rights.is_empty() && (!is_told || chunk.beside.sender == first)
    }

    /// Tells who sent a datagram. A sender without a name gives none, not even the family.
    fn tell_name(&self, chunk: &Chunk, reply: &mut Reply) {
        if reply.wants_name && self.is_datagram() && chunk.from.len() > nameless().len() {
            reply.name = chunk.from.clone();
        }
    }

    /// What a read of a whole message returns that took some bytes of those there were.
    fn length(&self, taken: usize, left: usize, call: &Call, reply: &mut Reply) -> usize {
        if self.is_stream() || taken == left {
            return taken;
        }
        reply.flags |= MSG_TRUNC;
        if call.flags & MSG_TRUNC != 0 { left } else { taken }
    }

    /// Looks at what is there and leaves it. `None`: nothing is.
    fn peek(&self, call: &Call, reply: &mut Reply) -> Result<Option<usize>> {
        let wanted = call.length();
        // Copied first: the program's memory may take its time, and others may read meanwhile.
        let mut bytes = Vec::new();
        let mut take = |chunk: &Chunk| {
            let left = &chunk.bytes[chunk.read..];
            let taken = &left[..left.len().min(wanted - bytes.len())];
            bytes.try_reserve(taken.len()).map_err(|_| Errno::ENOBUFS)?;
            bytes.extend_from_slice(taken);
            Ok((left.len(), bytes.len()))
        };
        let (beside, left) = {
            let inbox = self.inbox.borrow();
            let Some(first) = inbox.front() else { return Ok(None) };
            self.tell_name(first, reply);
            let (left, mut taken) = take(first)?;
            let more = inbox.iter().skip(1).take_while(|_| first.beside.rights.is_empty());
            for chunk in more.take_while(|chunk| self.goes_on(first.beside.sender, chunk)) {
                if taken == wanted {
                    break;
                }
                (_, taken) = take(chunk)?;
            }
            (first.beside.clone(), left)
        };
        call.write(0, &bytes)?;
        self.hand_over(beside, call, reply);
        Ok(Some(self.length(bytes.len(), left, call, reply)))
    }

    pub(super) fn receive_bytes(&self, call: &Call, reply: &mut Reply) -> Result<usize> {
        if call.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let wanted = call.length();
        let peek = call.flags & MSG_PEEK != 0;
        let (mut started, mut first) = (None, None);
        let mut done = 0;
        loop {
            if peek && let Some(done) = self.peek(call, reply)? {
                return Ok(done);
            }
            let chunk = self.inbox.borrow_mut().pop_front();
            if let Some(mut chunk) = chunk {
                if first.is_some_and(|first| !self.goes_on(first, &chunk)) {
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
                let sender = chunk.beside.sender;
                let beside = Beside { rights: core::mem::take(&mut chunk.beside.rights), sender };
                let had_rights = !beside.rights.is_empty();
                if first.replace(sender).is_none() {
                    self.tell_name(&chunk, reply);
                    self.hand_over(beside, call, reply);
                }
                chunk.read += taken;
                done += taken;
                let over = chunk.read == chunk.bytes.len();
                if over || !self.is_stream() {
                    self.held.set(self.held.get().saturating_sub(chunk.bytes.len() + OVERHEAD));
                } else {
                    self.inbox.borrow_mut().push_front(chunk);
                }
                self.make_room();
                if !self.is_stream() {
                    return Ok(self.length(taken, left, call, reply));
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
        if first.is_none() && self.is_stream() {
            // The end comes from nobody.
            self.hand_over(Beside { rights: Vec::new(), sender: Some([0; 3]) }, call, reply);
        }
        Ok(done)
    }

    /// Something was read: tells those who wait to write. They wait at the reader's queue; those that poll, at their own.
    fn make_room(&self) {
        if !self.starved.take() {
            return;
        }
        self.queue.wake_all();
        if let Ok(Some(other)) = self.other() {
            other.queue.wake_all();
        }
    }
}
