//! What all protocols share: hooks by which packets find their way, and timers.
//!
//! Work is done where it arises: frames are processed in the interrupt that brings them, and what a call sends is on its way when the call
//! returns. Interrupts come while the program runs or while nobody does, so no part of the kernel is in the middle of anything.

use crate::boot::pvh::StartInfo;
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::sched::thread::Idle;
use crate::sched::timer::{self, Expire};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A packet for this machine, without its IP header.
pub struct Packet<'a> {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// Number of the transport protocol.
    pub protocol: u8,
    /// With the IP header.
    pub whole: &'a [u8],
    pub payload: &'a [u8],
    /// Sent to this machine alone, not to a group or to everybody.
    pub unicast: bool,
    /// Its checksum is right, or not there yet: it has not been on a wire, or the card has looked.
    pub vouched: bool,
}

/// Where a packet comes from, and so what of it is to be checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Wire,
    /// The card vouches for the checksum of what is behind the IP header.
    Card,
    /// This machine itself.
    Local,
}

impl Origin {
    pub fn is_local(self) -> bool {
        self == Self::Local
    }

    /// Whether a checksum of what is behind the IP header need not be looked at.
    pub fn is_vouched(self) -> bool {
        self != Self::Wire
    }
}

/// What a card is to add to a packet: the checksum of the bytes from `start` on, `at` bytes behind there, where the pseudo-header's sum is.
#[derive(Clone, Copy)]
pub struct Unsummed {
    pub start: usize,
    pub at: usize,
}

/// Writes a packet into the buffer that it is sent from.
pub type Fill<'a> = &'a mut dyn FnMut(&mut [u8]);

// What takes packets of a transport protocol; the key is its number. False: nobody listens.
crate::hook!(fn protocols() -> "ip-protocol": fn(&Packet) -> bool);
// Takes a packet of a version of IP, which is the key.
crate::hook!(fn inputs() -> "ip-input": fn(&[u8], Origin));
// Takes parts of packets of a version of IP, which is the key: the packet, where the fragment header and the number that says so are.
crate::hook!(fn fragments() -> "ip-fragment": fn(&[u8], usize, usize, bool));
// Sends a packet of a version of IP in parts.
crate::hook!(fn cutters() -> "ip-cut": fn(&IpAddr, &[u8]) -> Result<()>);
// Whether a packet with such a header can be on its way; the key is the protocol.
crate::hook!(fn senders() -> "packet-sent": fn(&Quoted) -> bool);
// Told of the most bytes that a packet to somebody can have.
crate::hook!(fn limits() -> "packet-too-big": fn(&IpAddr, usize));
// The most bytes that a packet to somebody can have, if that is less than the link takes.
crate::hook!(fn paths() -> "path-mtu": fn(&IpAddr) -> usize);
// Told that a packet did not arrive.
crate::hook!(fn failures() -> "packet-failed": fn(&Failure));
// Sends a packet of a version of IP.
crate::hook!(fn outputs() -> "ip-output": fn(&IpAddr, usize, Fill) -> Result<()>);
// The address that packets to another come from.
crate::hook!(fn sources() -> "ip-source": fn(&IpAddr) -> Result<IpAddr>);
// Whether an address is this machine's.
crate::hook!(fn owners() -> "ip-own": fn(&IpAddr) -> bool);
// Takes packets to this machine itself.
crate::hook!(fn loopbacks() -> "ip-loopback": fn(usize, Fill));
// Sends a packet to a neighbour; the numbers are the Ethernet type and the length.
crate::hook!(fn links() -> "link": fn(&IpAddr, u16, usize, Fill) -> Result<()>);
// Whether a packet can be sent now.
crate::hook!(fn gates() -> "link-ready": fn() -> bool);
// Has what was sent leave.
crate::hook!(fn flushes() -> "link-flush": fn());
// Does what is due at a time; answers when it wants to be called next, at once if not later than the time given. What comes up between
// two calls is told to `at`.
crate::hook!(fn workers() -> "network-work": fn(u64) -> u64);
// Delivers packets of this machine to itself. False: there were none.
crate::hook!(fn local_deliveries() -> "local-packets": fn() -> bool);
// Adds the addresses that this machine has.
crate::hook!(fn address_lists() -> "own-addresses": fn(&mut Vec<OwnAddress>));
// Adds the neighbours that packets for other networks go through.
crate::hook!(fn gateway_lists() -> "gateways": fn(&mut Vec<IpAddr>));
// The network card's address.
crate::hook!(fn cards() -> "hardware-address": fn() -> Option<[u8; 6]>);
// Has this machine be in a group, or no longer.
crate::hook!(fn groups() -> "group": fn(&IpAddr, bool) -> Result<()>);

