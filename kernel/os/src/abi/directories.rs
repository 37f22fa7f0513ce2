//! `getdents64(2)`, `getcwd(2)`, `chdir(2)`.

use super::open::locate_at;
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Description};
use crate::fs::node::{Directory, DirectoryEntry};
use crate::fs::{packed, path};
use crate::memory::user;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_getdents64 => getdents64,
    __NR_getcwd => getcwd,
    __NR_chdir => chdir,
    __NR_fchdir => fchdir,
});

crate::register!("packed-list": fn(&'static packed::Entry) -> Vec<DirectoryEntry> = { 10 => packed::list });

// Names in the directory at an absolute path that its own file system does not know of.
crate::hook!(fn more_names() -> "more-names": fn(&[u8]) -> Vec<Vec<u8>>);

/// Bytes of a `linux_dirent64` before the name: inode, offset, length, type.
const HEADER: usize = 19;

fn getdents64(args: &Args) -> Result<u64> {
    let [fd, to, size, ..] = args.0;
    let file = file::get(fd)?;
    let directory: &Directory = file.downcast().ok_or(Errno::ENOTDIR)?;
    let mut position = file.position.get() as usize;
    if position == 0 || directory.entries.borrow().is_none() {
        *directory.entries.borrow_mut() = Some(entries(&file, directory)?);
    }
    let mut written = 0;
    loop {
        let mut record = Vec::new();
        if let Some(entry) = directory.entries.borrow().as_ref().and_then(|entries| entries.get(position)) {
            let length = (HEADER + entry.name.len() + 1).next_multiple_of(8);
            record.extend(entry.inode.to_le_bytes());
            record.extend((position as u64 + 1).to_le_bytes());
            record.extend((length as u16).to_le_bytes());
            record.push(((entry.mode & S_IFMT) >> 12) as u8);
            record.extend_from_slice(&entry.name);
            record.resize(length, 0);
        }
        if record.is_empty() {
            break;
        }
        if written + record.len() > size as usize {
            if written == 0 {
                return Err(Errno::EINVAL);
            }
            break;
        }
        match user::write_bytes(to + written as u64, &record) {
            Err(error) if written == 0 => return Err(error),
            Err(_) => break, // it comes next time
            Ok(()) => {}
        }
        written += record.len();
        position += 1;
    }
    file.position.set(position as u64);
    file.tell(IN_ACCESS);
    Ok(written as u64)
}

/// `.`, `..`, the directory's own entries, and what is mounted in it.
fn entries(file: &Description, directory: &Directory) -> Result<Vec<DirectoryEntry>> {
    let inode = directory.node.stat().inode;
    let entry = |name: &[u8]| DirectoryEntry { name: name.to_vec(), inode, mode: S_IFDIR };
    let mut entries = directory.node.list()?;
    if let Some(location) = &file.location {
        for name in more_names().iter().flat_map(|names| (names.item)(&location.path())) {
            if !entries.iter().any(|entry| entry.name == name) {
                entries.push(entry(&name));
            }
        }
    }
    entries.splice(0..0, [entry(b"."), entry(b"..")]);
    Ok(entries)
}

fn getcwd(args: &Args) -> Result<u64> {
    let [to, size, ..] = args.0;
    let location = path::working_directory();
    if location.is_removed() {
        return Err(Errno::ENOENT);
    }
    let here = location.path();
    let mut path = path::seen(&here).unwrap_or_else(|| [b"(unreachable)", &here[..]].concat());
    path.push(0);
    if path.len() as u64 > size {
        return Err(Errno::ERANGE);
    }
    user::write_bytes(to, &path)?;
    Ok(path.len() as u64)
}

fn chdir(args: &Args) -> Result<u64> {
    path::set_working_directory(locate_at(AT_FDCWD as u64, args.0[0], true)?)?;
    Ok(0)
}

fn fchdir(args: &Args) -> Result<u64> {
    let location = file::get_place(args.0[0])?.location.clone();
    path::set_working_directory(location.ok_or(Errno::ENOTDIR)?)?;
    Ok(0)
}
