//! Addresses and ways out from the announcements of routers (RFC 4861, section 6.3; RFC 4862, section 5.5).

use super::ethernet;
use super::ipv6::{self, ALL_ROUTERS, CONTROL, LEAST_MTU, Own};
use super::ndp::{self, HOPS};
use super::stack::{self, NEVER, Packet};
use crate::cell::KernelCell;
use crate::driver::tsc;
use core::net::{IpAddr, Ipv6Addr};

crate::register!("ip-protocol": fn(&Packet) -> bool = { CONTROL => receive });
crate::register!("network-work": fn(u64) -> u64 = { 41 => work });

// Told of name servers that a router knows, and for how many seconds.
crate::hook!(fn name_servers() -> "name-server": fn(&IpAddr, u32));

const SOLICIT: u8 = 133;
const ADVERTISE: u8 = 134;
/// Options of an announcement.
const SOURCE_ADDRESS: u8 = 1;
const PREFIX: u8 = 3;
const MTU: u8 = 5;
/// RFC 8106.
const NAME_SERVERS: u8 = 25;
/// Flags of a prefix: its addresses are neighbours, and addresses may be made of it.
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

const SECOND: u64 = 1_000_000_000;
/// How often, and how many times, routers are asked for (RFC 4861, section 10).
const ASK_EVERY: u64 = 4 * SECOND;
const ASK_TIMES: u32 = 3;
/// What an announcement without authority may not shorten a lifetime to (RFC 4862, section 5.5.3, e).
const LEAST_LIFETIME: u32 = 7200;

struct State {
    asked: u32,
    next: u64,
    /// A router has answered.
    answered: bool,
}

static STATE: KernelCell<State> = KernelCell::new(State { asked: 0, next: 0, answered: false });

/// Asks for routers.
fn work(now: u64) -> u64 {
    let (Some(mac), Some(own)) = (ethernet::mac(), ipv6::link_local()) else { return NEVER };
    {
        let mut state = STATE.borrow();
        if state.answered || state.asked >= ASK_TIMES {
            return NEVER;
        }
        if now < state.next {
            return state.next;
        }
        state.asked += 1;
        state.next = now + ASK_EVERY;
    }
    let option = [SOURCE_ADDRESS, 1, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]];
    ipv6::send_control(&own, &ALL_ROUTERS, HOPS, &[&[SOLICIT, 0, 0, 0, 0, 0, 0, 0], &option]);
    STATE.borrow().next
}

/// The big-endian number at a place.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

fn receive(packet: &Packet) -> bool {
    let Some((message, source, _)) = ndp::message(packet) else { return true };
    if message[0] != ADVERTISE || message.len() < 16 || !source.is_unicast_link_local() {
        return true;
    }
    let Some(options) = ndp::options(message, 16) else { return true };
    STATE.borrow().answered = true;
    if message[4] != 0 {
        ipv6::set_hops(message[4]);
    }
    let lifetime = u32::from(u16::from_be_bytes([message[6], message[7]]));
    ipv6::set_gateway(source, if lifetime == 0 { 0 } else { ipv6::after(lifetime) });
    if let Some(mac) = ndp::mac_of(&options, SOURCE_ADDRESS) {
        ethernet::learned(IpAddr::V6(source), mac, true);
    }
    for (kind, body) in options {
        match kind {
            PREFIX => drop(prefix(body)),
            MTU => {
                if let Some(mtu) = word(body, 2).map(|mtu| mtu as usize)
                    && (LEAST_MTU..stack::mtu()).contains(&mtu)
                {
                    stack::set_mtu(mtu);
                }
            }
            NAME_SERVERS => {
                let Some(lifetime) = word(body, 2) else { continue };
                for octets in body[6..].chunks_exact(16) {
                    let Some(server) = ipv6::address_at(octets, 0) else { continue };
                    for entry in name_servers() {
                        (entry.item)(&IpAddr::V6(server), lifetime);
                    }
                }
            }
            _ => {}
        }
    }
    true
}

/// A network is announced.
fn prefix(body: &[u8]) -> Option<()> {
    let (&length, &flags) = (body.first()?, body.get(1)?);
    let (mut valid, preferred) = (word(body, 2)?, word(body, 6)?);
    let network = ipv6::address_at(body, 14)?;
    if network.is_unicast_link_local() || network.is_multicast() || length > 128 {
        return None;
    }
    if flags & ON_LINK != 0 {
        ipv6::set_network(network, length, if valid == 0 { 0 } else { ipv6::after(valid) });
    }
    if flags & AUTONOMOUS == 0 || length != 64 || preferred > valid {
        return None;
    }
    let id = u128::from(ndp::interface_id(ethernet::mac()?));
    let address = Ipv6Addr::from_bits(network.to_bits() >> 64 << 64 | id);
    let known = ipv6::addresses().into_iter().find(|own| own.address == address);
    match known {
        // A configured address is nobody else's business.
        Some(own) if own.valid == NEVER => return None,
        Some(own) => {
            let left = (own.valid.saturating_sub(tsc::now()) / SECOND) as u32;
            if valid < LEAST_LIFETIME && valid < left {
                valid = left.min(LEAST_LIFETIME);
            }
        }
        None if valid == 0 => return None,
        None => {}
    }
    ipv6::add(Own { address, prefix: 64, preferred: ipv6::after(preferred), valid: ipv6::after(valid) });
    Some(())
}
