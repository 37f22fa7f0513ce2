//! `madvise(2)`.

use super::paging::PAGE;
use super::space;
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_madvise => madvise });

fn madvise(args: &Args) -> Result<u64> {
    let [address, length, advice, ..] = args.0;
    let length = length.checked_next_multiple_of(PAGE).ok_or(Errno::EINVAL)?;
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    match advice as u32 {
        MADV_DONTNEED | MADV_FREE | MADV_DONTNEED_LOCKED if length > 0 => space::discard(address, length)?,
        MADV_POPULATE_READ | MADV_POPULATE_WRITE => {
            if !space::is_mapped_throughout(address, length) {
                return Err(Errno::ENOMEM);
            }
            space::populate(address, length);
        }
        MADV_DONTNEED | MADV_FREE | MADV_DONTNEED_LOCKED | MADV_NORMAL | MADV_RANDOM | MADV_SEQUENTIAL
        | MADV_WILLNEED | MADV_HUGEPAGE | MADV_NOHUGEPAGE | MADV_MERGEABLE | MADV_UNMERGEABLE
        | MADV_DONTDUMP | MADV_DODUMP | MADV_COLD | MADV_PAGEOUT | MADV_DONTFORK | MADV_DOFORK
        | MADV_WIPEONFORK | MADV_KEEPONFORK => {
            if !space::is_mapped_throughout(address, length) {
                return Err(Errno::ENOMEM);
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}
