//! `fcntl(2)`, `dup(2)`.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Description};
use crate::memory::user;
use alloc::rc::Rc;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_fcntl => fcntl,
    __NR_dup => dup,
    __NR_dup2 => dup2,
    __NR_dup3 => dup3,
});

// Serves F_SETLK and the like, where anything could be in the way of a lock.
crate::hook!(fn lockers() -> "record-lock": fn(&Rc<Description>, u32, u64) -> Result<u64>);
// Serves commands for one kind of file only; `None`: not this one.
crate::hook!(fn controllers() -> "fcntl": fn(&Description, u32, u64) -> Option<Result<u64>>);

fn fcntl(args: &Args) -> Result<u64> {
    /// What F_SETFL may change.
    const SETTABLE: u32 = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;
    let [fd, command, argument, ..] = args.0;
    let file = file::get_place(fd)?;
    if file.flags.get() & O_PATH != 0
        && !matches!(command as u32, F_DUPFD | F_DUPFD_CLOEXEC | F_GETFD | F_SETFD | F_GETFL)
    {
        return Err(Errno::EBADF);
    }
    match command as u32 {
        F_DUPFD | F_DUPFD_CLOEXEC if argument >= file::limit() as u64 => Err(Errno::EINVAL),
        F_DUPFD => file::insert(file, false, argument as usize),
        F_DUPFD_CLOEXEC => file::insert(file, true, argument as usize),
        F_GETFD => Ok(u64::from(file::close_on_exec(fd, None)?)),
        F_SETFD => file::close_on_exec(fd, Some(argument as u32 & FD_CLOEXEC != 0)).map(|_| 0),
        F_GETFL => Ok(u64::from(file.flags.get() & !O_CLOEXEC)),
        F_SETFL => {
            if (file.flags.get() ^ argument as u32) & FASYNC != 0 {
                // Files without signals do without.
                let _ = file::own(&file, fd, F_SETFL, argument);
            }
            file.flags.set(file.flags.get() & !SETTABLE | argument as u32 & SETTABLE);
            Ok(0)
        }
        command @ (F_GETLK | F_SETLK | F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW)
            if let [locker, ..] = lockers() =>
        {
            (locker.item)(&file, command, argument)
        }
        // Without it a lock is always granted: there is no other process to hold one.
        F_GETLK | F_OFD_GETLK => {
            check_lock(&file, argument, false)?;
            user::write(argument, &(F_UNLCK as u16)).map(|()| 0)
        }
        F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => check_lock(&file, argument, true),
        F_GET_SEALS => file.seals().map(|seals| u64::from(seals.get())).ok_or(Errno::EINVAL),
        F_ADD_SEALS => seal(&file, argument as u32),
        F_GETOWN | F_SETOWN | F_GETOWN_EX | F_SETOWN_EX | F_GETSIG | F_SETSIG => {
            file::own(&file, fd, command as u32, argument)
        }
        command => controllers()
            .iter()
            .find_map(|controller| (controller.item)(&file, command, argument))
            .unwrap_or(Err(Errno::EINVAL)),
    }
}

/// Whether a `struct flock` makes sense, and what it asks for could be had from a file that is open this way. Its first half words are the type and
/// what the start counts from.
fn check_lock(file: &Description, address: u64, sets: bool) -> Result<u64> {
    let [first, ..] = user::read::<[u64; 4]>(address)?;
    let (kind, whence) = (first as u16, (first >> 16) as u16);
    if u32::from(whence) > SEEK_END {
        return Err(Errno::EINVAL);
    }
    let access = file.flags.get() & O_ACCMODE;
    match u32::from(kind) {
        F_RDLCK if sets && access == O_WRONLY => Err(Errno::EBADF),
        F_WRLCK if sets && access == O_RDONLY => Err(Errno::EBADF),
        F_UNLCK if !sets => Err(Errno::EINVAL),
        F_RDLCK | F_WRLCK | F_UNLCK => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// `F_ADD_SEALS`, for files without a name.
fn seal(file: &Description, more: u32) -> Result<u64> {
    const ALL: u32 = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
    let seals = file.seals().ok_or(Errno::EINVAL)?;
    if more & !ALL != 0 {
        return Err(Errno::EINVAL);
    }
    if file.flags.get() & O_ACCMODE == O_RDONLY || seals.get() & F_SEAL_SEAL != 0 {
        return Err(Errno::EPERM);
    }
    if more & F_SEAL_WRITE != 0
        && file.file.clone().pages().is_some_and(|pages| file::is_mapped_to_write(&*pages))
    {
        return Err(Errno::EBUSY);
    }
    seals.set(seals.get() | more);
    Ok(0)
}

fn dup(args: &Args) -> Result<u64> {
    file::insert(file::get_place(args.0[0])?, false, 0)
}

fn dup2(args: &Args) -> Result<u64> {
    let [old, new, ..] = args.0;
    let file = file::get_place(old)?;
    if old as u32 != new as u32 {
        file::replace(new, file, false)?;
    }
    Ok(new as u32 as u64)
}

fn dup3(args: &Args) -> Result<u64> {
    let [old, new, flags, ..] = args.0;
    if old as u32 == new as u32 || flags as u32 & !O_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    file::replace(new, file::get_place(old)?, flags != 0)?;
    Ok(new as u32 as u64)
}
