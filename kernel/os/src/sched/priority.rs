//! Scheduling policies and priorities (`sched(7)`): taken note of where Linux would, without effect on who runs.

use super::thread::{self, Thread};
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use alloc::rc::Rc;
use core::sync::atomic::{AtomicI32, Ordering};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_sched_getscheduler => getscheduler,
    __NR_sched_setscheduler => setscheduler,
    __NR_sched_getparam => getparam,
    __NR_sched_setparam => setparam,
    __NR_sched_get_priority_max => priority_max,
    __NR_sched_get_priority_min => priority_min,
    __NR_sched_rr_get_interval => round_robin_interval,
    __NR_getpriority => getpriority,
    __NR_setpriority => setpriority,
});

/// The nice value of the process.
static NICE: AtomicI32 = AtomicI32::new(0);

fn thread(tid: u64) -> Result<Rc<Thread>> {
    match tid as i32 {
        ..0 => Err(Errno::EINVAL),
        0 => Ok(thread::current()),
        tid => thread::find(tid as u32).ok_or(Errno::ESRCH),
    }
}

fn getscheduler(args: &Args) -> Result<u64> {
    thread(args.0[0]).map(|_| u64::from(SCHED_NORMAL))
}

/// A policy without priorities is what every thread has; one of real time cannot be had.
fn setscheduler(args: &Args) -> Result<u64> {
    let [tid, policy, parameter, ..] = args.0;
    if parameter == 0 {
        return Err(Errno::EINVAL);
    }
    thread(tid)?;
    let priority: i32 = user::read(parameter)?;
    match policy as u32 & !SCHED_RESET_ON_FORK {
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE if priority == 0 => Ok(0),
        SCHED_FIFO | SCHED_RR if (1..=99).contains(&priority) => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

fn getparam(args: &Args) -> Result<u64> {
    if args.0[1] == 0 {
        return Err(Errno::EINVAL);
    }
    thread(args.0[0])?;
    user::write(args.0[1], &0i32).map(|()| 0)
}

fn setparam(args: &Args) -> Result<u64> {
    if args.0[1] == 0 {
        return Err(Errno::EINVAL);
    }
    thread(args.0[0])?;
    let priority: i32 = user::read(args.0[1])?;
    if priority == 0 { Ok(0) } else { Err(Errno::EINVAL) }
}

fn limits(policy: u64) -> Result<(u64, u64)> {
    match policy as u32 {
        SCHED_FIFO | SCHED_RR => Ok((1, 99)),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => Ok((0, 0)),
        _ => Err(Errno::EINVAL),
    }
}

fn priority_max(args: &Args) -> Result<u64> {
    limits(args.0[0]).map(|(_, max)| max)
}

fn priority_min(args: &Args) -> Result<u64> {
    limits(args.0[0]).map(|(min, _)| min)
}

/// Threads that are not of SCHED_RR have none.
fn round_robin_interval(args: &Args) -> Result<u64> {
    thread(args.0[0])?;
    user::write(args.0[1], &[0u64; 2]).map(|()| 0)
}

fn addressed(which: u64, who: u64) -> Result<()> {
    match (which as u32, who as u32) {
        // PRIO_PROCESS, PRIO_PGRP
        (0 | 1, 0 | 1) => Ok(()),
        (0, tid) if thread::find(tid).is_some() => Ok(()),
        // PRIO_USER
        (2, 0) => Ok(()),
        (0..=2, _) => Err(Errno::ESRCH),
        _ => Err(Errno::EINVAL),
    }
}

/// The call returns 20 less the nice value, so that no value looks like an error.
fn getpriority(args: &Args) -> Result<u64> {
    addressed(args.0[0], args.0[1])?;
    Ok((20 - NICE.load(Ordering::Relaxed)) as u64)
}

fn setpriority(args: &Args) -> Result<u64> {
    addressed(args.0[0], args.0[1])?;
    NICE.store((args.0[2] as i32).clamp(-20, 19), Ordering::Relaxed);
    Ok(0)
}
