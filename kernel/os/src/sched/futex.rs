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
        // An absolute time only is on one clock or another.
        command if operation & FUTEX_CLOCK_REALTIME != 0 && command != FUTEX_WAIT_BITSET => {
            Err(Errno::ENOSYS)
        }
        FUTEX_WAKE_BITSET if last as u32 == 0 => Err(Errno::EINVAL),
        FUTEX_WAIT => wait(address, value, u32::MAX, deadline(false)?),
        FUTEX_WAIT_BITSET => wait(address, value, last as u32, deadline(true)?),
        FUTEX_WAKE => Ok(wake(address, value, u32::MAX)),
        FUTEX_WAKE_BITSET => Ok(wake(address, value, last as u32)),
        FUTEX_REQUEUE => Ok(requeue(address, value, second, timeout as u32)),
        FUTEX_CMP_REQUEUE if user::read::<u32>(address)? == last as u32 => {
            Ok(requeue(address, value, second, timeout as u32))
        }
        FUTEX_CMP_REQUEUE => Err(Errno::EAGAIN),
        FUTEX_WAKE_OP => wake_op(address, value, second, timeout as u32, last as u32),
        // Priority inheritance among them: one CPU has no need for it, and libraries ask before they rely on it.
        _ => Err(Errno::ENOSYS),
    }
}

/// Changes a second word, wakes waiters of the first, and of the second if what it held compares well (`FUTEX_WAKE_OP`).
fn wake_op(address: u64, count: u32, second: u64, second_count: u32, what: u32) -> Result<u64> {
    if !second.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    // Operation, comparison, and two signed arguments of 12 bits.
    let operand = (what << 8) as i32 >> 20;
    let compared = (what << 20) as i32 >> 20;
    let operand = if what >> 28 & FUTEX_OP_OPARG_SHIFT != 0 { 1 << (operand & 31) } else { operand };
    let old: i32 = user::read(second)?;
    let new = match what >> 28 & 7 {
        FUTEX_OP_SET => operand,
        FUTEX_OP_ADD => old.wrapping_add(operand),
        FUTEX_OP_OR => old | operand,
        FUTEX_OP_ANDN => old & !operand,
        FUTEX_OP_XOR => old ^ operand,
        _ => return Err(Errno::ENOSYS),
    };
    let matches = match what >> 24 & 15 {
        FUTEX_OP_CMP_EQ => old == compared,
        FUTEX_OP_CMP_NE => old != compared,
        FUTEX_OP_CMP_LT => old < compared,
        FUTEX_OP_CMP_LE => old <= compared,
        FUTEX_OP_CMP_GT => old > compared,
        FUTEX_OP_CMP_GE => old >= compared,
        _ => return Err(Errno::ENOSYS),
    };
    user::write(second, &new)?;
    let mut woken = wake(address, count, u32::MAX);
    if matches {
        woken += wake(second, second_count, u32::MAX);
    }
    Ok(woken)
}

/// Tells whoever joins the thread (`CLONE_CHILD_CLEARTID`).
fn exited(thread: &Thread) {
    if thread.robust_list.get() != 0 {
        // A list that cannot be read ends there, as on Linux.
        let _ = release_robust(thread.robust_list.get(), thread.tid);
    }
    let address = thread.clear_child_tid.get();
    if address != 0 && user::write(address, &0u32).is_ok() {
        wake(address, 1, u32::MAX);
    }
}

/// Marks the locks that a thread held at its end as their owner's death, and wakes a waiter of each (`get_robust_list(2)`).
fn release_robust(head: u64, tid: u32) -> Result<()> {
    let [first, offset, pending]: [u64; 3] = user::read(head)?;
    let release = |entry: u64| -> Result<()> {
        let address = (entry & !1).wrapping_add(offset);
        let word: u32 = user::read(address)?;
        if word & FUTEX_TID_MASK == tid {
            user::write(address, &(word & FUTEX_WAITERS | FUTEX_OWNER_DIED))?;
            if word & FUTEX_WAITERS != 0 {
                wake(address, 1, u32::MAX);
            }
        }
        Ok(())
    };
    let mut entry = first;
    for _ in 0..ROBUST_LIST_LIMIT {
        if entry & !1 == head {
            break;
        }
        // The lock's memory may be gone once it is released.
        let next = user::read(entry & !1)?;
        if entry != pending {
            release(entry)?;
        }
        entry = next;
    }
    if pending != 0 { release(pending) } else { Ok(()) }
}
