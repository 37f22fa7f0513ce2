//! Packets in parts (RFC 791, section 3.2; RFC 8200, section 4.5).
//!
//! What is kept for packets that may never be whole is bounded in bytes, in number and in time. Parts that overlap are an attack or a
//! fault: the whole packet is dropped with them (RFC 5722).

mod cut;

use super::stack::{self, NEVER, Origin};
use crate::cell::KernelCell;
use crate::driver::tsc;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

crate::param! {
    static MEMORY: u64 = "memory"
}

crate::register!("ip-fragment": fn(&[u8], usize, usize, bool) = { 4 => receive_4, 6 => receive_6 });
crate::register!("network-work": fn(u64) -> u64 = { 37 => expire });

/// How long the missing parts of a packet are waited for (`net.ipv4.ipfrag_time`; RFC 8200 says 60 for both ends together).
const PATIENCE: u64 = 30_000_000_000;
/// What a part costs beyond its bytes.
const OVERHEAD: usize = 64;
/// Parts of a packet: the largest one in pieces of the smallest MTU are fewer.
const PARTS: usize = 128;
/// The largest packet, with its header.
const LARGEST_4: usize = 65_535;
const LARGEST_6: usize = 40 + 65_535;

/// A packet of which parts are there.
struct Packet {
    /// Whose it is: version, addresses, protocol, identification, as bytes of the header.
    key: Vec<u8>,
    /// The header before what is put together.
    head: Vec<u8>,
    /// Bytes and where they belong, in order.
    parts: Vec<(usize, Vec<u8>)>,
    /// Where it ends, once the last part is there.
    end: Option<usize>,
    until: u64,
    local: bool,
    /// Parts overlapped: all that comes is dropped.
    spoilt: bool,
}

impl Packet {
    fn cost(&self) -> usize {
        self.parts.iter().map(|(_, bytes)| bytes.len() + OVERHEAD).sum::<usize>() + 4 * OVERHEAD
    }

    fn spoil(&mut self) {
        self.spoilt = true;
        self.parts = Vec::new();
    }

    /// Keeps a part. `None`: there is no memory.
    fn keep(&mut self, offset: usize, more: bool, bytes: &[u8]) -> Option<()> {
        let end = offset + bytes.len();
        let index = self.parts.partition_point(|(start, _)| *start < offset);
        // The very same once more is the wire's doing.
        if self.parts.get(index).is_some_and(|(start, known)| *start == offset && known == bytes) {
            return Some(());
        }
        let overlaps_before = index > 0 && self.parts[index - 1].0 + self.parts[index - 1].1.len() > offset;
        let overlaps_after = self.parts.get(index).is_some_and(|(start, _)| *start < end);
        let beyond = self.end.is_some_and(|known| end > known || !more && end != known);
        let last_is_not = !more && self.parts.last().is_some_and(|(start, known)| start + known.len() > end);
        if overlaps_before || overlaps_after || beyond || last_is_not || self.parts.len() >= PARTS {
            self.spoil();
            return Some(());
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).ok()?;
        copy.extend_from_slice(bytes);
        self.parts.try_reserve(1).ok()?;
        self.parts.insert(index, (offset, copy));
        if !more {
            self.end = Some(end);
        }
        Some(())
    }

    /// All of it, if nothing is missing.
    fn whole(&self) -> Option<Vec<u8>> {
        let end = self.end?;
        if self.parts.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() != end {
            return None;
        }
        let mut packet = Vec::new();
        packet.try_reserve_exact(self.head.len() + end).ok()?;
        packet.extend_from_slice(&self.head);
        for (_, bytes) in &self.parts {
            packet.extend_from_slice(bytes);
        }
        Some(packet)
    }
}

/// Packets of which parts are there, the oldest first.
static PACKETS: KernelCell<VecDeque<Packet>> = KernelCell::new(VecDeque::new());

