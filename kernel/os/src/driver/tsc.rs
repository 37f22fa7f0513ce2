//! The time-stamp counter as a monotonic clock.

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc};
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::instructions::port::Port;

crate::register!("uptime": fn() -> u64 = { 10 => now });

/// Nanoseconds per cycle as a fixed-point fraction of 2^32; zero until the first question.
static SCALE: AtomicU64 = AtomicU64::new(0);
/// Counter at the first instruction that asked; time runs from there.
static ORIGIN: AtomicU64 = AtomicU64::new(0);

// Told when the clock's rate, or what the time of day is ahead of it, has become known.
crate::hook!(fn followers() -> "clock-ready": fn());

/// Tells those who keep a copy of what is known of the clock.
pub fn tell_followers() {
    for follower in followers() {
        (follower.item)();
    }
}

/// Nanoseconds per cycle (a fixed-point fraction of 2^32, zero while nobody has asked for the time), and the counter at time zero.
pub fn rate() -> (u64, u64) {
    (SCALE.load(Ordering::Relaxed), ORIGIN.load(Ordering::Relaxed))
}

/// Cycles in nanoseconds.
pub fn nanoseconds(cycles: u64) -> u64 {
    if SCALE.load(Ordering::Relaxed) == 0 {
        now();
    }
    ((u128::from(cycles) * u128::from(SCALE.load(Ordering::Relaxed))) >> 32) as u64
}

fn read() -> u64 {
    // SAFETY: every x86-64 processor has the counter.
    unsafe { _rdtsc() }
}

/// Nanoseconds since the first question for the time. Never goes back.
pub fn now() -> u64 {
    let mut scale = SCALE.load(Ordering::Relaxed);
    if scale == 0 {
        let hertz = frequency();
        scale = ((1_000_000_000u128 << 32) / u128::from(hertz)) as u64;
        ORIGIN.store(read(), Ordering::Relaxed);
        SCALE.store(scale, Ordering::Relaxed);
        tell_followers();
    }
    let cycles = read().wrapping_sub(ORIGIN.load(Ordering::Relaxed));
    ((u128::from(cycles) * u128::from(scale)) >> 32) as u64
}

/// Cycles per second.
fn frequency() -> u64 {
    // Leaf 0x4000_0010 (VMware's, taken up by KVM and others): kHz in eax.
    if __cpuid(1).ecx & 1 << 31 != 0 && (0x4000_0010..0x4000_0100).contains(&__cpuid(0x4000_0000).eax) {
        let khz = __cpuid(0x4000_0010).eax;
        if khz != 0 {
            return u64::from(khz) * 1000;
        }
    }
    // Leaf 0x15: crystal frequency and ratio (Intel SDM, vol. 2A).
    if __cpuid(0).eax >= 0x15 {
        let ratio = __cpuid_count(0x15, 0);
        if ratio.eax != 0 && ratio.ebx != 0 && ratio.ecx != 0 {
            return u64::from(ratio.ecx) * u64::from(ratio.ebx) / u64::from(ratio.eax);
        }
    }
    measure()
}

/// Counts cycles against channel 0 of the 8254 timer chip (1.193182 MHz). Its interrupt is masked, and its count can be read as it runs;
/// channel 2 would need the speaker's gate, which small machines lack.
fn measure() -> u64 {
    const PIT_HZ: u64 = 1_193_182;
    /// About 5 ms: an error of one tick is 0.02 %.
    const TICKS: u64 = 5966;
    let (mut command, mut channel) = (Port::<u8>::new(0x43), Port::<u8>::new(0x40));
    let mut count = || {
        // SAFETY: latches and reads the timer chip's channel 0, which belongs to this driver.
        unsafe {
            command.write(0x00);
            u16::from_le_bytes([channel.read(), channel.read()])
        }
    };
    // SAFETY: as above; channel 0, low and high byte, mode 0: it counts down from here.
    unsafe {
        Port::<u8>::new(0x43).write(0x30);
        Port::<u8>::new(0x40).write(0xff);
        Port::<u8>::new(0x40).write(0xff);
    }
    // The first reading may come before the count is loaded.
    count();
    let passed = |first: u32, now: u32| u64::from((first as u16).wrapping_sub(now as u16));
    let measured = compare(|| u32::from(count()), passed, |ticks, _| ticks >= TICKS);
    if let Some((ticks, cycles)) = measured {
        return cycles * PIT_HZ / ticks;
    }
    // No timer chip: a guess keeps the machine going.
    1_000_000_000
}

/// Counts cycles against another counter until `enough` says so of both: how far the other went, as `passed` tells of two readings, and
/// the cycles meanwhile. `None`: the other stands still.
///
/// A host that does not let the machine run for a while comes between the readings of the two, or lets the other counter wrap. Such a
/// measurement is thrown away for one that was less disturbed.
pub fn compare(
    mut count: impl FnMut() -> u32,
    passed: impl Fn(u32, u32) -> u64,
    enough: impl Fn(u64, u64) -> bool,
) -> Option<(u64, u64)> {
    /// Readings before the other counter is taken to be missing.
    const PATIENCE: u32 = 1_000_000;
    const ATTEMPTS: u32 = 20;
    /// Of the whole time, what may go by between two readings; or so many times the usual, where every reading is slow.
    const SHARE: u64 = 64;
    const TIMES: u64 = 3;
    let mut best: Option<(u64, u64)> = None;
    let mut least = u64::MAX;
    for _ in 0..ATTEMPTS {
        let (first, start) = (count(), read());
        let (mut last, mut step) = (start, 0);
        let mut done = None;
        for readings in 1..PATIENCE {
            let (now, end) = (count(), read());
            step = step.max(end - last);
            last = end;
            let (ticks, cycles) = (passed(first, now), end - start);
            if ticks > 0 && enough(ticks, cycles) {
                done = Some((ticks, cycles, cycles / u64::from(readings)));
                break;
            }
        }
        let (ticks, cycles, usual) = done?;
        if step < least {
            (best, least) = (Some((ticks, cycles)), step);
        }
        if step <= (cycles / SHARE).max(usual * TIMES) {
            break;
        }
    }
    best
}
