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

// Has pages of a file written back: its number, the first page, and how many.
crate::hook!(fn syncers() -> "file-sync": fn(u32, u64, u64) -> Result<()>);

/// What is written to a shared mapping is in the file already; a file that lasts elsewhere is told to write it back.
fn msync(args: &Args) -> Result<u64> {
    let flags = args.0[2] as u32;
    let both = MS_ASYNC | MS_SYNC;
    if flags & !(both | MS_INVALIDATE) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let length = range(args)?;
    let mut result = Ok(0);
    space::each_file(args.0[0], args.0[0] + length, |file, first, count| {
        for syncer in syncers().iter().filter(|_| flags & MS_SYNC != 0) {
            if let Err(error) = (syncer.item)(file, first, count) {
                result = Err(error);
            }
        }
    });
    result
}
