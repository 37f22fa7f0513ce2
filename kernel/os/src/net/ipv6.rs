//! The Internet protocol, version 6 (RFC 8200).

mod header;
mod select;

use super::stack::{self, Fill, LINK, LOOPBACK, NEVER, Origin, OwnAddress, Packet, Sum};
use crate::boot::pvh::StartInfo;
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::list;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

crate::param! {
    static ADDRESS: [u8; 16] = "address"
}
crate::param! {
    static PREFIX: u64 = "prefix"
}
crate::param! {
    static GATEWAY: [u8; 16] = "gateway"
}

crate::register!("init": fn(&StartInfo) = { 60 => init });
crate::register!("ip-input": fn(&[u8], Origin) = { 6 => input });
crate::register!("ip-output": fn(&IpAddr, usize, Fill) -> Result<()> = { 6 => output });
crate::register!("ip-source": fn(&IpAddr) -> Result<IpAddr> = { 6 => select::source });
crate::register!("ip-own": fn(&IpAddr) -> bool = { 6 => is_own });
crate::register!("network-work": fn(u64) -> u64 = { 35 => expire });

crate::register!("own-addresses": fn(&mut Vec<OwnAddress>) = { 6 => list });
crate::register!("gateways": fn(&mut Vec<IpAddr>) = { 6 => list_gateways });

// Told of packets that cannot be served.
crate::hook!(fn troubles() -> "ipv6-trouble": fn(&Trouble));
// Told of addresses that this machine has from now on.
crate::hook!(fn additions() -> "ipv6-added": fn(&Ipv6Addr));

/// Number of the control messages' protocol.
pub const CONTROL: u8 = 58;
/// Every node of a link, and every router.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Bytes that every link carries in one piece (RFC 8200, section 5).
pub const LEAST_MTU: usize = 1280;

const ETHERNET_TYPE: u16 = 0x86dd;
const HEADER: usize = 40;
/// Addresses, networks and gateways to keep: whoever announces more is not believed.
const MOST: usize = 16;

/// A packet that cannot be served, and why, in the terms of RFC 4443.
pub struct Trouble<'a> {
    pub whole: &'a [u8],
    pub kind: u8,
    pub code: u8,
    /// What the message says beside the packet.
    pub word: u32,
}

/// An address of this machine.
#[derive(Clone, Copy)]
pub struct Own {
    pub address: Ipv6Addr,
    pub prefix: u8,
    /// When it is no longer to be used for something new, and when no longer at all; nanoseconds since boot.
    pub preferred: u64,
    pub valid: u64,
}

struct State {
    own: Vec<Own>,
    /// Networks whose addresses are neighbours: their prefixes, and until when.
    networks: Vec<(Ipv6Addr, u8, u64)>,
    /// Ways to other networks, and until when they are.
    gateways: Vec<(Ipv6Addr, u64)>,
    /// What packets' hop limit starts with.
    hops: u8,
}

static STATE: KernelCell<State> =
    KernelCell::new(State { own: Vec::new(), networks: Vec::new(), gateways: Vec::new(), hops: 64 });

fn init(_: &StartInfo) {
    let (address, gateway) = (Ipv6Addr::from(ADDRESS.get()), Ipv6Addr::from(GATEWAY.get()));
    let prefix = PREFIX.get() as u8;
    if !address.is_unspecified() {
        add(Own { address, prefix, preferred: NEVER, valid: NEVER });
        set_network(address, prefix, NEVER);
    }
    if !gateway.is_unspecified() {
        set_gateway(gateway, NEVER);
    }
}

/// Whether two addresses agree in their leading bits.
fn agree(one: &Ipv6Addr, other: &Ipv6Addr, prefix: u8) -> bool {
    let differing = one.to_bits() ^ other.to_bits();
    differing.leading_zeros() >= u32::from(prefix)
}

/// Gives this machine an address, or new times to one that it has.
pub fn add(own: Own) {
    stack::at(own.valid);
    let fresh = {
        let addresses = &mut STATE.borrow().own;
        match addresses.iter_mut().find(|other| other.address == own.address) {
            Some(known) => {
                *known = own;
                false
            }
            None => addresses.len() < MOST && list::push(addresses, own).is_ok(),
        }
    };
    if fresh {
        for entry in additions() {
            (entry.item)(&own.address);
        }
    }
}

/// Takes an address back.
pub fn remove(address: &Ipv6Addr) {
    STATE.borrow().own.retain(|own| own.address != *address);
}

