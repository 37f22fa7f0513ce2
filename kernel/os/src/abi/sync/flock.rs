//! `flock(2)`: locks that open file descriptions hold on whole files. Two of one process stand in each other's way like those of two.

use super::released;
use crate::abi::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Description};
use crate::list;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general::{__NR_flock, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN};

crate::register!("syscall": Handler = { __NR_flock => flock });

struct Lock {
    /// Whose it is; it goes with the description.
    holder: Weak<Description>,
    /// The file: file system and inode.
    key: (u64, u64),
    exclusive: bool,
}

static LOCKS: KernelCell<Vec<Lock>> = KernelCell::new(Vec::new());

/// Takes the lock, unless another is in its way. What the description held goes in any case.
fn take(holder: &Rc<Description>, key: (u64, u64), exclusive: bool) -> Result<()> {
    let mut locks = LOCKS.borrow();
    locks.retain(|lock| lock.holder.strong_count() > 0 && lock.holder.as_ptr() != Rc::as_ptr(holder));
    if locks.iter().any(|lock| lock.key == key && (exclusive || lock.exclusive)) {
        return Err(Errno::EAGAIN);
    }
    list::push(&mut locks, Lock { holder: Rc::downgrade(holder), key, exclusive })
}

fn flock(args: &Args) -> Result<u64> {
    let [fd, operation, ..] = args.0;
    let operation = operation as u32;
    let file = file::get(fd)?;
    let key = file.stat().key();
    let exclusive = match operation & !LOCK_NB {
        LOCK_SH => false,
        LOCK_EX => true,
        LOCK_UN => {
            LOCKS.borrow().retain(|lock| lock.holder.as_ptr() != Rc::as_ptr(&file));
            released();
            return Ok(0);
        }
        _ => return Err(Errno::EINVAL),
    };
    loop {
        let taken = take(&file, key, exclusive);
        // What it held may have been in the way of others.
        released();
        if taken != Err(Errno::EAGAIN) || operation & LOCK_NB != 0 {
            return taken.map(|()| 0);
        }
        super::wait()?;
    }
}
