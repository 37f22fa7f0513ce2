//! `timerfd_create(2)`.

use super::periodic::Periodic;
use super::timer::{self, Expire};
use super::wait::Queue;
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Access, File, Readiness, Stat};
use crate::memory::user;
use alloc::rc::{Rc, Weak};
use core::cell::Cell;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_timerfd_create => create,
    __NR_timerfd_settime => settime,
    __NR_timerfd_gettime => gettime,
});

struct Timer {
    setting: Periodic,
    /// How often it was due since the last read.
    times: Cell<u64>,
    queue: Queue,
    this: Weak<Timer>,
}

fn create(args: &Args) -> Result<u64> {
    let [clock, flags, ..] = args.0;
    let flags = flags as u32;
    let known = [CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM];
    if flags & !(TFD_CLOEXEC | TFD_NONBLOCK) != 0 || !known.contains(&(clock as u32)) {
        return Err(Errno::EINVAL);
    }
    let setting = Periodic::new(clock as u32)?;
    let timer = Rc::new_cyclic(|this| Timer {
        setting,
        times: Cell::new(0),
        queue: Queue::new(),
        this: this.clone(),
    });
    // The flags have the values of O_CLOEXEC and O_NONBLOCK.
    file::open(timer, flags | O_RDWR)
}

fn settime(args: &Args) -> Result<u64> {
    let [fd, flags, new, old, ..] = args.0;
    if flags as u32 & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let spec: [__kernel_timespec; 2] = user::read(new)?;
    let file = file::get(fd)?;
    let timer: &Timer = file.downcast().ok_or(Errno::EINVAL)?;
    let before = timer.setting.left_spec();
    timer.setting.set_spec(&timer.owner(), &spec, flags as u32 & TFD_TIMER_ABSTIME != 0)?;
    timer.times.set(0);
    if old != 0 {
        user::write(old, &before)?;
    }
    Ok(0)
}

fn gettime(args: &Args) -> Result<u64> {
    let file = file::get(args.0[0])?;
    let timer: &Timer = file.downcast().ok_or(Errno::EINVAL)?;
    user::write(args.0[1], &timer.setting.left_spec()).map(|()| 0)
}

impl Timer {
    fn owner(&self) -> Weak<dyn Expire> {
        self.this.clone()
    }
}

impl Drop for Timer {
    /// A closed timer leaves no alarm behind.
    fn drop(&mut self) {
        timer::cancel(&self.owner());
    }
}

impl Expire for Timer {
    fn expire(&self, _: u64) -> Option<u64> {
        let (times, again) = self.setting.expire();
        if times > 0 {
            self.times.set(self.times.get().saturating_add(times));
            self.queue.wake_all();
        }
        again
    }
}

impl File for Timer {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        if count < 8 {
            return Err(Errno::EINVAL);
        }
        while self.times.get() == 0 {
            if access.nonblocking {
                return Err(Errno::EAGAIN);
            }
            self.queue.wait()?;
        }
        user::write(to, &self.times.get())?;
        self.times.set(0);
        Ok(8)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn stat(&self) -> Stat {
        Stat { mode: 0o600, links: 1, ..Stat::default() }
    }

    fn readiness(&self) -> Readiness {
        if self.times.get() > 0 { Readiness::READ } else { Readiness::empty() }
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.queue)
    }
}
