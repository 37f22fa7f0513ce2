//! The family AF_INET, and what it shares with AF_INET6: names, ports.

pub mod hints;

use super::socket::{self, AF_INET, AF_INET6, Common, Family, Protocol};
use super::stack::{self, LINK};
use crate::abi::entropy;
use crate::errno::{Errno, Result};
use crate::list;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

crate::register!("socket-family": Family = { AF_INET => create });

// Makes a socket of a transport protocol, whose number is the key.
crate::hook!(fn protocols() -> "inet-socket": fn(Common) -> Rc<dyn Protocol>);

/// Types as `socket(2)` numbers them.
pub const STREAM: u32 = 1;
pub const DATAGRAM: u32 = 2;
const RAW: u32 = 3;

/// Options of IP itself.
pub const SOL_IP: u32 = 0;
pub const SOL_IPV6: u32 = 41;

fn create(kind: u32, protocol: u32) -> Result<Rc<dyn Protocol>> {
    create_in(AF_INET, kind, protocol)
}

/// A socket of a type and a protocol, in either family.
pub fn create_in(family: u16, kind: u32, protocol: u32) -> Result<Rc<dyn Protocol>> {
    const TCP: u32 = 6;
    const UDP: u32 = 17;
    let number = match (kind, protocol) {
        (STREAM, 0 | TCP) => TCP,
        (DATAGRAM, 0 | UDP) => UDP,
        (STREAM | DATAGRAM, _) => return Err(Errno::EPROTONOSUPPORT),
        // Nobody has the right to raw packets.
        (RAW, _) => return Err(Errno::EPERM),
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    match protocols().iter().find(|entry| entry.key == u64::from(number)) {
        Some(entry) => Ok((entry.item)(Common::new(family, kind, number))),
        None => {
            socket::refuse("inet-socket", crate::table!("refused.inet-socket"), u64::from(number));
            Err(Errno::EPROTONOSUPPORT)
        }
    }
}

/// The address in a name, seen from a socket of a family. AF_UNSPEC is for the caller to handle.
pub fn parse(family: u16, name: &[u8]) -> Result<SocketAddr> {
    let Some(&[a, b, c, d, ref rest @ ..]) = name.split_first_chunk::<4>().map(|_| name) else {
        return Err(Errno::EINVAL);
    };
    let port = u16::from_be_bytes([c, d]);
    match (u16::from_le_bytes([a, b]), family) {
        (AF_INET, AF_INET) => {
            let (octets, _) = rest.split_first_chunk::<4>().ok_or(Errno::EINVAL)?;
            // `struct sockaddr_in` has 16 bytes, of which 8 are padding.
            if name.len() < 16 {
                return Err(Errno::EINVAL);
            }
            Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*octets)), port))
        }
        (AF_INET6, AF_INET6) => {
            let octets =
                rest.get(4..20).and_then(|octets| octets.first_chunk::<16>()).ok_or(Errno::EINVAL)?;
            let address = Ipv6Addr::from(*octets);
            // Which link an address of one link is of has to be said, and there is one.
            if address.is_unicast_link_local() {
                match rest.get(20..24) {
                    Some(&[scope, 0, 0, 0]) if u32::from(scope) == LINK => {}
                    _ => return Err(Errno::EINVAL),
                }
            }
            let address = address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4);
            Ok(SocketAddr::new(address, port))
        }
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// An address as a name in a family.
pub fn format(family: u16, address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    let mut name = family.to_le_bytes().to_vec();
    name.extend(port);
    match (family, address.ip()) {
        (AF_INET6, ip) => {
            let ip = match ip {
                IpAddr::V6(ip) => ip,
                IpAddr::V4(ip) if ip.is_unspecified() => Ipv6Addr::UNSPECIFIED,
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            };
            name.extend([0; 4]); // flow
            name.extend(ip.octets());
            let scope = if ip.is_unicast_link_local() { LINK } else { 0 };
            name.extend(scope.to_le_bytes());
        }
        (_, IpAddr::V4(ip)) => {
            name.extend(ip.octets());
            name.extend([0; 8]);
        }
        (_, IpAddr::V6(_)) => name.extend([0; 12]),
    }
    name
}

/// Where somebody is whose address is given as any: here, as Linux takes it.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        _ => {}
    }
    address
}

/// The address of a socket that is bound to none.
pub fn unspecified(family: u16) -> IpAddr {
    if family == AF_INET6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) }
}

