//! What a peer may send, and what to make of segments that the state machine would turn away whole.
//!
//! A window is told in units of up to 128 bytes (RFC 7323, section 2.4), so that its end, as told, moves back by less than a unit now and
//! then. A peer has sent by the earlier word: its segments then begin, or end, where nothing is taken. smoltcp drops such a segment with
//! its acknowledgement, and takes an end (FIN) although bytes before it were cut off. Two programs that both wait for room would wait for
//! ever, and a stream would lack its last bytes. RFC 9293, section 3.10.7.4: "special allowance should be made to accept valid ACKs".

use super::marks::Marks;
use super::segment::{Key, PROTOCOL, Segment, seal};
use crate::net::stack::{self, Packet};
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::SocketAddr;

/// Bytes of a segment's header without options.
const HEADER: usize = 20;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RESET: u8 = 4;
const ACK: u8 = 16;
/// The option that tells the unit of windows.
const SCALE: u8 = 3;

/// Segments that are handed to the state machine in the place of one.
#[derive(Default)]
pub struct Instead {
    /// To be handed over first: the acknowledgement alone.
    pub before: Option<Vec<u8>>,
    /// The segment without its end.
    pub packet: Option<Vec<u8>>,
}

/// Where a connection's window is, in numbers of the peer's bytes.
#[derive(Default)]
pub struct Window {
    /// The byte that is waited for, and the one that the peer was told last.
    next: Cell<u32>,
    told: Cell<u32>,
    /// The first byte that may not be sent: as told last, and as told ever.
    end: Cell<u32>,
    furthest: Cell<u32>,
    shift: Cell<u8>,
    /// What the peer acknowledged last, and the window that it told.
    acknowledged: Cell<Option<(u32, u16)>>,
    /// The number behind everything that was sent, and behind what was sent last.
    sent: Cell<Option<u32>>,
    latest: Cell<u32>,
    /// Where urgent bytes are.
    pub marks: Marks,
}

/// How far `number` is behind `other`, both within half of all numbers.
pub fn behind(number: u32, other: u32) -> i32 {
    number.wrapping_sub(other) as i32
}

/// The option of a segment that asks for a connection that tells the unit of its windows.
pub fn scale(segment: &[u8]) -> Option<u8> {
    let mut options = segment.get(HEADER..usize::from(segment.get(12)? >> 4) * 4)?;
    loop {
        let length = match options {
            [] | [0, ..] => return None,
            [1, ..] => 1,
            [SCALE, _, shift, ..] => return Some(*shift),
            [_, length, ..] => usize::from(*length).max(2),
            _ => return None,
        };
        options = options.get(length..)?;
    }
}

impl Window {
    /// A segment leaves.
    pub fn left(&self, segment: &[u8]) {
        let Some(header) = segment.first_chunk::<HEADER>() else { return };
        if header[13] & RESET != 0 {
            return;
        }
        let number = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let length = segment.len() - usize::from(header[12] >> 4) * 4;
        let flags = usize::from(header[13] & SYN != 0) + usize::from(header[13] & FIN != 0);
        let last = number.wrapping_add((length + flags) as u32);
        self.latest.set(last);
        if self.sent.get().is_none_or(|sent| behind(last, sent) > 0) {
            self.sent.set(Some(last));
        }
        if header[13] & ACK == 0 {
            // The first one: what it says of the unit holds if the peer has a unit too.
            self.shift.set(scale(segment).unwrap_or(0));
            return;
        }
        let next = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        let told = u32::from(u16::from_be_bytes([header[14], header[15]]));
        let is_first = header[13] & SYN != 0;
        if is_first {
            self.shift.set(scale(segment).unwrap_or(0));
        }
        let end = next.wrapping_add(told << self.shift.get());
        self.next.set(next);
        self.told.set(next);
        self.end.set(end);
        if is_first || behind(end, self.furthest.get()) > 0 {
            self.furthest.set(end);
        }
    }

    /// The peer answered the first segment.
    pub fn answered(&self, bytes: &[u8], segment: &Segment) {
        if scale(bytes).is_none() {
            self.shift.set(0);
        }
        self.hears(segment);
    }

    /// Notes what the peer acknowledges, if it was sent.
    pub fn hears(&self, segment: &Segment) {
        let is_sent = self.sent.get().is_some_and(|sent| behind(segment.acknowledged, sent) <= 0);
        let before = self.acknowledged.get();
        if segment.ack
            && is_sent
            && before.is_none_or(|(before, _)| behind(segment.acknowledged, before) >= 0)
        {
            self.acknowledged.set(Some((segment.acknowledged, segment.window)));
        }
    }

    /// Whether a segment that begins with a number may not have arrived yet.
    pub fn is_on_its_way(&self, number: u32) -> bool {
        let is_new =
            self.acknowledged.get().is_none_or(|(acknowledged, _)| behind(number, acknowledged) >= 0);
        is_new && self.sent.get().is_some_and(|sent| behind(number, sent) < 0)
    }

    /// The state machine took so many bytes, or an end, out of a segment.
    pub fn took(&self, bytes: usize) {
        self.next.set(self.next.get().wrapping_add(bytes as u32));
    }

    /// The number of the byte that is waited for.
    pub fn next(&self) -> u32 {
        self.next.get()
    }

    /// Whether the peer has acknowledged all bytes before a number.
    pub fn has_all_before(&self, number: u32) -> bool {
        self.acknowledged.get().is_some_and(|(acknowledged, _)| behind(acknowledged, number) >= 0)
    }

