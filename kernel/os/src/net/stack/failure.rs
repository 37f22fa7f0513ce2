//! What somebody on the way says about packets from here.

use crate::errno::Errno;
use core::net::{IpAddr, SocketAddr};

// Whether a packet with such a header can be on its way; the key is the protocol.
crate::hook!(fn senders() -> "packet-sent": fn(&Quoted) -> bool);
// Told of the most bytes that a packet to somebody can have.
crate::hook!(fn limits() -> "packet-too-big": fn(&IpAddr, usize));
// Told that a packet did not arrive.
crate::hook!(fn failures() -> "packet-failed": fn(&Failure));

/// Somebody on the way says that a packet from here is too large: those to its destination can have at most so many bytes.
pub fn too_big(packet: &[u8], mtu: usize) {
    let Some(quoted) = quoted(packet) else { return };
    let mut of_its_protocol = senders().iter().filter(|entry| entry.key == u64::from(quoted.protocol));
    if of_its_protocol.any(|entry| !(entry.item)(&quoted)) {
        return;
    }
    for entry in limits() {
        (entry.item)(&quoted.destination.ip(), mtu);
    }
}

/// What somebody on the way quotes of a packet from here.
pub struct Quoted {
    pub protocol: u8,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// What stands behind the ports: TCP's number of the first byte.
    pub number: u32,
}

/// What became of a packet that was sent from here and did not arrive.
pub struct Failure {
    pub quoted: Quoted,
    pub error: Errno,
}

impl core::ops::Deref for Failure {
    type Target = Quoted;
    fn deref(&self) -> &Quoted {
        &self.quoted
    }
}

/// A packet from here, of which at least the first bytes are there, did not arrive.
pub fn failed(packet: &[u8], error: Errno) {
    let Some(quoted) = quoted(packet) else { return };
    let failure = Failure { quoted, error };
    for entry in failures() {
        (entry.item)(&failure);
    }
}

/// Whom a packet concerns: its header and the ports behind it say so.
fn quoted(packet: &[u8]) -> Option<Quoted> {
    let (protocol, source, destination, ports): (u8, IpAddr, IpAddr, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let header = packet.first_chunk::<20>()?;
            let octets = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
            let rest = packet.get(usize::from(header[0] & 0xf) * 4..)?;
            (header[9], octets(12).into(), octets(16).into(), rest)
        }
        6 => {
            let (header, rest) = packet.split_first_chunk::<40>()?;
            let (_, addresses) = header.split_first_chunk::<8>()?;
            let (source, destination) = addresses.split_first_chunk::<16>()?;
            (header[6], (*source).into(), (*destination.first_chunk::<16>()?).into(), rest)
        }
        _ => return None,
    };
    let ports = ports.first_chunk::<8>()?;
    Some(Quoted {
        protocol,
        source: SocketAddr::new(source, u16::from_be_bytes([ports[0], ports[1]])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([ports[2], ports[3]])),
        number: u32::from_be_bytes([ports[4], ports[5], ports[6], ports[7]]),
    })
}
