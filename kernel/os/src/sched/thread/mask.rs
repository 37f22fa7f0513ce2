//! Which signals wait for a thread, and which it takes.

use super::{Thread, any, current, interrupt, wake};
use crate::errno::{Errno, Result};
use crate::sched::trap::raise_attention;
use alloc::rc::Rc;
use core::sync::atomic::{AtomicU64, Ordering};

/// Signals sent to the process, not delivered yet.
pub static PROCESS_SIGNALS: AtomicU64 = AtomicU64::new(0);

/// Runs a call that waits with another signal mask. When a signal ends it, that mask stays until the signal is delivered.
pub fn with_mask(mask: u64, call: impl FnOnce() -> Result<u64>) -> Result<u64> {
    let this = current();
    let before = this.blocked_signals.get();
    this.set_mask(mask);
    let result = call();
    if matches!(result, Err(Errno::EINTR)) {
        this.saved_mask.set(Some(before));
        raise_attention();
    } else {
        this.set_mask(before);
    }
    result
}

/// A signal in a set of them.
pub fn bit(number: u32) -> u64 {
    1 << (number - 1)
}

/// The thread to handle a signal of the process: the oldest that waits for it or does not block it, as on Linux the first thread is asked
/// before all others. Programs rely on that: it is their main thread's wait that a signal ends.
pub fn taker(number: u32) -> Option<Rc<Thread>> {
    let mut found = None;
    any(|thread| {
        if thread.takes() & bit(number) != 0 {
            found = Some(thread.clone());
        }
        found.is_some()
    });
    found
}

/// Has a thread look at a signal that is pending for it.
pub fn notify(thread: &Rc<Thread>, number: u32) {
    if thread.awaited_signals.get() & bit(number) != 0 {
        wake(thread);
    } else if thread.blocked_signals.get() & bit(number) == 0 {
        interrupt(thread);
        // For another thread it is raised when its turn comes.
        raise_attention();
    }
}

/// Has a thread take a signal of the process.
pub fn notify_of_shared(thread: &Rc<Thread>, number: u32) {
    thread.shared_signals.set(thread.shared_signals.get() | bit(number));
    notify(thread, number);
}

impl Thread {
    /// Whether a signal waits to be delivered.
    pub fn has_signal(&self) -> bool {
        self.deliverable() != 0
    }

    /// Signals that are for this thread to handle now: its own, and those of the process that it was told of.
    pub fn deliverable(&self) -> u64 {
        (self.pending_signals.get() | self.shared_signals.get()) & !self.blocked_signals.get()
    }

    /// Signals that it handles or waits for.
    fn takes(&self) -> u64 {
        !self.blocked_signals.get() | self.awaited_signals.get()
    }

    /// Signals that this thread may take, blocked or not.
    pub fn signals(&self) -> u64 {
        self.pending_signals.get() | PROCESS_SIGNALS.load(Ordering::Relaxed)
    }

    /// Blocks these signals and no others, but for those that cannot be. What the thread may no longer take of the process' signals, others
    /// are told of.
    pub fn set_mask(&self, mask: u64) {
        use linux_raw_sys::general::{SIGKILL, SIGSTOP};
        let mask = mask & !(1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1));
        let before = self.blocked_signals.replace(mask);
        // As on Linux, a thread that changes its mask looks at all that waits for the process.
        let shared = PROCESS_SIGNALS.load(Ordering::Relaxed);
        self.shared_signals.set(self.shared_signals.get() | shared & !mask);
        if self.has_signal() {
            raise_attention();
        }
        let mut left = shared & mask & !before;
        while left != 0 {
            let number = left.trailing_zeros() + 1;
            left &= left - 1;
            if let Some(taker) = taker(number) {
                notify_of_shared(&taker, number);
            }
        }
    }
}
