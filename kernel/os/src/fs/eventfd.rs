//! `eventfd(2)`.

use super::file::{self, Access, File, Readiness, Stat};
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use core::cell::Cell;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_eventfd => eventfd, __NR_eventfd2 => eventfd2 });

const MOST: u64 = u64::MAX - 1;

struct Counter {
    value: Cell<u64>,
    semaphore: bool,
    queue: Queue,
}

fn create(value: u64, flags: u32) -> Result<u64> {
    if flags & !(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let semaphore = flags & EFD_SEMAPHORE != 0;
    let counter = Counter { value: Cell::new(u64::from(value as u32)), semaphore, queue: Queue::new() };
    // The other flags have the values of O_CLOEXEC and O_NONBLOCK.
    file::open(Rc::new(counter), flags & !EFD_SEMAPHORE | O_RDWR)
}

fn eventfd(args: &Args) -> Result<u64> {
    create(args.0[0], 0)
}

fn eventfd2(args: &Args) -> Result<u64> {
    create(args.0[0], args.0[1] as u32)
}

impl File for Counter {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        if count < 8 {
            return Err(Errno::EINVAL);
        }
        while self.value.get() == 0 {
            if access.nonblocking {
                return Err(Errno::EAGAIN);
            }
            self.queue.wait()?;
        }
        let value = if self.semaphore { 1 } else { self.value.get() };
        user::write(to, &value)?;
        self.value.set(self.value.get() - value);
        self.queue.wake_all();
        Ok(8)
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        if count < 8 {
            return Err(Errno::EINVAL);
        }
        let value: u64 = user::read(from)?;
        if value == u64::MAX {
            return Err(Errno::EINVAL);
        }
        while value > MOST - self.value.get() {
            if access.nonblocking {
                return Err(Errno::EAGAIN);
            }
            self.queue.wait()?;
        }
        self.value.set(self.value.get() + value);
        self.queue.wake_all();
        Ok(8)
    }

    fn stat(&self) -> Stat {
        Stat { mode: 0o600, links: 1, ..Stat::default() }
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READ, self.value.get() > 0);
        readiness.set(Readiness::WRITE, self.value.get() < MOST);
        readiness
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.queue)
    }
}
