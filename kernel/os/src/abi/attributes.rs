//! `statfs(2)`, and `xattr(7)` as file systems without extended attributes answer.

use super::open::resolve_at;
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::fs::node::Usage;
use crate::memory::paging::PAGE;
use crate::memory::{frames, user};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_statfs => statfs,
    __NR_fstatfs => fstatfs,
    __NR_getxattr => attributes_of_path,
    __NR_lgetxattr => attributes_of_link,
    __NR_setxattr => attributes_of_path,
    __NR_lsetxattr => attributes_of_link,
    __NR_removexattr => attributes_of_path,
    __NR_lremovexattr => attributes_of_link,
    __NR_listxattr => list_of_path,
    __NR_llistxattr => list_of_link,
    __NR_fgetxattr => attributes_of_file,
    __NR_fsetxattr => attributes_of_file,
    __NR_fremovexattr => attributes_of_file,
    __NR_flistxattr => list_of_file,
});

/// TMPFS_MAGIC of linux/magic.h: what is here is in memory.
const TMPFS: u64 = 0x0102_1994;
/// `ST_RDONLY` (`statvfs(3)`).
const MOUNT_READ_ONLY: u64 = 1;

/// Memory, as a file system: what is not on a disk lives there.
fn memory() -> Usage {
    let (free, total) = frames::counts();
    let (blocks, free) = (total as u64, free as u64);
    Usage { magic: TMPFS, block: PAGE, blocks, free, files: 0, free_files: 0, read_only: false }
}

/// `struct statfs` of x86-64: type, block size, blocks, free, available, files, free files, identity, name length, fragment size, flags, spare.
fn write(to: u64, usage: Option<Usage>) -> Result<u64> {
    let facts = usage.unwrap_or_else(memory);
    let flags = if facts.read_only { MOUNT_READ_ONLY } else { 0 };
    let words = [
        facts.magic,
        facts.block,
        facts.blocks,
        facts.free,
        facts.free,
        facts.files,
        facts.free_files,
        0,
        255,
        facts.block,
        flags,
        0,
        0,
        0,
        0,
    ];
    user::write(to, &words).map(|()| 0)
}

fn statfs(args: &Args) -> Result<u64> {
    write(args.0[1], resolve_at(AT_FDCWD as u64, args.0[0], true)?.usage())
}

fn fstatfs(args: &Args) -> Result<u64> {
    let file = file::get_place(args.0[0])?;
    write(args.0[1], file.location.as_ref().and_then(|location| location.node.usage()))
}

fn attributes_of_path(args: &Args) -> Result<u64> {
    resolve_at(AT_FDCWD as u64, args.0[0], true)?;
    Err(Errno::EOPNOTSUPP)
}

fn attributes_of_link(args: &Args) -> Result<u64> {
    resolve_at(AT_FDCWD as u64, args.0[0], false)?;
    Err(Errno::EOPNOTSUPP)
}

fn attributes_of_file(args: &Args) -> Result<u64> {
    file::get(args.0[0])?;
    Err(Errno::EOPNOTSUPP)
}

/// An empty list.
fn list_of_path(args: &Args) -> Result<u64> {
    resolve_at(AT_FDCWD as u64, args.0[0], true)?;
    Ok(0)
}

fn list_of_link(args: &Args) -> Result<u64> {
    resolve_at(AT_FDCWD as u64, args.0[0], false)?;
    Ok(0)
}

fn list_of_file(args: &Args) -> Result<u64> {
    file::get(args.0[0])?;
    Ok(0)
}