crate::register!("init": fn(&StartInfo) = { 80 => start });
crate::register!("after-interrupt": fn() = { 10 => run });
crate::register!("idle": fn() -> Idle = { 20 => idle });

/// Numbers of the interfaces, for programs: the loopback, and the network card.
pub const LOOPBACK: u32 = 1;
pub const LINK: u32 = 2;

/// What can be counted.
#[derive(Clone, Copy)]
pub enum Count {
    FramesIn,
    BytesIn,
    FramesOut,
    BytesOut,
    /// For which there was no room.
    FramesUnsent,
    /// From this machine to itself.
    LocalPackets,
    LocalBytes,
    PacketsIn,
    /// With a header that is not valid.
    PacketsBad,
    PacketsDelivered,
    PacketsOut,
    TcpActive,
    TcpPassive,
    TcpIn,
    TcpOut,
    TcpBad,
    TcpReset,
    UdpIn,
    /// For a port that nobody is at.
    UdpNobody,
    UdpBad,
    UdpOut,
    /// For which a socket had no room.
    UdpFull,
}

impl Count {
    pub const KINDS: usize = Self::UdpFull as usize + 1;
}

/// What went by so far, by [`Count`]: an addition each costs less than to ask whether anybody wants to know.
static COUNTS: [AtomicU64; Count::KINDS] = [const { AtomicU64::new(0) }; Count::KINDS];

/// So much of something went by.
#[inline(always)]
pub fn count(what: Count, amount: usize) {
    let counter = &COUNTS[what as usize];
    counter.store(counter.load(Ordering::Relaxed) + amount as u64, Ordering::Relaxed);
}

/// How much of something went by so far.
pub fn counted(what: Count) -> u64 {
    COUNTS[what as usize].load(Ordering::Relaxed)
}

/// Has this machine be in a group, or no longer. ENOPROTOOPT: nobody keeps groups.
pub fn set_member(group: &IpAddr, is_in: bool) -> Result<()> {
    (groups().first().ok_or(Errno::ENOPROTOOPT)?.item)(group, is_in)
}

/// No point in time.
pub const NEVER: u64 = u64::MAX;

/// Bytes of an IP packet that fit a frame; of the narrowest link that there is.
static MTU: AtomicUsize = AtomicUsize::new(1500);
/// Whether anything can arrive from outside.
static LINKED: AtomicBool = AtomicBool::new(false);
static RUNNING: AtomicBool = AtomicBool::new(false);
/// Whether packets of this machine to itself are under way.
static LOCAL: AtomicBool = AtomicBool::new(false);
/// When there is something to do.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// When the timers will call; [`NEVER`]: they will not.
static ALARM: AtomicU64 = AtomicU64::new(NEVER);
static BELL: KernelCell<Option<Rc<Bell>>> = KernelCell::new(None);

/// What was left to the card in the packet that was written last.
static UNSUMMED: KernelCell<Option<Unsummed>> = KernelCell::new(None);
/// Whether the card adds checksums.
static CARD_SUMS: AtomicBool = AtomicBool::new(false);

/// A link is there; its card can add checksums, or not.
pub fn linked(mtu: usize, sums: bool) {
    LINKED.store(true, Ordering::Relaxed);
    CARD_SUMS.store(sums, Ordering::Relaxed);
    set_mtu(mtu);
}

/// Bytes of an IP packet that fit a frame.
pub fn set_mtu(mtu: usize) {
    MTU.store(mtu, Ordering::Relaxed);
}

