//! `getrlimit(2)`, `prlimit(2)`.

use super::process;
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_getrlimit => getrlimit,
    __NR_setrlimit => setrlimit,
    __NR_prlimit64 => prlimit,
});

fn limit(resource: u64) -> Result<rlimit64> {
    let value = match resource as u32 {
        RLIMIT_STACK => process::STACK.get(),
        RLIMIT_NOFILE => file::LIMIT as u64,
        RLIMIT_CORE => 0,
        0..RLIM_NLIMITS => u64::MAX,
        _ => return Err(Errno::EINVAL),
    };
    Ok(rlimit64 { rlim_cur: value, rlim_max: value })
}

fn getrlimit(args: &Args) -> Result<u64> {
    user::write(args.0[1], &limit(args.0[0])?).map(|()| 0)
}

/// Lowering a limit to itself or below is granted without effect; raising one is not.
fn set(resource: u64, address: u64) -> Result<()> {
    let wanted: rlimit64 = user::read(address)?;
    let limit = limit(resource)?;
    if wanted.rlim_cur > wanted.rlim_max {
        return Err(Errno::EINVAL);
    }
    if wanted.rlim_max > limit.rlim_max { Err(Errno::EPERM) } else { Ok(()) }
}

fn setrlimit(args: &Args) -> Result<u64> {
    set(args.0[0], args.0[1]).map(|()| 0)
}

fn prlimit(args: &Args) -> Result<u64> {
    let [process, resource, new, old, ..] = args.0;
    if process > 1 {
        return Err(Errno::ESRCH);
    }
    let limit = limit(resource)?;
    if new != 0 {
        set(resource, new)?;
    }
    if old != 0 {
        user::write(old, &limit)?;
    }
    Ok(0)
}