/// A part arrived. `head` is the header of the packet that it is part of, as far as this part tells.
fn receive(
    key: Vec<u8>,
    head: Vec<u8>,
    offset: usize,
    more: bool,
    bytes: &[u8],
    local: bool,
) -> Option<Vec<u8>> {
    // All but the last are of a multiple of eight bytes, and none is empty.
    let largest = if key[0] == 4 { LARGEST_4 } else { LARGEST_6 };
    if bytes.is_empty()
        || more && !bytes.len().is_multiple_of(8)
        || head.len() + offset + bytes.len() > largest
    {
        return None;
    }
    let mut packets = PACKETS.borrow();
    let known = packets.iter().position(|packet| packet.key == key && packet.local == local);
    let index = match known {
        Some(index) => index,
        None => {
            make_room(&mut packets, bytes.len() + 5 * OVERHEAD);
            packets.try_reserve(1).ok()?;
            let until = tsc::now() + PATIENCE;
            stack::at(until);
            let (parts, end) = (Vec::new(), None);
            packets.push_back(Packet { key, head: Vec::new(), parts, end, until, local, spoilt: false });
            packets.len() - 1
        }
    };
    let packet = &mut packets[index];
    if packet.spoilt {
        return None;
    }
    packet.keep(offset, more, bytes)?;
    // The first part's header is the packet's.
    if offset == 0 && !packet.spoilt {
        packet.head = head;
    }
    if !packet.head.is_empty()
        && let Some(whole) = packet.whole()
    {
        packets.remove(index);
        return Some(whole);
    }
    if known.is_some() {
        make_room(&mut packets, 0);
    }
    None
}

/// Gives up the oldest packets until there is room for so many bytes.
fn make_room(packets: &mut VecDeque<Packet>, bytes: usize) {
    let mut cost = packets.iter().map(Packet::cost).sum::<usize>() + bytes;
    while cost > MEMORY.get() as usize {
        let Some(oldest) = packets.pop_front() else { break };
        cost -= oldest.cost();
    }
}

fn expire(now: u64) -> u64 {
    let mut packets = PACKETS.borrow();
    while packets.front().is_some_and(|packet| packet.until <= now) {
        packets.pop_front();
    }
    if packets.is_empty() {
        *packets = VecDeque::new();
    }
    packets.front().map_or(NEVER, |packet| packet.until)
}

fn receive_4(packet: &[u8], header: usize, _: usize, local: bool) {
    let (Some(head), Some(bytes)) = (packet.get(..header), packet.get(header..)) else { return };
    let field = u16::from_be_bytes([head[6], head[7]]);
    let (offset, more) = (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0);
    let key = [&[4, head[9]], &head[4..6], &head[12..20]].concat();
    let Some(mut whole) = receive(key, head.to_vec(), offset, more, bytes, local) else { return };
    let header = usize::from(whole[0] & 0xf) * 4;
    let length = whole.len() as u16;
    whole[2..4].copy_from_slice(&length.to_be_bytes());
    whole[6..8].fill(0);
    whole[10..12].fill(0);
    let checksum = !stack::sum(&[&whole[..header]]);
    whole[10..12].copy_from_slice(&checksum.to_be_bytes());
    stack::input(&whole, if local { Origin::Local } else { Origin::Wire });
}

fn receive_6(packet: &[u8], at: usize, next_at: usize, local: bool) {
    const HEADER: usize = 40;
    let (Some(header), Some(bytes)) = (packet.get(at..at + 8), packet.get(at + 8..)) else { return };
    let field = u16::from_be_bytes([header[2], header[3]]);
    let (offset, more) = (usize::from(field & 0xfff8), field & 1 != 0);
    let mut head = packet[..at].to_vec();
    head[next_at] = header[0];
    let key = [&[6, 0], &header[4..8], &packet[8..40]].concat();
    let Some(mut whole) = receive(key, head, offset, more, bytes, local) else { return };
    let length = (whole.len() - HEADER) as u16;
    whole[4..6].copy_from_slice(&length.to_be_bytes());
    stack::input(&whole, if local { Origin::Local } else { Origin::Wire });
}
