//! `sched_getaffinity(2)`, `sched_setaffinity(2)` and `getcpu(2)`: one CPU.

use super::thread;
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_sched_getaffinity => get,
    __NR_sched_setaffinity => set,
    __NR_getcpu => getcpu,
});

fn get(args: &Args) -> Result<u64> {
    let [tid, length, mask, ..] = args.0;
    known(tid)?;
    if length < 8 || length % 8 != 0 {
        return Err(Errno::EINVAL);
    }
    user::write(mask, &1u64)?;
    Ok(8)
}

/// ESRCH for threads that do not exist; zero is the caller.
fn known(tid: u64) -> Result<()> {
    if tid as u32 != 0 && thread::find(tid as u32).is_none() { Err(Errno::ESRCH) } else { Ok(()) }
}

fn set(args: &Args) -> Result<u64> {
    known(args.0[0])?;
    if args.0[1] == 0 {
        return Err(Errno::EINVAL);
    }
    let mask = user::read::<u8>(args.0[2])?;
    if mask & 1 != 0 { Ok(0) } else { Err(Errno::EINVAL) }
}

fn getcpu(args: &Args) -> Result<u64> {
    for address in [args.0[0], args.0[1]] {
        if address != 0 {
            user::write(address, &0u32)?;
        }
    }
    Ok(0)
}
