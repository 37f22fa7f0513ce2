//! Frames as they are on the wire, with a peer that is no socket of this machine's: IPv6, packets in parts, and what nobody should send.

use bespoke_tests::wire::{self, GUEST, GUEST_LINK_LOCAL, GUEST_MAC, PEER_LINK_LOCAL, PEER_MAC, Peer, Wire};
use bespoke_tests::{Scratch, Server, program};
use smoltcp::wire::IpCidr;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const QUIET: &str = "\"debug.log\" = false\n";

fn echo_machine(set: &str, args: &[&str]) -> (Server, Wire) {
    let scratch = Scratch::for_program(&program("echo.c", "musl"), "everything", &format!("{QUIET}{set}"));
    wire::boot(&scratch, "ready", args)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// The Internet checksum of some parts, each but the last of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!((folded & 0xffff) + (folded >> 16)) as u16).to_be_bytes()
}

/// A frame from the peer with an IPv6 packet.
fn frame_6(to: [u8; 6], source: Ipv6Addr, destination: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &PEER_MAC, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([next, 255]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(payload);
    frame
}

/// A control message of IPv6, its checksum set.
fn control_6(source: Ipv6Addr, destination: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    let sum = checksum(&[&source.octets(), &destination.octets(), &length, &[0, 0, 0, 58], &message]);
    message[2..4].copy_from_slice(&sum);
    message
}

/// A router's announcement of a network.
fn announcement(prefix: Ipv6Addr) -> Vec<u8> {
    let everybody = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([3, 4, 64, 0xc0, 0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0]);
    message.extend(prefix.octets());
    let message = control_6(PEER_LINK_LOCAL, everybody, message);
    frame_6([0x33, 0x33, 0, 0, 0, 1], PEER_LINK_LOCAL, everybody, 58, &message)
}

/// Whoever connects gets its bytes back.
fn echoes(peer: &mut Peer, to: IpAddr, bytes: &[u8]) {
    let back = peer.over_tcp(SocketAddr::new(to, 7), bytes, |got| got.len() == bytes.len());
    assert!(back == bytes, "the bytes from {to} differ");
}

#[test]
fn ipv6_from_its_link_local_address_to_one_that_a_router_gave() {
    for machine in ["microvm", "q35"] {
        let (_server, mut wire) = echo_machine("", &["--machine", machine]);
        let link_local = IpAddr::V6(GUEST_LINK_LOCAL);
        let mut peer = Peer::new(&mut wire, &[]);
        peer.ping(link_local, 1000);
        echoes(&mut peer, link_local, &pattern(300_000));
        assert_eq!(peer.over_udp(SocketAddr::new(link_local, 7), b"datagram"), b"datagram");

        let prefix = Ipv6Addr::new(0xfd00, 1, 2, 3, 0, 0, 0, 0);
        wire.send(&announcement(prefix));
        let given = Ipv6Addr::from_bits(prefix.to_bits() | GUEST_LINK_LOCAL.to_bits() & u128::from(u64::MAX));
        let own = IpCidr::new(Ipv6Addr::from_bits(prefix.to_bits() | 0xabc).into(), 64);
        let mut peer = Peer::new(&mut wire, &[own]);
        peer.ping(given.into(), 16);
        echoes(&mut peer, given.into(), &pattern(20_000));
        // The other version goes on beside it.
        peer.ping(GUEST.into(), 16);
        echoes(&mut peer, GUEST.into(), &pattern(20_000));
    }
}

#[test]
fn a_static_address_and_its_network() {
    let set = "\"net.ipv6.address\" = \"fd00::15\"\n\"net.slaac\" = false\n\"net.dhcp\" = false\n";
    let (_server, mut wire) = echo_machine(set, &[]);
    let own = IpCidr::new(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into(), 64);
    let mut peer = Peer::new(&mut wire, &[own]);
    echoes(&mut peer, Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x15).into(), b"a fixed address");
}

#[test]
fn packets_in_parts_both_ways() {
    let (_server, mut wire) = echo_machine("", &[]);
    // The peer cuts what it sends, and puts together what comes, as the machine does.
    let bytes = pattern(1480 * 2 + 100);
    let mut peer = Peer::new(&mut wire, &[]);
    peer.ping(GUEST.into(), 8);
    assert!(peer.over_udp(SocketAddr::new(GUEST.into(), 7), &bytes) == bytes, "the bytes differ");

    // IPv6, by hand: in the wrong order, and one part twice.
    Peer::new(&mut wire, &[]).ping(GUEST_LINK_LOCAL.into(), 8);
    let body = pattern(1200 * 3);
    let length = (body.len() + 8) as u16;
    let mut datagram = [&[0x40, 0, 0, 7], &length.to_be_bytes()[..], &[0, 0], &body].concat();
    let pseudo = [0, 0, length.to_be_bytes()[0], length.to_be_bytes()[1], 0, 0, 0, 17];
    let sum = checksum(&[&PEER_LINK_LOCAL.octets(), &GUEST_LINK_LOCAL.octets(), &pseudo, &datagram]);
    datagram[6..8].copy_from_slice(&sum);
    let parts: Vec<(usize, &[u8])> =
        datagram.chunks(1200).enumerate().map(|(i, part)| (i * 1200, part)).collect();
    let send = |wire: &mut Wire, id: u8, index: usize, shift: usize| {
        let (offset, part) = parts[index];
        let field = (offset - shift) as u16 | u16::from(offset + part.len() < datagram.len());
        let payload = [&[17, 0], &field.to_be_bytes()[..], &[0, 0, 0, id], part].concat();
        wire.send(&frame_6(GUEST_MAC, PEER_LINK_LOCAL, GUEST_LINK_LOCAL, 44, &payload));
    };
    wire.clear();
    for index in [3, 1, 1, 0, 2] {
        send(&mut wire, 1, index, 0);
    }
    let mut got = vec![0; datagram.len()];
    let mut missing = datagram.len();
    wire.find("the answer in parts", |frame| {
        if frame.get(20) != Some(&44) || frame.get(22..38) != Some(&GUEST_LINK_LOCAL.octets()) {
            return None;
        }
        let offset = usize::from(u16::from_be_bytes([frame[56], frame[57]]) & 0xfff8);
        let length = usize::from(u16::from_be_bytes([frame[18], frame[19]])) - 8;
        got[offset..offset + length].copy_from_slice(&frame[62..62 + length]);
        missing -= length;
        (missing == 0).then_some(())
    });
    assert_eq!((&got[..4], got[8..] == body[..]), (&[0, 7, 0x40, 0][..], true));

    // Parts that overlap spoil the packet: what comes next is answered, that is not.
    for (index, shift) in [(0, 0), (1, 8), (1, 0), (2, 0), (3, 0)] {
        send(&mut wire, 2, index, shift);
    }
    send(&mut wire, 3, 0, 0);
    let mut peer = Peer::new(&mut wire, &[]);
    assert_eq!(peer.over_udp(SocketAddr::new(GUEST_LINK_LOCAL.into(), 7), b"next"), b"next");
}
