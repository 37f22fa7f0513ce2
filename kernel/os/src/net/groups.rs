//! Which groups this machine listens to, and telling of it (IGMPv2, RFC 2236; MLD, RFC 2710).

use super::stack::{self, Packet};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::list;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

crate::register!("group": fn(&IpAddr, bool) -> Result<()> = { 10 => change });
crate::register!("ip-protocol": fn(&Packet) -> bool = { IGMP => hear_4, ICMP_6 => hear_6 });

const IGMP: u8 = 2;
const ICMP_6: u8 = 58;
/// Kinds of IGMP message.
const QUERY: u8 = 0x11;
const REPORT: u8 = 0x16;
const LEAVE: u8 = 0x17;
/// Kinds of MLD message.
const QUERY_6: u8 = 130;
const REPORT_6: u8 = 131;
const DONE_6: u8 = 132;
const ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
const ROUTERS_6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Groups at once (`net.ipv4.igmp_max_memberships` is 20 for each socket).
const MOST: usize = 256;

/// Groups, and how many sockets are in each.
static GROUPS: KernelCell<Vec<(IpAddr, usize)>> = KernelCell::new(Vec::new());

/// A socket joins or leaves a group.
fn change(group: &IpAddr, joins: bool) -> Result<()> {
    let tell = {
        let mut groups = GROUPS.borrow();
        let known = groups.iter().position(|(other, _)| other == group);
        match (known, joins) {
            (Some(index), true) => {
                groups[index].1 += 1;
                false
            }
            (Some(index), false) if groups[index].1 > 1 => {
                groups[index].1 -= 1;
                false
            }
            (Some(index), false) => {
                groups.remove(index);
                true
            }
            (None, true) if groups.len() >= MOST => return Err(Errno::ENOBUFS),
            (None, true) => {
                list::push(&mut groups, (*group, 1))?;
                true
            }
            (None, false) => return Err(Errno::EADDRNOTAVAIL),
        }
    };
    if tell && stack::hardware_address().is_some() {
        report(group, joins);
        stack::run();
    }
    Ok(())
}

/// Tells the neighbours that this machine is in a group, or no longer. Lost on a network without an address yet: the next query asks.
fn report(group: &IpAddr, is_in: bool) {
    // Neighbours are told from the address that holds among them (RFC 2710, section 3).
    let from_for = if group.is_ipv4() { *group } else { ROUTERS_6.into() };
    let Ok(source) = stack::source_for(&from_for) else { return };
    match group {
        IpAddr::V4(group) => report_4(&source, group, is_in),
        IpAddr::V6(group) => report_6(&source, group, is_in),
    }
}

/// With the option that has routers look at the packet (RFC 2113), and for neighbours only.
fn report_4(source: &IpAddr, group: &Ipv4Addr, is_in: bool) {
    const HEADER: usize = 24;
    const ALERT: [u8; 4] = [0x94, 4, 0, 0];
    let destination = IpAddr::V4(if is_in { *group } else { ROUTERS });
    let _ = stack::send(&destination, HEADER + 8, &mut |packet| {
        stack::write_header(packet, source, &destination, IGMP, 1, 8 + ALERT.len());
        packet[0] = 0x46;
        packet[20..24].copy_from_slice(&ALERT);
        packet[10..12].fill(0);
        let checksum = !stack::sum(&[&packet[..HEADER]]);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        let message = &mut packet[HEADER..];
        message[..4].copy_from_slice(&[if is_in { REPORT } else { LEAVE }, 0, 0, 0]);
        message[4..].copy_from_slice(&group.octets());
        let checksum = !stack::sum(&[message]);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    });
}

/// The same, as IPv6 says it: a header of options before the message.
fn report_6(source: &IpAddr, group: &Ipv6Addr, is_in: bool) {
    const HEADER: usize = 40;
    const ALERT: [u8; 8] = [ICMP_6, 0, 5, 2, 0, 0, 1, 0];
    const MESSAGE: usize = 24;
    let destination = IpAddr::V6(if is_in { *group } else { ROUTERS_6 });
    let _ = stack::send(&destination, HEADER + ALERT.len() + MESSAGE, &mut |packet| {
        stack::write_header(packet, source, &destination, 0, 1, ALERT.len() + MESSAGE);
        packet[HEADER..HEADER + 8].copy_from_slice(&ALERT);
        let message = &mut packet[HEADER + 8..];
        message.fill(0);
        message[0] = if is_in { REPORT_6 } else { DONE_6 };
        message[8..].copy_from_slice(&group.octets());
        let pseudo = stack::pseudo_sum(source, &destination, ICMP_6, MESSAGE);
        let checksum = !stack::sum(&[&pseudo.to_be_bytes(), message]);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    });
}

/// Answers for a group that is asked for, or for all.
fn answer(asked: &IpAddr) {
    let groups: Vec<IpAddr> = GROUPS.borrow().iter().map(|(group, _)| *group).collect();
    let is_asked =
        |group: &&IpAddr| group.is_ipv4() == asked.is_ipv4() && (asked.is_unspecified() || *group == asked);
    for group in groups.iter().filter(is_asked) {
        report(group, true);
    }
}

fn hear_4(packet: &Packet) -> bool {
    let message = packet.payload;
    if message.len() >= 8 && message[0] == QUERY && (packet.vouched || stack::sum(&[message]) == 0xffff) {
        answer(&IpAddr::from([message[4], message[5], message[6], message[7]]));
    }
    true
}

fn hear_6(packet: &Packet) -> bool {
    let message = packet.payload;
    let pseudo = stack::pseudo_sum(&packet.source, &packet.destination, ICMP_6, message.len());
    if message.first() == Some(&QUERY_6)
        && let Some(octets) = message.get(8..).and_then(|rest| rest.first_chunk::<16>())
        && (packet.vouched || stack::sum(&[&pseudo.to_be_bytes(), message]) == 0xffff)
    {
        answer(&IpAddr::from(*octets));
    }
    true
}
