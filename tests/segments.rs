//! TCP spoken by hand over a [`Wire`]: every segment is what the test says it is, lost or late ones too.

use crate::wire::{GUEST, GUEST_LINK_LOCAL, GUEST_MAC, PEER, PEER_LINK_LOCAL, PEER_MAC, Wire};
use std::net::Ipv6Addr;

/// Flags of a segment.
pub const FIN: u8 = 1;
/// See [`FIN`].
pub const SYN: u8 = 2;
/// See [`FIN`].
pub const RESET: u8 = 4;
/// See [`FIN`].
pub const PUSH: u8 = 8;
/// See [`FIN`].
pub const ACK: u8 = 16;

/// See [`FIN`].
pub const URGENT: u8 = 32;

const PORT: u16 = 7;
const TCP: u8 = 6;
const CONTROL_6: u8 = 58;
const DESTINATION_OPTIONS: u8 = 60;
/// Bits that our window is shifted by: the option is there so that the machine may shift its own.
const SCALE: u8 = 0;

/// The Internet checksum of some parts, each but the last of even length.
pub fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!((folded & 0xffff) + (folded >> 16)) as u16).to_be_bytes()
}

/// A frame from the peer with an IPv4 packet.
pub fn frame_4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0];
    header.extend(PEER.octets());
    header.extend(GUEST.octets());
    header[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum);
    [&GUEST_MAC[..], &PEER_MAC, &[8, 0], &header, payload].concat()
}

/// A frame from the peer with an IPv6 packet.
pub fn frame_6(to: [u8; 6], source: Ipv6Addr, destination: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &PEER_MAC, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([next, 255]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(payload);
    frame
}

/// A control message of IPv6, its checksum set.
pub fn control_6(source: Ipv6Addr, destination: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    let sum = checksum(&[&source.octets(), &destination.octets(), &length, &[0, 0, 0, CONTROL_6], &message]);
    message[2..4].copy_from_slice(&sum);
    message
}

/// How segments to the machine are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// In IPv4.
    Four,
    /// In IPv6, between link-local addresses.
    Six,
    /// In IPv6, behind a header with options that mean nothing.
    SixWithOptions,
}

/// A segment that came.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Number of its first byte.
    pub number: u32,
    /// The byte that it waits for.
    pub acknowledged: u32,
    /// [`FIN`] and the like.
    pub flags: u8,
    /// Bytes that it takes, as they are to be understood.
    pub window: u32,
    /// Where what is urgent ends, as it is told.
    pub urgent: u16,
    /// Its bytes.
    pub body: Vec<u8>,
    /// The IP packet that it came in.
    pub packet: Vec<u8>,
}

impl Segment {
    /// The number behind it.
    pub fn end(&self) -> u32 {
        let flags = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.number.wrapping_add(self.body.len() as u32).wrapping_add(flags)
    }
}

/// A connection to the machine, by default to its port 7.
pub struct Stream<'a> {
    wire: &'a mut Wire,
    port: u16,
    /// The machine's port.
    theirs: u16,
    shift: u8,
    /// How its segments are packed.
    pub packing: Packing,
    /// The number of the byte that is sent next.
    pub next: u32,
    /// The byte of the machine's that is waited for.
    pub wanted: u32,
    /// The number behind everything that came, taken or not.
    pub seen: u32,
    /// The window that is told.
    pub window: u16,
    /// Where what is urgent ends, behind the number of each segment; zero: nothing is.
    pub urgent: u16,
}

impl<'a> Stream<'a> {
    /// An end from which nothing has been sent yet.
    pub fn new(wire: &'a mut Wire, port: u16, theirs: u16) -> Self {
        let packing = Packing::Four;
        Self {
            wire,
            port,
            theirs,
            shift: 0,
            packing,
            next: 1_000_000,
            wanted: 0,
            seen: 0,
            window: 65535,
            urgent: 0,
        }
    }

    /// Asks for a connection, and says no more.
    pub fn ask(wire: &'a mut Wire, port: u16) -> Self {
        let mut stream = Self::new(wire, port, PORT);
        stream.request();
        stream
    }

    /// Asks for a connection.
    pub fn request(&mut self) {
        self.send(SYN, self.next, &[]);
        self.next += 1;
    }

