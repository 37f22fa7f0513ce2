//! Who the process is: number 1, root.

use super::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::sched::thread;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_getpid => one,
    __NR_gettid => gettid,
    __NR_getppid => zero,
    __NR_getpgrp => one,
    __NR_getpgid => one,
    __NR_getsid => one,
    __NR_getuid => zero,
    __NR_geteuid => zero,
    __NR_getgid => zero,
    __NR_getegid => zero,
    __NR_getgroups => getgroups,
});

/// Supplementary groups.
pub static GROUPS: KernelCell<Vec<u32>> = KernelCell::new(Vec::new());

fn zero(_: &Args) -> Result<u64> {
    Ok(0)
}

fn one(_: &Args) -> Result<u64> {
    Ok(1)
}

fn gettid(_: &Args) -> Result<u64> {
    Ok(u64::from(thread::current().tid))
}

fn getgroups(args: &Args) -> Result<u64> {
    let groups = GROUPS.borrow().clone();
    match args.0[0] as i32 {
        0 => {}
        room if room < groups.len() as i32 => return Err(Errno::EINVAL),
        _ => {
            for (index, group) in groups.iter().enumerate() {
                user::write(args.0[1] + index as u64 * 4, group)?;
            }
        }
    }
    Ok(groups.len() as u64)
}
