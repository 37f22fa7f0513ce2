//! Signals that the kernel itself sends: broken pipes, timers, exceptions, the keyboard. Without signals chosen they go nowhere, but for
//! those that somebody outside sends to end the program.

use super::thread::{self, Thread};
use crate::boot::poweroff::power_off;
use alloc::rc::Rc;
use linux_raw_sys::general::{SI_KERNEL, SI_USER, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

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
    let signal = Signal { number, code: SI_USER as i32, detail: [1, 0, 0] };
    send(Some(&thread::current()), &signal);
}

/// Sends a signal to the process from outside (the console, the runner).
pub fn send_to_process(number: u32) {
    if takers().is_empty() && matches!(number, SIGHUP | SIGINT | SIGQUIT | SIGTERM) {
        // Nothing can stand in the way of what such a signal does.
        power_off(128 + number as u8);
    }
    send(None, &Signal { number, code: SI_KERNEL as i32, detail: [0; 3] });
}
