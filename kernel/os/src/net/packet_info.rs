//! Control messages about datagrams (`ip(7)`, `ipv6(7)`).

use super::inet::{SOL_IP, SOL_IPV6};
use super::stack::{self, LINK, LOOPBACK};
use super::udp::{Arrival, Choice, Wanted};
use crate::errno::{Errno, Result};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use linux_raw_sys::net::*;

crate::register!("datagram-info": fn(Wanted, &Arrival, usize) -> (Vec<u8>, bool) = { 10 => describe });
crate::register!("datagram-choice": fn(&[u8], bool) -> Result<Choice> = { 10 => choose });

/// `struct cmsghdr`: length with the header (8 bytes), level, type.
const HEADER: usize = 16;

/// Control messages in the room that the program has for them.
struct Messages {
    bytes: Vec<u8>,
    room: usize,
    is_cut: bool,
}

impl Messages {
    /// What does not fit is cut short, or left out if not even its header fits; the same as Linux' `put_cmsg`.
    fn add(&mut self, level: u32, kind: u32, value: &[u8]) {
        let left = self.room - self.bytes.len();
        let length = (HEADER + value.len()).min(left);
        self.is_cut |= length < HEADER + value.len();
        let Some(value) = length.checked_sub(HEADER).map(|length| &value[..length]) else { return };
        let end = self.bytes.len() + length.next_multiple_of(8).min(left);
        self.bytes.extend((length as u64).to_le_bytes());
        self.bytes.extend(level.to_le_bytes());
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(end, 0);
    }
}

/// What a program wants to know of a datagram, and whether there was too little room for it.
fn describe(wanted: Wanted, arrival: &Arrival, room: usize) -> (Vec<u8>, bool) {
    let mut messages = Messages { bytes: Vec::new(), room, is_cut: false };
    let interface = if stack::is_own(&arrival.source) { LOOPBACK } else { LINK }.to_le_bytes();
    let hops = u32::from(arrival.hops).to_le_bytes();
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
            messages.add(SOL_IP, IP_PKTINFO, &[interface, own.octets(), address.octets()].concat());
        }
        if wanted.contains(Wanted::HOPS_4) {
            messages.add(SOL_IP, IP_TTL, &hops);
        }
        if wanted.contains(Wanted::CLASS_4) {
            messages.add(SOL_IP, IP_TOS, &[arrival.class]);
        }
    }
    if wanted.contains(Wanted::ADDRESS_6) {
        let address = match arrival.destination {
            IpAddr::V6(address) => address,
            IpAddr::V4(address) => address.to_ipv6_mapped(),
        };
        messages.add(SOL_IPV6, IPV6_PKTINFO, &[&address.octets()[..], &interface].concat());
    }
    if arrival.destination.is_ipv6() {
        if wanted.contains(Wanted::HOPS_6) {
            messages.add(SOL_IPV6, IPV6_HOPLIMIT, &hops);
        }
        if wanted.contains(Wanted::CLASS_6) {
            messages.add(SOL_IPV6, IPV6_TCLASS, &u32::from(arrival.class).to_le_bytes());
        }
    }
    (messages.bytes, messages.is_cut)
}

/// A number from `first` to 255.
fn number(value: &[u8], first: i32) -> Result<i32> {
    let number = value.try_into().map(i32::from_le_bytes).map_err(|_| Errno::EINVAL)?;
    if (first..=255).contains(&number) { Ok(number) } else { Err(Errno::EINVAL) }
}

/// What control messages say of how a datagram, of IPv6 or IPv4, is to leave.
fn choose(mut control: &[u8], is_ipv6: bool) -> Result<Choice> {
    let mut choice = Choice::default();
    while let Some((header, _)) = control.split_first_chunk::<HEADER>() {
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = word(0) as usize;
        let Some(value) = control.get(HEADER..length) else { return Err(Errno::EINVAL) };
        let mut address = None;
        match (word(8), word(12)) {
            (SOL_IP, IP_PKTINFO) => {
                let (octets, _) =
                    value.get(4..).and_then(|rest| rest.split_first_chunk::<4>()).ok_or(Errno::EINVAL)?;
                address = Some(IpAddr::from(*octets));
            }
            (SOL_IPV6, IPV6_PKTINFO) => {
                let (octets, _) = value.split_first_chunk::<16>().ok_or(Errno::EINVAL)?;
                let own = Ipv6Addr::from(*octets);
                address = Some(own.to_ipv4_mapped().map_or(IpAddr::V6(own), IpAddr::V4));
            }
            (SOL_IP, IP_TTL) if !is_ipv6 => choice.hops = Some(number(value, 1)? as u8),
            (SOL_IP, IP_TOS) if !is_ipv6 => {
                choice.class = Some(if let &[class] = value { class } else { number(value, 0)? as u8 });
            }
            // -1 stands for what the socket has.
            (SOL_IPV6, IPV6_HOPLIMIT) if is_ipv6 => choice.hops = number(value, -1)?.try_into().ok(),
            (SOL_IPV6, IPV6_TCLASS) if is_ipv6 => choice.class = number(value, -1)?.try_into().ok(),
            _ => {}
        }
        if let Some(address) = address.filter(|address| !address.is_unspecified()) {
            if !stack::is_own(&address) {
                return Err(Errno::EINVAL);
            }
            choice.source = Some(address);
        }
        control = control.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(choice)
}
