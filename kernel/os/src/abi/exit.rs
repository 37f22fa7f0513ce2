//! `exit(2)` and `exit_group(2)`.

use super::syscall::{Args, Handler};
use crate::boot::poweroff;
use crate::errno::Result;
use crate::sched::thread;
use linux_raw_sys::general::{__NR_exit, __NR_exit_group};

crate::register!("syscall": Handler = { __NR_exit => exit, __NR_exit_group => exit_group });

fn exit(args: &Args) -> Result<u64> {
    thread::exit(args.0[0] as u8)
}

fn exit_group(args: &Args) -> Result<u64> {
    poweroff::power_off(args.0[0] as u8)
}
