//! The local APIC's timer (Intel SDM vol. 3A, chapter 12), in one-shot mode. Set up at the first use.

use crate::driver::tsc;
use crate::memory::paging;
use crate::sched::trap::FIRST_INTERRUPT;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::registers::model_specific::Msr;

const VECTOR: u64 = FIRST_INTERRUPT;
const SPURIOUS: u64 = FIRST_INTERRUPT + 15;

crate::register!("arm": fn(u64) = { 10 => arm });
crate::register!("interrupt": fn() = { VECTOR => expired });

// Called when the timer's interrupt has come.
crate::hook!(fn ticks() -> "tick": fn());

/// When the next interrupt comes, at the latest; zero: none is set.
static ARMED: AtomicU64 = AtomicU64::new(0);
/// Where the registers are mapped; zero before the first use.
static BASE: AtomicU64 = AtomicU64::new(0);
/// Timer ticks per nanosecond as a fixed-point fraction of 2^32.
static SCALE: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy)]
#[repr(u64)]
enum Register {
    EndOfInterrupt = 0xb0,
    Spurious = 0xf0,
    Timer = 0x320,
    InitialCount = 0x380,
    CurrentCount = 0x390,
    Divide = 0x3e0,
}

fn write(register: Register, value: u32) {
    // SAFETY: a register of the local APIC, mapped by `set_up`.
    unsafe { ((BASE.load(Ordering::Relaxed) + register as u64) as *mut u32).write_volatile(value) }
}

fn read(register: Register) -> u32 {
    // SAFETY: as above.
    unsafe { ((BASE.load(Ordering::Relaxed) + register as u64) as *const u32).read_volatile() }
}

fn set_up() {
    const APIC_BASE: u32 = 0x1b;
    const DIVIDE_BY_16: u32 = 0b0011;
    /// Nanoseconds.
    const CALIBRATION: u64 = 1_000_000;
    // SAFETY: every x86-64 processor has the register.
    let base = unsafe { Msr::new(APIC_BASE).read() } & 0x000f_ffff_ffff_f000;
    BASE.store(
        paging::map_device(base & !(paging::HUGE_PAGE - 1)) + base % paging::HUGE_PAGE,
        Ordering::Relaxed,
    );
    write(Register::Spurious, 1 << 8 | SPURIOUS as u32);
    write(Register::Divide, DIVIDE_BY_16);
    write(Register::Timer, 1 << 16 | VECTOR as u32);
    write(Register::InitialCount, u32::MAX);
    let passed = |first: u32, now: u32| u64::from(first.wrapping_sub(now));
    let enough = |_, cycles| tsc::nanoseconds(cycles) >= CALIBRATION;
    // A counter that stands still has every interrupt come at once: late is worse.
    let (ticks, cycles) = tsc::compare(|| read(Register::CurrentCount), passed, enough).unwrap_or((0, 1));
    SCALE.store((ticks << 32) / tsc::nanoseconds(cycles).max(1), Ordering::Relaxed);
    write(Register::Timer, VECTOR as u32);
}

/// Counts down: at most as long as the counter can, which the "tick" hook's takers then make up for.
fn start(nanoseconds: u64) {
    let ticks = (u128::from(nanoseconds) * u128::from(SCALE.load(Ordering::Relaxed))) >> 32;
    write(Register::InitialCount, u32::try_from(ticks).unwrap_or(u32::MAX).max(1));
}

/// Has an interrupt come no later than a point in time. It may come earlier.
pub fn arm(deadline: u64) {
    let armed = ARMED.load(Ordering::Relaxed);
    if armed != 0 && armed <= deadline {
        return;
    }
    if BASE.load(Ordering::Relaxed) == 0 {
        set_up();
    }
    ARMED.store(deadline.max(1), Ordering::Relaxed);
    start(deadline.saturating_sub(tsc::now()));
}

fn expired() {
    write(Register::EndOfInterrupt, 0);
    ARMED.store(0, Ordering::Relaxed);
    for tick in ticks() {
        (tick.item)();
    }
}
