//! Internet checksums, and what of them is left to the card.

use super::{Fill, is_own};
use crate::cell::KernelCell;
use core::net::{IpAddr, Ipv4Addr};
use core::sync::atomic::{AtomicBool, Ordering};

/// What a card is to add to a packet: the checksum of the bytes from `start` on, `at` bytes behind there, where the pseudo-header's sum is.
#[derive(Clone, Copy)]
pub struct Unsummed {
    pub start: usize,
    pub at: usize,
}

/// What was left to the card in the packet that was written last.
static UNSUMMED: KernelCell<Option<Unsummed>> = KernelCell::new(None);

/// Whether the card adds checksums.
static CARD_SUMS: AtomicBool = AtomicBool::new(false);

/// The card adds checksums, or not.
pub(super) fn set_card_sums(adds: bool) {
    CARD_SUMS.store(adds, Ordering::Relaxed);
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
