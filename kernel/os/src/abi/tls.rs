//! `arch_prctl(2)`, `set_tid_address(2)`, `set_robust_list(2)`, `get_robust_list(2)`.

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
    __NR_get_robust_list => get_robust_list,
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

/// Bytes of `struct robust_list_head`.
const ROBUST_HEAD: u64 = 24;

/// The list is walked when the thread ends, by `sched.futex`.
fn set_robust_list(args: &Args) -> Result<u64> {
    let [head, size, ..] = args.0;
    if size != ROBUST_HEAD {
        return Err(Errno::EINVAL);
    }
    thread::current().robust_list.set(head);
    Ok(0)
}

fn get_robust_list(args: &Args) -> Result<u64> {
    let [tid, head, size, ..] = args.0;
    let thread = match tid as u32 {
        0 => thread::current(),
        tid => thread::find(tid).ok_or(Errno::ESRCH)?,
    };
    user::write(size, &ROBUST_HEAD)?;
    user::write(head, &thread.robust_list.get()).map(|()| 0)
}