    /// A connection that is made.
    pub fn open(wire: &'a mut Wire, port: u16) -> Self {
        let mut stream = Self::ask(wire, port);
        stream.answered();
        stream.acknowledge();
        stream
    }

    /// Waits for the answer to a request.
    pub fn answered(&mut self) {
        let answer = self.come("an answer to a request", |segment| segment.flags & SYN != 0);
        assert_eq!((answer.flags, answer.acknowledged), (SYN | ACK, self.next), "{answer:?}");
        self.wanted = answer.end();
    }

    /// Sends a segment as it is told; it acknowledges what was taken, unless it asks.
    pub fn send(&mut self, flags: u8, number: u32, body: &[u8]) {
        let options: &[u8] = if flags & SYN != 0 { &[2, 4, 5, 0xb4, 3, 3, SCALE, 0] } else { &[] };
        let mut segment =
            [&self.port.to_be_bytes()[..], &self.theirs.to_be_bytes(), &number.to_be_bytes()].concat();
        segment.extend(if flags & ACK != 0 { self.wanted } else { 0 }.to_be_bytes());
        let urgent = if self.urgent > 0 { URGENT } else { 0 };
        segment.extend([(20 + options.len() as u8) << 2, flags | urgent]);
        segment.extend(self.window.to_be_bytes());
        segment.extend([0; 2]);
        segment.extend(self.urgent.to_be_bytes());
        segment.extend(options);
        segment.extend(body);
        let length = (segment.len() as u16).to_be_bytes();
        let addresses = match self.packing {
            Packing::Four => [PEER.octets(), GUEST.octets()].concat(),
            _ => [PEER_LINK_LOCAL.octets(), GUEST_LINK_LOCAL.octets()].concat(),
        };
        let sum = checksum(&[&addresses, &[0, TCP], &length, &segment]);
        segment[16..18].copy_from_slice(&sum);
        let six = |next, payload: &[u8]| frame_6(GUEST_MAC, PEER_LINK_LOCAL, GUEST_LINK_LOCAL, next, payload);
        let frame = match self.packing {
            Packing::Four => frame_4(TCP, &segment),
            Packing::Six => six(TCP, &segment),
            // One that fills the header up.
            Packing::SixWithOptions => {
                six(DESTINATION_OPTIONS, &[&[TCP, 0, 1, 4, 0, 0, 0, 0], &segment[..]].concat())
            }
        };
        self.wire.send(&frame);
    }

    /// Sends a frame that is no segment.
    pub fn send_frame(&mut self, frame: &[u8]) {
        self.wire.send(frame);
    }

    /// Says a line, again until it is acknowledged.
    pub fn tell(&mut self, line: &str) {
        self.say(format!("{line}\n").as_bytes());
        let next = self.next;
        self.come("an acknowledgement", |segment| segment.acknowledged == next && segment.flags & ACK != 0);
    }

    /// Sends the next bytes.
    pub fn say(&mut self, body: &[u8]) {
        self.send(ACK | PUSH, self.next, body);
        self.next = self.next.wrapping_add(body.len() as u32);
    }

    /// Acknowledges what was taken.
    pub fn acknowledge(&mut self) {
        self.send(ACK, self.next, &[]);
    }

    /// Waits for a segment of which something holds; those before it are dropped. Questions for our address are answered.
    pub fn come(&mut self, what: &str, holds: impl Fn(&Segment) -> bool) -> Segment {
        loop {
            let (port, shift) = (self.port, self.shift);
            let came = self.wire.find(what, |frame| match question(frame) {
                Some(answer) => Some(Err(answer)),
                None => segment(frame, port, shift).map(Ok),
            });
            match came {
                Err(answer) => self.wire.send(&answer),
                Ok(segment) => {
                    self.note(&segment);
                    if holds(&segment) {
                        return segment;
                    }
                }
            }
        }
    }

    /// All segments that have come and were not waited for.
    pub fn came(&mut self) -> Vec<Segment> {
        let frames = self.wire.came();
        let segments: Vec<Segment> =
            frames.iter().filter_map(|frame| segment(frame, self.port, self.shift)).collect();
        segments.iter().for_each(|segment| self.note(segment));
        segments
    }

