//! `arch_prctl(2)`, `set_tid_address(2)`, `set_robust_list(2)`.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::paging::USER_END;
use crate::memory::user;
use crate::sched::thread;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_arch_prctl => arch_prctl,
    __NR_set_tid_address => set_tid_address,
    __NR_set_robust_list => set_robust_list,
});

// asm/prctl.h
const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;
const ARCH_GET_FS: u64 = 0x1003;
const ARCH_GET_GS: u64 = 0x1004;

fn arch_prctl(args: &Args) -> Result<u64> {
    let [code, address, ..] = args.0;
    match code {
        ARCH_SET_FS | ARCH_SET_GS if address >= USER_END => return Err(Errno::EPERM),
        ARCH_SET_FS => thread::set_fs_base(address),
        ARCH_SET_GS => thread::set_gs_base(address),
        ARCH_GET_FS => user::write(address, &thread::fs_base())?,
        ARCH_GET_GS => user::write(address, &thread::gs_base())?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn set_tid_address(args: &Args) -> Result<u64> {
    let thread = thread::current();
    thread.clear_child_tid.set(args.0[0]);
    Ok(u64::from(thread.tid))
}

/// Robust lists matter when a process dies and others live on; here the last thread's end is the machine's.
fn set_robust_list(args: &Args) -> Result<u64> {
    if args.0[1] == 24 { Ok(0) } else { Err(Errno::EINVAL) }
}
