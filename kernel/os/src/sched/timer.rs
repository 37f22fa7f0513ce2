//! Points in time: threads that wait for one, and actions that are due at one.

use super::thread::{self, Idle, Thread};
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;

/// Something that happens at a point in time.
pub trait Expire {
    /// Its time has come. Returns when it comes again.
    fn expire(&self, now: u64) -> Option<u64>;
}

enum Action {
    Wake(Rc<Thread>),
    Call(Weak<dyn Expire>),
}

struct Alarm {
    deadline: u64,
    action: Action,
}

/// Alarms, the latest first.
static ALARMS: KernelCell<Vec<Alarm>> = KernelCell::new(Vec::new());

// Has an interrupt come no later than a point in time.
crate::hook!(fn armers() -> "arm": fn(u64));
crate::register!("idle": fn() -> Idle = { 10 => idle });
crate::register!("yield": fn() = { 10 => poll });
crate::register!("turn": fn() = { 10 => arm });
crate::register!("tick": fn() = { 10 => tick });

fn insert(deadline: u64, action: Action) -> Result<()> {
    let mut alarms = ALARMS.borrow();
    alarms.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    let at = alarms.partition_point(|alarm| alarm.deadline > deadline);
    alarms.insert(at, Alarm { deadline, action });
    Ok(())
}

/// Takes a thread's alarm back. False: it has gone off.
fn cancel_wake(tid: u32) -> bool {
    let mut alarms = ALARMS.borrow();
    let pending =
        alarms.iter().position(|alarm| matches!(&alarm.action, Action::Wake(thread) if thread.tid == tid));
    if let Some(index) = pending {
        alarms.remove(index);
    }
    pending.is_some()
}

/// Waits until woken or until `deadline` on the monotonic clock, whatever signals come. True: woken.
pub fn wait_until(deadline: u64) -> bool {
    let this = thread::current();
    if insert(deadline, Action::Wake(this.clone())).is_err() {
        return false;
    }
    thread::wait();
    cancel_wake(this.tid)
}

/// Waits until woken, until a signal comes (EINTR), or until the deadline if there is one. True: woken, or some other reason to look again.
pub fn wait_interruptibly_until(deadline: Option<u64>) -> Result<bool> {
    let Some(deadline) = deadline else { return thread::wait_interruptibly().map(|()| true) };
    let this = thread::current();
    insert(deadline, Action::Wake(this.clone()))?;
    let result = thread::wait_interruptibly();
    let early = cancel_wake(this.tid);
    result.map(|()| early)
}

/// Has something expire at a point in time, for as long as it lives.
pub fn call_at(deadline: u64, what: Weak<dyn Expire>) -> Result<()> {
    insert(deadline, Action::Call(what))?;
    // The caller goes on, so nobody but an interrupt will look at the clock.
    arm();
    Ok(())
}

/// Takes back what [`call_at`] asked for.
pub fn cancel(what: &Weak<dyn Expire>) {
    ALARMS
        .borrow()
        .retain(|alarm| !matches!(&alarm.action, Action::Call(other) if Weak::ptr_eq(other, what)));
}

/// Does what is due.
fn expire() {
    loop {
        let now = tsc::now();
        let due = {
            let mut alarms = ALARMS.borrow();
            match alarms.last() {
                Some(next) if next.deadline <= now => alarms.pop(),
                _ => None,
            }
        };
        let Some(due) = due else { return };
        match due.action {
            Action::Wake(thread) => {
                thread::wake(&thread);
            }
            Action::Call(what) => {
                let again = what.upgrade().and_then(|expiring| expiring.expire(now));
                if let Some(again) = again {
                    // There is room: an alarm has just gone.
                    let _ = insert(again, Action::Call(what));
                }
            }
        }
    }
}

fn idle() -> Idle {
    tick();
    match ALARMS.borrow().is_empty() {
        true => Idle::Never,
        false if armers().is_empty() => Idle::Look,
        false => Idle::Interrupt,
    }
}

/// Lets alarms go off although some thread is always ready.
fn poll() {
    expire();
}

/// Has an interrupt come for the next alarm, while a thread runs.
fn arm() {
    let next = ALARMS.borrow().last().map(|alarm| alarm.deadline);
    if let Some(next) = next {
        for armer in armers() {
            (armer.item)(next);
        }
    }
}

fn tick() {
    expire();
    arm();
}
