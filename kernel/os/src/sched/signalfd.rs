//! `signalfd(2)`.

use super::post::Signal;
use super::signal;
use super::thread;
use super::wait::Queue;
use crate::abi::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Access, File, Readiness, Stat};
use crate::list;
use crate::memory::user;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::Cell;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_signalfd => signalfd, __NR_signalfd4 => signalfd4 });
crate::register!("signal-pending": fn(u32) = { 10 => pending });

/// Bytes of `struct signalfd_siginfo`.
const SIZE: usize = 128;

/// Signals of a set, as a file.
struct Signals {
    set: Cell<u64>,
    queue: Queue,
}

/// All that are open.
static OPEN: KernelCell<Vec<Weak<Signals>>> = KernelCell::new(Vec::new());

fn pending(number: u32) {
    let open: Vec<_> = OPEN.borrow().iter().filter_map(Weak::upgrade).collect();
    for signals in open.iter().filter(|signals| signals.set.get() & 1 << (number - 1) != 0) {
        signals.queue.wake_all();
    }
}

fn create(fd: u64, mask: u64, size: u64, flags: u32) -> Result<u64> {
    // SFD_CLOEXEC and SFD_NONBLOCK have the same values.
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 || size != 8 {
        return Err(Errno::EINVAL);
    }
    let set = user::read::<u64>(mask)? & !(1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1));
    if fd as i32 != -1 {
        let file = file::get(fd)?;
        let signals: &Signals = file.downcast().ok_or(Errno::EINVAL)?;
        signals.set.set(set);
        // What waits may find something now.
        signals.queue.wake_all();
        return Ok(fd as u32 as u64);
    }
    let signals = Rc::new(Signals { set: Cell::new(set), queue: Queue::new() });
    {
        let mut open = OPEN.borrow();
        open.retain(|signals| signals.strong_count() > 0);
        list::push(&mut open, Rc::downgrade(&signals))?;
    }
    file::open(signals, flags | O_RDWR)
}

fn signalfd(args: &Args) -> Result<u64> {
    let [fd, mask, size, ..] = args.0;
    create(fd, mask, size, 0)
}

fn signalfd4(args: &Args) -> Result<u64> {
    let [fd, mask, size, flags, ..] = args.0;
    create(fd, mask, size, flags as u32)
}

/// `struct signalfd_siginfo`: number, errno, code, then by the kind of signal.
fn record(signal: &Signal) -> [u32; SIZE / 4] {
    let [sender, value, _] = signal.detail;
    let mut words = [0; SIZE / 4];
    words[0] = signal.number;
    words[2] = signal.code as u32;
    let mut set = |index: usize, value: u64| {
        words[index] = value as u32;
        words[index + 1] = (value >> 32) as u32;
    };
    if signal.code == SI_TIMER {
        // Timer and overruns, and the value that the timer was made with, as a number and as a pointer.
        set(6, u64::from(sender as u32));
        set(8, sender >> 32);
        set(11, u64::from(value as u32));
        set(12, value);
    } else if matches!(signal.number, SIGSEGV | SIGBUS | SIGILL | SIGFPE | SIGTRAP) && signal.code > 0 {
        // The address.
        set(18, sender);
    } else {
        // Process and user; and the value that came along.
        set(3, sender);
        set(11, u64::from(value as u32));
        set(12, value);
    }
    words
}

impl File for Signals {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        if count < SIZE {
            return Err(Errno::EINVAL);
        }
        let this = thread::current();
        let mut done = 0;
        while done + SIZE <= count {
            match signal::take(&this, self.set.get()) {
                Some(signal) => {
                    user::write(to + done as u64, &record(&signal))?;
                    done += SIZE;
                }
                None if done > 0 => break,
                None if access.nonblocking => return Err(Errno::EAGAIN),
                None => self.queue.wait()?,
            }
        }
        Ok(done)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn stat(&self) -> Stat {
        Stat { mode: 0o600, links: 1, ..Stat::default() }
    }

    fn readiness(&self) -> Readiness {
        let found = thread::current().signals() & self.set.get() != 0;
        if found { Readiness::READ } else { Readiness::empty() }
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.queue)
    }
}
