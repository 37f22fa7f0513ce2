//! Control messages about datagrams (`ip(7)`, `ipv6(7)`).

use super::inet::{SOL_IP, SOL_IPV6};
use super::stack::{self, LINK, LOOPBACK};
use super::udp::{Arrival, Wanted};
use crate::errno::{Errno, Result};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use linux_raw_sys::net::{IP_PKTINFO, IP_TTL, IPV6_HOPLIMIT, IPV6_PKTINFO};

crate::register!("datagram-info": fn(Wanted, &Arrival) -> Vec<u8> = { 10 => describe });
crate::register!("datagram-source": fn(&[u8]) -> Result<Option<IpAddr>> = { 10 => source });

/// `struct cmsghdr`: length with the header (8 bytes), level, type.
const HEADER: usize = 16;

fn add(control: &mut Vec<u8>, level: u32, kind: u32, value: &[u8]) {
    control.extend(((HEADER + value.len()) as u64).to_le_bytes());
    control.extend(level.to_le_bytes());
    control.extend(kind.to_le_bytes());
    control.extend_from_slice(value);
    control.resize(control.len().next_multiple_of(8), 0);
}

/// What a program wants to know of a datagram.
fn describe(wanted: Wanted, arrival: &Arrival) -> Vec<u8> {
    let mut control = Vec::new();
    let interface = if stack::is_own(&arrival.source) { LOOPBACK } else { LINK }.to_le_bytes();
    if let IpAddr::V4(address) = arrival.destination {
        if wanted.contains(Wanted::ADDRESS_4) {
            // `struct in_pktinfo`: the interface, this machine's address, the packet's.
            let own = if address.is_multicast() || address.is_broadcast() {
                match stack::source_for(&arrival.source) {
                    Ok(IpAddr::V4(own)) => own,
                    _ => address,
                }
            } else {
                address
            };
            add(&mut control, SOL_IP, IP_PKTINFO, &[interface, own.octets(), address.octets()].concat());
        }
        if wanted.contains(Wanted::HOPS_4) {
            add(&mut control, SOL_IP, IP_TTL, &u32::from(arrival.hops).to_le_bytes());
        }
    }
    if wanted.contains(Wanted::ADDRESS_6) {
        let address = match arrival.destination {
            IpAddr::V6(address) => address,
            IpAddr::V4(address) => address.to_ipv6_mapped(),
        };
        add(&mut control, SOL_IPV6, IPV6_PKTINFO, &[&address.octets()[..], &interface].concat());
    }
    if wanted.contains(Wanted::HOPS_6) && arrival.destination.is_ipv6() {
        add(&mut control, SOL_IPV6, IPV6_HOPLIMIT, &u32::from(arrival.hops).to_le_bytes());
    }
    control
}

/// The address that a program wants a datagram to come from.
fn source(mut control: &[u8]) -> Result<Option<IpAddr>> {
    let mut wanted = None;
    while let Some((header, _)) = control.split_first_chunk::<HEADER>() {
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = word(0) as usize;
        let Some(value) = control.get(HEADER..length) else { return Err(Errno::EINVAL) };
        let address = match (word(8), word(12)) {
            (SOL_IP, IP_PKTINFO) => {
                let (octets, _) =
                    value.get(4..).and_then(|rest| rest.split_first_chunk::<4>()).ok_or(Errno::EINVAL)?;
                Some(IpAddr::from(*octets))
            }
            (SOL_IPV6, IPV6_PKTINFO) => {
                let (octets, _) = value.split_first_chunk::<16>().ok_or(Errno::EINVAL)?;
                let address = Ipv6Addr::from(*octets);
                Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
            }
            _ => None,
        };
        if let Some(address) = address.filter(|address| !address.is_unspecified()) {
            if !stack::is_own(&address) {
                return Err(Errno::EINVAL);
            }
            wanted = Some(address);
        }
        control = control.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(wanted)
}
