//! `clock_gettime(2)`, `gettimeofday(2)`, `time(2)`, and setting the time of day.

use super::syscall::{Args, Handler};
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::sched::thread;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_clock_gettime => clock_gettime,
    __NR_clock_getres => clock_getres,
    __NR_gettimeofday => gettimeofday,
    __NR_time => time,
    __NR_clock_settime => clock_settime,
    __NR_settimeofday => settimeofday,
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
        tsc::tell_followers();
    }
    ahead
}

/// What the time of day is ahead of the monotonic clock, if that is known yet.
pub fn known_ahead() -> Option<u64> {
    Some(AHEAD.load(Ordering::Relaxed)).filter(|&ahead| ahead != u64::MAX)
}

/// Nanoseconds since 1970.
pub fn realtime() -> u64 {
    tsc::now() + ahead()
}

/// The time of day as file systems keep it: seconds and nanoseconds since 1970.
pub fn time_of_day() -> (i64, u32) {
    let now = realtime();
    ((now / SECOND) as i64, (now % SECOND) as u32)
}

/// What a clock is ahead of the monotonic one, in nanoseconds. `None`: no such clock, or one of processor time.
pub fn offset(clock: u32) -> Option<u64> {
    match clock {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_TAI | CLOCK_REALTIME_ALARM => Some(ahead()),
        CLOCK_MONOTONIC
        | CLOCK_MONOTONIC_RAW
        | CLOCK_MONOTONIC_COARSE
        | CLOCK_BOOTTIME
        | CLOCK_BOOTTIME_ALARM => Some(0),
        _ => None,
    }
}

/// Cycles that the thread or process of a clock of processor time has run: the fixed two, and those made of a number, as
/// `clock_getcpuclockid(3)` does: the number inverted, then a bit for a thread's, then two bits for the kind.
fn cycles(clock: u32) -> Option<u64> {
    match clock {
        CLOCK_PROCESS_CPUTIME_ID => Some(thread::all_cycles()),
        CLOCK_THREAD_CPUTIME_ID => Some(thread::own_cycles()),
        _ if (clock as i32) < 0 && clock & 3 != 3 => {
            let number = !((clock as i32) >> 3) as u32;
            match (clock & 4 != 0, number) {
                (false, 0 | 1) => Some(thread::all_cycles()),
                (true, 0) => Some(thread::own_cycles()),
                (true, tid) => thread::find(tid).map(|thread| thread::cycles_of(&thread)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The time on a clock.
pub fn now(clock: u32) -> Option<u64> {
    match offset(clock) {
        Some(offset) => Some(tsc::now() + offset),
        None => cycles(clock).map(tsc::nanoseconds),
    }
}

/// A time in nanoseconds as the calls pass it.
pub fn timespec(nanoseconds: u64) -> __kernel_timespec {
    __kernel_timespec { tv_sec: (nanoseconds / SECOND) as i64, tv_nsec: (nanoseconds % SECOND) as i64 }
}

fn clock_gettime(args: &Args) -> Result<u64> {
    let [clock, to, ..] = args.0;
    let now = now(clock as u32).ok_or(Errno::EINVAL)?;
    user::write(to, &timespec(now)).map(|()| 0)
}

fn clock_getres(args: &Args) -> Result<u64> {
    let [clock, to, ..] = args.0;
    now(clock as u32).ok_or(Errno::EINVAL)?;
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

/// The latest time that can be set, in seconds: so much is left that no sum runs over (Linux' `TIME_SETTOD_SEC_MAX`).
const LATEST: u64 = i64::MAX as u64 / SECOND - 30 * 365 * 24 * 3600;

/// Sets the time of day. It cannot become one before the machine was started.
fn set(time: u64) -> Result<u64> {
    if time / SECOND >= LATEST || time < tsc::now() {
        return Err(Errno::EINVAL);
    }
    AHEAD.store(time - tsc::now(), Ordering::Relaxed);
    tsc::tell_followers();
    Ok(0)
}

fn clock_settime(args: &Args) -> Result<u64> {
    let [clock, time, ..] = args.0;
    if clock as u32 != CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    set(super::syscall::duration(&user::read(time)?)?)
}

fn settimeofday(args: &Args) -> Result<u64> {
    if args.0[0] == 0 {
        return Ok(0);
    }
    let [seconds, micros]: [u64; 2] = user::read(args.0[0])?;
    if micros >= 1_000_000 || (seconds as i64) < 0 {
        return Err(Errno::EINVAL);
    }
    set(seconds.saturating_mul(SECOND).saturating_add(micros * 1000))
}
