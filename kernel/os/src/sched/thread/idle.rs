//! What the processor does while no thread can run.

use super::usage::{IDLE, charge};
use super::{SCHEDULER, Thread, current};
use crate::boot::{fault, poweroff};
use alloc::rc::Rc;
use core::sync::atomic::Ordering;
use x86_64::instructions::interrupts;

/// What can end an idle time, as far as a component knows; the greatest answer counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Idle {
    /// Nothing ever will.
    Never,
    /// An interrupt: the processor may halt.
    Interrupt,
    /// Something that raises no interrupt: the processor has to look again and again.
    Look,
}

// Called when no thread can run: does what is due, which may make a thread ready, and says what is to be waited for.
crate::hook!(fn idles() -> "idle": fn() -> Idle);

fn take() -> Option<Rc<Thread>> {
    SCHEDULER.borrow().ready.pop_front()
}

/// Does what is due, and waits for what comes next unless `is_done` then. False: nothing ever will come. The one place where the processor
/// halts.
fn pause(is_done: impl FnOnce() -> bool) -> bool {
    let wait = idles().iter().map(|idle| (idle.item)()).max().unwrap_or(Idle::Never);
    if is_done() {
        return true;
    }
    match wait {
        // What comes between the look and the halt ends the halt.
        Idle::Interrupt => interrupts::enable_and_hlt(),
        Idle::Look => {
            interrupts::enable();
            core::hint::spin_loop();
        }
        Idle::Never => return false,
    }
    interrupts::disable();
    true
}

/// Does what is due until `is_done`, or until nothing ever will come. For the end of the machine, when no thread runs any more.
pub fn wait_until(is_done: impl Fn() -> bool) {
    while !is_done() && pause(&is_done) {}
}

/// The thread whose turn it is, waited for if nobody is ready.
pub fn next_ready() -> Rc<Thread> {
    if let Some(next) = take() {
        return next;
    }
    charge(&current());
    IDLE.store(true, Ordering::Relaxed);
    loop {
        let comes = pause(|| !SCHEDULER.borrow().ready.is_empty());
        if let Some(next) = take() {
            charge(&next);
            IDLE.store(false, Ordering::Relaxed);
            return next;
        }
        if !comes {
            crate::println!("bespoke: every thread waits for ever");
            poweroff::power_off(fault::KERNEL_FAILED);
        }
    }
}
