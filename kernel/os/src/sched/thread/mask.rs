//! Which signals wait for a thread, and which it takes.

use super::{Thread, current};
use crate::errno::{Errno, Result};
use crate::sched::trap::raise_attention;
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

impl Thread {
    /// Whether a signal waits to be delivered.
    pub fn has_signal(&self) -> bool {
        self.signals() & !self.blocked_signals.get() != 0
    }

    /// Signals that this thread may take, blocked or not.
    pub fn signals(&self) -> u64 {
        self.pending_signals.get() | PROCESS_SIGNALS.load(Ordering::Relaxed)
    }

    /// Blocks these signals and no others, but for those that cannot be.
    pub fn set_mask(&self, mask: u64) {
        use linux_raw_sys::general::{SIGKILL, SIGSTOP};
        self.blocked_signals.set(mask & !(1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1)));
        if self.has_signal() {
            raise_attention();
        }
    }
}
