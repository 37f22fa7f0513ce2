//! `mlock(2)` and its kin: pages are never taken from the program, so locking is bringing in.

use super::paging::PAGE;
use super::space;
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_mlock => lock,
    __NR_mlock2 => lock2,
    __NR_munlock => unlock,
    __NR_mlockall => lock_all,
    __NR_munlockall => unlock_all,
});

/// The pages of a range: start and length. ENOMEM: there is a hole.
fn pages(args: &Args) -> Result<(u64, u64)> {
    let [address, length, ..] = args.0;
    let start = address & !(PAGE - 1);
    let end = address
        .checked_add(length)
        .and_then(|end| end.checked_next_multiple_of(PAGE))
        .ok_or(Errno::EINVAL)?;
    if space::is_mapped_throughout(start, end - start) {
        Ok((start, end - start))
    } else {
        Err(Errno::ENOMEM)
    }
}

fn lock(args: &Args) -> Result<u64> {
    let (start, length) = pages(args)?;
    space::populate(start, length);
    Ok(0)
}

fn lock2(args: &Args) -> Result<u64> {
    match args.0[2] as u32 {
        0 => lock(args),
        // MLOCK_ONFAULT
        1 => pages(args).map(|_| 0),
        _ => Err(Errno::EINVAL),
    }
}

fn unlock(args: &Args) -> Result<u64> {
    pages(args).map(|_| 0)
}

fn lock_all(args: &Args) -> Result<u64> {
    let flags = args.0[0] as u32;
    if flags & !MCL_ONFAULT == 0 || flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

fn unlock_all(_: &Args) -> Result<u64> {
    Ok(0)
}
