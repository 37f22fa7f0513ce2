//! `open(2)`, `openat(2)`, `close(2)`, `access(2)`, `faccessat(2)`.

use super::process;
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::{file, root};
use crate::memory::user;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_open => open,
    __NR_openat => openat,
    __NR_close => close,
    __NR_access => access,
    __NR_faccessat => faccessat,
    __NR_faccessat2 => faccessat2,
});

/// An absolute path from a directory descriptor and the address of a path (`openat(2)`).
pub fn path_at(directory: u64, address: u64) -> Result<Vec<u8>> {
    let path = user::read_path(address)?;
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    if path.starts_with(b"/") || directory as i32 == AT_FDCWD {
        return Ok(process::absolute(path));
    }
    let file = file::get(directory)?;
    let entry = &root::entries()[file.root_index().ok_or(Errno::ENOTDIR)?];
    if !entry.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let mut absolute = entry.path().to_vec();
    absolute.push(b'/');
    absolute.extend(path);
    Ok(absolute)
}

fn open_path(path: Vec<u8>, flags: u32) -> Result<u64> {
    let file = match root::open(&path, flags & O_NOFOLLOW == 0) {
        // Nothing can be made in a read-only root.
        Err(Errno::ENOENT) if flags & O_CREAT != 0 => return Err(Errno::EROFS),
        other => other?,
    };
    let kind = file.stat().mode & S_IFMT;
    if kind == S_IFLNK {
        return Err(Errno::ELOOP);
    }
    if flags & O_CREAT != 0 && flags & O_EXCL != 0 {
        return Err(Errno::EEXIST);
    }
    if flags & O_DIRECTORY != 0 && kind != S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    if flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0 {
        match kind {
            S_IFDIR => return Err(Errno::EISDIR),
            S_IFREG => return Err(Errno::EROFS),
            _ => {}
        }
    }
    file::open(file, flags)
}

fn open(args: &Args) -> Result<u64> {
    let [path, flags, ..] = args.0;
    open_path(path_at(AT_FDCWD as u64, path)?, flags as u32)
}

fn openat(args: &Args) -> Result<u64> {
    let [directory, path, flags, ..] = args.0;
    open_path(path_at(directory, path)?, flags as u32)
}

fn close(args: &Args) -> Result<u64> {
    file::close(args.0[0])?;
    Ok(0)
}

fn check_access(path: Vec<u8>, mode: u64, follow: bool) -> Result<u64> {
    if mode > 7 {
        return Err(Errno::EINVAL);
    }
    let stat = root::open(&path, follow)?.stat();
    let kind = stat.mode & S_IFMT;
    if mode as u32 & W_OK != 0 && matches!(kind, S_IFREG | S_IFDIR) {
        return Err(Errno::EROFS);
    }
    // The program is root, for whom any execute bit will do.
    if mode as u32 & X_OK != 0 && kind == S_IFREG && stat.mode & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    Ok(0)
}

fn access(args: &Args) -> Result<u64> {
    check_access(path_at(AT_FDCWD as u64, args.0[0])?, args.0[1], true)
}

fn faccessat(args: &Args) -> Result<u64> {
    check_access(path_at(args.0[0], args.0[1])?, args.0[2], true)
}

fn faccessat2(args: &Args) -> Result<u64> {
    let flags = args.0[3] as u32;
    check_access(path_at(args.0[0], args.0[1])?, args.0[2], flags & AT_SYMLINK_NOFOLLOW == 0)
}
