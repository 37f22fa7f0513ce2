//! Ethernet II frames, and the cache of neighbours that ARP and neighbour discovery fill.

use super::stack::{self, Count, Fill, Origin, Unsummed};
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::list;
use crate::sched::thread::Idle;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a frame's header.
pub const HEADER: usize = 14;
/// The address of everybody.
pub const BROADCAST: Mac = [0xff; 6];

pub type Mac = [u8; 6];

/// A network card.
pub trait Device {
    fn mac(&self) -> Mac;
    /// Bytes of a frame without its header.
    fn mtu(&self) -> usize;
    fn can_transmit(&self) -> bool;
    /// Whether it adds checksums to what it sends.
    fn sums(&self) -> bool;
    /// Sends a frame of `length` bytes, of which a checksum may be left to add. False: no room.
    fn transmit(&self, length: usize, fill: &mut dyn FnMut(&mut [u8]) -> Option<Unsummed>) -> bool;
    /// Has what was sent leave.
    fn flush(&self);
    /// Hands some of what has arrived to [`receive`]. False: there may be more, for which it will not interrupt.
    fn poll(&self) -> bool;
}

// Takes the payload of frames of a type, which is the key, with the sender's address.
crate::hook!(fn frames() -> "frame": fn(&[u8], Mac));
// Asks who has an address; the key is the version of IP.
crate::hook!(fn resolvers() -> "resolve": fn(&IpAddr));

crate::register!("link": fn(&IpAddr, u16, usize, Fill) -> Result<()> = { 10 => output });
crate::register!("link-ready": fn() -> bool = { 10 => can_send });
crate::register!("hardware-address": fn() -> Option<Mac> = { 10 => mac });
crate::register!("link-flush": fn() = { 10 => flush });
crate::register!("network-work": fn(u64) -> u64 = { 30 => work });
crate::register!("idle": fn() -> Idle = { 21 => idle });

const SECOND: u64 = 1_000_000_000;
/// How long an answer is good for, and when it is asked for again meanwhile.
const VALID: u64 = 120 * SECOND;
const STALE: u64 = 30 * SECOND;
const ASK_EVERY: u64 = SECOND;
const ASK_TIMES: u32 = 3;
/// Most neighbours to remember, and packets to keep for one that has not answered.
const NEIGHBOURS: usize = 256;
const PENDING: usize = 8;

struct Neighbour {
    mac: Option<Mac>,
    learned: u64,
    asked: u64,
    times: u32,
    /// Packets that wait for the address, with their types.
    pending: Vec<(u16, Vec<u8>)>,
}

struct State {
    neighbours: BTreeMap<IpAddr, Neighbour>,
}

static STATE: KernelCell<State> = KernelCell::new(State { neighbours: BTreeMap::new() });
static DEVICE: KernelCell<Option<&'static Rc<dyn Device>>> = KernelCell::new(None);
/// When the rest of what has arrived is looked at; [`stack::NEVER`]: the card interrupts.
static AGAIN: AtomicU64 = AtomicU64::new(stack::NEVER);

fn device() -> Option<&'static Rc<dyn Device>> {
    *DEVICE.borrow()
}

/// A card is there. False: there was one before, which is the one that is used.
pub fn attach(device: Rc<dyn Device>) -> bool {
    let mut first = DEVICE.borrow();
    if first.is_some() {
        return false;
    }
    stack::linked(device.mtu(), device.sums());
    // For as long as the machine runs.
    *first = Some(Box::leak(Box::new(device)));
    true
}

/// The card, or one that shares its interrupt, has interrupted.
pub fn interrupted() {
    if AGAIN.load(Ordering::Relaxed) == stack::NEVER {
        take();
    }
}

/// Takes some of what has arrived. What is too much at once waits for as long as that took, so that in a flood the program has half of the
/// processor.
fn take() {
    let Some(device) = device() else { return };
    let started = tsc::now();
    let again = if device.poll() { stack::NEVER } else { tsc::now().saturating_mul(2) - started };
    AGAIN.store(again, Ordering::Relaxed);
    stack::at(again);
}

