//! `sched_yield(2)`.

use super::thread;
use crate::abi::syscall::{Args, Handler};
use crate::errno::Result;
use linux_raw_sys::general::__NR_sched_yield;

crate::register!("syscall": Handler = { __NR_sched_yield => sched_yield });

fn sched_yield(_: &Args) -> Result<u64> {
    thread::give_way();
    Ok(0)
}
