//! Waiting in several queues at once, with a time limit.

use super::thread;
use super::timer;
use super::wait::Queue;
use crate::errno::Result;
use crate::memory::user;

/// Waits for an event in any of the queues, at most until the deadline if there is one. A signal ends it with EINTR.
pub fn wait_in(queues: &[&Queue], deadline: Option<u64>) -> Result<()> {
    let this = thread::current();
    for queue in queues {
        queue.join(&this);
    }
    let result = timer::wait_interruptibly_until(deadline).map(drop);
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
    thread::with_mask(user::read(mask)?, call)
}
