//! `mremap(2)`.

use super::overcommit;
use super::paging::{PAGE, USER_END};
use super::space::{self, Rights};
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::mmap;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_mremap => mremap });

fn mremap(args: &Args) -> Result<u64> {
    let [from, length, new_length, flags, to, _] = args.0;
    let flags = flags as u32;
    let moves = flags & MREMAP_MAYMOVE != 0;
    let fixed = flags & MREMAP_FIXED != 0;
    let keeps = flags & MREMAP_DONTUNMAP != 0;
    let pages = |length: u64| {
        length.checked_next_multiple_of(PAGE).filter(|&length| length <= USER_END).ok_or(Errno::EINVAL)
    };
    let (length, new_length) = (pages(length)?, pages(new_length)?);
    if flags & !(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) != 0
        || (fixed || keeps) && !moves
        || keeps && length != new_length
        || !from.is_multiple_of(PAGE)
        || new_length == 0
        // A second view of shared memory.
        || length == 0
    {
        return Err(Errno::EINVAL);
    }
    let end = from.checked_add(length).ok_or(Errno::EINVAL)?;
    if fixed {
        let overlaps = to < end && from < to.saturating_add(new_length);
        if !to.is_multiple_of(PAGE) || to.checked_add(new_length).is_none_or(|end| end > USER_END) || overlaps
        {
            return Err(Errno::EINVAL);
        }
    }
    if new_length < length && !fixed {
        if !space::is_mapped(from) {
            return Err(Errno::EFAULT);
        }
        space::unmap(from + new_length, length - new_length)?;
        return Ok(from);
    }
    let rights = space::rights(from, length).ok_or(Errno::EFAULT)?;
    let more = new_length.saturating_sub(length) + if keeps { length } else { 0 };
    if rights.contains(Rights::WRITE) && !overcommit::allows(more, true) {
        return Err(Errno::ENOMEM);
    }
    if !fixed && !keeps && (new_length == length || space::extend(end, new_length - length)?) {
        return Ok(from);
    }
    if !moves {
        return Err(Errno::ENOMEM);
    }
    let to = if fixed { to } else { mmap::find(new_length)? };
    space::relocate(from, length, to, new_length, keeps)?;
    Ok(to)
}
