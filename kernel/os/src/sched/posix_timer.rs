//! `timer_create(2)` and its kin.

use super::periodic::Periodic;
use super::post::{self, Signal};
use super::thread::{self, Thread};
use super::timer::{self, Expire};
use crate::abi::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::memory::user;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::Cell;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_timer_create => create,
    __NR_timer_settime => settime,
    __NR_timer_gettime => gettime,
    __NR_timer_getoverrun => getoverrun,
    __NR_timer_delete => delete,
});

/// Most timers of a process.
const LIMIT: usize = 1024;

struct Timer {
    setting: Periodic,
    id: u32,
    /// None: no signal.
    signal: Option<u32>,
    value: u64,
    /// The thread to tell; none for the process.
    thread: Option<Weak<Thread>>,
    overrun: Cell<u32>,
}

static TIMERS: KernelCell<Vec<Option<Rc<Timer>>>> = KernelCell::new(Vec::new());

/// The start of `struct sigevent`: value, signal and way of telling, thread.
type Event = [u64; 3];

fn create(args: &Args) -> Result<u64> {
    let [clock, event, to, ..] = args.0;
    let mut timers = TIMERS.borrow();
    let id = timers.iter().position(Option::is_none).unwrap_or(timers.len());
    if id >= LIMIT {
        return Err(Errno::EAGAIN);
    }
    drop(timers);
    let mut timer = Timer {
        setting: Periodic::new(clock as u32)?,
        id: id as u32,
        signal: Some(SIGALRM),
        value: id as u64,
        thread: None,
        overrun: Cell::new(0),
    };
    if event != 0 {
        let [value, how, thread]: Event = user::read(event)?;
        let (signal, how) = (how as u32, (how >> 32) as u32);
        timer.value = value;
        timer.signal = match how {
            SIGEV_NONE => None,
            SIGEV_SIGNAL | SIGEV_THREAD_ID if (1..=64).contains(&signal) => Some(signal),
            _ => return Err(Errno::EINVAL),
        };
        if how == SIGEV_THREAD_ID {
            let thread = thread::find(thread as u32).ok_or(Errno::EINVAL)?;
            timer.thread = Some(Rc::downgrade(&thread));
        }
    }
    user::write(to, &(id as u32))?;
    timers = TIMERS.borrow();
    if id == timers.len() {
        timers.try_reserve(1).map_err(|_| Errno::EAGAIN)?;
        timers.push(None);
    }
    timers[id] = Some(Rc::new(timer));
    Ok(0)
}

fn get(id: u64) -> Result<Rc<Timer>> {
    let timers = TIMERS.borrow();
    timers.get(id as u32 as usize).cloned().flatten().ok_or(Errno::EINVAL)
}

fn owner(timer: &Rc<Timer>) -> Weak<dyn Expire> {
    let owner: Weak<Timer> = Rc::downgrade(timer);
    owner
}

impl Expire for Timer {
    fn expire(&self, _: u64) -> Option<u64> {
        let (times, again) = self.setting.expire();
        if let Some(number) = self.signal.filter(|_| times > 0) {
            let overrun = u32::try_from(times - 1).unwrap_or(i32::MAX as u32);
            self.overrun.set(overrun);
            let detail = [u64::from(self.id) | u64::from(overrun) << 32, self.value, 0];
            let signal = Signal { number, code: SI_TIMER, detail };
            match &self.thread {
                None => post::send(None, &signal),
                Some(thread) => {
                    if let Some(thread) = thread.upgrade() {
                        post::send(Some(&thread), &signal);
                    }
                }
            }
        }
        again
    }
}

fn settime(args: &Args) -> Result<u64> {
    let [id, flags, new, old, ..] = args.0;
    let timer = get(id)?;
    let spec: [__kernel_timespec; 2] = user::read(new)?;
    let before = timer.setting.left_spec();
    timer.setting.set_spec(&owner(&timer), &spec, flags as u32 & TIMER_ABSTIME != 0)?;
    timer.overrun.set(0);
    if old != 0 {
        user::write(old, &before)?;
    }
    Ok(0)
}

fn gettime(args: &Args) -> Result<u64> {
    let timer = get(args.0[0])?;
    user::write(args.0[1], &timer.setting.left_spec()).map(|()| 0)
}

fn getoverrun(args: &Args) -> Result<u64> {
    Ok(u64::from(get(args.0[0])?.overrun.get()))
}

fn delete(args: &Args) -> Result<u64> {
    let timer = get(args.0[0])?;
    timer::cancel(&owner(&timer));
    TIMERS.borrow()[timer.id as usize] = None;
    Ok(0)
}
