//! The dynamic host configuration protocol's client (RFC 2131): an address, its network, a gateway.
//!
//! Nobody waits for it: a machine without a server keeps the configured address. Messages go out as broadcasts, with the flag that asks
//! for answers of the same kind, so that no address is needed to receive them.

use super::ethernet::{self, BROADCAST};
use super::ipv4;
use super::stack::{self, NEVER, Packet};
use crate::abi::entropy;
use crate::cell::KernelCell;
use core::net::{IpAddr, Ipv4Addr};

crate::register!("ip-protocol": fn(&Packet) -> bool = { 17 => receive });
crate::register!("network-work": fn(u64) -> u64 = { 40 => work });

crate::register!("configuring": fn() -> bool = { 10 => is_configuring });

// Told of name servers that the network has, and for how many seconds.
crate::hook!(fn name_servers() -> "name-server": fn(&IpAddr, u32));

const ETHERNET_TYPE: u16 = 0x0800;
const UDP: u8 = 17;
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
const SECOND: u64 = 1_000_000_000;

/// Fixed fields (RFC 2131, section 2), then the cookie, then options up to the least size that servers expect.
const OPTIONS: usize = 240;
const LENGTH: usize = 300;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Options (RFC 2132).
const MASK: u8 = 1;
const ROUTER: u8 = 3;
const NAME_SERVERS: u8 = 6;
const WANTED: u8 = 50;
const LEASE: u8 = 51;
const KIND: u8 = 53;
const SERVER: u8 = 54;
const ASKED: u8 = 55;
const END: u8 = 255;

/// Kinds of message.
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACCEPTED: u8 = 5;
const DENIED: u8 = 6;

#[derive(Clone, Copy)]
enum Phase {
    /// Nothing was sent yet.
    New,
    Discovering,
    /// This server offered this address.
    Requesting(Ipv4Addr, Ipv4Addr),
    Bound(Ipv4Addr, Ipv4Addr),
}

struct State {
    phase: Phase,
    /// What answers are told from others' by.
    number: u32,
    /// When to act next.
    deadline: u64,
    tries: u32,
    /// When the address is no longer ours.
    end: u64,
}

static STATE: KernelCell<State> =
    KernelCell::new(State { phase: Phase::New, number: 0, deadline: 0, tries: 0, end: NEVER });

fn send(kind: u8, number: u32, wanted: Option<(Ipv4Addr, Ipv4Addr)>) {
    let Some(mac) = ethernet::mac() else { return };
    let udp = 8 + LENGTH;
    ethernet::transmit(BROADCAST, ETHERNET_TYPE, 20 + udp, &mut |packet| {
        let (from, to) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::BROADCAST));
        let at = stack::write_header(packet, &from, &to, UDP, 64, udp);
        let datagram = &mut packet[at..];
        datagram.fill(0);
        datagram[..2].copy_from_slice(&CLIENT_PORT.to_be_bytes());
        datagram[2..4].copy_from_slice(&SERVER_PORT.to_be_bytes());
        datagram[4..6].copy_from_slice(&(udp as u16).to_be_bytes());
        let message = &mut datagram[8..];
        // A request, over Ethernet, with addresses of six bytes.
        message[..3].copy_from_slice(&[1, 1, 6]);
        message[4..8].copy_from_slice(&number.to_be_bytes());
        message[10] = 0x80; // answer to everybody
        message[28..34].copy_from_slice(&mac);
        message[236..240].copy_from_slice(&COOKIE);
        let mut end = OPTIONS;
        let mut option = |code: u8, value: &[u8]| {
            message[end..end + 2].copy_from_slice(&[code, value.len() as u8]);
            message[end + 2..end + 2 + value.len()].copy_from_slice(value);
            end += 2 + value.len();
        };
        option(KIND, &[kind]);
        option(ASKED, &[MASK, ROUTER, NAME_SERVERS, LEASE]);
        if let Some((address, server)) = wanted {
            option(WANTED, &address.octets());
            option(SERVER, &server.octets());
        }
        message[end] = END;
        let pseudo = stack::pseudo_sum(&from, &to, UDP, udp);
        let checksum = !stack::sum(&[&pseudo.to_be_bytes(), datagram]);
        datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    });
}

/// The value of an option.
fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match options {
            [0, rest @ ..] => options = rest,
            [] | [END, ..] => return None,
            [code, length, rest @ ..] => {
                let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                if *code == wanted {
                    return Some(value);
                }
                options = rest;
            }
            _ => return None,
        }
    }
}

