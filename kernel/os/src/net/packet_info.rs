//! Control messages about datagrams (`ip(7)`, `ipv6(7)`).

use super::inet::{SOL_IP, SOL_IPV6};
use super::socket::control::{self, Messages};
use super::stack::{self, LINK, LOOPBACK};
use super::udp::{Arrival, Choice, Wanted};
use crate::errno::{Errno, Result};
use core::net::{IpAddr, Ipv6Addr};
use linux_raw_sys::net::*;

crate::register!("datagram-info": fn(Wanted, &Arrival, &mut Messages) = { 10 => describe });
crate::register!("datagram-choice": fn(&[u8], bool) -> Result<Choice> = { 10 => choose });

/// What a program wants to know of a datagram.
fn describe(wanted: Wanted, arrival: &Arrival, messages: &mut Messages) {
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
}

/// A number from `first` to 255.
fn number(value: &[u8], first: i32) -> Result<i32> {
    let number = value.try_into().map(i32::from_le_bytes).map_err(|_| Errno::EINVAL)?;
    if (first..=255).contains(&number) { Ok(number) } else { Err(Errno::EINVAL) }
}

/// What control messages say of how a datagram, of IPv6 or IPv4, is to leave.
fn choose(control: &[u8], is_ipv6: bool) -> Result<Choice> {
    let mut choice = Choice::default();
    control::each(control, |level, kind, value| {
        let mut address = None;
        match (level, kind) {
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
        Ok(())
    })?;
    Ok(choice)
}