/// This machine's addresses, without the one for talking to oneself.
pub fn addresses() -> Vec<Own> {
    STATE.borrow().own.clone()
}

/// The first address that holds for this link alone.
pub fn link_local() -> Option<Ipv6Addr> {
    STATE.borrow().own.iter().map(|own| own.address).find(Ipv6Addr::is_unicast_link_local)
}

fn list(addresses: &mut Vec<OwnAddress>) {
    addresses.push(OwnAddress { interface: LOOPBACK, address: Ipv6Addr::LOCALHOST.into(), prefix: 128 });
    let state = STATE.borrow();
    let own = state.own.iter();
    addresses.extend(own.map(|own| OwnAddress {
        interface: LINK,
        address: own.address.into(),
        prefix: own.prefix,
    }));
}

fn list_gateways(gateways: &mut Vec<IpAddr>) {
    gateways.extend(STATE.borrow().gateways.iter().map(|(gateway, _)| IpAddr::V6(*gateway)));
}

/// A gateway is there until a time; from zero on it is not.
pub fn set_gateway(gateway: Ipv6Addr, until: u64) {
    stack::at(until);
    let gateways = &mut STATE.borrow().gateways;
    match gateways.iter().position(|(known, _)| *known == gateway) {
        Some(index) if until == 0 => drop(gateways.remove(index)),
        // One that is configured stays.
        Some(index) if gateways[index].1 != NEVER => gateways[index].1 = until,
        Some(_) => {}
        None if until != 0 && gateways.len() < MOST => drop(list::push(gateways, (gateway, until))),
        None => {}
    }
}

/// The addresses of a network are neighbours until a time; from zero on they are not.
pub fn set_network(address: Ipv6Addr, prefix: u8, until: u64) {
    stack::at(until);
    let networks = &mut STATE.borrow().networks;
    let known =
        networks.iter().position(|(other, length, _)| *length == prefix && agree(other, &address, prefix));
    match known {
        Some(index) if until == 0 => drop(networks.remove(index)),
        Some(index) if networks[index].2 != NEVER => networks[index].2 = until,
        Some(_) => {}
        None if until != 0 && networks.len() < MOST => {
            let _ = list::push(networks, (address, prefix, until));
        }
        None => {}
    }
}

/// What the hop limit of packets starts with.
pub fn set_hops(hops: u8) {
    STATE.borrow().hops = hops;
}

pub fn hops() -> u8 {
    STATE.borrow().hops
}

/// Forgets what was promised for a time only.
fn expire(now: u64) -> u64 {
    let mut state = STATE.borrow();
    let state = &mut *state;
    state.own.retain(|own| own.valid > now);
    state.networks.retain(|network| network.2 > now);
    state.gateways.retain(|gateway| gateway.1 > now);
    let own = state.own.iter().map(|own| own.valid);
    own.chain(state.networks.iter().map(|network| network.2))
        .chain(state.gateways.iter().map(|gateway| gateway.1))
        .min()
        .unwrap_or(NEVER)
}

fn is_own(other: &IpAddr) -> bool {
    let IpAddr::V6(other) = other else { return false };
    other.is_loopback() || STATE.borrow().own.iter().any(|own| own.address == *other)
}

/// Whether an address is reached without a gateway.
pub fn is_neighbour(other: &Ipv6Addr) -> bool {
    other.is_unicast_link_local()
        || STATE.borrow().networks.iter().any(|(network, prefix, _)| agree(network, other, *prefix))
}

/// Who a packet is handed to for it to arrive.
fn hop(destination: &Ipv6Addr) -> Result<Ipv6Addr> {
    if destination.is_multicast() || is_neighbour(destination) {
        return Ok(*destination);
    }
    let gateway = STATE.borrow().gateways.first().map(|(gateway, _)| *gateway);
    gateway.ok_or(Errno::ENETUNREACH)
}

fn output(destination: &IpAddr, length: usize, fill: Fill) -> Result<()> {
    let IpAddr::V6(target) = destination else { return Err(Errno::EAFNOSUPPORT) };
    if is_own(destination) {
        return stack::send_local(length, fill);
    }
    stack::send_link(&IpAddr::V6(hop(target)?), ETHERNET_TYPE, length, fill)
}

