//! `mmap(2)` and `munmap(2)`.

use super::overcommit;
use super::paging::{PAGE, USER_END};
use super::space::{self, Backing, Rights};
use crate::abi::process;
use crate::abi::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::{Description, File};
use alloc::rc::Rc;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_mmap => mmap, __NR_munmap => munmap });

// What a mapping of a file from an offset on is to show, changing the file where it is shared; none where the file has no pages to share.
crate::hook!(fn mappers() -> "map-file": fn(&Rc<dyn File>, u64, bool) -> Option<Result<Backing>>);

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
    if offset.checked_add(length).is_none() {
        return Err(Errno::EOVERFLOW);
    }
    // What is not known must not be granted by chance.
    const KNOWN: u32 = MAP_TYPE
        | MAP_FIXED
        | MAP_FIXED_NOREPLACE
        | MAP_ANONYMOUS
        | MAP_GROWSDOWN
        | MAP_DENYWRITE
        | MAP_EXECUTABLE
        | MAP_LOCKED
        | MAP_NORESERVE
        | MAP_POPULATE
        | MAP_NONBLOCK
        | MAP_STACK
        | MAP_UNINITIALIZED;
    if flags & MAP_TYPE == MAP_SHARED_VALIDATE && flags & !KNOWN != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let rights = Rights::from_bits_truncate(protection as u32);
    if !matches!(flags & MAP_TYPE, MAP_PRIVATE | MAP_SHARED | MAP_SHARED_VALIDATE) {
        return Err(Errno::EINVAL);
    }
    // A file whose contents are copied to the mapping.
    let mut copied = None;
    // Where the last page of a file ends before the mapping does.
    let mut end = None;
    let backing = if flags & MAP_ANONYMOUS != 0 {
        Backing::Zeroes
    } else {
        let file = crate::fs::file::get(fd)?;
        if file.flags.get() & O_ACCMODE == O_WRONLY {
            return Err(Errno::EACCES);
        }
        let shared = flags & MAP_TYPE != MAP_PRIVATE;
        let changes = shared && rights.contains(Rights::WRITE);
        if changes && file.flags.get() & O_ACCMODE == O_RDONLY {
            return Err(Errno::EACCES);
        }
        let seals = file.seals().map_or(0, core::cell::Cell::get);
        if changes && seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0 {
            return Err(Errno::EPERM);
        }
        // Later writes to what is of the image must be seen in a shared mapping, and need not be in a private one.
        let image = file.image_data().filter(|_| !shared || !file.is_changeable());
        let pages = || mappers().iter().find_map(|mapper| (mapper.item)(&file.file, offset, shared));
        match image {
            Some(data) => {
                let bytes = (data.len() as u64).saturating_sub(offset).min(length);
                end = Some(bytes.next_multiple_of(PAGE)).filter(|&end| end < length);
                match bytes {
                    0 => Backing::Beyond,
                    bytes => Backing::Image { start: crate::fs::packed::physical(data) + offset, bytes },
                }
            }
            None => match pages() {
                // A descriptor that may not write now never lets its mapping write (`mprotect(2)`, EACCES).
                Some(backing) => match backing? {
                    Backing::File { file: number, offset, shared: true, .. } => {
                        let read_only = file.flags.get() & O_ACCMODE == O_RDONLY;
                        Backing::File { file: number, offset, shared: true, read_only }
                    }
                    backing => backing,
                },
                // What is written to a copy would not reach the file.
                None if !file.is_seekable() || changes => return Err(Errno::ENODEV),
                None => {
                    copied = Some(file);
                    Backing::Zeroes
                }
            },
        }
    };
    let reserves = rights.contains(Rights::WRITE) && flags & MAP_NORESERVE == 0;
    if rights.contains(Rights::WRITE) && !overcommit::allows(length, reserves) {
        return Err(Errno::ENOMEM);
    }
    let address = if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        if !hint.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        if hint.checked_add(length).is_none_or(|end| end > USER_END) {
            return Err(Errno::ENOMEM);
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
        if wished { hint } else { find(length)? }
    };
    if let Some(file) = copied {
        space::map(address, length, Rights::READ | Rights::WRITE, backing)?;
        if let Err(error) = copy(&file, offset, address, length) {
            return space::unmap(address, length).and(Err(error));
        }
        space::protect(address, length, rights)?;
        return Ok(address);
    }
    space::map(address, length, rights, backing)?;
    if let Some(end) = end {
        space::map(address + end, length - end, rights, Backing::Beyond)?;
    }
    if flags & (MAP_POPULATE | MAP_LOCKED) != 0 && flags & MAP_NONBLOCK == 0 {
        space::populate(address, length);
    }
    Ok(address)
}

/// Maps a file's pages as those who share them see them: at a page's address, in place of whatever is there, or anywhere. ENODEV: it has none to
/// share.
pub fn share(file: &Rc<dyn File>, at: Option<u64>, length: u64, rights: Rights) -> Result<u64> {
    if rights.contains(Rights::WRITE) && !overcommit::allows(length, true) {
        return Err(Errno::ENOMEM);
    }
    let address = match at {
        None => find(length)?,
        Some(address) if address.checked_add(length).is_none_or(|end| end > USER_END) => {
            return Err(Errno::EINVAL);
        }
        Some(address) => address,
    };
    let backing = mappers().iter().find_map(|mapper| (mapper.item)(file, 0, true)).ok_or(Errno::ENODEV)?;
    let backing = match backing? {
        // Attached to be read, it cannot be made writable later on.
        Backing::File { file, offset, shared, .. } => {
            Backing::File { file, offset, shared, read_only: !rights.contains(Rights::WRITE) }
        }
        backing => backing,
    };
    space::map(address, length, rights, backing)?;
    Ok(address)
}

/// Reads a file from `offset` on into a mapping, as far as it goes.
fn copy(file: &Description, offset: u64, to: u64, length: u64) -> Result<()> {
    let mut done = 0;
    while done < length {
        match file.read(to + done, length - done, offset + done)? {
            0 => break,
            read => done += read,
        }
    }
    Ok(())
}

/// An address for a mapping that may lie anywhere.
pub fn find(length: u64) -> Result<u64> {
    let top = TOP - *MMAP_SHIFT.borrow().get_or_insert_with(|| process::random_offset(20));
    space::find_gap(length, top).ok_or(Errno::ENOMEM)
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
