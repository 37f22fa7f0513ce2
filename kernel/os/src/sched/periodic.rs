//! Timers as programs set them: a first time, then an interval, on any clock.

use super::timer::{self, Expire};
use crate::abi::clock::{self, timespec};
use crate::abi::syscall::duration;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use alloc::rc::Weak;
use core::cell::Cell;
use linux_raw_sys::general::__kernel_timespec;

/// The setting of one timer.
pub struct Periodic {
    clock: u32,
    /// When it is due on its clock; zero: not set.
    target: Cell<u64>,
    interval: Cell<u64>,
}

impl Periodic {
    /// A timer that is not set. EINVAL: no such clock.
    pub fn new(clock: u32) -> Result<Self> {
        clock::now(clock).ok_or(Errno::EINVAL)?;
        Ok(Self { clock, target: Cell::new(0), interval: Cell::new(0) })
    }

    fn now(&self) -> u64 {
        clock::now(self.clock).unwrap_or(0)
    }

    /// When to look, on the monotonic clock. Processor time passes at most as fast.
    fn deadline(&self) -> u64 {
        tsc::now().saturating_add(self.target.get().saturating_sub(self.now()))
    }

    /// Sets the timer for `owner`, or unsets it with a first time of zero. In nanoseconds.
    pub fn set(&self, owner: &Weak<dyn Expire>, first: u64, interval: u64, absolute: bool) -> Result<()> {
        timer::cancel(owner);
        self.interval.set(interval);
        let base = if absolute { 0 } else { self.now() };
        self.target.set(if first == 0 { 0 } else { base.saturating_add(first) });
        if first == 0 { Ok(()) } else { timer::call_at(self.deadline(), owner.clone()) }
    }

    /// As [`Periodic::set`], from a `struct itimerspec`.
    pub fn set_spec(
        &self,
        owner: &Weak<dyn Expire>,
        spec: &[__kernel_timespec; 2],
        absolute: bool,
    ) -> Result<()> {
        self.set(owner, duration(&spec[1])?, duration(&spec[0])?, absolute)
    }

    /// The interval, and how long until it is due; zero when it is not set.
    pub fn left(&self) -> (u64, u64) {
        let left = match self.target.get() {
            0 => 0,
            target => target.saturating_sub(self.now()).max(1),
        };
        (self.interval.get(), left)
    }

    /// As [`Periodic::left`], as a `struct itimerspec`.
    pub fn left_spec(&self) -> [__kernel_timespec; 2] {
        let (interval, left) = self.left();
        [timespec(interval), timespec(left)]
    }

    /// To be called when the time has come: how often it was due since, and when to look again.
    pub fn expire(&self) -> (u64, Option<u64>) {
        let (target, interval, now) = (self.target.get(), self.interval.get(), self.now());
        if target == 0 {
            return (0, None);
        }
        if now < target {
            return (0, Some(self.deadline()));
        }
        if interval == 0 {
            self.target.set(0);
            return (1, None);
        }
        let times = 1 + (now - target) / interval;
        self.target.set(target.saturating_add(times.saturating_mul(interval)));
        (times, Some(self.deadline()))
    }
}
