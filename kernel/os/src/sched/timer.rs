//! Waiting until a point in time.

use super::thread::{self, Thread};
use crate::cell::KernelCell;
use crate::driver::tsc;
use alloc::rc::Rc;
use alloc::vec::Vec;

struct Alarm {
    deadline: u64,
    thread: Rc<Thread>,
}

/// Alarms, the latest first.
static ALARMS: KernelCell<Vec<Alarm>> = KernelCell::new(Vec::new());

// Sleeps until an interrupt, at most this many nanoseconds.
crate::hook!(fn sleepers() -> "sleep": fn(u64));
crate::register!("idle": fn() -> bool = { 10 => idle });
crate::register!("yield": fn() = { 10 => poll });

/// Waits until woken or until `deadline` on the monotonic clock. True: woken.
pub fn wait_until(deadline: u64) -> bool {
    let this = thread::current();
    let tid = this.tid;
    {
        let mut alarms = ALARMS.borrow();
        let at = alarms.partition_point(|alarm| alarm.deadline > deadline);
        alarms.insert(at, Alarm { deadline, thread: this });
    }
    thread::wait();
    let mut alarms = ALARMS.borrow();
    let pending = alarms.iter().position(|alarm| alarm.thread.tid == tid);
    if let Some(index) = pending {
        alarms.remove(index);
    }
    pending.is_some()
}

/// Wakes those whose time has come; how long until the next one, if any.
fn expire() -> Option<u64> {
    loop {
        let now = tsc::now();
        let due = {
            let mut alarms = ALARMS.borrow();
            match alarms.last()?.deadline.checked_sub(now) {
                Some(left) if left > 0 => return Some(left),
                _ => alarms.pop()?,
            }
        };
        thread::wake(&due.thread);
    }
}

fn idle() -> bool {
    let Some(left) = expire() else { return false };
    match sleepers().first() {
        Some(sleeper) => (sleeper.item)(left),
        None => core::hint::spin_loop(),
    }
    expire();
    true
}

/// Lets alarms go off although some thread is always ready.
fn poll() {
    expire();
}