/// Goes on at once with what waits: no thread wants the processor.
fn idle() -> Idle {
    if AGAIN.load(Ordering::Relaxed) == stack::NEVER {
        return Idle::Never;
    }
    take();
    stack::run();
    if AGAIN.load(Ordering::Relaxed) == stack::NEVER { Idle::Never } else { Idle::Look }
}

/// This machine's hardware address.
pub fn mac() -> Option<Mac> {
    device().map(|device| device.mac())
}

/// A frame arrived at the card with this address, which vouches for the checksum of what is in it, or does not.
pub fn receive(mac: Mac, frame: &[u8], vouched: bool) {
    let Some((header, payload)) = frame.split_at_checked(HEADER) else { return };
    if header[..6] != mac && header[0] & 1 == 0 {
        return;
    }
    stack::count(Count::FramesIn, 1);
    stack::count(Count::BytesIn, frame.len());
    let source = [header[6], header[7], header[8], header[9], header[10], header[11]];
    match u16::from_be_bytes([header[12], header[13]]) {
        0x0800 | 0x86dd => stack::input(payload, if vouched { Origin::Card } else { Origin::Wire }),
        kind => {
            for entry in frames().iter().filter(|entry| entry.key == u64::from(kind)) {
                (entry.item)(payload, source);
            }
        }
    }
}

/// Sends a frame to a hardware address. False: there is no room, or no card.
pub fn transmit(to: Mac, kind: u16, length: usize, fill: Fill) -> bool {
    let Some(device) = device() else { return false };
    let from = device.mac();
    let sent = device.transmit(HEADER + length, &mut |frame| {
        frame[..6].copy_from_slice(&to);
        frame[6..12].copy_from_slice(&from);
        frame[12..14].copy_from_slice(&kind.to_be_bytes());
        let left = stack::write(&mut frame[HEADER..], fill);
        left.map(|left| Unsummed { start: HEADER + left.start, ..left })
    });
    if sent {
        stack::count(Count::FramesOut, 1);
        stack::count(Count::BytesOut, HEADER + length);
    } else {
        stack::count(Count::FramesUnsent, 1);
    }
    sent
}

fn can_send() -> bool {
    device().is_none_or(|device| device.can_transmit())
}

fn flush() {
    if let Some(device) = device() {
        device.flush();
    }
}

