//! Waiting in several queues at once, with a time limit.

use super::thread;
use super::timer;
use super::wait::Queue;
use crate::errno::{Errno, Result};
use crate::memory::user;

/// Waits for an event in any of the queues, at most until the deadline if there is one. A signal ends it with EINTR.
pub fn wait_in(queues: &[&Queue], deadline: Option<u64>) -> Result<()> {
    let this = thread::current();
    for queue in queues {
        queue.join(&this);
    }
    let result = match deadline {
        None => thread::wait_interruptibly(),
        Some(deadline) => {
            timer::wait_until(deadline);
            if this.has_signal() { Err(Errno::EINTR) } else { Ok(()) }
        }
    };
    for queue in queues {
        queue.leave(&this);
    }
    result
}

/// Makes a call under the signal mask at an address of the program, if there is one.
pub fn with_user_mask(mask: u64, call: impl FnOnce() -> Result<u64>) -> Result<u64> {
    if mask == 0 {
        return call();
    }
    let mask: u64 = user::read(mask)?;
    let this = thread::current();
    let before = this.blocked_signals.replace(mask);
    let result = call();
    this.blocked_signals.set(before);
    result
}
