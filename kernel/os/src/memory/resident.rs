//! `mincore(2)`, `msync(2)`.

use super::paging::PAGE;
use super::{space, user};
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_mincore => mincore, __NR_msync => msync });

fn range(args: &Args) -> Result<u64> {
    let [address, length, ..] = args.0;
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let length = length.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
    if space::is_mapped_throughout(address, length) { Ok(length) } else { Err(Errno::ENOMEM) }
}

/// A byte for each page: whether it is there.
fn mincore(args: &Args) -> Result<u64> {
    let [address, _, to, ..] = args.0;
    let length = range(args)?;
    for (index, page) in (address..address + length).step_by(PAGE as usize).enumerate() {
        user::write(to + index as u64, &u8::from(space::is_resident(page)))?;
    }
    Ok(0)
}

/// A shared mapping shows the file's own pages, so there is never anything to write back.
fn msync(args: &Args) -> Result<u64> {
    let flags = args.0[2] as u32;
    let both = MS_ASYNC | MS_SYNC;
    if flags & !(both | MS_INVALIDATE) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    range(args).map(|_| 0)
}
