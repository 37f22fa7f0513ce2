//! `nanosleep(2)` and `clock_nanosleep(2)`.

use super::timer;
use crate::abi::clock::{self, timespec};
use crate::abi::syscall::{Args, Handler, duration};
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_nanosleep => nanosleep, __NR_clock_nanosleep => clock_nanosleep });

fn sleep_until(deadline: u64) -> Result<()> {
    while tsc::now() < deadline {
        timer::wait_interruptibly_until(Some(deadline))?;
    }
    Ok(())
}

/// Sleeps for a while; when a signal ends it, what is left goes to `left`.
fn sleep_for(time: u64, left: u64) -> Result<u64> {
    let deadline = tsc::now().saturating_add(time);
    let result = sleep_until(deadline);
    if result.is_err() && left != 0 {
        user::write(left, &timespec(deadline.saturating_sub(tsc::now())))?;
    }
    result.map(|()| 0)
}

fn nanosleep(args: &Args) -> Result<u64> {
    let [request, left, ..] = args.0;
    sleep_for(duration(&user::read(request)?)?, left)
}

fn clock_nanosleep(args: &Args) -> Result<u64> {
    let [id, flags, request, left, ..] = args.0;
    let time = duration(&user::read(request)?)?;
    let offset = match id as u32 {
        CLOCK_THREAD_CPUTIME_ID => return Err(Errno::EINVAL),
        // Processor time passes while others run only.
        CLOCK_PROCESS_CPUTIME_ID | CLOCK_MONOTONIC_RAW | CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE => {
            return Err(Errno::EOPNOTSUPP);
        }
        id => clock::offset(id).ok_or(Errno::EINVAL)?,
    };
    if flags as u32 & TIMER_ABSTIME != 0 {
        return sleep_until(time.saturating_sub(offset)).map(|()| 0);
    }
    sleep_for(time, left)
}
