//! Urgent data (`tcp(7)`, `MSG_OOB`), as Linux has it: the pointer tells of the byte behind the last urgent one, and only the last byte of
//! what is sent is urgent.

use super::connection::Connection;
use super::marks::{Urgency, Urgent};
use super::segment::Segment;
use super::window::{Window, behind};
use crate::errno::{Errno, Result};
use crate::net::socket::{Call, Reply};
use linux_raw_sys::net::{MSG_OOB, MSG_PEEK, MSG_TRUNC};
use smoltcp::socket::tcp::State as Phase;

crate::register!("tcp-urgent": &'static Urgency = { 10 => &URGENCY });

static URGENCY: Urgency = Urgency { arrives, leaves, wrote, take, stretch, read, is_next, before };

const URG: u8 = 32;
const SYN_OR_RESET: u8 = 2 | 4;

/// The number of the byte that the program reads next.
fn unread(connection: &Connection) -> u32 {
    let (phase, held) = connection.with(|machine| (machine.state(), machine.recv_queue()));
    // An end has a number too.
    let end = matches!(phase, Phase::CloseWait | Phase::Closing | Phase::LastAck | Phase::TimeWait);
    connection.window.next().wrapping_sub(held as u32 + u32::from(end))
}

/// Forgets the next byte.
fn skip(connection: &Connection) {
    connection.with(|machine| machine.recv(|bytes| (bytes.len().min(1), ()))).ok();
}

/// `tcp_check_urg` and `tcp_urg` of Linux.
fn arrives(connection: &Connection, payload: &[u8], segment: &Segment) -> (bool, bool) {
    let (window, marks) = (&connection.window, &connection.window.marks);
    if segment.syn || segment.reset || !segment.ack || window.refuses(segment) {
        return (false, false);
    }
    let mut is_new = false;
    if segment.urgent
        && let Some(pointer) = payload.get(18..20)
    {
        let pointer = u16::from_be_bytes([pointer[0], pointer[1]]);
        let number = segment.number.wrapping_add(u32::from(pointer.saturating_sub(1)));
        let (next, unread) = (window.next(), unread(connection));
        let is_known = marks.are_set() && behind(number, marks.number.get()) <= 0;
        // What was read, what came without a word, and what is known is not told again.
        is_new = behind(unread, number) <= 0 && behind(number, next) >= 0 && !is_known;
        if is_new {
            // One before that was not taken is gone.
            if marks.are_set() && marks.number.get() == unread && !marks.is_inline.get() && unread != next {
                skip(connection);
            }
            marks.number.set(number);
            marks.urgent.set(Urgent::Told);
        }
    }
    let mut is_there = false;
    if marks.urgent.get() == Urgent::Told {
        let bytes = &payload[payload.len() - segment.length.min(payload.len())..];
        let at = marks.number.get().wrapping_sub(segment.number) as usize;
        if let Some(&byte) = bytes.get(at) {
            marks.urgent.set(Urgent::There(byte));
            is_there = true;
        }
    }
    (is_new | is_there, is_new)
}

/// Tells the peer, again with each segment before it, until it has the byte.
fn leaves(window: &Window, segment: &mut [u8]) {
    let Some(end) = window.marks.end.get() else { return };
    if window.has_all_before(end) {
        return window.marks.end.set(None);
    }
    let number = u32::from_be_bytes([segment[4], segment[5], segment[6], segment[7]]);
    let distance = behind(end, number);
    if distance > 0 && segment[13] & SYN_OR_RESET == 0 {
        segment[13] |= URG;
        segment[18..20].copy_from_slice(&(distance.min(0xffff) as u16).to_be_bytes());
    }
}

fn wrote(connection: &Connection) {
    let queued = connection.with(|machine| machine.send_queue());
    connection.window.marks.end.set(connection.window.behind_all(queued));
}

/// `tcp_recv_urg` of Linux.
fn take(connection: &Connection, call: &Call, reply: &mut Reply) -> Result<usize> {
    let marks = &connection.window.marks;
    if marks.is_inline.get() {
        return Err(Errno::EINVAL);
    }
    match marks.urgent.get() {
        // "Yes this is right!"
        Urgent::No | Urgent::Taken => Err(Errno::EINVAL),
        Urgent::There(byte) => {
            reply.flags |= MSG_OOB;
            let is_asked = call.length() > 0;
            if !is_asked {
                reply.flags |= MSG_TRUNC;
            }
            if call.flags & MSG_PEEK == 0 {
                marks.urgent.set(Urgent::Taken);
            }
            if is_asked && call.flags & MSG_TRUNC == 0 {
                call.write(0, &[byte])?;
            }
            Ok(usize::from(is_asked))
        }
        Urgent::Told => match connection.phase() {
            Phase::Established | Phase::FinWait1 | Phase::FinWait2 => Err(Errno::EAGAIN),
            _ => Ok(0),
        },
    }
}

/// `tcp_recvmsg_locked` of Linux: a read stops at the urgent byte, and the next one begins behind it.
fn stretch(connection: &Connection, done: usize, looks: Option<&mut usize>) -> usize {
    let marks = &connection.window.marks;
    let passed = looks.as_ref().map_or(0, |passed| done + **passed);
    let distance = behind(marks.number.get(), unread(connection).wrapping_add(passed as u32));
    if distance > 0 {
        return distance as usize;
    }
    if distance == 0 {
        if done > 0 {
            return 0;
        }
        if !marks.is_inline.get() && connection.with(|machine| machine.recv_queue()) > passed {
            match looks {
                Some(passed) => *passed += 1,
                None => {
                    skip(connection);
                    read(connection);
                }
            }
        }
    }
    usize::MAX
}

fn read(connection: &Connection) {
    let marks = &connection.window.marks;
    if behind(unread(connection), marks.number.get()) > 0 {
        marks.urgent.set(Urgent::No);
    }
}

fn is_next(connection: &Connection) -> bool {
    connection.window.marks.number.get() == unread(connection)
}

/// `tcp_inq` of Linux.
fn before(connection: &Connection) -> usize {
    let marks = &connection.window.marks;
    let held = connection.with(|machine| machine.recv_queue());
    let distance = behind(marks.number.get(), unread(connection));
    if marks.is_inline.get() || distance < 0 { held } else { held.min(distance as usize) }
}
