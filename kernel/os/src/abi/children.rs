//! `wait4(2)` and `waitid(2)`: there are no children to wait for.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_wait4 => wait4, __NR_waitid => waitid });

/// What both calls may be asked for besides: `__WNOTHREAD`, `__WALL`, `__WCLONE`.
const WHOSE: u32 = 0xe000_0000;

fn wait4(args: &Args) -> Result<u64> {
    let known = WNOHANG | WUNTRACED | WCONTINUED | WHOSE;
    Err(if args.0[2] as u32 & !known != 0 { Errno::EINVAL } else { Errno::ECHILD })
}

fn waitid(args: &Args) -> Result<u64> {
    let [kind, number, _, options, ..] = args.0;
    let (options, what) = (options as u32, WEXITED | WSTOPPED | WCONTINUED);
    let makes_sense = match kind as u32 {
        P_ALL => true,
        P_PID => number as i32 > 0,
        P_PGID | P_PIDFD => number as i32 >= 0,
        _ => false,
    };
    let is_known = options & !(WNOHANG | WNOWAIT | WHOSE | what) == 0 && options & what != 0;
    Err(if makes_sense && is_known { Errno::ECHILD } else { Errno::EINVAL })
}
