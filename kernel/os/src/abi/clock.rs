//! `clock_gettime(2)`, `gettimeofday(2)`, `time(2)`.

use super::syscall::{Args, Handler};
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::memory::user;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_clock_gettime => clock_gettime,
    __NR_clock_getres => clock_getres,
    __NR_gettimeofday => gettimeofday,
    __NR_time => time,
});

// Seconds since 1970, from whatever keeps them.
crate::hook!(fn wall_clocks() -> "wall-clock": fn() -> u64);

const SECOND: u64 = 1_000_000_000;

/// What the time of day is ahead of the monotonic clock; `u64::MAX` until the first question.
static AHEAD: AtomicU64 = AtomicU64::new(u64::MAX);

fn ahead() -> u64 {
    let mut ahead = AHEAD.load(Ordering::Relaxed);
    if ahead == u64::MAX {
        let seconds = wall_clocks().first().map_or(0, |clock| (clock.item)());
        ahead = (seconds * SECOND).saturating_sub(tsc::now());
        AHEAD.store(ahead, Ordering::Relaxed);
    }
    ahead
}

/// Nanoseconds since 1970.
pub fn realtime() -> u64 {
    tsc::now() + ahead()
}

/// What a clock is ahead of the monotonic one, in nanoseconds. `None`: no such clock.
pub fn offset(clock: u32) -> Option<u64> {
    match clock {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_TAI => Some(ahead()),
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME
        // One program that never sleeps in the kernel's sense: its processor time is the machine's.
        | CLOCK_PROCESS_CPUTIME_ID | CLOCK_THREAD_CPUTIME_ID => Some(0),
        _ => None,
    }
}

/// A time in nanoseconds as the calls pass it.
pub fn timespec(nanoseconds: u64) -> __kernel_timespec {
    __kernel_timespec { tv_sec: (nanoseconds / SECOND) as i64, tv_nsec: (nanoseconds % SECOND) as i64 }
}

fn clock_gettime(args: &Args) -> Result<u64> {
    let [clock, to, ..] = args.0;
    let offset = offset(clock as u32).ok_or(Errno::EINVAL)?;
    user::write(to, &timespec(tsc::now() + offset)).map(|()| 0)
}

fn clock_getres(args: &Args) -> Result<u64> {
    let [clock, to, ..] = args.0;
    offset(clock as u32).ok_or(Errno::EINVAL)?;
    if to != 0 {
        user::write(to, &timespec(1))?;
    }
    Ok(0)
}

fn gettimeofday(args: &Args) -> Result<u64> {
    let [to, zone, ..] = args.0;
    if to != 0 {
        let now = realtime();
        user::write(to, &[(now / SECOND) as i64, (now % SECOND / 1000) as i64])?;
    }
    if zone != 0 {
        user::write(zone, &[0i32; 2])?;
    }
    Ok(0)
}

fn time(args: &Args) -> Result<u64> {
    let seconds = realtime() / SECOND;
    if args.0[0] != 0 {
        user::write(args.0[0], &seconds)?;
    }
    Ok(seconds)
}
