//! Who the process is: number 1, root.

use super::syscall::{Args, Handler};
use crate::errno::Result;
use crate::sched::thread;
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
    __NR_getgroups => zero,
});

fn zero(_: &Args) -> Result<u64> {
    Ok(0)
}

fn one(_: &Args) -> Result<u64> {
    Ok(1)
}

fn gettid(_: &Args) -> Result<u64> {
    Ok(u64::from(thread::current().tid))
}
