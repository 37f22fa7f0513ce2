//! TCP spoken by hand over a [`Wire`]: every segment is what the test says it is, lost or late ones too.

use crate::wire::{GUEST, GUEST_MAC, PEER, PEER_MAC, Wire};

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

const PORT: u16 = 7;
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

/// A connection to the machine's port 7.
pub struct Stream<'a> {
    wire: &'a mut Wire,
    port: u16,
    shift: u8,
    /// The number of the byte that is sent next.
    pub next: u32,
    /// The byte of the machine's that is waited for.
    pub wanted: u32,
    /// The number behind everything that came, taken or not.
    pub seen: u32,
    /// The window that is told.
    pub window: u16,
}

impl<'a> Stream<'a> {
    /// Asks for a connection, and says no more.
    pub fn ask(wire: &'a mut Wire, port: u16) -> Self {
        let mut stream = Self { wire, port, shift: 0, next: 1_000_000, wanted: 0, seen: 0, window: 65535 };
        stream.send(SYN, stream.next, &[]);
        stream.next += 1;
        stream
    }

    /// A connection that is made.
    pub fn open(wire: &'a mut Wire, port: u16) -> Self {
        let mut stream = Self::ask(wire, port);
        let answer = stream.come("an answer to a request", |segment| segment.flags & SYN != 0);
        assert_eq!((answer.flags, answer.acknowledged), (SYN | ACK, stream.next), "{answer:?}");
        stream.wanted = answer.end();
        stream.acknowledge();
        stream
    }

    /// Sends a segment as it is told; it acknowledges what was taken, unless it asks.
    pub fn send(&mut self, flags: u8, number: u32, body: &[u8]) {
        let options: &[u8] = if flags & SYN != 0 { &[2, 4, 5, 0xb4, 3, 3, SCALE, 0] } else { &[] };
        let mut segment = [&self.port.to_be_bytes()[..], &PORT.to_be_bytes(), &number.to_be_bytes()].concat();
        segment.extend(if flags & ACK != 0 { self.wanted } else { 0 }.to_be_bytes());
        segment.extend([(20 + options.len() as u8) << 2, flags]);
        segment.extend(self.window.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(options);
        segment.extend(body);
        let length = (segment.len() as u16).to_be_bytes();
        let sum = checksum(&[&PEER.octets(), &GUEST.octets(), &[0, 6], &length, &segment]);
        segment[16..18].copy_from_slice(&sum);
        self.wire.send(&frame_4(6, &segment));
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
            let came = self.wire.find(what, |frame| match frame.get(12..14)? {
                [8, 6] if frame[20..22] == [0, 1] && frame[38..42] == PEER.octets() => Some(None),
                [8, 0] if frame[23] == 6 => segment(frame, port, shift).map(Some),
                _ => None,
            });
            let Some(segment) = came else {
                let mut answer =
                    [&GUEST_MAC[..], &PEER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &PEER_MAC].concat();
                answer.extend(PEER.octets());
                answer.extend(GUEST_MAC);
                answer.extend(GUEST.octets());
                self.wire.send(&answer);
                continue;
            };
            if segment.flags & SYN != 0 {
                // The option is where the machine's state machine puts it, or not there.
                self.shift = scale(&segment.packet).unwrap_or(0);
                self.seen = segment.end();
            }
            if segment.end().wrapping_sub(self.seen) < 1 << 31 {
                self.seen = segment.end();
            }
            if holds(&segment) {
                return segment;
            }
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

/// The window's scale among the options of a packet's segment.
fn scale(packet: &[u8]) -> Option<u8> {
    let segment = &packet[20..];
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
    let packet = &frame[14..][..usize::from(u16::from_be_bytes([frame[16], frame[17]]))];
    let header = packet.get(20..40)?;
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
        body: packet[20 + usize::from(header[12] >> 4) * 4..].to_vec(),
        packet: packet.to_vec(),
    })
}
