//! `stat(2)`, `statx(2)`.

use super::open::resolve_at;
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Stat};
use crate::fs::path;
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_stat => stat,
    __NR_fstat => fstat,
    __NR_lstat => lstat,
    __NR_newfstatat => newfstatat,
    __NR_statx => statx,
});

/// Preferred size for input and output.
const BLOCK: u64 = 4096;

fn tell(stat: &Stat, to: u64) -> Result<u64> {
    // SAFETY: integers, for which zero is a value.
    let mut out: linux_raw_sys::general::stat = unsafe { core::mem::zeroed() };
    out.st_dev = 1 + stat.filesystem;
    out.st_ino = stat.inode;
    out.st_nlink = stat.links;
    out.st_mode = stat.mode;
    out.st_uid = stat.user;
    out.st_gid = stat.group;
    out.st_rdev = stat.device;
    out.st_size = stat.size as i64;
    out.st_blksize = BLOCK as i64;
    out.st_blocks = stat.size.div_ceil(512) as i64;
    for (seconds, nanoseconds, time) in [
        (&mut out.st_atime, &mut out.st_atime_nsec, stat.accessed),
        (&mut out.st_mtime, &mut out.st_mtime_nsec, stat.modified),
        (&mut out.st_ctime, &mut out.st_ctime_nsec, stat.changed),
    ] {
        *seconds = time.0 as u64;
        *nanoseconds = u64::from(time.1);
    }
    user::write(to, &out).map(|()| 0)
}

/// With `AT_EMPTY_PATH` and an empty path, the descriptor itself.
fn stat_flags(directory: u64, address: u64, flags: u32) -> Result<Stat> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & AT_EMPTY_PATH != 0 && (address == 0 || user::read::<u8>(address)? == 0) {
        return if directory as i32 == AT_FDCWD {
            Ok(path::working_directory().node.stat())
        } else {
            Ok(file::get_place(directory)?.stat())
        };
    }
    Ok(resolve_at(directory, address, flags & AT_SYMLINK_NOFOLLOW == 0)?.stat())
}

fn stat(args: &Args) -> Result<u64> {
    tell(&resolve_at(AT_FDCWD as u64, args.0[0], true)?.stat(), args.0[1])
}

fn lstat(args: &Args) -> Result<u64> {
    tell(&resolve_at(AT_FDCWD as u64, args.0[0], false)?.stat(), args.0[1])
}

fn fstat(args: &Args) -> Result<u64> {
    tell(&file::get_place(args.0[0])?.stat(), args.0[1])
}

fn newfstatat(args: &Args) -> Result<u64> {
    let [directory, path, to, flags, ..] = args.0;
    tell(&stat_flags(directory, path, flags as u32)?, to)
}

fn statx(args: &Args) -> Result<u64> {
    let [directory, path, flags, _, to, _] = args.0;
    let stat = stat_flags(directory, path, flags as u32)?;
    // SAFETY: integers, for which zero is a value.
    let mut out: linux_raw_sys::general::statx = unsafe { core::mem::zeroed() };
    out.stx_mask = STATX_BASIC_STATS;
    out.stx_blksize = BLOCK as u32;
    out.stx_nlink = stat.links as u32;
    out.stx_uid = stat.user;
    out.stx_gid = stat.group;
    out.stx_mode = u16::try_from(stat.mode).map_err(|_| Errno::EOVERFLOW)?;
    out.stx_ino = stat.inode;
    out.stx_size = stat.size;
    out.stx_blocks = stat.size.div_ceil(512);
    for (out, time) in [
        (&mut out.stx_atime, stat.accessed),
        (&mut out.stx_mtime, stat.modified),
        (&mut out.stx_ctime, stat.changed),
    ] {
        (out.tv_sec, out.tv_nsec) = time;
    }
    out.stx_rdev_major = (stat.device >> 8) as u32;
    out.stx_rdev_minor = (stat.device & 0xff) as u32;
    out.stx_dev_minor = 1 + stat.filesystem as u32;
    user::write(to, &out).map(|()| 0)
}
