//! `nanosleep(2)` and `clock_nanosleep(2)`.

use super::timer;
use crate::abi::clock;
use crate::abi::syscall::{Args, Handler, duration};
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_nanosleep => nanosleep, __NR_clock_nanosleep => clock_nanosleep });

fn nanosleep(args: &Args) -> Result<u64> {
    let time = duration(&user::read(args.0[0])?)?;
    timer::wait_until(tsc::now().saturating_add(time));
    Ok(0)
}

fn clock_nanosleep(args: &Args) -> Result<u64> {
    let [id, flags, request, ..] = args.0;
    let time = duration(&user::read(request)?)?;
    let offset = clock::offset(id as u32).ok_or(Errno::EINVAL)?;
    let deadline = if flags as u32 & TIMER_ABSTIME != 0 {
        time.saturating_sub(offset)
    } else {
        tsc::now().saturating_add(time)
    };
    timer::wait_until(deadline);
    Ok(0)
}
