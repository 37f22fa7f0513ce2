//! What all protocols share: hooks by which packets find their way.

mod checksum;
mod count;
mod failure;
mod header;
mod schedule;

pub use checksum::{Sum, Unsummed, card_sums, pseudo_sum, seal, sum, write, write_whole};
pub use count::{Count, count, counted};
pub use failure::{Failure, Quoted, failed, too_big};
pub use header::{header_length, seal_header, write_class, write_header};
pub use schedule::{NEVER, at, local_packet, run};

use crate::errno::{Errno, Result};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A packet for this machine, without its IP header.
pub struct Packet<'a> {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// Number of the transport protocol.
    pub protocol: u8,
    /// With the IP header.
    pub whole: &'a [u8],
    pub payload: &'a [u8],
    /// Sent to this machine alone, not to a group or to everybody.
    pub unicast: bool,
    /// Its checksum is right, or not there yet: it has not been on a wire, or the card has looked.
    pub vouched: bool,
}

/// Where a packet comes from, and so what of it is to be checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Wire,
    /// The card vouches for the checksum of what is behind the IP header.
    Card,
    /// This machine itself.
    Local,
}

impl Origin {
    pub fn is_local(self) -> bool {
        self == Self::Local
    }

    /// Whether a checksum of what is behind the IP header need not be looked at.
    pub fn is_vouched(self) -> bool {
        self != Self::Wire
    }
}

/// Writes a packet into the buffer that it is sent from.
pub type Fill<'a> = &'a mut dyn FnMut(&mut [u8]);

// What takes packets of a transport protocol; the key is its number. False: nobody listens.
crate::hook!(fn protocols() -> "ip-protocol": fn(&Packet) -> bool);
// Takes a packet of a version of IP, which is the key.
crate::hook!(fn inputs() -> "ip-input": fn(&[u8], Origin));
// Takes parts of packets of a version of IP, which is the key: the packet, where the fragment header and the number that says so are.
crate::hook!(fn fragments() -> "ip-fragment": fn(&[u8], usize, usize, bool));
// Sends a packet of a version of IP in parts.
crate::hook!(fn cutters() -> "ip-cut": fn(&IpAddr, &[u8]) -> Result<()>);
// The most bytes that a packet to somebody can have, if that is less than the link takes.
crate::hook!(fn paths() -> "path-mtu": fn(&IpAddr) -> usize);
// Sends a packet of a version of IP.
crate::hook!(fn outputs() -> "ip-output": fn(&IpAddr, usize, Fill) -> Result<()>);
// The address that packets to another come from.
crate::hook!(fn sources() -> "ip-source": fn(&IpAddr) -> Result<IpAddr>);
// Whether an address is this machine's.
crate::hook!(fn owners() -> "ip-own": fn(&IpAddr) -> bool);
// Takes packets to this machine itself.
crate::hook!(fn loopbacks() -> "ip-loopback": fn(usize, Fill));
// Sends a packet to a neighbour; the numbers are the Ethernet type and the length.
crate::hook!(fn links() -> "link": fn(&IpAddr, u16, usize, Fill) -> Result<()>);
// Whether a packet can be sent now.
crate::hook!(fn gates() -> "link-ready": fn() -> bool);
// Adds the addresses that this machine has.
crate::hook!(fn address_lists() -> "own-addresses": fn(&mut Vec<OwnAddress>));
// Adds the neighbours that packets for other networks go through.
crate::hook!(fn gateway_lists() -> "gateways": fn(&mut Vec<IpAddr>));
// The network card's address.
crate::hook!(fn cards() -> "hardware-address": fn() -> Option<[u8; 6]>);
// Has this machine be in a group, or no longer.
crate::hook!(fn groups() -> "group": fn(&IpAddr, bool) -> Result<()>);

/// Numbers of the interfaces, for programs: the loopback, and the network card.
pub const LOOPBACK: u32 = 1;
pub const LINK: u32 = 2;

/// Has this machine be in a group, or no longer. ENOPROTOOPT: nobody keeps groups.
pub fn set_member(group: &IpAddr, is_in: bool) -> Result<()> {
    (groups().first().ok_or(Errno::ENOPROTOOPT)?.item)(group, is_in)
}

/// Bytes of an IP packet that fit a frame; of the narrowest link that there is.
static MTU: AtomicUsize = AtomicUsize::new(1500);
/// Whether anything can arrive from outside.
static LINKED: AtomicBool = AtomicBool::new(false);

