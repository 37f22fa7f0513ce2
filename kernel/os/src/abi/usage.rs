//! `getrusage(2)`, `times(2)`.

use super::syscall::{Args, Handler};
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::memory::paging::PAGE;
use crate::memory::{frames, user};
use crate::sched::thread;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_getrusage => getrusage, __NR_times => times });

const RUSAGE_SELF: i32 = 0;
const RUSAGE_CHILDREN: i32 = -1;
const RUSAGE_THREAD: i32 = 1;

fn getrusage(args: &Args) -> Result<u64> {
    let cycles = match args.0[0] as i32 {
        RUSAGE_SELF => thread::all_cycles(),
        RUSAGE_THREAD => thread::own_cycles(),
        RUSAGE_CHILDREN => 0,
        _ => return Err(Errno::EINVAL),
    };
    let micros = tsc::nanoseconds(cycles) / 1000;
    // SAFETY: integers, for which zero is a value.
    let mut usage: rusage = unsafe { core::mem::zeroed() };
    usage.ru_utime =
        __kernel_old_timeval { tv_sec: (micros / 1_000_000) as i64, tv_usec: (micros % 1_000_000) as i64 };
    if args.0[0] as i32 != RUSAGE_CHILDREN {
        let (free, total) = frames::counts();
        usage.ru_maxrss = ((total - free) as u64 * PAGE / 1024) as i64;
    }
    user::write(args.0[1], &usage).map(|()| 0)
}

/// In ticks of a hundredth of a second, as `AT_CLKTCK` says.
fn times(args: &Args) -> Result<u64> {
    const TICK: u64 = 10_000_000;
    let used = tsc::nanoseconds(thread::all_cycles()) / TICK;
    if args.0[0] != 0 {
        user::write(args.0[0], &[used, 0, 0, 0])?;
    }
    Ok(tsc::now() / TICK)
}