/// The hardware address of a group (RFC 1112, section 6.4; RFC 2464, section 7).
fn group(address: &IpAddr) -> Option<Mac> {
    match address {
        IpAddr::V4(address) if address.is_broadcast() => Some(BROADCAST),
        IpAddr::V4(address) if address.is_multicast() => {
            let [_, b, c, d] = address.octets();
            Some([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(address) if address.is_multicast() => {
            let [.., a, b, c, d] = address.octets();
            Some([0x33, 0x33, a, b, c, d])
        }
        _ => None,
    }
}

fn ask(hop: &IpAddr) {
    let version = if hop.is_ipv4() { 4 } else { 6 };
    for entry in resolvers().iter().filter(|entry| entry.key == version) {
        (entry.item)(hop);
    }
}

/// What to do with a packet for a neighbour.
enum Way {
    Known(Mac),
    /// The address has to be asked for.
    Pending,
}

/// The way to a neighbour, and whether to ask for it now.
fn way(hop: &IpAddr, now: u64) -> (Way, bool) {
    let mut state = STATE.borrow();
    if let Some(neighbour) = state.neighbours.get_mut(hop) {
        let may_ask = now >= neighbour.asked.saturating_add(ASK_EVERY);
        if let Some(mac) = neighbour.mac
            && now < neighbour.learned + VALID
        {
            let refresh = may_ask && now > neighbour.learned + STALE;
            if refresh {
                neighbour.asked = now;
            }
            return (Way::Known(mac), refresh);
        }
        neighbour.mac = None;
        if may_ask && neighbour.pending.is_empty() {
            neighbour.times = 0;
            neighbour.asked = now;
            return (Way::Pending, true);
        }
        return (Way::Pending, false);
    }
    make_room(&mut state.neighbours);
    let fresh = Neighbour { mac: None, learned: 0, asked: now, times: 0, pending: Vec::new() };
    state.neighbours.insert(*hop, fresh);
    (Way::Pending, true)
}

/// Forgets the neighbour that was heard of longest ago when there are too many.
fn make_room(neighbours: &mut BTreeMap<IpAddr, Neighbour>) {
    if neighbours.len() >= NEIGHBOURS {
        let oldest = neighbours.iter().min_by_key(|(_, neighbour)| neighbour.learned.max(neighbour.asked));
        if let Some(address) = oldest.map(|(address, _)| *address) {
            neighbours.remove(&address);
        }
    }
}

fn output(hop: &IpAddr, kind: u16, length: usize, fill: Fill) -> Result<()> {
    if let Some(mac) = group(hop) {
        return if transmit(mac, kind, length, fill) { Ok(()) } else { Err(Errno::ENOBUFS) };
    }
    let (way, must_ask) = way(hop, tsc::now());
    match way {
        Way::Known(mac) => {
            if must_ask {
                ask(hop);
            }
            if transmit(mac, kind, length, fill) { Ok(()) } else { Err(Errno::ENOBUFS) }
        }
        Way::Pending => {
            let mut packet = vec![0; length];
            stack::write_whole(&mut packet, fill);
            if let Some(neighbour) = STATE.borrow().neighbours.get_mut(hop)
                && neighbour.pending.len() < PENDING
            {
                // Without memory it is lost, as on a busy wire.
                let _ = list::push(&mut neighbour.pending, (kind, packet));
                stack::at(neighbour.asked + ASK_EVERY);
            }
            if must_ask {
                ask(hop);
            }
            Ok(())
        }
    }
}

/// A neighbour said which hardware address it has. `new`: worth remembering if it was not known.
pub fn learned(address: IpAddr, mac: Mac, new: bool) {
    if mac[0] & 1 != 0 {
        return; // nobody's own address
    }
    let now = tsc::now();
    let pending = {
        let mut state = STATE.borrow();
        if !state.neighbours.contains_key(&address) {
            if !new {
                return;
            }
            make_room(&mut state.neighbours);
        }
        let neighbour = state.neighbours.entry(address).or_insert(Neighbour {
            mac: None,
            learned: 0,
            asked: 0,
            times: 0,
            pending: Vec::new(),
        });
        neighbour.mac = Some(mac);
        neighbour.learned = now;
        neighbour.times = 0;
        core::mem::take(&mut neighbour.pending)
    };
    for (kind, packet) in pending {
        transmit(mac, kind, packet.len(), &mut |frame| frame.copy_from_slice(&packet));
    }
}

/// Takes what waits; asks neighbours again, and gives up on those who do not answer.
fn work(now: u64) -> u64 {
    if AGAIN.load(Ordering::Relaxed) <= now {
        take();
    }
    let mut deadline = AGAIN.load(Ordering::Relaxed);
    let (mut again, mut lost) = (Vec::new(), Vec::new());
    for (address, neighbour) in &mut STATE.borrow().neighbours {
        if neighbour.mac.is_some() || neighbour.pending.is_empty() {
            continue;
        }
        if now >= neighbour.asked + ASK_EVERY {
            neighbour.times += 1;
            neighbour.asked = now;
            if neighbour.times >= ASK_TIMES {
                lost.append(&mut neighbour.pending);
                continue;
            }
            let _ = list::push(&mut again, *address);
        }
        deadline = deadline.min(neighbour.asked + ASK_EVERY);
    }
    for address in again {
        ask(&address);
    }
    for (_, packet) in lost {
        stack::failed(&packet, Errno::EHOSTUNREACH);
    }
    deadline
}
