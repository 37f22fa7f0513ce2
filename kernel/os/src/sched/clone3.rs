//! `clone3(2)`, for threads.

use super::clone::{self, Request};
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_clone3 => clone3 });

/// The first version of `struct clone_args`: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls.
type Arguments = [u64; 8];

fn clone3(args: &Args) -> Result<u64> {
    let [address, size, ..] = args.0;
    if size < size_of::<Arguments>() as u64 {
        return Err(Errno::EINVAL);
    }
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    let [flags, _pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls] =
        user::read::<Arguments>(address)?;
    // What later versions added must be unused: thread numbers of one's choice, control groups.
    let mut at = size_of::<Arguments>() as u64;
    while at + 8 <= size {
        if user::read::<u64>(address + at)? != 0 {
            return Err(Errno::E2BIG);
        }
        at += 8;
    }
    if (stack == 0) != (stack_size == 0) || flags & u64::from(CLONE_THREAD) != 0 && exit_signal != 0 {
        return Err(Errno::EINVAL);
    }
    clone::start(&Request { flags, stack: stack.wrapping_add(stack_size), parent_tid, child_tid, tls })
}