    fn note(&mut self, segment: &Segment) {
        if segment.flags & SYN != 0 {
            self.shift = scale(&segment.packet).unwrap_or(0);
            self.seen = segment.end();
        }
        if segment.end().wrapping_sub(self.seen) < 1 << 31 {
            self.seen = segment.end();
        }
    }

    /// Takes bytes in their order until something holds of all of them, acknowledging each segment and sending `more` whenever the machine
    /// lacks it: those from `first` on, with an end behind them.
    pub fn drain(
        &mut self,
        first: u32,
        more: &[u8],
        mut got: Vec<u8>,
        enough: impl Fn(&[u8]) -> bool,
    ) -> Vec<u8> {
        while !enough(&got) {
            let segment = self.come("the rest", |_| true);
            assert_eq!(segment.flags & RESET, 0, "the connection is reset");
            if segment.number == self.wanted && !segment.body.is_empty() {
                self.wanted = segment.end();
                got.extend(&segment.body);
            }
            let lacks = segment.acknowledged.wrapping_sub(first) as usize;
            if lacks < more.len() && segment.window > 0 {
                self.send(ACK | FIN, segment.acknowledged, &more[lacks..]);
            } else {
                self.acknowledge();
            }
        }
        got
    }
}

/// What to answer a frame that asks for our hardware address.
fn question(frame: &[u8]) -> Option<Vec<u8>> {
    match frame.get(12..14)? {
        [8, 6] if frame[20..22] == [0, 1] && frame[38..42] == PEER.octets() => {
            let mut answer = [&GUEST_MAC[..], &PEER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &PEER_MAC].concat();
            answer.extend(PEER.octets());
            answer.extend(GUEST_MAC);
            answer.extend(GUEST.octets());
            Some(answer)
        }
        [0x86, 0xdd] if frame.get(20) == Some(&CONTROL_6) && frame.get(54) == Some(&135) => {
            let target = frame.get(62..78)?;
            if target != PEER_LINK_LOCAL.octets() {
                return None;
            }
            // Solicited, and in the place of what was known.
            let message = [&[136, 0, 0, 0, 0x60, 0, 0, 0][..], target, &[2, 1], &PEER_MAC].concat();
            let message = control_6(PEER_LINK_LOCAL, GUEST_LINK_LOCAL, message);
            Some(frame_6(GUEST_MAC, PEER_LINK_LOCAL, GUEST_LINK_LOCAL, CONTROL_6, &message))
        }
        _ => None,
    }
}

/// The TCP part of an IP packet.
fn inside(packet: &[u8]) -> Option<&[u8]> {
    match packet.first()? >> 4 {
        4 if packet.get(9) == Some(&TCP) => packet.get(20..),
        6 if packet.get(6) == Some(&TCP) => packet.get(40..),
        _ => None,
    }
}

/// The window's scale among the options of a packet's segment.
fn scale(packet: &[u8]) -> Option<u8> {
    let segment = inside(packet)?;
    let mut options = segment.get(20..usize::from(segment[12] >> 4) * 4)?;
    while let Some(&kind) = options.first() {
        let length = match kind {
            0 => return None,
            1 => 1,
            3 => return options.get(2).copied(),
            _ => usize::from(*options.get(1)?),
        };
        options = options.get(length..)?;
    }
    None
}

/// The segment in a frame, if it is for a port.
fn segment(frame: &[u8], port: u16, shift: u8) -> Option<Segment> {
    let length = match frame.get(12..14)? {
        [8, 0] => usize::from(u16::from_be_bytes([frame[16], frame[17]])),
        [0x86, 0xdd] => 40 + usize::from(u16::from_be_bytes([frame[18], frame[19]])),
        _ => return None,
    };
    let packet = frame.get(14..14 + length)?;
    let segment = inside(packet)?;
    let header = segment.first_chunk::<20>()?;
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if u16::from_be_bytes([header[2], header[3]]) != port {
        return None;
    }
    let flags = header[13];
    Some(Segment {
        number: word(4),
        acknowledged: word(8),
        flags,
        window: (word(14) >> 16) << if flags & SYN != 0 { 0 } else { shift },
        urgent: word(16) as u16,
        body: segment[usize::from(header[12] >> 4) * 4..].to_vec(),
        packet: packet.to_vec(),
    })
}
