//! Signals that the kernel itself sends: broken pipes, timers, exceptions. Without signals chosen they go nowhere.

use super::thread::{self, Thread};
use alloc::rc::Rc;

/// A signal and what its `siginfo_t` tells (`sigaction(2)`).
#[derive(Clone, Copy)]
pub struct Signal {
    pub number: u32,
    /// `si_code`.
    pub code: i32,
    /// The part of `siginfo_t` behind `si_code`: sender, value, address, timer.
    pub detail: [u64; 3],
}

// Takes a signal for a thread, or for the process.
crate::hook!(fn takers() -> "signal": fn(Option<&Rc<Thread>>, &Signal));

/// Sends a signal to a thread, or to the process.
pub fn send(thread: Option<&Rc<Thread>>, signal: &Signal) {
    for taker in takers() {
        (taker.item)(thread, signal);
    }
}

/// Sends a signal to the thread whose system call gave rise to it (SIGPIPE).
pub fn send_to_current(number: u32) {
    let signal = Signal { number, code: linux_raw_sys::general::SI_USER as i32, detail: [1, 0, 0] };
    send(Some(&thread::current()), &signal);
}

/// Sends a signal to the process from outside (the power button, the console).
pub fn send_to_process(number: u32) {
    send(None, &Signal { number, code: linux_raw_sys::general::SI_KERNEL as i32, detail: [0; 3] });
}
