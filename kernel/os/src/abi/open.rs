//! `open(2)`, `openat(2)`, `creat(2)`, `close(2)`, `access(2)`, `faccessat(2)`.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::fs::node::{self, Directory, Event, Name, Node, Wish, permit};
use crate::fs::path::{self, Location, Target};
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
    file::get(directory)?.location.clone().ok_or(Errno::ENOTDIR)
}

/// Where the path at an address leads.
pub fn walk_at(directory: u64, address: u64, follow: bool) -> Result<Target> {
    user::with_path(address, |path| path::walk(&base(directory, path)?, path, follow))
}

/// What the path at an address leads to.
pub fn resolve_at(directory: u64, address: u64, follow: bool) -> Result<Rc<dyn Node>> {
    walk_at(directory, address, follow)?.found.ok_or(Errno::ENOENT)
}

/// The same with the path that it is at.
pub fn locate_at(directory: u64, address: u64, follow: bool) -> Result<Rc<Location>> {
    walk_at(directory, address, follow)?.location()
}

fn open_path(directory: u64, address: u64, flags: u32, permissions: u64) -> Result<u64> {
    let exclusive = flags & O_CREAT != 0 && flags & O_EXCL != 0;
    let follow = flags & O_NOFOLLOW == 0 && !exclusive;
    let mut target = walk_at(directory, address, follow)?;
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
    if flags & O_PATH != 0 {
        return file::open_at(Rc::new(Directory::of(&location)), flags, Some(location));
    }
    if kind == S_IFLNK {
        return Err(Errno::ELOOP);
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
    if flags & O_DIRECTORY != 0 && kind != S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    if kind == S_IFDIR {
        if flags & O_ACCMODE != O_RDONLY || flags & O_CREAT != 0 || flags & O_TRUNC != 0 {
            return Err(Errno::EISDIR);
        }
        return file::open_at(Rc::new(Directory::open(&location)), flags, Some(location));
    }
    let mut file = location.node.clone().open(flags)?;
    if existed && flags & O_TRUNC != 0 {
        node::tell(&Event::Changed(&location, IN_MODIFY));
    }
    if kind == S_IFREG {
        file = node::opened(&location, file, flags);
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

fn check_access(node: &dyn Node, mode: u64) -> Result<u64> {
    if mode > 7 {
        return Err(Errno::EINVAL);
    }
    let stat = node.stat();
    let kind = stat.mode & S_IFMT;
    if mode as u32 & W_OK != 0 && node.is_read_only() && matches!(kind, S_IFREG | S_IFDIR) {
        return Err(Errno::EROFS);
    }
    // Root may run what has any execute bit.
    if mode as u32 & X_OK != 0 && kind == S_IFREG && stat.mode & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    permit(node, Wish::Ask(mode as u32)).map(|()| 0)
}

fn access(args: &Args) -> Result<u64> {
    check_access(&*resolve_at(AT_FDCWD as u64, args.0[0], true)?, args.0[1])
}

fn faccessat(args: &Args) -> Result<u64> {
    check_access(&*resolve_at(args.0[0], args.0[1], true)?, args.0[2])
}

fn faccessat2(args: &Args) -> Result<u64> {
    let flags = args.0[3] as u32;
    check_access(&*resolve_at(args.0[0], args.0[1], flags & AT_SYMLINK_NOFOLLOW == 0)?, args.0[2])
}

fn umask(args: &Args) -> Result<u64> {
    let new = args.0[0] as u32 & 0o777;
    Ok(u64::from(core::mem::replace(&mut *UMASK.borrow(), new)))
}
