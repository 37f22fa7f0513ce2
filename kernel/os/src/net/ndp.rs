//! Neighbour discovery for IPv6 on Ethernet (RFC 4861, RFC 4862).
//!
//! Addresses are used at once, while the neighbours are asked whether somebody has them already (optimistic, RFC 4429): a machine is not to
//! wait a second at boot for an answer that never comes.

use super::ethernet::{self, Mac};
use super::ipv6::{self, ALL_NODES, CONTROL, Own};
use super::stack::{self, NEVER, Packet};
use crate::boot::pvh::StartInfo;
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::list;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

crate::register!("init": fn(&StartInfo) = { 75 => start });
crate::register!("ip-protocol": fn(&Packet) -> bool = { CONTROL => receive });
crate::register!("resolve": fn(&IpAddr) = { 6 => ask });
crate::register!("ipv6-added": fn(&Ipv6Addr) = { 10 => added });
crate::register!("network-work": fn(u64) -> u64 = { 36 => work });

const SOLICIT: u8 = 135;
const ADVERTISE: u8 = 136;
/// Options: the hardware address of the sender, and of whom the message is about.
const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;
/// Flags of an advertisement: it was asked for, and it counts more than what was known.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// The hop limit of messages that nobody sends on.
pub const HOPS: u8 = 255;
/// How long an answer to "is this address free" is waited for.
const PROBE_TIME: u64 = 1_000_000_000;

/// Addresses that somebody else may have, and when it is known that nobody does.
static PROBES: KernelCell<Vec<(Ipv6Addr, u64)>> = KernelCell::new(Vec::new());

/// The group of those whose addresses end like this one (RFC 4291, section 2.7.1).
pub fn solicited(address: &Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0xff, low)
}

/// The lower half of addresses of the card's own making (RFC 2464, section 4).
pub fn interface_id(mac: Mac) -> u64 {
    let [a, b, c, d, e, f] = mac;
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// The options of a message, from a position on: kind and body without its first two bytes. `None`: the message is not valid.
pub fn options(message: &[u8], at: usize) -> Option<Vec<(u8, &[u8])>> {
    let mut rest = message.get(at..)?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(*rest.get(1)?) * 8;
        if length == 0 {
            return None;
        }
        let (option, later) = rest.split_at_checked(length)?;
        list::push(&mut found, (option[0], &option[2..])).ok()?;
        rest = later;
    }
    Some(found)
}

/// The hardware address among options.
pub fn mac_of(options: &[(u8, &[u8])], wanted: u8) -> Option<Mac> {
    let (_, body) = options.iter().find(|(kind, _)| *kind == wanted)?;
    body.first_chunk::<6>().copied()
}

/// A message of neighbour discovery, which is one only if nobody has sent it on.
pub fn message<'a>(packet: &Packet<'a>) -> Option<(&'a [u8], Ipv6Addr, Ipv6Addr)> {
    let (message, source, destination) = ipv6::control_message(packet)?;
    (packet.whole[7] == HOPS && message[1] == 0).then_some((message, source, destination))
}

fn start(_: &StartInfo) {
    let Some(mac) = ethernet::mac() else { return };
    // Static addresses were there before there was a card to ask with.
    for own in ipv6::addresses() {
        added(&own.address);
    }
    let address = Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(interface_id(mac)));
    ipv6::add(Own { address, prefix: 64, preferred: NEVER, valid: NEVER });
}

/// Asks whether somebody has a new address already.
fn added(address: &Ipv6Addr) {
    if ethernet::mac().is_none() {
        return;
    }
    // Without memory it is taken for free.
    let until = tsc::now() + PROBE_TIME;
    let _ = list::push(&mut PROBES.borrow(), (*address, until));
    stack::at(until);
    let message = &[&[SOLICIT, 0, 0, 0, 0, 0, 0, 0], &address.octets()[..]];
    ipv6::send_control(&Ipv6Addr::UNSPECIFIED, &solicited(address), HOPS, message);
}

fn work(now: u64) -> u64 {
    let mut probes = PROBES.borrow();
    probes.retain(|(_, until)| *until > now);
    probes.iter().map(|(_, until)| *until).min().unwrap_or(NEVER)
}

fn ask(address: &IpAddr) {
    let (IpAddr::V6(target), Some(mac)) = (address, ethernet::mac()) else { return };
    let group = solicited(target);
    let Ok(IpAddr::V6(own)) = stack::source_for(address) else { return };
    let option = [SOURCE_ADDRESS, 1, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]];
    ipv6::send_control(&own, &group, HOPS, &[&[SOLICIT, 0, 0, 0, 0, 0, 0, 0], &target.octets(), &option]);
}

fn advertise(target: &Ipv6Addr, to: &Ipv6Addr, flags: u8) {
    let Some(mac) = ethernet::mac() else { return };
    let option = [TARGET_ADDRESS, 1, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]];
    ipv6::send_control(target, to, HOPS, &[&[ADVERTISE, 0, 0, 0, flags, 0, 0, 0], &target.octets(), &option]);
}

fn receive(packet: &Packet) -> bool {
    let Some((message, source, destination)) = message(packet) else { return true };
    if !matches!(message[0], SOLICIT | ADVERTISE) {
        return true;
    }
    let (Some(target), Some(options)) = (ipv6::address_at(message, 8), options(message, 24)) else {
        return true;
    };
    if target.is_multicast() {
        return true;
    }
    let ours = stack::is_own(&IpAddr::V6(target)) && !target.is_loopback();
    match message[0] {
        SOLICIT if source.is_unspecified() => {
            // Somebody wants the address: it is taken, unless both want it at once.
            if ours && !yields(&target) {
                advertise(&target, &ALL_NODES, OVERRIDE);
            }
        }
        SOLICIT => {
            if let Some(mac) = mac_of(&options, SOURCE_ADDRESS)
                && ipv6::is_neighbour(&source)
            {
                ethernet::learned(IpAddr::V6(source), mac, ours);
            }
            if ours {
                advertise(&target, &source, SOLICITED | OVERRIDE);
            }
        }
        _ if ours => drop(yields(&target)),
        _ => {
            let solicited = message[4] & SOLICITED != 0;
            if solicited && destination.is_multicast() {
                return true;
            }
            if let Some(mac) = mac_of(&options, TARGET_ADDRESS) {
                ethernet::learned(IpAddr::V6(target), mac, false);
            }
        }
    }
    true
}

/// Gives up an address that is new here and that somebody else has or wants. False: it has been ours for long.
fn yields(address: &Ipv6Addr) -> bool {
    let is_new = {
        let mut probes = PROBES.borrow();
        let before = probes.len();
        probes.retain(|(probed, until)| probed != address || *until <= tsc::now());
        probes.len() < before
    };
    if is_new {
        ipv6::remove(address);
        crate::println!("bespoke: another machine on the network has the address {address}");
    }
    is_new
}
