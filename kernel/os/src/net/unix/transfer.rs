//! What is sent, and what is taken out of the inbox.

use super::names::{find, nameless};
use super::{Chunk, JOINED, OVERHEAD, Unix};
use crate::errno::{Errno, Result};
use crate::fs::file::Description;
use crate::list;
use crate::net::socket::{Call, Reply};
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::net::*;

// Takes descriptors out of control messages that are sent.
crate::hook!(fn packers() -> "pack-rights": fn(&[u8]) -> Result<Vec<Rc<Description>>>);
// Makes a control message of descriptors that were received; false: they did not fit.
crate::hook!(fn unpackers() -> "unpack-rights": fn(Vec<Rc<Description>>, usize, bool, &mut Vec<u8>) -> bool);

impl Unix {
    /// Whether a message of a length can be put into the inbox now. Any fits an empty one.
    pub(super) fn has_room(&self, length: usize) -> bool {
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

    pub(super) fn receive_bytes(&self, call: &Call, reply: &mut Reply) -> Result<usize> {
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
}
