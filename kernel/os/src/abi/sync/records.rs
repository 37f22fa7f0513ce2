//! Locks on parts of files (`fcntl_locking(2)`): those of the process, and those of open file descriptions, which stand in each other's way
//! and in that of the process.

use super::released;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::Description;
use crate::memory::user;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general::*;

crate::register!("record-lock": fn(&Rc<Description>, u32, u64) -> Result<u64> = { 10 => control });
crate::register!("closing": fn(&Description) = { 10 => closing });

/// The last byte that any file can have.
const LAST: u64 = i64::MAX as u64;

/// Whose a lock is.
#[derive(Clone)]
enum Owner {
    /// It goes when any descriptor of the file is closed.
    Process,
    /// It goes with the description.
    Description(Weak<Description>),
}

impl Owner {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Process, Self::Process) => true,
            (Self::Description(one), Self::Description(other)) => one.ptr_eq(other),
            _ => false,
        }
    }

    fn is_gone(&self) -> bool {
        matches!(self, Self::Description(holder) if holder.strong_count() == 0)
    }
}

#[derive(Clone)]
struct Lock {
    owner: Owner,
    /// The file: file system and inode.
    key: (u64, u64),
    exclusive: bool,
    /// First and last byte.
    start: u64,
    end: u64,
}

impl Lock {
    fn is_beside(&self, other: &Self) -> bool {
        self.key == other.key && self.owner.is(&other.owner)
    }

    fn is_in_the_way(&self, of: &Self) -> bool {
        self.key == of.key
            && (self.exclusive || of.exclusive)
            && self.start <= of.end
            && self.end >= of.start
            && !self.owner.is(&of.owner)
    }
}

/// All locks, those of one owner on one file together and in order, as Linux has them: the first that is in the way is told of.
static LOCKS: KernelCell<Vec<Lock>> = KernelCell::new(Vec::new());

/// A descriptor is closed: the process has no locks on its file any more, however it got them.
fn closing(file: &Description) {
    if !LOCKS.borrow().iter().any(|lock| lock.owner.is(&Owner::Process)) {
        return;
    }
    let key = file.stat().key();
    LOCKS.borrow().retain(|lock| lock.key != key || !lock.owner.is(&Owner::Process));
    released();
}

/// The first lock that is in the way of one.
fn obstacle(wanted: &Lock) -> Option<Lock> {
    let mut locks = LOCKS.borrow();
    locks.retain(|lock| !lock.owner.is_gone());
    locks.iter().find(|lock| lock.is_in_the_way(wanted)).cloned()
}

/// Gives an owner a lock in place of what it has there; without `takes` only that goes. ENOLCK: memory is short.
fn set(wanted: &Lock, takes: bool) -> Result<()> {
    let mut locks = LOCKS.borrow();
    let mut all: Vec<Lock> = Vec::new();
    // One that is cut in two, and the new one.
    all.try_reserve_exact(locks.len() + 2).map_err(|_| Errno::ENOLCK)?;
    let mut add = |lock: &Lock, start, end| match all.last_mut() {
        // Neighbours of one kind are one lock.
        Some(last) if last.is_beside(lock) && last.exclusive == lock.exclusive && last.end + 1 == start => {
            last.end = end;
        }
        _ => all.push(Lock { start, end, ..lock.clone() }),
    };
    let mut missing = takes;
    let mut begun = false;
    for lock in &*locks {
        let is_own = lock.is_beside(wanted);
        if is_own && lock.start < wanted.start {
            add(lock, lock.start, lock.end.min(wanted.start - 1));
        }
        // Behind the owner's others that lie before it.
        if missing && if is_own { lock.end > wanted.end } else { begun } {
            add(wanted, wanted.start, wanted.end);
            missing = false;
        }
        begun |= is_own;
        if !is_own {
            add(lock, lock.start, lock.end);
        } else if lock.end > wanted.end {
            add(lock, lock.start.max(wanted.end + 1), lock.end);
        }
    }
    if missing {
        add(wanted, wanted.start, wanted.end);
    }
    *locks = all;
    Ok(())
}

/// The bytes that a lock is for, first and last: a start, what it counts from, and a length, as `struct flock` has them.
fn range(file: &Description, whence: u32, start: i64, length: i64) -> Result<(u64, u64)> {
    let from = match whence {
        SEEK_SET => 0,
        SEEK_CUR => file.position.get(),
        SEEK_END => file.stat().size,
        _ => return Err(Errno::EINVAL),
    } as i64;
    let start = from.checked_add(start).ok_or(Errno::EOVERFLOW)?;
    let (start, end) = match length {
        0 => (start, LAST as i64),
        1.. => (start, start.checked_add(length - 1).ok_or(Errno::EOVERFLOW)?),
        _ => (start.checked_add(length).ok_or(Errno::EINVAL)?, start - 1),
    };
    if start < 0 { Err(Errno::EINVAL) } else { Ok((start as u64, end as u64)) }
}

/// `F_SETLK` and the like.
fn control(file: &Rc<Description>, command: u32, address: u64) -> Result<u64> {
    // A `struct flock`: type and whence in the first word's two lowest quarters, start, length, and the process in the last one's lower half.
    let [kind, start, length, pid] = user::read::<[u64; 4]>(address)?;
    let (rest, whence, kind) = (kind >> 32 << 32, u32::from((kind >> 16) as u16), u32::from(kind as u16));
    let asks = matches!(command, F_GETLK | F_OFD_GETLK);
    let bytes = match kind {
        F_UNLCK if asks => return Err(Errno::EINVAL),
        F_RDLCK | F_WRLCK | F_UNLCK => range(file, whence, start as i64, length as i64)?,
        _ => return Err(Errno::EINVAL),
    };
    let access = file.flags.get() & O_ACCMODE;
    if !asks && (kind == F_RDLCK && access == O_WRONLY || kind == F_WRLCK && access == O_RDONLY) {
        return Err(Errno::EBADF);
    }
    let owner = match command {
        F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW if pid as u32 != 0 => return Err(Errno::EINVAL),
        F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => Owner::Description(Rc::downgrade(file)),
        _ => Owner::Process,
    };
    let wanted =
        Lock { owner, key: file.stat().key(), exclusive: kind == F_WRLCK, start: bytes.0, end: bytes.1 };
    if asks {
        let Some(found) = obstacle(&wanted) else {
            return user::write(address, &(F_UNLCK as u16)).map(|()| 0);
        };
        let kind = if found.exclusive { F_WRLCK } else { F_RDLCK };
        let length = if found.end == LAST { 0 } else { found.end - found.start + 1 };
        // The process is number 1; what belongs to a description belongs to none.
        let whose = if found.owner.is(&Owner::Process) { 1 } else { -1 };
        let pid = pid >> 32 << 32 | u64::from(whose as u32);
        let told = [rest | u64::from(kind) | u64::from(SEEK_SET) << 16, found.start, length, pid];
        return user::write(address, &told).map(|()| 0);
    }
    while kind != F_UNLCK && obstacle(&wanted).is_some() {
        if !matches!(command, F_SETLKW | F_OFD_SETLKW) {
            return Err(Errno::EAGAIN);
        }
        super::wait()?;
    }
    set(&wanted, kind != F_UNLCK)?;
    // What it had may have been in the way of others.
    released();
    Ok(0)
}
