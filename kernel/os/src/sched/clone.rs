//! `clone(2)` for threads.

use super::thread;
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::paging::USER_END;
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_clone => clone });

/// What makes a clone a thread of this process.
const THREAD: u32 = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;

/// What `clone` and `clone3` ask for.
pub struct Request {
    pub flags: u64,
    /// The stack's end; zero: the caller's.
    pub stack: u64,
    pub parent_tid: u64,
    pub child_tid: u64,
    pub tls: u64,
}

fn clone(args: &Args) -> Result<u64> {
    let [flags, stack, parent_tid, child_tid, tls, _] = args.0;
    start(&Request { flags, stack, parent_tid, child_tid, tls })
}

/// Starts a thread.
pub fn start(request: &Request) -> Result<u64> {
    let &Request { flags, stack, parent_tid, child_tid, tls } = request;
    let flags = flags as u32;
    if flags & CLONE_THREAD != 0 && flags & CLONE_SIGHAND == 0
        || flags & CLONE_SIGHAND != 0 && flags & CLONE_VM == 0
    {
        return Err(Errno::EINVAL);
    }
    if flags & THREAD != THREAD {
        // fork and vfork: there is no second address space, and none can be had.
        return Err(Errno::ENOSYS);
    }
    if flags & CLONE_SETTLS != 0 && tls >= USER_END {
        return Err(Errno::EPERM);
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
    // As on Linux, a bad address does not undo the thread.
    if flags & CLONE_PARENT_SETTID != 0 {
        let _ = user::write(parent_tid, &thread.tid);
    }
    if flags & CLONE_CHILD_SETTID != 0 {
        let _ = user::write(child_tid, &thread.tid);
    }
    Ok(u64::from(thread.tid))
}
