//! The control messages of IPv4 (RFC 792).

use super::stack::{self, Packet};
use crate::errno::Errno;
use core::net::IpAddr;

const PROTOCOL: u8 = 1;
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;

crate::register!("ip-protocol": fn(&Packet) -> bool = { PROTOCOL => receive });
crate::register!("undelivered": fn(&Packet) = { 10 => refuse });

fn receive(packet: &Packet) -> bool {
    let message = packet.payload;
    if message.len() < 8 || !packet.vouched && stack::sum(&[message]) != 0xffff {
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
    let quoted = &message[8..];
    let error = match message[1] {
        2 | 3 => Errno::ECONNREFUSED,
        0 | 6 => Errno::ENETUNREACH,
        4 => return too_big(message, quoted),
        _ => Errno::EHOSTUNREACH,
    };
    stack::failed(quoted, error);
}

/// Somebody on the way carries smaller packets only (RFC 1191).
fn too_big(message: &[u8], quoted: &[u8]) {
    /// What every host takes (RFC 791).
    const LEAST: usize = 576;
    let mtu = usize::from(u16::from_be_bytes([message[6], message[7]]));
    let Some(header) = quoted.first_chunk::<20>() else { return };
    let address = |at: usize| IpAddr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    // Routers of before that standard say zero.
    if stack::is_own(&address(12)) {
        stack::too_big(quoted, mtu.max(LEAST));
    }
}