fn address(value: Option<&[u8]>) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(*value?.first_chunk::<4>()?))
}

/// Whether an answer may still come: nobody who is not there within the first tries is waited for.
fn is_configuring() -> bool {
    let state = STATE.borrow();
    ethernet::mac().is_some() && !matches!(state.phase, Phase::Bound(..)) && state.tries < 4
}

fn receive(packet: &Packet) -> bool {
    let Some((header, message)) = packet.payload.split_first_chunk::<8>() else { return false };
    let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    if (port(0), port(2)) != (SERVER_PORT, CLIENT_PORT) {
        return false;
    }
    let length = usize::from(port(4));
    if length < 8 || length > packet.payload.len() {
        return true;
    }
    let pseudo = stack::pseudo_sum(&packet.source, &packet.destination, UDP, length);
    let is_summed = header[6..8] != [0, 0] && !packet.vouched;
    if is_summed && stack::sum(&[&pseudo.to_be_bytes(), &packet.payload[..length]]) != 0xffff {
        return true;
    }
    let mut state = STATE.borrow();
    let ours = message.len() > OPTIONS
        && message[0] == 2
        && message[4..8] == state.number.to_be_bytes()
        && ethernet::mac().is_some_and(|mac| message[28..34] == mac)
        && message[236..240] == COOKIE;
    if !ours {
        return true;
    }
    // Whatever the answer is, there is something to do then.
    stack::at(0);
    let options = &message[OPTIONS..];
    let offered = Ipv4Addr::new(message[16], message[17], message[18], message[19]);
    let kind = option(options, KIND).and_then(|value| value.first().copied());
    match (kind, state.phase) {
        (Some(OFFER), Phase::Discovering) => {
            if let Some(server) = address(option(options, SERVER))
                && !offered.is_unspecified()
            {
                state.phase = Phase::Requesting(offered, server);
                state.tries = 0;
                state.deadline = 0;
            }
        }
        (Some(ACCEPTED), Phase::Requesting(wanted, server) | Phase::Bound(wanted, server))
            if offered == wanted =>
        {
            let mask = address(option(options, MASK)).unwrap_or(Ipv4Addr::new(255, 255, 255, 0));
            let gateway = address(option(options, ROUTER)).unwrap_or(Ipv4Addr::UNSPECIFIED);
            ipv4::configure(offered, mask.to_bits().leading_ones(), gateway);
            for server in option(options, NAME_SERVERS).unwrap_or_default().chunks_exact(4) {
                for entry in name_servers() {
                    (entry.item)(&IpAddr::from([server[0], server[1], server[2], server[3]]), u32::MAX);
                }
            }
            let lease = option(options, LEASE).and_then(|value| value.first_chunk::<4>());
            let seconds = lease.map_or(86_400, |value| u64::from(u32::from_be_bytes(*value))).max(60);
            let now = crate::driver::tsc::now();
            state.phase = Phase::Bound(offered, server);
            state.tries = 0;
            state.deadline = now + seconds / 2 * SECOND;
            state.end = now + seconds * SECOND;
        }
        (Some(DENIED), Phase::Requesting(..) | Phase::Bound(..)) => {
            state.phase = Phase::New;
            state.deadline = 0;
        }
        _ => {}
    }
    true
}

/// Says what is to be said next, again and more rarely while nobody answers.
fn work(now: u64) -> u64 {
    if ethernet::mac().is_none() {
        return NEVER;
    }
    let (kind, number, wanted) = {
        let mut state = STATE.borrow();
        if now < state.deadline {
            return state.deadline;
        }
        if let Phase::Bound(..) = state.phase
            && now >= state.end
        {
            state.phase = Phase::New;
        }
        if let Phase::Requesting(..) = state.phase
            && state.tries >= 4
        {
            state.phase = Phase::New;
        }
        if let Phase::New = state.phase {
            let mut seed = [0; 4];
            entropy::fill(&mut seed);
            state.number = u32::from_be_bytes(seed);
            state.phase = Phase::Discovering;
            state.tries = 0;
        }
        state.deadline = now + (SECOND << state.tries.min(6));
        state.tries += 1;
        match state.phase {
            Phase::Requesting(address, server) | Phase::Bound(address, server) => {
                (REQUEST, state.number, Some((address, server)))
            }
            _ => (DISCOVER, state.number, None),
        }
    };
    send(kind, number, wanted);
    STATE.borrow().deadline
}
