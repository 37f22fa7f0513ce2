//! Who the process is: number 1, and whom the config or the program itself made it.

use super::process::credentials;
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::sched::thread;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_getpid => one,
    __NR_gettid => gettid,
    __NR_getppid => zero,
    __NR_getpgrp => one,
    __NR_getpgid => one_of,
    __NR_getsid => one_of,
    __NR_getuid => |_| Ok(u64::from(credentials().users[0])),
    __NR_geteuid => |_| Ok(u64::from(credentials().users[1])),
    __NR_getgid => |_| Ok(u64::from(credentials().groups[0])),
    __NR_getegid => |_| Ok(u64::from(credentials().groups[1])),
    __NR_getgroups => getgroups,
});

fn zero(_: &Args) -> Result<u64> {
    Ok(0)
}

fn one(_: &Args) -> Result<u64> {
    Ok(1)
}

/// Of the process with a number, or of the thread's.
fn one_of(args: &Args) -> Result<u64> {
    match args.0[0] as u32 {
        0 | 1 => Ok(1),
        tid => thread::find(tid).map(|_| 1).ok_or(Errno::ESRCH),
    }
}

fn gettid(_: &Args) -> Result<u64> {
    Ok(u64::from(thread::current().tid))
}

fn getgroups(args: &Args) -> Result<u64> {
    let [size, to, ..] = args.0;
    let groups = credentials().more_groups.clone();
    let size = usize::try_from(size as i32).map_err(|_| Errno::EINVAL)?;
    if size > 0 {
        if size < groups.len() {
            return Err(Errno::EINVAL);
        }
        for (index, group) in groups.iter().enumerate() {
            user::write(to + 4 * index as u64, group)?;
        }
    }
    Ok(groups.len() as u64)
}
