//! `futex(2)`: waiting on a word of the program's memory.

use super::thread::{self, Thread};
use super::timer;
use crate::abi::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::memory::user;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_futex => futex });
crate::register!("thread-exit": fn(&Thread) = { 10 => exited });

struct Waiter {
    address: u64,
    bits: u32,
    thread: Rc<Thread>,
}

/// Waiting threads, first come first.
static WAITERS: KernelCell<Vec<Waiter>> = KernelCell::new(Vec::new());

fn wake(address: u64, count: u32, bits: u32) -> u64 {
    let mut woken = 0;
    while woken < u64::from(count) {
        let waiter = {
            let mut waiters = WAITERS.borrow();
            match waiters.iter().position(|waiter| waiter.address == address && waiter.bits & bits != 0) {
                Some(index) => waiters.remove(index),
                None => break,
            }
        };
        thread::wake(&waiter.thread);
        woken += 1;
    }
    woken
}

fn wait(address: u64, expected: u32, bits: u32, deadline: Option<u64>) -> Result<u64> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    if user::read::<u32>(address)? != expected {
        return Err(Errno::EAGAIN);
    }
    let this = thread::current();
    let tid = this.tid;
    {
        let mut waiters = WAITERS.borrow();
        waiters.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        waiters.push(Waiter { address, bits, thread: this });
    }
    loop {
        let result = timer::wait_interruptibly_until(deadline);
        // Still in the list: nobody woke us.
        let mut waiters = WAITERS.borrow();
        let Some(index) = waiters.iter().position(|waiter| waiter.thread.tid == tid) else { return Ok(0) };
        let over = match result {
            Err(error) => error,
            Ok(_) if deadline.is_some_and(|deadline| deadline <= tsc::now()) => Errno::ETIMEDOUT,
            Ok(_) => continue,
        };
        waiters.remove(index);
        return Err(over);
    }
}

/// Moves waiters to another word after waking some (`FUTEX_REQUEUE`).
fn requeue(from: u64, count: u32, to: u64, moved: u32) -> u64 {
    let woken = wake(from, count, u32::MAX);
    let mut waiters = WAITERS.borrow();
    let mut total = 0;
    for waiter in waiters.iter_mut().filter(|waiter| waiter.address == from).take(moved as usize) {
        waiter.address = to;
        total += 1;
    }
    woken + total
}

fn futex(args: &Args) -> Result<u64> {
    let [address, operation, value, timeout, second, last] = args.0;
    let (operation, value) = (operation as u32, value as u32);
    if address % 4 != 0 {
        return Err(Errno::EINVAL);
    }
    let deadline = |absolute: bool| -> Result<Option<u64>> {
        if timeout == 0 {
            return Ok(None);
        }
        let time = crate::abi::syscall::duration(&user::read(timeout)?)?;
        let now = tsc::now();
        Ok(Some(match (absolute, operation & FUTEX_CLOCK_REALTIME != 0) {
            (false, _) => now.saturating_add(time),
            (true, false) => time,
            (true, true) => now.saturating_add(time.saturating_sub(crate::abi::clock::realtime())),
        }))
    };
    match operation & FUTEX_CMD_MASK as u32 {
        FUTEX_WAIT => wait(address, value, u32::MAX, deadline(false)?),
        FUTEX_WAIT_BITSET => wait(address, value, last as u32, deadline(true)?),
        FUTEX_WAKE => Ok(wake(address, value, u32::MAX)),
        FUTEX_WAKE_BITSET => Ok(wake(address, value, last as u32)),
        FUTEX_REQUEUE => Ok(requeue(address, value, second, timeout as u32)),
        FUTEX_CMP_REQUEUE if user::read::<u32>(address)? == last as u32 => {
            Ok(requeue(address, value, second, timeout as u32))
        }
        FUTEX_CMP_REQUEUE => Err(Errno::EAGAIN),
        _ => Err(Errno::ENOSYS),
    }
}

/// Tells whoever joins the thread (`CLONE_CHILD_CLEARTID`).
fn exited(thread: &Thread) {
    let address = thread.clear_child_tid.get();
    if address != 0 && user::write(address, &0u32).is_ok() {
        wake(address, 1, u32::MAX);
    }
}
