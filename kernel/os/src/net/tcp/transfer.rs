//! Bytes between the program's memory and a connection's buffers.

use super::connection::Connection;
use super::marks::urgency;
use super::socket::Tcp;
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::net::socket::{Call, Reply};
use crate::net::stack;
use linux_raw_sys::net::*;
use smoltcp::socket::tcp::{Socket as Machine, State as Phase};

/// How much of a stretch of the program's memory is moved at once.
fn move_out(
    connection: &Connection,
    call: &Call,
    at: usize,
    most: usize,
    peek_at: Option<usize>,
) -> Result<usize> {
    let part = call.parts.iter().scan(0, |start, part| {
        let here = (*start, *part);
        *start += part.length;
        Some(here)
    });
    let Some((start, part)) = part.into_iter().find(|(start, part)| at < start + part.length) else {
        return Ok(0);
    };
    let (offset, room) = (at - start, most.min(part.length - (at - start)));
    // The bytes stay where they are until they are taken, whatever arrives meanwhile: nothing is borrowed while they are copied.
    let (from, length) = connection.with(|machine| match peek_at {
        Some(skip) => {
            let bytes = machine.peek(skip.saturating_add(room)).unwrap_or_default();
            let bytes = bytes.get(skip..).unwrap_or_default();
            (bytes.as_ptr(), bytes.len())
        }
        None => {
            let bytes = machine.peek(room).unwrap_or_default();
            (bytes.as_ptr(), bytes.len())
        }
    });
    if length == 0 {
        return Ok(0);
    }
    if call.flags & MSG_TRUNC == 0 {
        // SAFETY: within the connection's buffer, which lives as long as the connection.
        let bytes = unsafe { core::slice::from_raw_parts(from, length) };
        user::write_bytes(part.address + offset as u64, bytes)?;
    }
    if peek_at.is_none() {
        connection.with(|machine| machine.recv(|bytes| (length.min(bytes.len()), ()))).ok();
    }
    Ok(length)
}

/// Moves bytes of one stretch of the program's memory into the connection's buffer.
fn move_in(connection: &Connection, address: u64, count: usize) -> Result<usize> {
    let room = connection.with(|machine| {
        machine.send(|bytes| (0, (bytes.as_mut_ptr(), bytes.len()))).map_err(|_| Errno::EPIPE)
    });
    let (to, room) = room?;
    let length = count.min(room);
    if length == 0 {
        return Ok(0);
    }
    // SAFETY: free room of the connection's buffer, which lives as long as the connection; only this call fills it.
    let bytes = unsafe { core::slice::from_raw_parts_mut(to, length) };
    user::read_bytes(address, bytes)?;
    connection
        .with(|machine| machine.send(|bytes| (length.min(bytes.len()), ())))
        .map_err(|_| Errno::EPIPE)?;
    Ok(length)
}

/// Whether more can come from the peer.
pub fn may_receive(machine: &Machine) -> bool {
    matches!(
        machine.state(),
        Phase::SynSent | Phase::SynReceived | Phase::Established | Phase::FinWait1 | Phase::FinWait2
    )
}

impl Tcp {
    pub fn send_bytes(&self, call: &Call) -> Result<usize> {
        if call.flags & MSG_OOB != 0 {
            urgency().ok_or(Errno::EOPNOTSUPP)?;
        }
        let connection = self.connection().ok_or(Errno::EPIPE)?;
        self.made(&connection, call.nonblocking)?;
        let mut started = None;
        let mut done = 0;
        let corked = self.options.cork.get() || call.flags & MSG_MORE != 0;
        connection.corked.set(corked);
        for part in call.parts {
            let mut at = 0;
            while at < part.length {
                let failed = match self.failure(&connection) {
                    Err(error) => Some(error),
                    Ok(()) if self.shut_write.get() => Some(Errno::EPIPE),
                    Ok(()) => None,
                };
                if let Some(error) = failed {
                    connection.push();
                    stack::run();
                    return if done > 0 { Ok(done) } else { Err(error) };
                }
                let moved = match move_in(&connection, part.address + at as u64, part.length - at) {
                    Ok(moved) => moved,
                    Err(_) if done > 0 => break,
                    Err(error) => return Err(error),
                };
                at += moved;
                done += moved;
                if moved > 0 {
                    continue;
                }
                // Full: what is there goes out, and may make room at once when the peer is this very machine.
                connection.push();
                stack::run();
                if connection.with(|machine| machine.can_send()) {
                    continue;
                }
                connection.starved.set(true);
                if let Err(error) = call.wait(&self.queue, self.common.send_timeout.get(), &mut started) {
                    return if done > 0 { Ok(done) } else { Err(error) };
                }
            }
        }
        if call.flags & MSG_OOB != 0
            && done > 0
            && let Some(urgency) = urgency()
        {
            (urgency.wrote)(&connection);
        }
        connection.push();
        stack::run();
        Ok(done)
    }

    pub fn receive_bytes(&self, call: &Call, reply: &mut Reply) -> Result<usize> {
        if call.flags & MSG_OOB != 0 {
            let urgent = self.connection().zip(urgency()).ok_or(Errno::EINVAL)?;
            return (urgent.1.take)(&urgent.0, call, reply);
        }
        if call.flags & MSG_ERRQUEUE != 0 {
            return Err(Errno::EAGAIN);
        }
        let connection = self.connection().ok_or(Errno::ENOTCONN)?;
        let wanted = call.length();
        if wanted == 0 {
            return Ok(0);
        }
        let mut started = None;
        let peek = call.flags & MSG_PEEK != 0;
        let mut done = 0;
        let mut passed = 0;
        let marks = &connection.window.marks;
        'read: loop {
            loop {
                let mut most = usize::MAX;
                if marks.are_set()
                    && let Some(urgency) = urgency()
                {
                    most = (urgency.stretch)(&connection, done, peek.then_some(&mut passed));
                    if most == 0 {
                        break 'read;
                    }
                }
                let filled = connection.with(|machine| machine.recv_queue() * 2 >= machine.recv_capacity());
                let moved = match move_out(&connection, call, done, most, peek.then_some(done + passed)) {
                    Ok(moved) => moved,
                    Err(_) if done > 0 => break,
                    Err(error) => return Err(error),
                };
                if moved == 0 {
                    break;
                }
                done += moved;
                if marks.are_set()
                    && let Some(urgency) = urgency()
                {
                    (urgency.read)(&connection);
                }
                if filled && !peek {
                    // The window opens by much: the peer ought to know.
                    connection.push();
                    stack::run();
                }
                if done == wanted {
                    break;
                }
            }
            let low = self.common.receive_low.get().min(wanted);
            let enough = match peek {
                true => done > 0,
                false if call.flags & MSG_WAITALL != 0 => done == wanted,
                false => done >= low,
            };
            if enough {
                break;
            }
            if let Err(error) = self.failure(&connection) {
                return if done > 0 { Ok(done) } else { Err(error) };
            }
            if self.shut_read.get() || !connection.with(|machine| may_receive(machine)) {
                break;
            }
            if let Err(error) = call.wait(&self.queue, self.common.receive_timeout.get(), &mut started) {
                return if done > 0 { Ok(done) } else { Err(error) };
            }
        }
        Ok(done)
    }
}
