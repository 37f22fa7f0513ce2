//! Where the urgent bytes of a stream are (RFC 9293, section 3.8.5). What is done about them is the component for urgent data.

use super::connection::Connection;
use super::segment::Segment;
use super::window::Window;
use crate::errno::Result;
use crate::net::socket::{Call, Reply};
use crate::sched::wait::Queue;
use core::cell::Cell;

// What is done with urgent data.
crate::hook!(fn urgencies() -> "tcp-urgent": &'static Urgency);
// Told that a socket's peer has urgent data; its queue names the socket (SIGURG).
crate::hook!(pub fn alarms() -> "socket-urgent": fn(&Queue));

/// What came of the peer's urgent byte.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Urgent {
    #[default]
    No,
    /// It was told where it is.
    Told,
    There(u8),
    /// The program has it.
    Taken,
}

/// The marks of a connection.
#[derive(Default)]
pub struct Marks {
    /// The number behind the last urgent byte that was written, until the peer has it.
    pub end: Cell<Option<u32>>,
    pub urgent: Cell<Urgent>,
    /// The number of the peer's urgent byte.
    pub number: Cell<u32>,
    /// The program reads it among the others (SO_OOBINLINE).
    pub is_inline: Cell<bool>,
}

impl Marks {
    /// Whether there is anything to look out for in what the peer sends, or in what is read.
    #[inline]
    pub fn are_set(&self) -> bool {
        self.urgent.get() != Urgent::No
    }
}

pub struct Urgency {
    /// A segment arrives that tells of urgent data, or may hold what another has told of: whether there is news, and whether of a new byte.
    pub arrives: fn(&Connection, &[u8], &Segment) -> (bool, bool),
    /// A segment leaves.
    pub leaves: fn(&Window, &mut [u8]),
    /// The last byte that was written is urgent.
    pub wrote: fn(&Connection),
    /// The program asks for the urgent byte alone.
    pub take: fn(&Connection, &Call, &mut Reply) -> Result<usize>,
    /// How many bytes a read may go on with that has `done` some; zero: none. A look (a read that takes nothing) counts in the last the bytes that it
    /// passes over.
    pub stretch: fn(&Connection, usize, Option<&mut usize>) -> usize,
    /// Something was read.
    pub read: fn(&Connection),
    /// Whether the byte that would be read next is the urgent one.
    pub is_next: fn(&Connection) -> bool,
    /// Bytes before it, or all there are.
    pub before: fn(&Connection) -> usize,
}

/// What is done with urgent data, if anything is.
#[inline]
pub fn urgency() -> Option<&'static Urgency> {
    urgencies().first().map(|entry| entry.item)
}