pub fn mtu() -> usize {
    MTU.load(Ordering::Relaxed)
}

fn version(address: &IpAddr) -> u64 {
    match address {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 6,
    }
}

/// A packet arrived.
pub fn input(packet: &[u8], origin: Origin) {
    let Some(first) = packet.first() else { return };
    count(Count::PacketsIn, 1);
    for entry in inputs().iter().filter(|entry| entry.key == u64::from(first >> 4)) {
        (entry.item)(packet, origin);
    }
}

/// Hands a packet to whoever serves its protocol. False: nobody does.
pub fn deliver(packet: &Packet) -> bool {
    count(Count::PacketsDelivered, 1);
    let mut served = false;
    for entry in protocols().iter().filter(|entry| entry.key == u64::from(packet.protocol)) {
        served |= (entry.item)(packet);
    }
    served
}

/// A part of a packet arrived. IPv6 tells where its fragment header is, and where the number that says so.
pub fn fragment(packet: &[u8], at: usize, next_at: usize, local: bool) {
    let Some(first) = packet.first() else { return };
    for entry in fragments().iter().filter(|entry| entry.key == u64::from(first >> 4)) {
        (entry.item)(packet, at, next_at, local);
    }
}

/// Somebody on the way says that a packet from here is too large: those to its destination can have at most so many bytes.
pub fn too_big(packet: &[u8], mtu: usize) {
    let Some(quoted) = quoted(packet) else { return };
    let mut of_its_protocol = senders().iter().filter(|entry| entry.key == u64::from(quoted.protocol));
    if of_its_protocol.any(|entry| !(entry.item)(&quoted)) {
        return;
    }
    for entry in limits() {
        (entry.item)(&quoted.destination.ip(), mtu);
    }
}

/// Bytes of an IP packet to `destination` that are known to arrive in one piece.
pub fn mtu_to(destination: &IpAddr) -> usize {
    let known = paths().iter().map(|path| (path.item)(destination)).min();
    known.unwrap_or(usize::MAX).min(mtu())
}

/// What somebody on the way quotes of a packet from here.
pub struct Quoted {
    pub protocol: u8,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// What stands behind the ports: TCP's number of the first byte.
    pub number: u32,
}

/// What became of a packet that was sent from here and did not arrive.
pub struct Failure {
    pub quoted: Quoted,
    pub error: Errno,
}

impl core::ops::Deref for Failure {
    type Target = Quoted;
    fn deref(&self) -> &Quoted {
        &self.quoted
    }
}

/// A packet from here, of which at least the first bytes are there, did not arrive.
pub fn failed(packet: &[u8], error: Errno) {
    let Some(quoted) = quoted(packet) else { return };
    let failure = Failure { quoted, error };
    for entry in failures() {
        (entry.item)(&failure);
    }
}

/// Whom a packet concerns: its header and the ports behind it say so.
fn quoted(packet: &[u8]) -> Option<Quoted> {
    let (protocol, source, destination, ports): (u8, IpAddr, IpAddr, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let header = packet.first_chunk::<20>()?;
            let octets = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
            let rest = packet.get(usize::from(header[0] & 0xf) * 4..)?;
            (header[9], octets(12).into(), octets(16).into(), rest)
        }
        6 => {
            let (header, rest) = packet.split_first_chunk::<40>()?;
            let (_, addresses) = header.split_first_chunk::<8>()?;
            let (source, destination) = addresses.split_first_chunk::<16>()?;
            (header[6], (*source).into(), (*destination.first_chunk::<16>()?).into(), rest)
        }
        _ => return None,
    };
    let ports = ports.first_chunk::<8>()?;
    Some(Quoted {
        protocol,
        source: SocketAddr::new(source, u16::from_be_bytes([ports[0], ports[1]])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([ports[2], ports[3]])),
        number: u32::from_be_bytes([ports[4], ports[5], ports[6], ports[7]]),
    })
}

