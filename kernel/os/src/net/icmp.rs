//! The control messages of IPv4 (RFC 792).

use super::stack::{self, Packet};
use crate::errno::Errno;
use core::net::{IpAddr, Ipv4Addr};

const PROTOCOL: u8 = 1;
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;

crate::register!("ip-protocol": fn(&Packet) -> bool = { PROTOCOL => receive });

/// What a message says of a packet that was sent from here.
pub struct Failure {
    pub protocol: u8,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_port: u16,
    pub destination_port: u16,
    pub error: Errno,
}

// Told that a packet did not arrive.
crate::hook!(fn failures() -> "packet-failed": fn(&Failure));

fn receive(packet: &Packet) -> bool {
    let message = packet.payload;
    if message.len() < 8 || stack::sum(&[message]) != 0xffff {
        return true;
    }
    match message[0] {
        ECHO if packet.unicast => answer(packet),
        UNREACHABLE => unreachable(message),
        _ => {}
    }
    true
}

fn answer(packet: &Packet) {
    let (source, destination) = (packet.destination, packet.source);
    let message = packet.payload;
    // Best effort: a ping is not worth waiting for.
    let _ = stack::send(&destination, stack::header_length(&destination) + message.len(), &mut |reply| {
        let at = stack::write_header(reply, &source, &destination, PROTOCOL, 64, message.len());
        let reply = &mut reply[at..];
        reply.copy_from_slice(message);
        reply[..4].copy_from_slice(&[ECHO_REPLY, 0, 0, 0]);
        let checksum = !stack::sum(&[reply]);
        reply[2..4].copy_from_slice(&checksum.to_be_bytes());
    });
}

/// The message quotes the packet's header and its first bytes, where the ports are.
fn unreachable(message: &[u8]) {
    let error = match message[1] {
        2 | 3 => Errno::ECONNREFUSED,
        0 | 6 => Errno::ENETUNREACH,
        4 => return, // too large: the route's own business
        _ => Errno::EHOSTUNREACH,
    };
    let Some(quoted) = message.get(8..).filter(|quoted| quoted.len() >= 20) else { return };
    let Some(ports) = quoted.get(usize::from(quoted[0] & 0xf) * 4..).filter(|rest| rest.len() >= 4) else {
        return;
    };
    let address =
        |at: usize| IpAddr::V4(Ipv4Addr::new(quoted[at], quoted[at + 1], quoted[at + 2], quoted[at + 3]));
    let failure = Failure {
        protocol: quoted[9],
        source: address(12),
        destination: address(16),
        source_port: u16::from_be_bytes([ports[0], ports[1]]),
        destination_port: u16::from_be_bytes([ports[2], ports[3]]),
        error,
    };
    for entry in failures() {
        (entry.item)(&failure);
    }
}
