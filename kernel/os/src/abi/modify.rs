//! Calls that change directories and attributes.

use super::clock::time_of_day;
use super::open::{locate_at, masked, place_at, walk_at};
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::fs::node::{Change, Event, Name, Node, Wish, permit, tell};
use crate::fs::path::{self, Last, Location};
use crate::memory::user;
use alloc::rc::Rc;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_mkdir => mkdir,
    __NR_mkdirat => mkdirat,
    __NR_mknod => mknod,
    __NR_mknodat => mknodat,
    __NR_rmdir => rmdir,
    __NR_unlink => unlink,
    __NR_unlinkat => unlinkat,
    __NR_rename => rename,
    __NR_renameat => renameat,
    __NR_renameat2 => renameat2,
    __NR_link => link,
    __NR_linkat => linkat,
    __NR_symlink => symlink,
    __NR_symlinkat => symlinkat,
    __NR_truncate => truncate,
    __NR_ftruncate => ftruncate,
    __NR_fallocate => fallocate,
    __NR_chmod => chmod,
    __NR_fchmod => fchmod,
    __NR_fchmodat => fchmodat,
    __NR_chown => chown,
    __NR_lchown => lchown,
    __NR_fchown => fchown,
    __NR_fchownat => fchownat,
    __NR_utime => utime,
    __NR_utimes => utimes,
    __NR_utimensat => utimensat,
});

const HERE: u64 = AT_FDCWD as u64;

fn make(directory: u64, path: u64, mode: u32, target: &[u8]) -> Result<u64> {
    let place = walk_at(directory, path, Last::Name)?;
    if place.found.is_some() {
        return Err(Errno::EEXIST);
    }
    if place.must_be_directory && mode & S_IFMT != S_IFDIR {
        return Err(Errno::ENOENT);
    }
    permit(&*place.directory, Wish::Use(W_OK))?;
    let node = place.directory.create(place.name(), mode, target)?;
    tell(&Event::Created(Name { directory: &place.directory, name: place.name(), node: &node }));
    Ok(0)
}

/// Whose id a program takes is no property of directories that `mkdir` gives them.
fn directory_mode(permissions: u64) -> u32 {
    S_IFDIR | masked(permissions) & !(S_ISUID | S_ISGID)
}

fn mkdir(args: &Args) -> Result<u64> {
    make(HERE, args.0[0], directory_mode(args.0[1]), &[])
}

fn mkdirat(args: &Args) -> Result<u64> {
    make(args.0[0], args.0[1], directory_mode(args.0[2]), &[])
}

