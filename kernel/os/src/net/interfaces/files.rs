//! Addresses and routes as files (`proc(5)`: `net/if_inet6`, `net/route`), for those who read them instead of asking over netlink.

use super::super::stack::{self, LINK, LOOPBACK};
use crate::fs::synthetic::{Names, Text};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

crate::register!("process-file": fn(&mut Names) = { 31 => add });

/// Flags of a route (`RTF_*`).
const UP: u32 = 1;
const GATEWAY: u32 = 2;

fn add(names: &mut Names) {
    names.insert(b"net/if_inet6", Rc::new(Text(addresses)));
    names.insert(b"net/route", Rc::new(Text(routes)));
}

fn name(interface: u32) -> &'static str {
    if interface == LOOPBACK { "lo" } else { "eth0" }
}

fn addresses(text: &mut Vec<u8>) {
    /// `IFA_F_PERMANENT`.
    const PERMANENT: u32 = 0x80;
    for own in stack::own_addresses() {
        let IpAddr::V6(address) = own.address else { continue };
        let scope = match address {
            Ipv6Addr::LOCALHOST => 0x10,
            address if address.is_unicast_link_local() => 0x20,
            _ => 0,
        };
        let digits: String = address.octets().iter().map(|octet| format!("{octet:02x}")).collect();
        let (index, prefix) = (own.interface, own.prefix);
        let line =
            format!("{digits} {index:02x} {prefix:02x} {scope:02x} {PERMANENT:02x} {:>8}\n", name(index));
        text.extend(line.into_bytes());
    }
}

fn routes(text: &mut Vec<u8>) {
    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
    // Every line is as long: readers count on it.
    text.extend(format!("{HEAD:<127}\n").into_bytes());
    let mut line = |destination: u32, gateway: u32, flags: u32, mask: u32| {
        // The octets as they lie in memory, as one number.
        let [destination, gateway, mask] = [destination, gateway, mask].map(u32::swap_bytes);
        let line =
            format!("eth0\t{destination:08X}\t{gateway:08X}\t{flags:04X}\t0\t0\t0\t{mask:08X}\t0\t0\t0");
        text.extend(format!("{line:<127}\n").into_bytes());
    };
    let own = stack::own_addresses().into_iter().find_map(|own| match own.address {
        IpAddr::V4(address) if own.interface == LINK => Some((address, own.prefix)),
        _ => None,
    });
    let gateway = stack::gateways().into_iter().find_map(|gateway| match gateway {
        IpAddr::V4(gateway) => Some(gateway),
        IpAddr::V6(_) => None,
    });
    if let Some(gateway) = gateway {
        line(0, Ipv4Addr::to_bits(gateway), UP | GATEWAY, 0);
    }
    if let Some((address, prefix)) = own {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        line(address.to_bits() & mask, 0, UP, mask);
    }
}
