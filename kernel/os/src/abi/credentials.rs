//! Changing who the process is (`credentials(7)`): it is user 0 and group 0 of one session, and stays so.

use super::identity::GROUPS;
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_setuid => one,
    __NR_setgid => one,
    __NR_setreuid => two,
    __NR_setregid => two,
    __NR_setresuid => three,
    __NR_setresgid => three,
    __NR_getresuid => get_three,
    __NR_getresgid => get_three,
    __NR_setfsuid => previous,
    __NR_setfsgid => previous,
    __NR_setgroups => setgroups,
    __NR_setsid => setsid,
    __NR_setpgid => setpgid,
    __NR_capget => capget,
    __NR_capset => capset,
    __NR_personality => personality,
});

/// The most supplementary groups (linux/limits.h).
const NGROUPS_MAX: u32 = 65536;

/// Zero is what it is already, and -1 means to leave it; to become anybody else would be for ever, and nothing here would heed it.
fn grant(ids: &[u64]) -> Result<u64> {
    if ids.iter().all(|&id| matches!(id as u32, 0 | u32::MAX)) { Ok(0) } else { Err(Errno::EPERM) }
}

fn one(args: &Args) -> Result<u64> {
    if args.0[0] as u32 == u32::MAX { Err(Errno::EINVAL) } else { grant(&args.0[..1]) }
}

fn two(args: &Args) -> Result<u64> {
    grant(&args.0[..2])
}

fn three(args: &Args) -> Result<u64> {
    grant(&args.0[..3])
}

fn get_three(args: &Args) -> Result<u64> {
    for address in &args.0[..3] {
        user::write(*address, &0u32)?;
    }
    Ok(0)
}

/// `setfsuid(2)` returns the old value, and no error ever.
fn previous(_: &Args) -> Result<u64> {
    Ok(0)
}

/// Nothing asks for them but the program itself.
fn setgroups(args: &Args) -> Result<u64> {
    let [count, list, ..] = args.0;
    let count = count as u32;
    if count > NGROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    let mut groups = Vec::new();
    groups.try_reserve(count as usize).map_err(|_| Errno::ENOMEM)?;
    for index in 0..u64::from(count) {
        groups.push(user::read(list + index * 4)?);
    }
    *GROUPS.borrow() = groups;
    Ok(0)
}

/// Process 1 leads its session and its group.
fn setsid(_: &Args) -> Result<u64> {
    Err(Errno::EPERM)
}

fn setpgid(args: &Args) -> Result<u64> {
    match (args.0[0] as i32, args.0[1] as i32) {
        (_, ..0) => Err(Errno::EINVAL),
        // A session's leader cannot move.
        (0 | 1, _) => Err(Errno::EPERM),
        _ => Err(Errno::ESRCH),
    }
}

/// Version 3 of the capability interface (`capget(2)`).
const VERSION_3: u32 = 0x2008_0522;

fn capability_header(header: u64) -> Result<()> {
    let [version, process]: [u32; 2] = user::read(header)?;
    if version != VERSION_3 {
        user::write(header, &VERSION_3)?;
        return Err(Errno::EINVAL);
    }
    if process > 1 { Err(Errno::ESRCH) } else { Ok(()) }
}

/// Effective, permitted, inheritable; twice 32 capabilities. Root has the 41 of Linux 6.1.
const ALL: [u32; 6] = [u32::MAX, u32::MAX, 0, 0x1ff, 0x1ff, 0];

fn capget(args: &Args) -> Result<u64> {
    let [header, data, ..] = args.0;
    match capability_header(header) {
        // Asking for the version alone.
        Err(Errno::EINVAL) if data == 0 => return Ok(0),
        other => other?,
    }
    if data != 0 {
        user::write(data, &ALL)?;
    }
    Ok(0)
}

/// Dropping capabilities is granted, and nothing asks for them.
fn capset(args: &Args) -> Result<u64> {
    capability_header(args.0[0])?;
    user::read::<[u32; 6]>(args.0[1]).map(|_| 0)
}

/// Only the one for Linux' own programs.
fn personality(args: &Args) -> Result<u64> {
    match args.0[0] as u32 {
        0 | u32::MAX => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
