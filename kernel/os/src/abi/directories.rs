//! `getdents64(2)`, `getcwd(2)`, `chdir(2)`.

use super::open::path_at;
use super::process;
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::{file, root};
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_getdents64 => getdents64,
    __NR_getcwd => getcwd,
    __NR_chdir => chdir,
    __NR_fchdir => fchdir,
});

/// Bytes of a `linux_dirent64` before the name: inode, offset, length, type.
const HEADER: usize = 19;

/// The children of a directory are behind it in the index: entries with its path and exactly one more component.
fn getdents64(args: &Args) -> Result<u64> {
    let [fd, to, size, ..] = args.0;
    let file = file::get(fd)?;
    let index = file.root_index().ok_or(Errno::ENOTDIR)?;
    let entries = root::entries();
    if !entries[index].is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let parent = entries[index].path();
    let prefix = if parent == b"/" { 1 } else { parent.len() + 1 };
    // The position is the next index to look at; 0 and 1 stand for "." and "..".
    let mut position = file.position.get();
    let mut written = 0;
    loop {
        let (name, inode, mode) = match position {
            0 => (&b"."[..], index as u64 + 1, S_IFDIR),
            1 => (&b".."[..], index as u64 + 1, S_IFDIR),
            _ => {
                let at = index + position as usize - 1;
                let Some(entry) = entries.get(at) else { break };
                let path = entry.path();
                if !path.starts_with(parent) {
                    break;
                }
                let is_below = path.len() > prefix && path[prefix - 1] == b'/';
                if !is_below || path[prefix..].contains(&b'/') {
                    position += 1;
                    continue;
                }
                (&path[prefix..], at as u64 + 1, entry.mode)
            }
        };
        let length = (HEADER + name.len() + 1).next_multiple_of(8);
        if written + length > size as usize {
            if written == 0 {
                return Err(Errno::EINVAL);
            }
            break;
        }
        let mut record = [0u8; HEADER + 256 + 8];
        record[..8].copy_from_slice(&inode.to_le_bytes());
        record[8..16].copy_from_slice(&(position + 1).to_le_bytes());
        record[16..18].copy_from_slice(&(length as u16).to_le_bytes());
        record[18] = ((mode & S_IFMT) >> 12) as u8;
        let name = &name[..name.len().min(255)];
        record[HEADER..HEADER + name.len()].copy_from_slice(name);
        user::write_bytes(to + written as u64, &record[..length])?;
        written += length;
        position += 1;
    }
    file.position.set(position);
    Ok(written as u64)
}

fn getcwd(args: &Args) -> Result<u64> {
    let [to, size, ..] = args.0;
    let mut path = process::working_directory();
    path.push(0);
    if path.len() as u64 > size {
        return Err(Errno::ERANGE);
    }
    user::write_bytes(to, &path)?;
    Ok(path.len() as u64)
}

fn change(index: usize) -> Result<u64> {
    let entry = &root::entries()[index];
    if !entry.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    process::set_working_directory(entry.path().to_vec());
    Ok(0)
}

fn chdir(args: &Args) -> Result<u64> {
    change(root::lookup(&path_at(AT_FDCWD as u64, args.0[0])?, true)?)
}

fn fchdir(args: &Args) -> Result<u64> {
    change(file::get(args.0[0])?.root_index().ok_or(Errno::ENOTDIR)?)
}
