//! Changing who the process is (`credentials(7)`). `setfsuid(2)` changes nothing: files go by the effective user. The session stays what it is.

use super::process::credentials;
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::list;
use crate::memory::user;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_setuid => setuid,
    __NR_setgid => setgid,
    __NR_setreuid => setreuid,
    __NR_setregid => setregid,
    __NR_setresuid => setresuid,
    __NR_setresgid => setresgid,
    __NR_getresuid => getresuid,
    __NR_getresgid => getresgid,
    __NR_setfsuid => |_| Ok(u64::from(credentials().user())),
    __NR_setfsgid => |_| Ok(u64::from(credentials().group())),
    __NR_setgroups => setgroups,
    __NR_setsid => setsid,
    __NR_setpgid => setpgid,
    __NR_capget => capget,
    __NR_capset => capset,
    __NR_personality => personality,
});

/// What an id of -1 says: leave it as it is.
const KEEP: u32 = u32::MAX;

/// Changes real, effective and saved ids. Who is not root may only exchange what is there: `from` says which of them each may become.
fn change(ids: &mut [u32; 3], is_root: bool, new: [u32; 3], from: [&[usize]; 3]) -> Result<u64> {
    let before = *ids;
    for (new, from) in new.into_iter().zip(from) {
        if new != KEEP && !is_root && !from.iter().any(|&index| before[index] == new) {
            return Err(Errno::EPERM);
        }
    }
    for (id, new) in ids.iter_mut().zip(new).filter(|(_, new)| *new != KEEP) {
        *id = new;
    }
    Ok(0)
}

const ANY: &[usize] = &[0, 1, 2];

/// `setuid(2)`: root becomes another for good; others change the effective id.
fn one(ids: &mut [u32; 3], is_root: bool, id: u64) -> Result<u64> {
    let id = id as u32;
    match id {
        KEEP => Err(Errno::EINVAL),
        _ if is_root => change(ids, is_root, [id; 3], [ANY; 3]),
        _ => change(ids, is_root, [KEEP, id, KEEP], [ANY, &[0, 2], ANY]),
    }
}

/// `setreuid(2)`: the saved id follows the effective one when the real one is set, or when the effective one becomes other than the real one was.
fn two(ids: &mut [u32; 3], is_root: bool, real: u64, effective: u64) -> Result<u64> {
    let (real, effective) = (real as u32, effective as u32);
    let before = ids[0];
    change(ids, is_root, [real, effective, KEEP], [&[0, 1], ANY, ANY])?;
    if real != KEEP || effective != KEEP && effective != before {
        ids[2] = ids[1];
    }
    Ok(0)
}

fn three(ids: &mut [u32; 3], is_root: bool, [real, effective, saved, ..]: [u64; 6]) -> Result<u64> {
    change(ids, is_root, [real as u32, effective as u32, saved as u32], [ANY; 3])
}

fn setuid(args: &Args) -> Result<u64> {
    let who = &mut *credentials();
    let is_root = who.is_root();
    one(&mut who.users, is_root, args.0[0])
}

fn setgid(args: &Args) -> Result<u64> {
    let who = &mut *credentials();
    let is_root = who.is_root();
    one(&mut who.groups, is_root, args.0[0])
}

fn setreuid(args: &Args) -> Result<u64> {
    let who = &mut *credentials();
    let is_root = who.is_root();
    two(&mut who.users, is_root, args.0[0], args.0[1])
}

fn setregid(args: &Args) -> Result<u64> {
    let who = &mut *credentials();
    let is_root = who.is_root();
    two(&mut who.groups, is_root, args.0[0], args.0[1])
}

fn setresuid(args: &Args) -> Result<u64> {
    let who = &mut *credentials();
    let is_root = who.is_root();
    three(&mut who.users, is_root, args.0)
}

fn setresgid(args: &Args) -> Result<u64> {
    let who = &mut *credentials();
    let is_root = who.is_root();
    three(&mut who.groups, is_root, args.0)
}

fn tell(ids: [u32; 3], args: &Args) -> Result<u64> {
    for (address, id) in args.0.into_iter().zip(ids) {
        user::write(address, &id)?;
    }
    Ok(0)
}

fn getresuid(args: &Args) -> Result<u64> {
    let ids = credentials().users;
    tell(ids, args)
}

fn getresgid(args: &Args) -> Result<u64> {
    let ids = credentials().groups;
    tell(ids, args)
}

fn setgroups(args: &Args) -> Result<u64> {
    const MOST: u64 = 65536;
    let [count, from, ..] = args.0;
    if !credentials().is_root() {
        return Err(Errno::EPERM);
    }
    if count as u32 as u64 > MOST {
        return Err(Errno::EINVAL);
    }
    let mut groups = Vec::new();
    for index in 0..count as u32 as u64 {
        list::push(&mut groups, user::read::<u32>(from + 4 * index)?)?;
    }
    credentials().more_groups = groups;
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

/// Effective, permitted, inheritable; twice 32 capabilities. Root has the 41 of Linux 6.1, others have none.
const ALL: [u32; 6] = [u32::MAX, u32::MAX, 0, 0x1ff, 0x1ff, 0];

fn capget(args: &Args) -> Result<u64> {
    let [header, data, ..] = args.0;
    match capability_header(header) {
        // Asking for the version alone.
        Err(Errno::EINVAL) if data == 0 => return Ok(0),
        other => other?,
    }
    if data != 0 {
        let capabilities = if credentials().is_root() { ALL } else { [0; 6] };
        user::write(data, &capabilities)?;
    }
    Ok(0)
}

/// Dropping capabilities is granted, and nothing asks for them; who has none cannot get any.
fn capset(args: &Args) -> Result<u64> {
    capability_header(args.0[0])?;
    let wanted: [u32; 6] = user::read(args.0[1])?;
    if wanted != [0; 6] && !credentials().is_root() { Err(Errno::EPERM) } else { Ok(0) }
}

/// Only the one for Linux' own programs.
fn personality(args: &Args) -> Result<u64> {
    match args.0[0] as u32 {
        0 | u32::MAX => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