fn make_node(directory: u64, path: u64, mode: u64) -> Result<u64> {
    match mode as u32 & S_IFMT {
        0 | S_IFREG => make(directory, path, S_IFREG | masked(mode), &[]),
        kind @ (S_IFIFO | S_IFSOCK) => make(directory, path, kind | masked(mode), &[]),
        S_IFCHR | S_IFBLK | S_IFDIR => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

fn mknod(args: &Args) -> Result<u64> {
    make_node(HERE, args.0[0], args.0[1])
}

fn mknodat(args: &Args) -> Result<u64> {
    make_node(args.0[0], args.0[1], args.0[2])
}

fn symlink(args: &Args) -> Result<u64> {
    symlinkat(&Args([args.0[0], HERE, args.0[1], 0, 0, 0]))
}

fn symlinkat(args: &Args) -> Result<u64> {
    let [target, directory, path, ..] = args.0;
    let target = user::read_path(target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    make(directory, path, S_IFLNK | 0o777, &target)
}

fn remove(directory: u64, path: u64, is_directory: bool) -> Result<u64> {
    let place = walk_at(directory, path, Last::Name)?;
    if place.name().is_empty() {
        return Err(if is_directory { unremovable(path)? } else { Errno::EISDIR });
    }
    let found = place.found.as_ref().ok_or(Errno::ENOENT)?;
    if place.must_be_directory && !found.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    permit(&*place.directory, Wish::Remove(&**found))?;
    if is_directory && path::is_busy(place.path()) {
        return Err(Errno::EBUSY);
    }
    place.directory.remove(place.name(), is_directory)?;
    tell(&Event::Removed(Name { directory: &place.directory, name: place.name(), node: found }));
    Ok(0)
}

/// Why what a path leads to that does not end in a name cannot be removed (`rmdir(2)`).
fn unremovable(path: u64) -> Result<Errno> {
    let path = user::read_path(path)?;
    Ok(match path.split(|&byte| byte == b'/').rfind(|name| !name.is_empty()) {
        Some(b".") => Errno::EINVAL,
        Some(b"..") => Errno::ENOTEMPTY,
        _ => Errno::EBUSY,
    })
}

fn rmdir(args: &Args) -> Result<u64> {
    remove(HERE, args.0[0], true)
}

fn unlink(args: &Args) -> Result<u64> {
    remove(HERE, args.0[0], false)
}

fn unlinkat(args: &Args) -> Result<u64> {
    let [directory, path, flags, ..] = args.0;
    if flags as u32 & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    remove(directory, path, flags as u32 & AT_REMOVEDIR != 0)
}

fn move_name(from: (u64, u64), to: (u64, u64), flags: u32) -> Result<u64> {
    if flags & !RENAME_NOREPLACE != 0 {
        return Err(Errno::EINVAL);
    }
    let from = walk_at(from.0, from.1, Last::Name)?;
    let to = walk_at(to.0, to.1, Last::Name)?;
    if from.name().is_empty() || to.name().is_empty() {
        return Err(Errno::EBUSY);
    }
    let moved = from.found.as_ref().ok_or(Errno::ENOENT)?;
    if to.found.is_some() && flags & RENAME_NOREPLACE != 0 {
        return Err(Errno::EEXIST);
    }
    if path::is_busy(from.path()) || to.found.is_some() && path::is_busy(to.path()) {
        return Err(Errno::EBUSY);
    }
    if (from.must_be_directory || to.must_be_directory) && !moved.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    // Of two names of one file both stay.
    if to.found.as_ref().is_some_and(|found| found.stat().key() == moved.stat().key()) {
        return Ok(0);
    }
    permit(&*from.directory, Wish::Remove(&**moved))?;
    match &to.found {
        Some(replaced) => permit(&*to.directory, Wish::Remove(&**replaced))?,
        None => permit(&*to.directory, Wish::Use(W_OK))?,
    }
    from.directory.rename(from.name(), &to.directory, to.name())?;
    path::moved(from.path(), to.path(), moved);
    tell(&Event::Moved {
        from: Name { directory: &from.directory, name: from.name(), node: moved },
        to: Name { directory: &to.directory, name: to.name(), node: moved },
        replaced: to.found.as_ref(),
    });
    Ok(0)
}

fn rename(args: &Args) -> Result<u64> {
    move_name((HERE, args.0[0]), (HERE, args.0[1]), 0)
}

fn renameat(args: &Args) -> Result<u64> {
    let [from, old, to, new, ..] = args.0;
    move_name((from, old), (to, new), 0)
}

fn renameat2(args: &Args) -> Result<u64> {
    let [from, old, to, new, flags, _] = args.0;
    move_name((from, old), (to, new), flags as u32)
}

fn add_name(node: &Rc<dyn Node>, to: (u64, u64)) -> Result<u64> {
    let to = walk_at(to.0, to.1, Last::Name)?;
    if to.found.is_some() {
        return Err(Errno::EEXIST);
    }
    if to.must_be_directory {
        return Err(Errno::ENOENT);
    }
    permit(&*to.directory, Wish::Use(W_OK))?;
    to.directory.link(to.name(), node.clone())?;
    tell(&Event::Linked(Name { directory: &to.directory, name: to.name(), node }));
    Ok(0)
}

fn link(args: &Args) -> Result<u64> {
    add_name(&locate_at(HERE, args.0[0], false)?.node, (HERE, args.0[1]))
}

fn linkat(args: &Args) -> Result<u64> {
    let [from, old, to, new, flags, _] = args.0;
    let flags = flags as u32;
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let stays = if flags & AT_SYMLINK_FOLLOW != 0 { 0 } else { AT_SYMLINK_NOFOLLOW };
    let node = &place_at(from, old, flags & AT_EMPTY_PATH | stays)?.node;
    add_name(node, (to, new))
}

/// Where an open file is.
fn location_of(fd: u64) -> Result<Rc<Location>> {
    file::get(fd)?.location.clone().ok_or(Errno::EINVAL)
}

/// Changes a file and tells of it: `IN_*` of `inotify(7)`, or nothing.
fn change(location: &Location, change: &Change, event: u32) -> Result<u64> {
    location.node.change(change)?;
    if event != 0 {
        tell(&Event::Changed(location, event));
    }
    Ok(0)
}

fn resize(location: &Location, size: u64) -> Result<u64> {
    if (size as i64) < 0 {
        return Err(Errno::EINVAL);
    }
    if location.node.is_directory() {
        return Err(Errno::EISDIR);
    }
    change(location, &Change { size: Some(size), ..Change::default() }, IN_MODIFY)
}

fn truncate(args: &Args) -> Result<u64> {
    if (args.0[1] as i64) < 0 {
        return Err(Errno::EINVAL);
    }
    let location = locate_at(HERE, args.0[0], true)?;
    permit(&*location.node, Wish::Use(W_OK))?;
    resize(&location, args.0[1])
}

fn ftruncate(args: &Args) -> Result<u64> {
    if file::get(args.0[0])?.flags.get() & O_ACCMODE == O_RDONLY {
        return Err(Errno::EINVAL);
    }
    resize(&*location_of(args.0[0])?, args.0[1])
}

/// Room is made by growing the file; holes cannot be punched.
fn fallocate(args: &Args) -> Result<u64> {
    let [fd, mode, offset, length, ..] = args.0;
    let file = file::get(fd)?;
    if (offset as i64) < 0 || (length as i64) <= 0 {
        return Err(Errno::EINVAL);
    }
    let mode = mode as u32;
    if mode & !FALLOC_FL_KEEP_SIZE != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let stat = file.stat();
    match stat.mode & S_IFMT {
        _ if file.flags.get() & O_ACCMODE == O_RDONLY => return Err(Errno::EBADF),
        S_IFREG => {}
        S_IFIFO => return Err(Errno::ESPIPE),
        _ => return Err(Errno::ENODEV),
    }
    let end = offset + length;
    if end > i64::MAX as u64 {
        return Err(Errno::EFBIG);
    }
    if mode == 0 && stat.size < end { resize(&*location_of(fd)?, end) } else { Ok(0) }
}

fn set_permissions(location: &Location, mode: u64) -> Result<u64> {
    permit(&*location.node, Wish::Own)?;
    change(location, &Change { permissions: Some(mode as u32), ..Change::default() }, IN_ATTRIB)
}

fn chmod(args: &Args) -> Result<u64> {
    set_permissions(&*locate_at(HERE, args.0[0], true)?, args.0[1])
}

fn fchmod(args: &Args) -> Result<u64> {
    set_permissions(&*location_of(args.0[0])?, args.0[1])
}

fn fchmodat(args: &Args) -> Result<u64> {
    set_permissions(&*locate_at(args.0[0], args.0[1], true)?, args.0[2])
}

fn set_owner(location: &Location, user: u64, group: u64) -> Result<u64> {
    let given = |id: u64| Some(id as u32).filter(|&id| id != u32::MAX);
    let (user, group) = (given(user), given(group));
    permit(&*location.node, Wish::Give(user, group))?;
    let event = if user.or(group).is_some() { IN_ATTRIB } else { 0 };
    // A file that runs as whom it belongs to does so no more.
    let stat = location.node.stat();
    let runs_as = match stat.mode & S_IFMT {
        S_IFDIR => 0,
        _ if stat.mode & S_IXGRP != 0 => S_ISUID | S_ISGID,
        _ => S_ISUID,
    };
    let permissions = Some(stat.mode & !runs_as & 0o7777).filter(|_| stat.mode & runs_as != 0);
    change(location, &Change { user, group, permissions, ..Change::default() }, event)
}

fn chown(args: &Args) -> Result<u64> {
    set_owner(&*locate_at(HERE, args.0[0], true)?, args.0[1], args.0[2])
}

fn lchown(args: &Args) -> Result<u64> {
    set_owner(&*locate_at(HERE, args.0[0], false)?, args.0[1], args.0[2])
}

fn fchown(args: &Args) -> Result<u64> {
    set_owner(&*location_of(args.0[0])?, args.0[1], args.0[2])
}

fn fchownat(args: &Args) -> Result<u64> {
    let [directory, path, user, group, flags, _] = args.0;
    let flags = flags as u32;
    if flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    set_owner(&*place_at(directory, path, flags)?, user, group)
}

type Time = Option<(i64, u32)>;

/// `now`: both are the time of day, which more may set.
fn set_times(location: &Location, accessed: Time, modified: Time, now: bool) -> Result<u64> {
    permit(&*location.node, if now { Wish::Touch } else { Wish::Own })?;
    let event = match (accessed, modified) {
        (Some(_), Some(_)) => IN_ATTRIB,
        (Some(_), None) => IN_ACCESS,
        (None, Some(_)) => IN_MODIFY,
        (None, None) => 0,
    };
    change(location, &Change { accessed, modified, ..Change::default() }, event)
}

fn utime(args: &Args) -> Result<u64> {
    let [path, times, ..] = args.0;
    let now = times == 0;
    let times = match times {
        0 => [time_of_day(), time_of_day()],
        address => user::read::<[i64; 2]>(address)?.map(|seconds| (seconds, 0)),
    };
    set_times(&*locate_at(HERE, path, true)?, Some(times[0]), Some(times[1]), now)
}

fn utimes(args: &Args) -> Result<u64> {
    let [path, times, ..] = args.0;
    let now = times == 0;
    let times = match times {
        0 => [time_of_day(), time_of_day()],
        address => {
            let [a, b, c, d]: [i64; 4] = user::read(address)?;
            if [b, d].iter().any(|micros| !(0..1_000_000).contains(micros)) {
                return Err(Errno::EINVAL);
            }
            [(a, b as u32 * 1000), (c, d as u32 * 1000)]
        }
    };
    set_times(&*locate_at(HERE, path, true)?, Some(times[0]), Some(times[1]), now)
}

fn utimensat(args: &Args) -> Result<u64> {
    let [directory, path, times, flags, ..] = args.0;
    let read = |address: u64| -> Result<Time> {
        let [seconds, nanoseconds]: [i64; 2] = user::read(address)?;
        match nanoseconds {
            nanoseconds if nanoseconds == i64::from(UTIME_NOW) => Ok(Some(time_of_day())),
            nanoseconds if nanoseconds == i64::from(UTIME_OMIT) => Ok(None),
            0..1_000_000_000 => Ok(Some((seconds, nanoseconds as u32))),
            _ => Err(Errno::EINVAL),
        }
    };
    let mut now = times == 0;
    let (accessed, modified) = if now {
        (Some(time_of_day()), Some(time_of_day()))
    } else {
        let parts: [i64; 4] = user::read(times)?;
        now = parts[1] == i64::from(UTIME_NOW) && parts[3] == i64::from(UTIME_NOW);
        (read(times)?, read(times + 16)?)
    };
    if accessed.is_none() && modified.is_none() {
        return Ok(0); // nothing to do, wherever that would be
    }
    let flags = flags as u32;
    let allowed = if path == 0 { 0 } else { AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW };
    if flags & !allowed != 0 {
        return Err(Errno::EINVAL);
    }
    let location = match path {
        0 if directory as i32 == AT_FDCWD => return Err(Errno::EFAULT),
        0 => location_of(directory)?,
        path => place_at(directory, path, flags)?,
    };
    set_times(&location, accessed, modified, now)
}
