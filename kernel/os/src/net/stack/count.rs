//! What goes by, counted.

use core::sync::atomic::{AtomicU64, Ordering};

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
