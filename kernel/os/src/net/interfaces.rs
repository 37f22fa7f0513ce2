//! What programs may know of the interfaces (`netdevice(7)`): a loopback, and a card if there is one.

mod files;

use super::stack::{self, LINK};
use crate::errno::{Errno, Result};
use crate::memory::user;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use linux_raw_sys::ioctl::*;

crate::register!("socket-ioctl": fn(u32, u64) -> Result<u64> = { 10 => control });

/// Flags (`netdevice(7)`).
pub const UP: u32 = 0x1;
pub const BROADCAST: u32 = 0x2;
pub const LOOPBACK: u32 = 0x8;
pub const RUNNING: u32 = 0x40;
pub const MULTICAST: u32 = 0x1000;
pub const LOWER_UP: u32 = 0x10000;

/// Hardware types (`ARPHRD_*`).
const ETHERNET: u16 = 1;
const LOOPBACK_TYPE: u16 = 772;

/// An interface.
pub struct Interface {
    pub index: u32,
    pub name: &'static str,
    pub flags: u32,
    pub mtu: u32,
    pub hardware: u16,
    pub mac: [u8; 6],
    pub broadcast_mac: [u8; 6],
    /// Its IPv4 address, and how many leading bits of it are the network's.
    pub address: Option<(Ipv4Addr, u8)>,
}

/// All of them.
pub fn all() -> Vec<Interface> {
    let addresses = stack::own_addresses();
    let address_of = |index: u32| {
        addresses.iter().find_map(|own| match own.address {
            IpAddr::V4(address) if own.interface == index => Some((address, own.prefix)),
            _ => None,
        })
    };
    let mut interfaces = alloc::vec![Interface {
        index: stack::LOOPBACK,
        name: "lo",
        flags: UP | LOOPBACK | RUNNING | LOWER_UP,
        mtu: 65536,
        hardware: LOOPBACK_TYPE,
        mac: [0; 6],
        broadcast_mac: [0; 6],
        address: address_of(stack::LOOPBACK),
    }];
    if let Some(mac) = stack::hardware_address() {
        interfaces.push(Interface {
            index: LINK,
            name: "eth0",
            flags: UP | BROADCAST | RUNNING | MULTICAST | LOWER_UP,
            mtu: stack::mtu() as u32,
            hardware: ETHERNET,
            mac,
            broadcast_mac: [0xff; 6],
            address: address_of(LINK),
        });
    }
    interfaces
}

/// `struct ifreq`: a name of sixteen bytes, then what it is about.
const REQUEST: usize = 40;
const NAME: usize = 16;
/// `struct sockaddr_in` as far as it matters.
const AF_INET: u16 = 2;

fn socket_address(address: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&AF_INET.to_le_bytes());
    bytes[4..8].copy_from_slice(&address.octets());
    bytes
}

fn hardware_address(kind: u16, mac: [u8; 6]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&kind.to_le_bytes());
    bytes[2..8].copy_from_slice(&mac);
    bytes
}

fn number(value: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    bytes
}

fn mask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0))
}

fn request(interface: &Interface) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    bytes[..interface.name.len()].copy_from_slice(interface.name.as_bytes());
    let address = interface.address.map_or(Ipv4Addr::UNSPECIFIED, |(address, _)| address);
    bytes[NAME..NAME + 16].copy_from_slice(&socket_address(address));
    bytes
}

/// Lists the interfaces that have an address: `struct ifconf` is a length and, eight bytes on, where to.
fn list(argument: u64) -> Result<u64> {
    let (room, to): (i32, u64) = (user::read(argument)?, user::read(argument + 8)?);
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let interfaces = all();
    let with_address = interfaces.iter().filter(|interface| interface.address.is_some());
    let bytes: Vec<u8> = with_address.flat_map(request).collect();
    let length = if to == 0 { bytes.len() } else { bytes.len().min(room / REQUEST * REQUEST) };
    if to != 0 {
        user::write_bytes(to, &bytes[..length])?;
    }
    user::write(argument, &(length as u32))?;
    Ok(0)
}

fn control(command: u32, argument: u64) -> Result<u64> {
    if command == SIOCGIFCONF {
        return list(argument);
    }
    let is_known = matches!(
        command,
        SIOCGIFNAME
            | SIOCGIFINDEX
            | SIOCGIFFLAGS
            | SIOCGIFADDR
            | SIOCGIFNETMASK
            | SIOCGIFBRDADDR
            | SIOCGIFMTU
            | SIOCGIFMETRIC
            | SIOCGIFHWADDR
            | SIOCGIFTXQLEN
    );
    if !is_known {
        return Err(Errno::ENOTTY);
    }
    let mut bytes = [0u8; NAME + 4];
    user::read_bytes(argument, &mut bytes)?;
    let index = u32::from_le_bytes([bytes[NAME], bytes[NAME + 1], bytes[NAME + 2], bytes[NAME + 3]]);
    let name = bytes[..NAME].split(|&byte| byte == 0).next().unwrap_or_default();
    let interfaces = all();
    let found = interfaces.iter().find(|interface| match command {
        SIOCGIFNAME => interface.index == index,
        _ => interface.name.as_bytes() == name,
    });
    let interface = found.ok_or(Errno::ENODEV)?;
    let address = || interface.address.ok_or(Errno(linux_raw_sys::errno::EADDRNOTAVAIL as u16));
    let value = match command {
        SIOCGIFNAME => {
            let mut name = [0; 16];
            name[..interface.name.len()].copy_from_slice(interface.name.as_bytes());
            return user::write_bytes(argument, &name).map(|()| 0);
        }
        SIOCGIFINDEX => number(interface.index),
        // Sixteen bits, as `struct ifreq` has them.
        SIOCGIFFLAGS => number(interface.flags & 0xffff),
        SIOCGIFADDR => socket_address(address()?.0),
        SIOCGIFNETMASK => socket_address(mask(address()?.1)),
        SIOCGIFBRDADDR if interface.flags & BROADCAST == 0 => socket_address(Ipv4Addr::UNSPECIFIED),
        SIOCGIFBRDADDR => {
            let (own, prefix) = address()?;
            socket_address(Ipv4Addr::from_bits(own.to_bits() | !mask(prefix).to_bits()))
        }
        SIOCGIFMTU => number(interface.mtu),
        SIOCGIFHWADDR => hardware_address(interface.hardware, interface.mac),
        SIOCGIFTXQLEN => number(1000),
        _ => number(0),
    };
    user::write_bytes(argument + NAME as u64, &value)?;
    Ok(0)
}
