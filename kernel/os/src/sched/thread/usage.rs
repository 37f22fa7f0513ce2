//! Processor time of threads.

use super::{SCHEDULER, Thread, current};
use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The cycle counter when the running thread's turn began, or when it was last looked at.
static TURN_BEGAN: AtomicU64 = AtomicU64::new(0);
/// Nobody runs: the processor waits on the stack of the last who did.
pub static IDLE: AtomicBool = AtomicBool::new(false);
/// Cycles of threads that have ended.
static PAST_CYCLES: AtomicU64 = AtomicU64::new(0);

/// Credits the running thread with the cycles since its turn began.
pub fn charge(thread: &Thread) {
    // SAFETY: every x86-64 processor has the counter.
    let now = unsafe { _rdtsc() };
    let since = TURN_BEGAN.swap(now, Ordering::Relaxed);
    if !IDLE.load(Ordering::Relaxed) {
        thread.cycles.set(thread.cycles.get() + now.saturating_sub(since));
    }
}

/// Cycles that the current thread has run.
pub fn own_cycles() -> u64 {
    cycles_of(&current())
}

/// Cycles that a thread has run.
pub fn cycles_of(thread: &Thread) -> u64 {
    charge(&current());
    thread.cycles.get()
}

/// Credits the running thread, and keeps its cycles when it ends.
pub fn charge_last(thread: &Thread) {
    charge(thread);
    PAST_CYCLES.fetch_add(thread.cycles.get(), Ordering::Relaxed);
}

/// Cycles that all threads have run.
pub fn all_cycles() -> u64 {
    charge(&current());
    let scheduler = SCHEDULER.borrow();
    let living: u64 = scheduler.all.iter().map(|thread| thread.cycles.get()).sum();
    living + PAST_CYCLES.load(Ordering::Relaxed)
}
