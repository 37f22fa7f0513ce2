//! The control messages of IPv4 (RFC 792).

use super::stack::{self, Packet};
use crate::errno::Errno;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

const PROTOCOL: u8 = 1;
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;

crate::register!("ip-protocol": fn(&Packet) -> bool = { PROTOCOL => receive });
crate::register!("undelivered": fn(&Packet) = { 10 => refuse });

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

/// Sends a message back to where a packet came from.
fn reply(packet: &Packet, kind: [u8; 2], body: &[u8]) {
    let (source, destination) = (packet.destination, packet.source);
    let length = 4 + body.len();
    // Best effort: control messages are not worth waiting for.
    let _ = stack::send(&destination, stack::header_length(&destination) + length, &mut |reply| {
        let at = stack::write_header(reply, &source, &destination, PROTOCOL, 64, length);
        let reply = &mut reply[at..];
        reply[..4].copy_from_slice(&[kind[0], kind[1], 0, 0]);
        reply[4..].copy_from_slice(body);
        let checksum = !stack::sum(&[reply]);
        reply[2..4].copy_from_slice(&checksum.to_be_bytes());
    });
}

fn answer(packet: &Packet) {
    reply(packet, [ECHO_REPLY, 0], &packet.payload[4..]);
}

/// Nobody wanted a packet: its port, or its protocol, is not to be reached (RFC 1122, section 3.2.2.1).
fn refuse(packet: &Packet) {
    const UDP: u8 = 17;
    if packet.protocol == PROTOCOL {
        return;
    }
    let code = if packet.protocol == UDP { 3 } else { 2 };
    // The header and eight bytes more.
    let header = packet.whole.len() - packet.payload.len();
    let quoted = &packet.whole[..packet.whole.len().min(header + 8)];
    let mut body = [0; 4 + 60 + 8];
    body[4..4 + quoted.len()].copy_from_slice(quoted);
    reply(packet, [UNREACHABLE, code], &body[..4 + quoted.len()]);
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
    let failure = stack::Failure {
        protocol: quoted[9],
        source: SocketAddr::new(address(12), u16::from_be_bytes([ports[0], ports[1]])),
        destination: SocketAddr::new(address(16), u16::from_be_bytes([ports[2], ports[3]])),
        error,
    };
    stack::failed(&failure);
}
