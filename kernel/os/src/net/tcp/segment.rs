//! What the header of a packet says, and names.

use crate::net::stack::{self, Packet, Sum};
use core::net::{IpAddr, SocketAddr};

pub const PROTOCOL: u8 = 6;

/// What names a connection. The ports come first: they nearly always decide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub(super) local_port: u16,
    pub(super) remote_port: u16,
    pub(super) remote: IpAddr,
    pub(super) local: IpAddr,
}

impl Key {
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local_port: local.port(), remote_port: remote.port(), remote: remote.ip(), local: local.ip() }
    }

    pub fn local(&self) -> SocketAddr {
        SocketAddr::new(self.local, self.local_port)
    }

    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.remote, self.remote_port)
    }
}

/// What a packet's header says.
pub struct Segment {
    pub key: Key,
    pub syn: bool,
    pub ack: bool,
    pub reset: bool,
    pub fin: bool,
    pub urgent: bool,
    /// Number of its first byte, and how many there are.
    pub number: u32,
    pub length: usize,
    /// The byte that the sender waits for.
    pub acknowledged: u32,
    /// As it is told.
    pub window: u16,
}

/// A packet's segment, if its checksum is right.
pub fn parse(packet: &Packet) -> Option<Segment> {
    let header = packet.payload.first_chunk::<20>()?;
    let pseudo = Sum::pseudo(&packet.source, &packet.destination, PROTOCOL, packet.payload.len());
    if !packet.vouched && pseudo.bytes(packet.payload).folded() != 0xffff {
        return None;
    }
    let flags = header[13];
    Some(Segment {
        key: Key {
            local_port: u16::from_be_bytes([header[2], header[3]]),
            remote_port: u16::from_be_bytes([header[0], header[1]]),
            remote: packet.source,
            local: packet.destination,
        },
        fin: flags & 1 != 0,
        syn: flags & 2 != 0,
        reset: flags & 4 != 0,
        ack: flags & 16 != 0,
        urgent: flags & 32 != 0,
        number: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        length: packet.payload.len().saturating_sub(usize::from(header[12] >> 4) * 4),
        acknowledged: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        window: u16::from_be_bytes([header[14], header[15]]),
    })
}

/// Sets the checksums of a packet; `by_card`: the card adds the segment's. One to this machine itself needs none.
pub fn seal(packet: &mut [u8], destination: &IpAddr, by_card: bool) {
    const CHECKSUM: usize = 16;
    if stack::is_own(destination) {
        return;
    }
    let start = match packet[0] >> 4 {
        4 => {
            // The state machine's have no options.
            stack::seal_header(packet);
            20
        }
        _ => 40,
    };
    // The addresses lie together, at the end of either header.
    let addresses = if packet[0] >> 4 == 6 { &packet[8..40] } else { &packet[12..20] };
    let pseudo = Sum::rest(PROTOCOL, packet.len() - start).bytes(addresses);
    stack::seal(packet, start, CHECKSUM, pseudo, by_card);
}
