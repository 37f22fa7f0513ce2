//! `clone(2)` for threads.

use super::thread;
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_clone => clone });

/// What makes a clone a thread of this process.
const THREAD: u32 = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;

fn clone(args: &Args) -> Result<u64> {
    let [flags, stack, parent_tid, child_tid, tls, _] = args.0;
    let flags = flags as u32;
    if flags & THREAD != THREAD {
        // fork and vfork: there is no second address space, and none can be had.
        return Err(Errno::ENOSYS);
    }
    let mut frame = *thread::entry_frame();
    frame.rax = 0;
    if stack != 0 {
        frame.rsp = stack;
    }
    let fs_base = if flags & CLONE_SETTLS != 0 { tls } else { thread::fs_base() };
    let thread = thread::spawn(&frame, fs_base)?;
    if flags & CLONE_CHILD_CLEARTID != 0 {
        thread.clear_child_tid.set(child_tid);
    }
    if flags & CLONE_PARENT_SETTID != 0 {
        user::write(parent_tid, &thread.tid)?;
    }
    if flags & CLONE_CHILD_SETTID != 0 {
        user::write(child_tid, &thread.tid)?;
    }
    Ok(u64::from(thread.tid))
}
