//! Which of this machine's addresses packets come from (RFC 6724, section 5).

use super::{Own, STATE, hop};
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use core::net::{IpAddr, Ipv6Addr};

/// How far an address reaches, as multicast addresses number it (RFC 4291, section 2.7).
fn scope(address: &Ipv6Addr) -> u8 {
    const LINK: u8 = 2;
    const SITE: u8 = 5;
    const GLOBAL: u8 = 14;
    let octets = address.octets();
    match octets {
        [0xff, flags, ..] => flags & 0xf,
        _ if address.is_unicast_link_local() || address.is_loopback() => LINK,
        [0xfe, second, ..] if second & 0xc0 == 0xc0 => SITE,
        _ => GLOBAL,
    }
}

/// Addresses of one kind go together (section 2.1, the table of policies).
fn label(address: &Ipv6Addr) -> u8 {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => 0,
        [0x2002, ..] => 2,
        [0x2001, 0, ..] => 5,
        [first, ..] if first & 0xfe00 == 0xfc00 => 13,
        [first, ..] if first & 0xffc0 == 0xfec0 => 11,
        _ => 1,
    }
}

/// How well an address fits a destination: more is better.
fn rank(own: &Own, destination: &Ipv6Addr, now: u64) -> (i16, bool, bool, u32) {
    let (own_scope, wanted) = (i16::from(scope(&own.address)), i16::from(scope(destination)));
    // Rule 2: of those that reach far enough the nearest, else the one that reaches farthest.
    let reach = if own_scope >= wanted { 100 - own_scope } else { own_scope };
    let common = (own.address.to_bits() ^ destination.to_bits()).leading_zeros().min(u32::from(own.prefix));
    (reach, own.preferred > now, label(&own.address) == label(destination), common)
}

/// The address that packets to another come from.
pub fn source(destination: &IpAddr) -> Result<IpAddr> {
    let IpAddr::V6(target) = destination else { return Err(Errno::EAFNOSUPPORT) };
    if super::is_own(destination) {
        return Ok(*destination);
    }
    hop(target)?;
    let now = tsc::now();
    let state = STATE.borrow();
    // What holds for a link alone is of no use beyond it.
    let far = scope(target) > 2 && !target.is_multicast();
    let usable = state.own.iter().filter(|own| !far || !own.address.is_unicast_link_local());
    let best = usable.max_by_key(|own| rank(own, target, now));
    best.map(|own| IpAddr::V6(own.address)).ok_or(Errno::EADDRNOTAVAIL)
}