/// Sends a control message, whose checksum is set here.
pub fn send_control(source: &Ipv6Addr, destination: &Ipv6Addr, hops: u8, parts: &[&[u8]]) {
    let length = parts.iter().map(|part| part.len()).sum();
    let (source, destination) = (IpAddr::V6(*source), IpAddr::V6(*destination));
    // Best effort: control messages are not worth waiting for.
    let _ = stack::send(&destination, HEADER + length, &mut |packet| {
        stack::write_header(packet, &source, &destination, CONTROL, hops, length);
        let message = &mut packet[HEADER..];
        let mut rest = &mut *message;
        for part in parts {
            let (here, later) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = later;
        }
        message[2..4].copy_from_slice(&[0, 0]);
        let pseudo = stack::pseudo_sum(&source, &destination, CONTROL, length);
        let checksum = !stack::sum(&[&pseudo.to_be_bytes(), message]);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    });
}

/// A control message whose checksum is right, with the addresses of its packet.
pub fn control_message<'a>(packet: &Packet<'a>) -> Option<(&'a [u8], Ipv6Addr, Ipv6Addr)> {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination) else {
        return None;
    };
    let message = packet.payload;
    let pseudo = Sum::pseudo(&packet.source, &packet.destination, CONTROL, message.len());
    let valid = message.len() >= 8 && (packet.vouched || pseudo.bytes(message).folded() == 0xffff);
    valid.then_some((message, source, destination))
}

/// Tells of a packet that cannot be served.
fn trouble(whole: &[u8], kind: u8, code: u8, word: u32) {
    for entry in troubles() {
        (entry.item)(&Trouble { whole, kind, code, word });
    }
}

/// An address out of a packet.
pub fn address_at(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(*bytes.get(at..)?.first_chunk::<16>()?))
}

fn input(packet: &[u8], origin: Origin) {
    let local = origin.is_local();
    let Some((header, _)) = packet.split_first_chunk::<HEADER>() else { return };
    let total = HEADER + usize::from(u16::from_be_bytes([header[4], header[5]]));
    if total > packet.len() {
        return;
    }
    let whole = &packet[..total];
    let (Some(source), Some(destination)) = (address_at(header, 8), address_at(header, 24)) else { return };
    if source.is_multicast() || destination.is_unspecified() {
        return;
    }
    // Nobody outside is at, or talks to, an address for talking to oneself; nor to one of the other version in disguise.
    let foreign = source.is_loopback() || destination.is_loopback();
    if !local && foreign || source.to_ipv4_mapped().is_some() || destination.to_ipv4_mapped().is_some() {
        return;
    }
    let unicast = is_own(&IpAddr::V6(destination));
    if !unicast && !destination.is_multicast() {
        return;
    }
    let deliver = |whole: &[u8], protocol: u8, payload: &[u8]| {
        let packet = Packet {
            source: IpAddr::V6(source),
            destination: IpAddr::V6(destination),
            protocol,
            whole,
            payload,
            unicast,
            vouched: origin.is_vouched(),
        };
        if !stack::deliver(&packet) && unicast {
            refuse(&packet);
        }
    };
    match header::walk(whole, unicast) {
        header::Found::Transport(protocol, HEADER) => deliver(whole, protocol, &whole[HEADER..]),
        header::Found::Transport(protocol, at) => {
            // Those above know of no headers between: a copy without them.
            let mut plain = Vec::new();
            if plain.try_reserve_exact(total - at + HEADER).is_err() {
                return;
            }
            plain.extend_from_slice(&whole[..HEADER]);
            plain.extend_from_slice(&whole[at..]);
            plain[4..6].copy_from_slice(&((total - at) as u16).to_be_bytes());
            plain[6] = protocol;
            deliver(&plain, protocol, &plain[HEADER..]);
        }
        header::Found::Fragment(at, next_at) => stack::fragment(whole, at, next_at, local),
        header::Found::Nothing => {}
        header::Found::Trouble(code, at) => trouble(whole, 4, code, at as u32),
    }
}

/// Nobody wanted a packet: its port, or its protocol, is not there (RFC 4443, sections 3.1 and 3.4).
fn refuse(packet: &Packet) {
    const UDP: u8 = 17;
    match packet.protocol {
        UDP => trouble(packet.whole, 1, 4, 0),
        CONTROL => {}
        _ => trouble(packet.whole, 4, 1, 6),
    }
}

/// The time that something ends after so many seconds from now; all ones are for ever.
pub fn after(seconds: u32) -> u64 {
    match seconds {
        u32::MAX => NEVER,
        seconds => tsc::now() + u64::from(seconds) * 1_000_000_000,
    }
}
