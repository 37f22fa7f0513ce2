//! `mmap(2)` and `munmap(2)`.

use super::paging::{PAGE, USER_END};
use super::space::{self, Backing, Rights};
use crate::abi::process;
use crate::abi::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_mmap => mmap, __NR_munmap => munmap });

/// Mappings without a wished address end below here; the stack has the space above.
const TOP: u64 = USER_END - (1 << 36);

/// How far below [`TOP`] this process' mappings start.
static MMAP_SHIFT: KernelCell<Option<u64>> = KernelCell::new(None);

fn mmap(args: &Args) -> Result<u64> {
    let [hint, length, protection, flags, fd, offset] = args.0;
    let flags = flags as u32;
    if length == 0 || !offset.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let length =
        length.checked_next_multiple_of(PAGE).filter(|&length| length < USER_END).ok_or(Errno::ENOMEM)?;
    let rights = Rights::from_bits_truncate(protection as u32);
    let backing = if flags & MAP_ANONYMOUS != 0 {
        Backing::Zeroes
    } else {
        let file = crate::fs::file::get(fd)?;
        let data = file.image_data().ok_or(Errno::ENODEV)?;
        if flags & MAP_TYPE != MAP_PRIVATE && rights.contains(Rights::WRITE) {
            return Err(Errno::EACCES);
        }
        match data.len().checked_sub(offset as usize) {
            Some(bytes) if bytes > 0 => Backing::Image {
                start: crate::fs::packed::physical(data) + offset,
                bytes: (bytes as u64).min(length),
            },
            _ => Backing::Zeroes,
        }
    };
    if !matches!(flags & MAP_TYPE, MAP_PRIVATE | MAP_SHARED | MAP_SHARED_VALIDATE) {
        return Err(Errno::EINVAL);
    }
    let address = if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        if !hint.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        if flags & MAP_FIXED_NOREPLACE != 0 && !space::is_free(hint, length) {
            return Err(Errno::EEXIST);
        }
        hint
    } else {
        let hint = hint & !(PAGE - 1);
        let wished = hint != 0
            && hint.checked_add(length).is_some_and(|end| end <= TOP)
            && space::is_free(hint, length);
        let top = TOP - *MMAP_SHIFT.borrow().get_or_insert_with(|| process::random_offset(20));
        if wished { hint } else { space::find_gap(length, top).ok_or(Errno::ENOMEM)? }
    };
    space::map(address, length, rights, backing)?;
    Ok(address)
}

fn munmap(args: &Args) -> Result<u64> {
    let [address, length, ..] = args.0;
    let length = length.checked_next_multiple_of(PAGE).ok_or(Errno::EINVAL)?;
    if !address.is_multiple_of(PAGE) || length == 0 {
        return Err(Errno::EINVAL);
    }
    space::unmap(address, length)?;
    Ok(0)
}