/// Whether a socket bound to `own` takes what is sent to `to`. `only`: an unspecified IPv6 address stands for IPv6 alone.
pub fn matches(own: IpAddr, to: IpAddr, only: bool) -> bool {
    match (own, to) {
        (IpAddr::V4(own), IpAddr::V4(to)) => own.is_unspecified() || own == to,
        (IpAddr::V6(own), IpAddr::V6(to)) => own.is_unspecified() || own == to,
        (IpAddr::V6(own), IpAddr::V4(_)) => own.is_unspecified() && !only,
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    }
}

/// A claim on a port.
struct Claim {
    id: u64,
    address: SocketAddr,
    only: bool,
    reuse_address: bool,
    reuse_port: bool,
    listening: bool,
}

/// The ports of a transport protocol that sockets are bound to.
pub struct Ports {
    claims: Vec<Claim>,
    next_id: u64,
}

/// Ports that are given to those who ask for none in particular (`net.ipv4.ip_local_port_range`).
const EPHEMERAL: core::ops::Range<u16> = 32768..60999;

impl Ports {
    pub const EMPTY: Self = Self { claims: Vec::new(), next_id: 1 };

    /// Claims an address for a socket; port 0 is any. Returns the claim's id and the address.
    pub fn claim(&mut self, address: SocketAddr, common: &Common, only: bool) -> Result<(u64, SocketAddr)> {
        if !address.ip().is_unspecified() && !stack::is_own(&address.ip()) && !address.ip().is_multicast() {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let address = if address.port() != 0 {
            address
        } else {
            let any = |port| SocketAddr::new(address.ip(), port);
            let port = any_port(|port| !self.has(port));
            any(port.ok_or(Errno::EADDRINUSE)?)
        };
        let (reuse_address, reuse_port) = (common.reuse_address.get(), common.reuse_port.get());
        let stream = common.kind == STREAM;
        let conflict = self.claims.iter().any(|claim| {
            claim.address.port() == address.port()
                && (matches(claim.address.ip(), address.ip(), claim.only)
                    || matches(address.ip(), claim.address.ip(), only))
                && !(claim.reuse_port && reuse_port)
                && !(claim.reuse_address && reuse_address && !(stream && claim.listening))
        });
        if conflict {
            return Err(Errno::EADDRINUSE);
        }
        let id = self.next_id;
        self.next_id += 1;
        let claim = Claim { id, address, only, reuse_address, reuse_port, listening: false };
        list::push(&mut self.claims, claim)?;
        Ok((id, address))
    }

    /// Whether a socket is bound to a port, at any address.
    pub fn has(&self, port: u16) -> bool {
        self.claims.iter().any(|claim| claim.address.port() == port)
    }

    /// The socket of a claim listens now: unless another does that lets nobody share.
    pub fn listen(&mut self, id: u64) -> Result<()> {
        let Some(index) = self.claims.iter().position(|claim| claim.id == id) else { return Ok(()) };
        let this = &self.claims[index];
        let conflict = self.claims.iter().any(|claim| {
            claim.id != id
                && claim.listening
                && claim.address.port() == this.address.port()
                && (matches(claim.address.ip(), this.address.ip(), claim.only)
                    || matches(this.address.ip(), claim.address.ip(), this.only))
                && !(claim.reuse_port && this.reuse_port)
        });
        if conflict {
            return Err(Errno::EADDRINUSE);
        }
        self.claims[index].listening = true;
        Ok(())
    }

    pub fn release(&mut self, id: u64) {
        self.claims.retain(|claim| claim.id != id);
    }
}

// Says whether a port may be bound to: EACCES if not.
crate::hook!(fn guards() -> "bind-port": fn(u16) -> Result<()>);

/// The address in a `struct sockaddr` that a socket is to be bound to.
pub fn parse_own(family: u16, name: &[u8]) -> Result<SocketAddr> {
    let address = parse(family, name)?;
    guards().iter().try_for_each(|guard| (guard.item)(address.port()))?;
    Ok(address)
}

/// A port that is free, tried from a random one on.
pub fn any_port(is_free: impl Fn(u16) -> bool) -> Option<u16> {
    let mut seed = [0; 2];
    entropy::fill(&mut seed);
    let count = EPHEMERAL.len() as u16;
    let start = u16::from_le_bytes(seed) % count;
    (0..count).map(|offset| EPHEMERAL.start + (start + offset) % count).find(|port| is_free(*port))
}

/// A number out of the value of one of IP's options, which may be a single byte.
pub fn byte(value: &[u8]) -> Result<u32> {
    match (value.len(), value.first()) {
        (1..4, Some(&byte)) => Ok(u32::from(byte)),
        _ => socket::number(value),
    }
}