/// Sends an IP packet of `length` bytes.
pub fn send(destination: &IpAddr, length: usize, fill: Fill) -> Result<()> {
    count(Count::PacketsOut, 1);
    let output = outputs().iter().find(|entry| entry.key == version(destination));
    (output.ok_or(Errno::ENETUNREACH)?.item)(destination, length, fill)
}

/// Sends a packet that is too large for one piece. EMSGSIZE: nobody can cut it.
pub fn send_cut(destination: &IpAddr, packet: &[u8]) -> Result<()> {
    let cutter = cutters().iter().find(|entry| entry.key == version(destination));
    (cutter.ok_or(Errno::EMSGSIZE)?.item)(destination, packet)
}

/// Sends a packet to this machine itself.
pub fn send_local(length: usize, fill: Fill) -> Result<()> {
    (loopbacks().first().ok_or(Errno::ENETUNREACH)?.item)(length, fill);
    count(Count::LocalPackets, 1);
    count(Count::LocalBytes, length);
    Ok(())
}

/// Sends a packet to a neighbour.
pub fn send_link(hop: &IpAddr, kind: u16, length: usize, fill: Fill) -> Result<()> {
    (links().first().ok_or(Errno::ENETUNREACH)?.item)(hop, kind, length, fill)
}

/// Whether there is room to send.
pub fn can_send() -> bool {
    gates().iter().all(|gate| (gate.item)())
}

/// The address that packets to `destination` come from.
pub fn source_for(destination: &IpAddr) -> Result<IpAddr> {
    let source = sources().iter().find(|entry| entry.key == version(destination));
    (source.ok_or(Errno::ENETUNREACH)?.item)(destination)
}

/// Whether an address is this machine's.
pub fn is_own(address: &IpAddr) -> bool {
    owners().iter().any(|owner| owner.key == version(address) && (owner.item)(address))
}

/// An address of this machine.
pub struct OwnAddress {
    /// The interface's number.
    pub interface: u32,
    pub address: IpAddr,
    /// Leading bits that are the network's.
    pub prefix: u8,
}

/// The addresses of this machine.
pub fn own_addresses() -> Vec<OwnAddress> {
    let mut addresses = Vec::new();
    for list in address_lists() {
        (list.item)(&mut addresses);
    }
    addresses
}

/// The neighbours that packets for other networks go through.
pub fn gateways() -> Vec<IpAddr> {
    let mut gateways = Vec::new();
    for list in gateway_lists() {
        (list.item)(&mut gateways);
    }
    gateways
}

/// The network card's address.
pub fn hardware_address() -> Option<[u8; 6]> {
    cards().iter().find_map(|card| (card.item)())
}

/// Adds with the carry brought around to the other end.
#[inline(always)]
fn add(total: u64, word: u64) -> u64 {
    let (sum, carried) = total.overflowing_add(word);
    sum + u64::from(carried)
}

