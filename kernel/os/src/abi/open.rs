//! `open(2)`, `openat(2)`, `creat(2)`, `close(2)`, `access(2)`, `faccessat(2)`.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::fs::node::{self, Directory, Event, Name, Node, Wish, permit};
use crate::fs::path::{self, Last, Location, Target};
use crate::memory::user;
use alloc::rc::Rc;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_open => open,
    __NR_openat => openat,
    __NR_creat => creat,
    __NR_close => close,
    __NR_close_range => close_range,
    __NR_access => access,
    __NR_faccessat => faccessat,
    __NR_faccessat2 => faccessat2,
    __NR_umask => umask,
});

/// Permissions that new files do not get.
static UMASK: crate::cell::KernelCell<u32> = crate::cell::KernelCell::new(0o022);

/// The permissions that a new file gets when these are asked for.
pub fn masked(permissions: u64) -> u32 {
    permissions as u32 & 0o7777 & !*UMASK.borrow()
}

/// The directory that a path starts from (`openat(2)`).
pub fn base(directory: u64, path: &[u8]) -> Result<Rc<Location>> {
    if path.starts_with(b"/") {
        return Ok(path::root());
    }
    if directory as i32 == AT_FDCWD {
        return Ok(path::working_directory());
    }
    file::get_place(directory)?.location.clone().ok_or(Errno::ENOTDIR)
}

/// Where the path at an address leads.
pub fn walk_at(directory: u64, address: u64, last: Last) -> Result<Target> {
    user::with_path(address, |path| path::walk(&base(directory, path)?, path, last))
}

/// What the path at an address leads to.
pub fn resolve_at(directory: u64, address: u64, follow: bool) -> Result<Rc<dyn Node>> {
    walk_at(directory, address, Last::of(follow))?.found.ok_or(Errno::ENOENT)
}

/// The same with the path that it is at.
pub fn locate_at(directory: u64, address: u64, follow: bool) -> Result<Rc<Location>> {
    walk_at(directory, address, Last::of(follow))?.location()
}

/// The location at a path, or under `AT_EMPTY_PATH` without one that of the descriptor itself.
pub fn place_at(directory: u64, address: u64, flags: u32) -> Result<Rc<Location>> {
    if flags & AT_EMPTY_PATH != 0 && user::read::<u8>(address)? == 0 {
        return match directory as i32 {
            AT_FDCWD => Ok(path::working_directory()),
            _ => file::get_place(directory)?.location.clone().ok_or(Errno::EINVAL),
        };
    }
    locate_at(directory, address, flags & AT_SYMLINK_NOFOLLOW == 0)
}

fn open_path(directory: u64, address: u64, mut flags: u32, permissions: u64) -> Result<u64> {
    if flags & O_PATH != 0 {
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    }
    // Nothing is made or cut off for want of a descriptor.
    file::check_room()?;
    let exclusive = flags & O_CREAT != 0 && flags & O_EXCL != 0;
    let follow = flags & O_NOFOLLOW == 0 && !exclusive;
    let mut target = walk_at(directory, address, Last::of(follow))?;
    let existed = target.found.is_some();
    let node = match target.found.take() {
        Some(_) if exclusive => return Err(Errno::EEXIST),
        Some(found) => found,
        None if flags & O_CREAT == 0 => return Err(Errno::ENOENT),
        None if target.must_be_directory => return Err(Errno::EISDIR),
        None => {
            let (directory, name) = (&target.directory, target.name());
            permit(&**directory, Wish::Use(W_OK))?;
            let node = directory.create(name, S_IFREG | masked(permissions), &[])?;
            node::tell(&Event::Created(Name { directory, name, node: &node }));
            node
        }
    };
    let location = target.at(node);
    let kind = location.node.kind();
    if flags & O_DIRECTORY != 0 && kind != S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    if flags & O_PATH != 0 {
        return file::open_at(Rc::new(Directory::of(&location)), flags, Some(location));
    }
    if kind == S_IFLNK {
        return Err(Errno::ELOOP);
    }
    if kind == S_IFDIR && (flags & O_ACCMODE != O_RDONLY || flags & (O_CREAT | O_TRUNC) != 0) {
        return Err(Errno::EISDIR);
    }
    if existed {
        let mut want = match flags & O_ACCMODE {
            O_RDONLY => R_OK,
            O_WRONLY => W_OK,
            _ => R_OK | W_OK,
        };
        if flags & O_TRUNC != 0 {
            want |= W_OK;
        }
        permit(&*location.node, Wish::Use(want))?;
    }
    if kind == S_IFDIR {
        node::tell(&Event::Changed(&location, IN_OPEN));
        return file::open_at(Rc::new(Directory::of(&location)), flags, Some(location));
    }
    let file = location.node.clone().open(flags)?;
    if existed && flags & O_TRUNC != 0 {
        node::tell(&Event::Changed(&location, IN_MODIFY));
    }
    if kind == S_IFREG {
        node::tell(&Event::Changed(&location, IN_OPEN));
    }
    file::open_at(file, flags & !(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY), Some(location))
}

fn open(args: &Args) -> Result<u64> {
    let [path, flags, mode, ..] = args.0;
    open_path(AT_FDCWD as u64, path, flags as u32, mode)
}

fn openat(args: &Args) -> Result<u64> {
    let [directory, path, flags, mode, ..] = args.0;
    open_path(directory, path, flags as u32, mode)
}

fn creat(args: &Args) -> Result<u64> {
    let [path, mode, ..] = args.0;
    open_path(AT_FDCWD as u64, path, O_CREAT | O_WRONLY | O_TRUNC, mode)
}

fn close(args: &Args) -> Result<u64> {
    file::close(args.0[0])?;
    Ok(0)
}

// linux/close_range.h
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;

fn close_range(args: &Args) -> Result<u64> {
    let [first, last, flags, ..] = args.0;
    if first as u32 > last as u32 || flags as u32 & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let range = first as u32 as u64..=last as u32 as u64;
    for fd in file::all().into_iter().filter(|fd| range.contains(fd)) {
        if flags as u32 & CLOSE_RANGE_CLOEXEC != 0 {
            file::close_on_exec(fd, Some(true))?;
        } else {
            file::close(fd)?;
        }
    }
    Ok(0)
}

fn check_access(directory: u64, address: u64, mode: u64, flags: u32) -> Result<u64> {
    if mode as u32 > 7 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let node = &*place_at(directory, address, flags)?.node;
    let stat = node.stat();
    let kind = stat.mode & S_IFMT;
    if mode as u32 & W_OK != 0 && node.is_read_only() && matches!(kind, S_IFREG | S_IFDIR) {
        return Err(Errno::EROFS);
    }
    // Root may run what has any execute bit.
    if mode as u32 & X_OK != 0 && kind == S_IFREG && stat.mode & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    let mode = mode as u32;
    permit(node, if flags & AT_EACCESS != 0 { Wish::Use(mode) } else { Wish::Ask(mode) }).map(|()| 0)
}

fn access(args: &Args) -> Result<u64> {
    check_access(AT_FDCWD as u64, args.0[0], args.0[1], 0)
}

fn faccessat(args: &Args) -> Result<u64> {
    check_access(args.0[0], args.0[1], args.0[2], 0)
}

fn faccessat2(args: &Args) -> Result<u64> {
    check_access(args.0[0], args.0[1], args.0[2], args.0[3] as u32)
}

fn umask(args: &Args) -> Result<u64> {
    let new = args.0[0] as u32 & 0o777;
    Ok(u64::from(core::mem::replace(&mut *UMASK.borrow(), new)))
}
