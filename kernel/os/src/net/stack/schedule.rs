//! When protocols do their work.
//!
//! Work is done where it arises: frames are processed in the interrupt that brings them, and what a call sends is on its way when the call
//! returns. Interrupts come while the program runs or while nobody does, so no part of the kernel is in the middle of anything.

use super::is_linked;
use crate::boot::pvh::StartInfo;
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::sched::thread::Idle;
use crate::sched::timer::{self, Expire};
use alloc::rc::{Rc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

// Has what was sent leave.
crate::hook!(fn flushes() -> "link-flush": fn());
// Does what is due at a time; answers when it wants to be called next, at once if not later than the time given. What comes up between
// two calls is told to `at`.
crate::hook!(fn workers() -> "network-work": fn(u64) -> u64);
// Delivers packets of this machine to itself. False: there were none.
crate::hook!(fn local_deliveries() -> "local-packets": fn() -> bool);

crate::register!("init": fn(&StartInfo) = { 80 => start });
crate::register!("after-interrupt": fn() = { 10 => run });
crate::register!("idle": fn() -> Idle = { 20 => idle });

/// No point in time.
pub const NEVER: u64 = u64::MAX;

static RUNNING: AtomicBool = AtomicBool::new(false);

/// Whether packets of this machine to itself are under way.
static LOCAL: AtomicBool = AtomicBool::new(false);

/// When there is something to do.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// When the timers will call; [`NEVER`]: they will not.
static ALARM: AtomicU64 = AtomicU64::new(NEVER);

static BELL: KernelCell<Option<Rc<Bell>>> = KernelCell::new(None);

/// Devices are there: protocols that speak first do so.
fn start(_: &StartInfo) {
    if is_linked() {
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
    if is_linked() { Idle::Interrupt } else { Idle::Never }
}
