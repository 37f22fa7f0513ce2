//! The control messages of IPv6 (RFC 4443), without neighbour discovery.

use super::ipv6::{self, CONTROL, LEAST_MTU, Trouble};
use super::stack::{self, Packet};
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::errno::Errno;
use core::net::{IpAddr, Ipv6Addr};

crate::register!("ip-protocol": fn(&Packet) -> bool = { CONTROL => receive });
crate::register!("ipv6-trouble": fn(&Trouble) = { 10 => tell });

const UNREACHABLE: u8 = 1;
const TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PROBLEM: u8 = 4;
const ECHO: u8 = 128;
const ECHO_REPLY: u8 = 129;
/// Messages from here on are no errors.
const INFORMATION: u8 = 128;

const HEADER: usize = 40;
const SECOND: u64 = 1_000_000_000;
/// Errors to tell of in a second (section 2.4, f).
const RATE: u32 = 100;

/// The second that is counted, and how many errors were told of in it.
static TOLD: KernelCell<(u64, u32)> = KernelCell::new((0, 0));

fn receive(packet: &Packet) -> bool {
    let Some((message, source, destination)) = ipv6::control_message(packet) else { return true };
    match message[0] {
        ECHO => {
            let from = if packet.unicast { Some(destination) } else { own(&source) };
            if let Some(from) = from {
                ipv6::send_control(&from, &source, ipv6::hops(), &[&[ECHO_REPLY, 0, 0, 0], &message[4..]]);
            }
        }
        UNREACHABLE => {
            let error = match message[1] {
                0 => Errno::ENETUNREACH,
                1 | 5 | 6 => Errno::EACCES,
                4 => Errno::ECONNREFUSED,
                _ => Errno::EHOSTUNREACH,
            };
            failed(message, error);
        }
        TOO_BIG => {
            let mtu = u32::from_be_bytes([message[4], message[5], message[6], message[7]]) as usize;
            if let Some(quoted) = quoted(message) {
                stack::too_big(quoted, mtu.max(LEAST_MTU));
            }
        }
        TIME_EXCEEDED => failed(message, Errno::EHOSTUNREACH),
        PROBLEM => failed(message, Errno(linux_raw_sys::errno::EPROTO as u16)),
        _ => {}
    }
    true
}

/// The address to answer somebody from.
fn own(other: &Ipv6Addr) -> Option<Ipv6Addr> {
    match stack::source_for(&IpAddr::V6(*other)) {
        Ok(IpAddr::V6(own)) => Some(own),
        _ => None,
    }
}

/// The packet that an error is about, if it was sent from here.
fn quoted(message: &[u8]) -> Option<&[u8]> {
    let quoted = message.get(8..).filter(|quoted| quoted.len() >= HEADER)?;
    stack::is_own(&IpAddr::V6(ipv6::address_at(quoted, 8)?)).then_some(quoted)
}

fn failed(message: &[u8], error: Errno) {
    // What is sent from here has no headers before the transport's.
    if let Some(quoted) = quoted(message) {
        stack::failed(quoted, error);
    }
}

/// Tells a sender that its packet cannot be served, unless it is one that must not be answered (section 2.4, e).
fn tell(trouble: &Trouble) {
    let Some(source) = ipv6::address_at(trouble.whole, 8) else { return };
    let Some(destination) = ipv6::address_at(trouble.whole, 24) else { return };
    let is_error =
        trouble.whole[6] == CONTROL && trouble.whole.get(HEADER).is_none_or(|&kind| kind < INFORMATION);
    // An option that asks for it is told of even where everybody is meant.
    let option = (trouble.kind, trouble.code) == (PROBLEM, 2);
    if source.is_unspecified() || is_error || destination.is_multicast() && !option {
        return;
    }
    {
        let second = tsc::now() / SECOND;
        let mut told = TOLD.borrow();
        if told.0 != second {
            *told = (second, 0);
        }
        told.1 += 1;
        if told.1 > RATE {
            return;
        }
    }
    let from = if destination.is_multicast() { own(&source) } else { Some(destination) };
    let Some(from) = from else { return };
    let quoted = &trouble.whole[..trouble.whole.len().min(LEAST_MTU - HEADER - 8)];
    let word = trouble.word.to_be_bytes();
    ipv6::send_control(&from, &source, ipv6::hops(), &[&[trouble.kind, trouble.code, 0, 0], &word, quoted]);
}