/// An Internet checksum (RFC 1071) as it is added up. The order of bytes does not matter until the end (section 2, B), so that they are added as
/// they lie there.
#[derive(Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    /// Of the pseudo-header that TCP, UDP and ICMPv6 are checked with (RFC 9293, section 3.1; RFC 768; RFC 8200, section 8.1).
    pub fn pseudo(source: &IpAddr, destination: &IpAddr, protocol: u8, length: usize) -> Self {
        let Self(total) = Self::rest(protocol, length);
        let word = |address: Ipv4Addr| u64::from(u32::from_ne_bytes(address.octets()));
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Self(total + word(*source) + word(*destination)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Self(total).bytes(&source.octets()).bytes(&destination.octets())
            }
            _ => Self(0),
        }
    }

    /// Of an IPv4 header without options.
    #[inline]
    pub fn header(header: &[u8; 20]) -> Self {
        let (words, _) = header.as_chunks::<4>();
        Self(words.iter().map(|word| u64::from(u32::from_le_bytes(*word))).sum())
    }

    /// Of the pseudo-header without the addresses.
    pub fn rest(protocol: u8, length: usize) -> Self {
        Self(u64::from((length as u32).to_be()) + (u64::from(protocol) << 8))
    }

    /// With more bytes, behind an even number of them.
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut total = self.0;
        let (words, rest) = bytes.as_chunks::<8>();
        let (blocks, words) = words.as_chunks::<4>();
        for [a, b, c, d] in blocks {
            total = add(total, u64::from_le_bytes(*a));
            total = add(total, u64::from_le_bytes(*b));
            total = add(total, u64::from_le_bytes(*c));
            total = add(total, u64::from_le_bytes(*d));
        }
        for word in words {
            total = add(total, u64::from_le_bytes(*word));
        }
        let (half, rest) = match rest.split_first_chunk::<4>() {
            Some((half, rest)) => (u32::from_le_bytes(*half), rest),
            None => (0, rest),
        };
        let last = match *rest {
            [a, b, c] => u32::from(u16::from_le_bytes([a, b])) + (u32::from(c) << 16),
            [a, b] => u32::from(u16::from_le_bytes([a, b])),
            [a] => u32::from(a),
            _ => 0,
        };
        Self(add(total, u64::from(half) + u64::from(last)))
    }

    /// As it stands in a packet. Zero would say that there is none, where there may be none (RFC 768); for others both are the same.
    pub fn checksum(self) -> u16 {
        match !self.folded() {
            0 => 0xffff,
            sum => sum,
        }
    }

    /// Folded, but not inverted. Ones throughout: the checksum among the bytes is right.
    pub fn folded(self) -> u16 {
        let mut total = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        while total >> 16 != 0 {
            total = (total & 0xffff) + (total >> 16);
        }
        (total as u16).swap_bytes()
    }
}

/// The Internet checksum of some parts, each but the last of even length, folded but not inverted.
pub fn sum(parts: &[&[u8]]) -> u16 {
    parts.iter().fold(Sum::default(), |sum, part| sum.bytes(part)).folded()
}

/// The sum of the pseudo-header.
pub fn pseudo_sum(source: &IpAddr, destination: &IpAddr, protocol: u8, length: usize) -> u16 {
    Sum::pseudo(source, destination, protocol, length).folded()
}

/// Whether the card adds checksums to packets for somebody.
pub fn card_sums(destination: &IpAddr) -> bool {
    CARD_SUMS.load(Ordering::Relaxed) && !is_own(destination)
}

