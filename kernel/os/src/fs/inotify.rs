//! `inotify(7)`: events about files, to be read from a descriptor.
//!
//! There is one process, so that everything that happens goes through its own calls: those that change names tell of it, and a file that is
//! open tells of reads, writes and the close. What is watched is a node; it is known again
//! by its file system and inode.

mod events;
mod instance;

use self::instance::{Instance, WATCHES, Watch, key_of};
use super::file;
use super::node::{Wish, permit};
use super::synthetic::{Names, Text};
use crate::abi::open::resolve_at;
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::list;
use alloc::format;
use alloc::rc::Rc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_inotify_init => inotify_init,
    __NR_inotify_init1 => inotify_init1,
    __NR_inotify_add_watch => inotify_add_watch,
    __NR_inotify_rm_watch => inotify_rm_watch,
});
crate::register!("process-file": fn(&mut Names) = { 30 => add_limits });

crate::param! {
    /// Most events that wait in an instance.
    static MOST: u64 = "queue"
}

/// All that a watch may be asked to tell or to do (`linux/inotify.h`).
const KNOWN: u32 = IN_ALL_EVENTS
    | IN_UNMOUNT
    | IN_Q_OVERFLOW
    | IN_IGNORED
    | IN_ONLYDIR
    | IN_DONT_FOLLOW
    | IN_EXCL_UNLINK
    | IN_MASK_ADD
    | IN_MASK_CREATE
    | IN_ISDIR
    | IN_ONESHOT;
/// Of these, what a watch keeps.
const KEPT: u32 = IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT;

fn create(flags: u32) -> Result<u64> {
    let instance = Instance::new()?;
    // The flags have the values of O_CLOEXEC and O_NONBLOCK.
    file::open(instance, flags | O_RDONLY)
}

fn inotify_init(_: &Args) -> Result<u64> {
    create(0)
}

fn inotify_init1(args: &Args) -> Result<u64> {
    let flags = args.0[0] as u32;
    if flags & !(IN_CLOEXEC | IN_NONBLOCK) != 0 { Err(Errno::EINVAL) } else { create(flags) }
}

fn inotify_add_watch(args: &Args) -> Result<u64> {
    let [fd, path, mask, ..] = args.0;
    let mask = mask as u32;
    if mask & KNOWN == 0 {
        return Err(Errno::EINVAL);
    }
    let description = file::get(fd)?;
    if mask & (IN_MASK_ADD | IN_MASK_CREATE) == IN_MASK_ADD | IN_MASK_CREATE {
        return Err(Errno::EINVAL);
    }
    let instance: &Instance = description.downcast().ok_or(Errno::EINVAL)?;
    let node = resolve_at(AT_FDCWD as u64, path, mask & IN_DONT_FOLLOW == 0)?;
    if mask & IN_ONLYDIR != 0 && !node.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    permit(&*node, Wish::Use(R_OK))?;
    let key = key_of(&*node);
    let mut watches = instance.watches.borrow_mut();
    if let Some(watch) = watches.iter_mut().find(|watch| watch.key == key) {
        if mask & IN_MASK_CREATE != 0 {
            return Err(Errno::EEXIST);
        }
        watch.mask = mask & KEPT | if mask & IN_MASK_ADD != 0 { watch.mask } else { 0 };
        return Ok(watch.number as u64);
    }
    let number = instance.last.get().checked_add(1).ok_or(Errno::ENOSPC)?;
    list::push(&mut watches, Watch { number, key, node, mask: mask & KEPT })?;
    WATCHES.fetch_add(1, Ordering::Relaxed);
    instance.last.set(number);
    Ok(number as u64)
}

fn inotify_rm_watch(args: &Args) -> Result<u64> {
    let description = file::get(args.0[0])?;
    let instance: &Instance = description.downcast().ok_or(Errno::EINVAL)?;
    let number = args.0[1] as i32;
    if instance.forget(|watch| watch.number == number) { Ok(0) } else { Err(Errno::EINVAL) }
}

/// What programs that watch much look at first. Watches and instances are limited by memory and descriptors only.
fn add_limits(names: &mut Names) {
    names.insert(
        b"sys/fs/inotify/max_queued_events",
        Rc::new(Text(|text| text.extend(format!("{}\n", MOST.get()).into_bytes()))),
    );
    names.insert(
        b"sys/fs/inotify/max_user_instances",
        Rc::new(Text(|text| text.extend(format!("{}\n", file::MOST).into_bytes()))),
    );
    names.insert(
        b"sys/fs/inotify/max_user_watches",
        Rc::new(Text(|text| text.extend(format!("{}\n", i32::MAX).into_bytes()))),
    );
}
