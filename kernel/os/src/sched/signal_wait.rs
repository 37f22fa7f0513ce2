//! `rt_sigtimedwait(2)`, which `sigwait(3)` and `sigwaitinfo(2)` are made of.

use super::post::Signal;
use super::{signal, thread, timer};
use crate::abi::syscall::{Args, Handler, limit};
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::memory::user;
use linux_raw_sys::general::__NR_rt_sigtimedwait;

crate::register!("syscall": Handler = { __NR_rt_sigtimedwait => sigtimedwait });

fn sigtimedwait(args: &Args) -> Result<u64> {
    let [set, info, timeout, set_size, ..] = args.0;
    if set_size != 8 {
        return Err(Errno::EINVAL);
    }
    let set: u64 = user::read(set)?;
    let deadline = limit(timeout)?.map(|time| tsc::now().saturating_add(time));
    let signal = wait(set, deadline)?;
    if info != 0 {
        let mut bytes = [0u64; 16];
        bytes[0] = u64::from(signal.number);
        bytes[1] = u64::from(signal.code as u32);
        bytes[2..5].copy_from_slice(&signal.detail);
        user::write(info, &bytes)?;
    }
    Ok(u64::from(signal.number))
}

fn wait(set: u64, deadline: Option<u64>) -> Result<Signal> {
    let this = thread::current();
    loop {
        if let Some(signal) = signal::take(&this, set) {
            return Ok(signal);
        }
        if deadline.is_some_and(|deadline| deadline <= tsc::now()) {
            return Err(Errno::EAGAIN);
        }
        this.awaited_signals.set(set);
        let result = timer::wait_interruptibly_until(deadline);
        this.awaited_signals.set(0);
        result?;
    }
}