/// Sets a checksum, `at` bytes behind the IP header of `start` bytes; its place holds zeroes. `by_card`: the card adds it, so that it is not to be
/// read before.
pub fn seal(packet: &mut [u8], start: usize, at: usize, pseudo: Sum, by_card: bool) {
    let sum = if by_card {
        *UNSUMMED.borrow() = Some(Unsummed { start, at });
        pseudo.folded()
    } else {
        pseudo.bytes(&packet[start..]).checksum()
    };
    packet[start + at..start + at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Has a packet written, and says what is left to the card.
pub fn write(packet: &mut [u8], fill: Fill) -> Option<Unsummed> {
    fill(packet);
    UNSUMMED.borrow().take()
}

/// Has a packet written that a card does not see at once: with its checksum.
pub fn write_whole(packet: &mut [u8], fill: Fill) {
    if let Some(Unsummed { start, at }) = write(packet, fill) {
        let sum = Sum::default().bytes(&packet[start..]).checksum();
        packet[start + at..start + at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Sets the checksum of an IPv4 header without options, whose place holds zeroes.
pub fn seal_header(packet: &mut [u8]) {
    if let Some(header) = packet.first_chunk_mut::<20>() {
        let checksum = !Sum::header(header).folded();
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Writes an IP header into the start of a packet whose payload is of `payload` bytes; returns its length.
pub fn write_header(
    packet: &mut [u8],
    source: &IpAddr,
    destination: &IpAddr,
    protocol: u8,
    hops: u8,
    payload: usize,
) -> usize {
    match (source, destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet[..4].copy_from_slice(&[0x60, 0, 0, 0]);
            packet[4..6].copy_from_slice(&(payload as u16).to_be_bytes());
            packet[6..8].copy_from_slice(&[protocol, hops]);
            packet[8..24].copy_from_slice(&source.octets());
            packet[24..40].copy_from_slice(&destination.octets());
            40
        }
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = (20 + payload) as u16;
            packet[..20].fill(0);
            packet[0] = 0x45;
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            packet[6] = 0x40; // do not fragment
            packet[8..10].copy_from_slice(&[hops, protocol]);
            packet[12..16].copy_from_slice(&source.octets());
            packet[16..20].copy_from_slice(&destination.octets());
            seal_header(packet);
            20
        }
        _ => 0,
    }
}

/// Puts a type of service or traffic class into a header that [`write_header`] wrote.
pub fn write_class(packet: &mut [u8], class: u8) {
    if packet[0] >> 4 == 6 {
        packet[0] |= class >> 4;
        packet[1] |= class << 4;
    } else {
        packet[1] = class;
        packet[10..12].fill(0);
        seal_header(packet);
    }
}

/// The length of a header as [`write_header`] writes it.
pub fn header_length(destination: &IpAddr) -> usize {
    if destination.is_ipv4() { 20 } else { 40 }
}

/// Devices are there: protocols that speak first do so.
fn start(_: &StartInfo) {
    if LINKED.load(Ordering::Relaxed) {
        run();
    }
}

/// There is something to do at a time, zero being at once: the workers are called no later than the first [`run`] from then on.
pub fn at(deadline: u64) {
    if deadline < NEXT.load(Ordering::Relaxed) {
        NEXT.store(deadline, Ordering::Relaxed);
    }
}

/// A packet of this machine to itself is under way: it is delivered no later than at the end of the next [`run`].
pub fn local_packet() {
    LOCAL.store(true, Ordering::Relaxed);
}

/// Delivers what this machine sends to itself. False: there was nothing.
fn deliver_local() -> bool {
    if !LOCAL.load(Ordering::Relaxed) {
        return false;
    }
    LOCAL.store(false, Ordering::Relaxed);
    local_deliveries().iter().fold(false, |some, delivery| some | (delivery.item)())
}

/// Calls the workers if one of them is due. False: none is.
fn work() -> bool {
    let now = tsc::now();
    if NEXT.load(Ordering::Relaxed) > now {
        return false;
    }
    NEXT.store(NEVER, Ordering::Relaxed);
    at(workers().iter().map(|worker| (worker.item)(now)).min().unwrap_or(NEVER));
    true
}

/// Does what is due, and has what was sent leave.
pub fn run() {
    // What the work causes is seen by the round that is under way.
    if RUNNING.swap(true, Ordering::Relaxed) {
        return;
    }
    // Bounded, so that a program that talks to itself without end is not kept from running.
    // A packet to this machine itself is no reason to ask all workers.
    let rounds = (0..256).find(|_| !(deliver_local() | work()));
    if rounds.is_none() && LOCAL.load(Ordering::Relaxed) {
        at(0);
    }
    for flush in flushes() {
        (flush.item)();
    }
    set_alarm(NEXT.load(Ordering::Relaxed));
    RUNNING.store(false, Ordering::Relaxed);
}

/// Has [`run`] called at a time, or earlier.
fn set_alarm(deadline: u64) {
    if deadline >= ALARM.load(Ordering::Relaxed) {
        return;
    }
    let mut bell = BELL.borrow();
    let bell = bell.get_or_insert_with(|| Rc::new(Bell));
    let bell: Weak<dyn Expire> = Rc::downgrade(bell) as _;
    if ALARM.load(Ordering::Relaxed) != NEVER {
        timer::cancel(&bell);
    }
    // Without memory for an alarm the next packet or call does the work.
    let set = timer::call_at(deadline, bell).is_ok();
    ALARM.store(if set { deadline } else { NEVER }, Ordering::Relaxed);
}

/// What the timers call.
struct Bell;

impl Expire for Bell {
    fn expire(&self, _: u64) -> Option<u64> {
        ALARM.store(NEVER, Ordering::Relaxed);
        run();
        None
    }
}

/// Something may arrive at any time.
fn idle() -> Idle {
    if LINKED.load(Ordering::Relaxed) { Idle::Interrupt } else { Idle::Never }
}