/// A link is there; its card can add checksums, or not.
pub fn linked(mtu: usize, sums: bool) {
    LINKED.store(true, Ordering::Relaxed);
    checksum::set_card_sums(sums);
    set_mtu(mtu);
}

/// Whether anything can arrive from outside.
fn is_linked() -> bool {
    LINKED.load(Ordering::Relaxed)
}

/// Bytes of an IP packet that fit a frame.
pub fn set_mtu(mtu: usize) {
    MTU.store(mtu, Ordering::Relaxed);
}

pub fn mtu() -> usize {
    MTU.load(Ordering::Relaxed)
}

fn version(address: &IpAddr) -> u64 {
    match address {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 6,
    }
}

/// A packet arrived.
pub fn input(packet: &[u8], origin: Origin) {
    let Some(first) = packet.first() else { return };
    count(Count::PacketsIn, 1);
    for entry in inputs().iter().filter(|entry| entry.key == u64::from(first >> 4)) {
        (entry.item)(packet, origin);
    }
}

/// Hands a packet to whoever serves its protocol. False: nobody does.
pub fn deliver(packet: &Packet) -> bool {
    count(Count::PacketsDelivered, 1);
    let mut served = false;
    for entry in protocols().iter().filter(|entry| entry.key == u64::from(packet.protocol)) {
        served |= (entry.item)(packet);
    }
    served
}

/// A part of a packet arrived. IPv6 tells where its fragment header is, and where the number that says so.
pub fn fragment(packet: &[u8], at: usize, next_at: usize, local: bool) {
    let Some(first) = packet.first() else { return };
    for entry in fragments().iter().filter(|entry| entry.key == u64::from(first >> 4)) {
        (entry.item)(packet, at, next_at, local);
    }
}

/// Bytes of an IP packet to `destination` that are known to arrive in one piece.
pub fn mtu_to(destination: &IpAddr) -> usize {
    let known = paths().iter().map(|path| (path.item)(destination)).min();
    known.unwrap_or(usize::MAX).min(mtu())
}

/// Sends an IP packet of `length` bytes.
pub fn send(destination: &IpAddr, length: usize, fill: Fill) -> Result<()> {
    count(Count::PacketsOut, 1);
    let output = outputs().iter().find(|entry| entry.key == version(destination));
    (output.ok_or(Errno::ENETUNREACH)?.item)(destination, length, fill)
}

/// Sends a packet that is too large for one piece. EMSGSIZE: nobody can cut it.
pub fn send_cut(destination: &IpAddr, packet: &[u8]) -> Result<()> {
    let cutter = cutters().iter().find(|entry| entry.key == version(destination));
    (cutter.ok_or(Errno::EMSGSIZE)?.item)(destination, packet)
}

/// Sends a packet to this machine itself.
pub fn send_local(length: usize, fill: Fill) -> Result<()> {
    (loopbacks().first().ok_or(Errno::ENETUNREACH)?.item)(length, fill);
    count(Count::LocalPackets, 1);
    count(Count::LocalBytes, length);
    Ok(())
}

/// Sends a packet to a neighbour.
pub fn send_link(hop: &IpAddr, kind: u16, length: usize, fill: Fill) -> Result<()> {
    (links().first().ok_or(Errno::ENETUNREACH)?.item)(hop, kind, length, fill)
}

/// Whether there is room to send.
pub fn can_send() -> bool {
    gates().iter().all(|gate| (gate.item)())
}

/// The address that packets to `destination` come from.
pub fn source_for(destination: &IpAddr) -> Result<IpAddr> {
    let source = sources().iter().find(|entry| entry.key == version(destination));
    (source.ok_or(Errno::ENETUNREACH)?.item)(destination)
}

/// Whether an address is this machine's.
pub fn is_own(address: &IpAddr) -> bool {
    owners().iter().any(|owner| owner.key == version(address) && (owner.item)(address))
}

/// An address of this machine.
pub struct OwnAddress {
    /// The interface's number.
    pub interface: u32,
    pub address: IpAddr,
    /// Leading bits that are the network's.
    pub prefix: u8,
}

/// The addresses of this machine.
pub fn own_addresses() -> Vec<OwnAddress> {
    let mut addresses = Vec::new();
    for list in address_lists() {
        (list.item)(&mut addresses);
    }
    addresses
}

/// The neighbours that packets for other networks go through.
pub fn gateways() -> Vec<IpAddr> {
    let mut gateways = Vec::new();
    for list in gateway_lists() {
        (list.item)(&mut gateways);
    }
    gateways
}

/// The network card's address.
pub fn hardware_address() -> Option<[u8; 6]> {
    cards().iter().find_map(|card| (card.item)())
}
