//! The Internet protocol, version 4 (RFC 791).

use super::stack::{self, Count, Fill, LINK, LOOPBACK, Origin, OwnAddress, Packet, Sum};
use crate::boot::pvh::StartInfo;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

crate::param! {
    /// Address in the low half, length of the network's prefix above.
    static ADDRESS: u64 = "address"
}
crate::param! {
    static GATEWAY: u64 = "gateway"
}

crate::register!("init": fn(&StartInfo) = { 60 => init });
crate::register!("ip-input": fn(&[u8], Origin) = { 4 => input });
crate::register!("ip-output": fn(&IpAddr, usize, Fill) -> Result<()> = { 4 => output });
crate::register!("ip-source": fn(&IpAddr) -> Result<IpAddr> = { 4 => source });
crate::register!("ip-own": fn(&IpAddr) -> bool = { 4 => is_own });

crate::register!("own-addresses": fn(&mut Vec<OwnAddress>) = { 4 => list });
crate::register!("gateways": fn(&mut Vec<IpAddr>) = { 4 => list_gateway });

// Told of packets that nobody wanted.
crate::hook!(fn undelivered() -> "undelivered": fn(&Packet));

const ETHERNET_TYPE: u16 = 0x0800;
const HEADER: usize = 20;

struct State {
    address: Option<Ipv4Addr>,
    /// Ones where addresses of the network agree.
    mask: u32,
    /// The network's own address for everybody, if it has one.
    broadcast: Option<Ipv4Addr>,
    gateway: Option<Ipv4Addr>,
}

static STATE: KernelCell<State> =
    KernelCell::new(State { address: None, mask: 0, broadcast: None, gateway: None });

fn init(_: &StartInfo) {
    let address = ADDRESS.get();
    configure(
        Ipv4Addr::from_bits(address as u32),
        (address >> 32) as u32,
        Ipv4Addr::from_bits(GATEWAY.get() as u32),
    );
}

/// Sets this machine's address, the length of the network's prefix, and the gateway; unspecified ones are none.
pub fn configure(address: Ipv4Addr, prefix: u32, gateway: Ipv4Addr) {
    let some = |address: Ipv4Addr| (!address.is_unspecified()).then_some(address);
    let mask = u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0);
    let broadcast = Ipv4Addr::from_bits(address.to_bits() | !mask);
    *STATE.borrow() = State {
        address: some(address),
        mask,
        broadcast: some(address).filter(|_| prefix < 31).map(|_| broadcast),
        gateway: some(gateway),
    };
}

/// This machine's address.
pub fn address() -> Option<Ipv4Addr> {
    STATE.borrow().address
}

fn list(addresses: &mut Vec<OwnAddress>) {
    let state = STATE.borrow();
    let loopback = OwnAddress { interface: LOOPBACK, address: Ipv4Addr::LOCALHOST.into(), prefix: 8 };
    let own = state.address.map(|own| OwnAddress {
        interface: LINK,
        address: own.into(),
        prefix: state.mask.count_ones() as u8,
    });
    addresses.extend([loopback].into_iter().chain(own));
}

fn list_gateway(gateways: &mut Vec<IpAddr>) {
    gateways.extend(STATE.borrow().gateway.map(IpAddr::V4));
}

/// Whether an address is in this machine's network.
pub fn is_neighbour(other: Ipv4Addr) -> bool {
    let state = STATE.borrow();
    state.address.is_some_and(|own| (own.to_bits() ^ other.to_bits()) & state.mask == 0)
}

/// Whether an address is the network's own for everybody.
fn is_directed_broadcast(other: Ipv4Addr) -> bool {
    STATE.borrow().broadcast == Some(other)
}

fn is_own(other: &IpAddr) -> bool {
    let IpAddr::V4(other) = other else { return false };
    other.is_loopback() || address() == Some(*other)
}

fn source(destination: &IpAddr) -> Result<IpAddr> {
    let IpAddr::V4(destination) = destination else { return Err(Errno::EAFNOSUPPORT) };
    if destination.is_loopback() {
        return Ok(IpAddr::V4(*destination));
    }
    let state = STATE.borrow();
    let own = state.address.ok_or(Errno::ENETUNREACH)?;
    let near = (own.to_bits() ^ destination.to_bits()) & state.mask == 0;
    if near || state.gateway.is_some() || destination.is_multicast() || destination.is_broadcast() {
        Ok(IpAddr::V4(own))
    } else {
        Err(Errno::ENETUNREACH)
    }
}

fn output(destination: &IpAddr, length: usize, fill: Fill) -> Result<()> {
    let IpAddr::V4(target) = *destination else { return Err(Errno::EAFNOSUPPORT) };
    if is_own(destination) {
        return stack::send_local(length, fill);
    }
    let hop = if is_directed_broadcast(target) {
        Ipv4Addr::BROADCAST
    } else if is_neighbour(target) || target.is_multicast() || target.is_broadcast() {
        target
    } else {
        STATE.borrow().gateway.ok_or(Errno::ENETUNREACH)?
    };
    stack::send_link(&IpAddr::V4(hop), ETHERNET_TYPE, length, fill)
}

fn input(packet: &[u8], origin: Origin) {
    let local = origin.is_local();
    let Some(header) = packet.first_chunk::<HEADER>() else { return };
    let header_length = usize::from(header[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header_length < HEADER || total < header_length || total > packet.len() {
        return;
    }
    let whole = &packet[..total];
    let sum = Sum::header(header).bytes(&whole[HEADER..header_length]);
    if !local && sum.folded() != 0xffff {
        stack::count(Count::PacketsBad, 1);
        return;
    }
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    if source.is_multicast() || source.is_broadcast() || is_directed_broadcast(source) {
        return;
    }
    // Nobody outside is at, or talks to, an address for talking to oneself.
    if !local && (source.is_loopback() || destination.is_loopback()) {
        return;
    }
    let unicast = is_own(&IpAddr::V4(destination));
    // More fragments, or an offset.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        if unicast || destination.is_multicast() {
            stack::fragment(whole, header_length, 0, local);
        }
        return;
    }
    // Without an address, what a configuring server sends is taken whomever it is for.
    let ours = unicast
        || destination.is_broadcast()
        || destination.is_multicast()
        || is_directed_broadcast(destination)
        || address().is_none();
    if ours {
        let packet = Packet {
            source: IpAddr::V4(source),
            destination: IpAddr::V4(destination),
            protocol: header[9],
            whole,
            payload: &whole[header_length..],
            unicast,
            vouched: origin.is_vouched(),
        };
        if !stack::deliver(&packet) && unicast {
            for entry in undelivered() {
                (entry.item)(&packet);
            }
        }
    }
}