    /// The number behind so many bytes that the peer has not acknowledged.
    pub fn behind_all(&self, queued: usize) -> Option<u32> {
        self.acknowledged.get().map(|(acknowledged, _)| acknowledged.wrapping_add(queued as u32))
    }

    /// Whether bytes came that were not acknowledged yet.
    pub fn owes(&self) -> bool {
        self.owed() != 0
    }

    /// Bytes that came and were not acknowledged yet.
    pub fn owed(&self) -> u32 {
        self.next.get().wrapping_sub(self.told.get())
    }

    /// Whether what was sent last ended with the last of so many bytes that the peer has not acknowledged.
    pub fn ends_with(&self, unacknowledged: usize) -> bool {
        self.acknowledged.get().is_some_and(|(acknowledged, _)| {
            acknowledged.wrapping_add(unacknowledged as u32) == self.latest.get()
        })
    }

    /// Whether the state machine turns a segment away.
    pub fn refuses(&self, segment: &Segment) -> bool {
        let (next, end) = (self.next.get(), self.end.get());
        let last = segment.number.wrapping_add(segment.length as u32);
        let holds = |number: u32| behind(number, next) >= 0 && behind(number, end) < 0;
        match (segment.length, next == end) {
            (0, true) => segment.number != next,
            (0, false) => !holds(segment.number),
            (_, true) => true,
            (_, false) => !(holds(segment.number) || behind(last, next) > 0 && behind(last, end) <= 0),
        }
    }

    /// What a packet with a segment of an open connection is to be replaced with, if it is.
    pub fn admit(&self, packet: &Packet, segment: &Segment) -> Option<Instead> {
        // Whoever resets or asks anew has to prove that it is the peer, by what it says to our answer: a guess does not end a connection
        // (RFC 5961, sections 3.2 and 4.2). The state machine answers a number that has been, with reason, and not too often.
        if segment.syn || segment.reset && self.is_ahead(segment.number) {
            let packet = self.acknowledgement(&segment.key, self.next.get().wrapping_sub(1));
            return Some(Instead { before: None, packet });
        }
        if !segment.ack || segment.reset {
            return None;
        }
        self.hears(segment);
        let from = behind(segment.number, self.next.get());
        let last = segment.number.wrapping_add(segment.length as u32);
        // What is waited for, and all of it has room: as nearly always.
        if from == 0 && behind(last, self.end.get()) < 0 {
            return None;
        }
        let mut instead = Instead::default();
        // One before what is waited for: how a closed window is asked about (RFC 9293, section 3.8.4).
        if from >= -1 && behind(segment.number, self.furthest.get()) <= 0 && self.refuses(segment) {
            instead.before = self.acknowledged_again(&segment.key);
        }
        if segment.fin && segment.length > 0 && behind(last, self.end.get()) > 0 {
            let mut whole = packet.whole.to_vec();
            let flags = packet.whole.len() - packet.payload.len() + 13;
            whole[flags] &= !FIN;
            instead.packet = Some(whole);
        }
        Some(instead)
    }

    /// Whether a number is within the window, but not the one that comes next.
    fn is_ahead(&self, number: u32) -> bool {
        behind(number, self.next.get()) > 0 && behind(number, self.end.get()) < 0
    }

    /// A packet with what the peer acknowledged last, and nothing else, as if it had come once more.
    pub fn acknowledged_again(&self, key: &Key) -> Option<Vec<u8>> {
        self.acknowledgement(key, self.next.get())
    }

    /// The same under another number.
    fn acknowledgement(&self, key: &Key, number: u32) -> Option<Vec<u8>> {
        let (acknowledged, window) = self.acknowledged.get()?;
        Some(bare(key.remote(), key.local(), number, acknowledged, window))
    }

    /// A packet to the peer that repeats a number which it has.
    pub fn probe(&self, key: &Key) -> Option<Vec<u8>> {
        let (acknowledged, _) = self.acknowledged.get()?;
        let next = self.next.get();
        let window = behind(self.end.get(), next).max(0) as u32 >> self.shift.get();
        let mut packet = bare(key.local(), key.remote(), acknowledged.wrapping_sub(1), next, window as u16);
        seal(&mut packet, &key.remote, false);
        Some(packet)
    }

    /// A packet to the peer that acknowledges all that came.
    pub fn last_word(&self, key: &Key) -> Option<Vec<u8>> {
        let mut packet = bare(key.local(), key.remote(), self.sent.get()?, self.next.get(), 0);
        seal(&mut packet, &key.remote, false);
        Some(packet)
    }
}

/// A packet with an acknowledgement and nothing else, without its checksum.
fn bare(from: SocketAddr, to: SocketAddr, number: u32, acknowledged: u32, window: u16) -> Vec<u8> {
    let start = stack::header_length(&to.ip());
    let mut packet = alloc::vec![0; start + HEADER];
    stack::write_header(&mut packet, &from.ip(), &to.ip(), PROTOCOL, 64, HEADER);
    let header = &mut packet[start..];
    header[..2].copy_from_slice(&from.port().to_be_bytes());
    header[2..4].copy_from_slice(&to.port().to_be_bytes());
    header[4..8].copy_from_slice(&number.to_be_bytes());
    header[8..12].copy_from_slice(&acknowledged.to_be_bytes());
    header[12] = (HEADER as u8 / 4) << 4;
    header[13] = ACK;
    header[14..16].copy_from_slice(&window.to_be_bytes());
    packet
}
