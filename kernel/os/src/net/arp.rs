//! The address resolution protocol for IPv4 on Ethernet (RFC 826).

use super::ethernet::{self, BROADCAST, Mac};
use super::ipv4;
use core::net::{IpAddr, Ipv4Addr};

const TYPE: u16 = 0x0806;
/// Ethernet, IPv4, and the lengths of their addresses.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const LENGTH: usize = 28;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;

crate::register!("frame": fn(&[u8], Mac) = { TYPE => receive });
crate::register!("resolve": fn(&IpAddr) = { 4 => ask });

fn send(to: Mac, operation: u8, target: (Mac, Ipv4Addr)) {
    let (Some(mac), Some(own)) = (ethernet::mac(), ipv4::address()) else { return };
    ethernet::transmit(to, TYPE, LENGTH, &mut |packet| {
        packet[..6].copy_from_slice(&KIND);
        packet[6..8].copy_from_slice(&[0, operation]);
        packet[8..14].copy_from_slice(&mac);
        packet[14..18].copy_from_slice(&own.octets());
        packet[18..24].copy_from_slice(&target.0);
        packet[24..28].copy_from_slice(&target.1.octets());
    });
}

fn ask(address: &IpAddr) {
    if let IpAddr::V4(address) = address {
        send(BROADCAST, REQUEST, ([0; 6], *address));
    }
}

fn receive(packet: &[u8], _: Mac) {
    let Some((packet, _)) = packet.split_first_chunk::<LENGTH>() else { return };
    if packet[..6] != KIND || packet[6] != 0 {
        return;
    }
    let ip = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let mac = [packet[8], packet[9], packet[10], packet[11], packet[12], packet[13]];
    let (sender, target) = (ip(14), ip(24));
    let ours = ipv4::address().is_some_and(|own| own == target);
    if !sender.is_unspecified() && ipv4::is_neighbour(sender) {
        ethernet::learned(IpAddr::V4(sender), mac, ours);
    }
    if ours && packet[7] == REQUEST {
        send(mac, REPLY, (mac, sender));
    }
}
