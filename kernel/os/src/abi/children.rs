//! `wait4(2)` and `waitid(2)`: there are no children to wait for.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use linux_raw_sys::general::{__NR_wait4, __NR_waitid};

crate::register!("syscall": Handler = { __NR_wait4 => none, __NR_waitid => none });

fn none(_: &Args) -> Result<u64> {
    Err(Errno::ECHILD)
}
