//! `getrlimit(2)`, `prlimit(2)`.

use super::process;
use super::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_getrlimit => getrlimit,
    __NR_setrlimit => setrlimit,
    __NR_prlimit64 => prlimit,
});

/// What the program set itself.
static SET: KernelCell<[Option<rlimit64>; RLIM_NLIMITS as usize]> =
    KernelCell::new([None; RLIM_NLIMITS as usize]);

fn limit(resource: u64) -> Result<rlimit64> {
    let set = *SET.borrow().get(resource as u32 as usize).ok_or(Errno::EINVAL)?;
    let (value, most) = match resource as u32 {
        RLIMIT_STACK => (process::STACK.get(), process::STACK.get()),
        RLIMIT_NOFILE => (file::limit() as u64, file::MOST),
        RLIMIT_CORE => (0, 0),
        _ => (u64::MAX, u64::MAX),
    };
    Ok(set.unwrap_or(rlimit64 { rlim_cur: value, rlim_max: most }))
}

fn getrlimit(args: &Args) -> Result<u64> {
    user::write(args.0[1], &limit(args.0[0])?).map(|()| 0)
}

/// Only the limit on descriptors is more than a number. What is the most can be lowered and not raised.
fn set(resource: u64, address: u64) -> Result<()> {
    let wanted: rlimit64 = user::read(address)?;
    let limit = limit(resource)?;
    if wanted.rlim_cur > wanted.rlim_max {
        return Err(Errno::EINVAL);
    }
    if wanted.rlim_max > limit.rlim_max {
        return Err(Errno::EPERM);
    }
    if resource as u32 == RLIMIT_NOFILE {
        file::set_limit(wanted.rlim_cur);
    }
    SET.borrow()[resource as u32 as usize] = Some(wanted);
    Ok(())
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
