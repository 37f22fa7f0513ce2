//! `setitimer(2)`, `getitimer(2)`, `alarm(2)`.

use super::periodic::Periodic;
use super::post::{self, Signal};
use super::thread;
use super::timer::Expire;
use crate::abi::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::memory::user;
use alloc::rc::{Rc, Weak};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_setitimer => setitimer,
    __NR_getitimer => getitimer,
    __NR_alarm => alarm,
});

const MICRO: u64 = 1000;
const SECOND: u64 = 1_000_000_000;

struct Timer {
    setting: Periodic,
    signal: u32,
}

/// By `ITIMER_*`; made when first asked for.
static TIMERS: KernelCell<[Option<Rc<Timer>>; 3]> = KernelCell::new([const { None }; 3]);

fn timer(which: u32) -> Result<Rc<Timer>> {
    let (clock, signal) = match which {
        ITIMER_REAL => (CLOCK_MONOTONIC, SIGALRM),
        ITIMER_VIRTUAL => (CLOCK_PROCESS_CPUTIME_ID, SIGVTALRM),
        ITIMER_PROF => (CLOCK_PROCESS_CPUTIME_ID, SIGPROF),
        _ => return Err(Errno::EINVAL),
    };
    let setting = Periodic::new(clock)?;
    let mut timers = TIMERS.borrow();
    Ok(timers[which as usize].get_or_insert_with(|| Rc::new(Timer { setting, signal })).clone())
}

impl Timer {
    fn set(self: &Rc<Self>, first: u64, interval: u64) -> Result<()> {
        let owner: Weak<Self> = Rc::downgrade(self);
        let owner: Weak<dyn Expire> = owner;
        self.setting.set(&owner, first, interval, false)
    }
}

impl Expire for Timer {
    fn expire(&self, _: u64) -> Option<u64> {
        let (times, again) = self.setting.expire();
        if times > 0 {
            // Time of the processor is used by the current thread: that one is asked first.
            let user = Some(thread::current()).filter(|thread| {
                self.signal != SIGALRM && thread.blocked_signals.get() & thread::bit(self.signal) == 0
            });
            let signal = Signal { number: self.signal, code: SI_KERNEL as i32, detail: [0; 3] };
            post::send(user.as_ref(), &signal);
        }
        again
    }
}

/// `struct itimerval`: interval and value, seconds and microseconds each.
type Value = [u64; 4];

fn left(timer: &Timer) -> Value {
    let (interval, left) = timer.setting.left();
    // A moment is not nothing.
    let left = left.next_multiple_of(MICRO);
    [interval / SECOND, interval % SECOND / MICRO, left / SECOND, left % SECOND / MICRO]
}

fn span(seconds: u64, micros: u64) -> Result<u64> {
    if micros >= 1_000_000 || (seconds as i64) < 0 {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.saturating_mul(SECOND).saturating_add(micros * MICRO))
}

fn setitimer(args: &Args) -> Result<u64> {
    let [which, new, old, ..] = args.0;
    let value: Value = if new == 0 { [0; 4] } else { user::read(new)? };
    let (interval, first) = (span(value[0], value[1])?, span(value[2], value[3])?);
    let timer = timer(which as u32)?;
    let before = left(&timer);
    timer.set(first, interval)?;
    if old != 0 {
        user::write(old, &before)?;
    }
    Ok(0)
}

fn getitimer(args: &Args) -> Result<u64> {
    let timer = timer(args.0[0] as u32)?;
    user::write(args.0[1], &left(&timer)).map(|()| 0)
}

/// Returns the seconds that were left, rounded, but not to zero.
fn alarm(args: &Args) -> Result<u64> {
    let timer = timer(ITIMER_REAL)?;
    let (_, left) = timer.setting.left();
    timer.set(u64::from(args.0[0] as u32) * SECOND, 0)?;
    Ok(if left == 0 { 0 } else { ((left + SECOND / 2) / SECOND).max(1) })
}
