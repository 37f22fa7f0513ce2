//! `brk(2)`.

use super::overcommit;
use super::paging::PAGE;
use super::space::{self, Backing, Rights};
use crate::abi::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::Result;
use linux_raw_sys::general::__NR_brk;

crate::register!("syscall": Handler = { __NR_brk => brk });

/// The break; zero until the first call, then the end of the program's data.
static BREAK: KernelCell<u64> = KernelCell::new(0);

/// Linux' `brk` system call does not fail: it returns the break, moved or not.
fn brk(args: &Args) -> Result<u64> {
    let mut current = BREAK.borrow();
    let floor = crate::abi::process::data_end().next_multiple_of(PAGE);
    if *current == 0 {
        *current = floor;
    }
    let wanted = args.0[0];
    if wanted < floor {
        return Ok(*current);
    }
    let (Some(old), Some(new)) =
        (current.checked_next_multiple_of(PAGE), wanted.checked_next_multiple_of(PAGE))
    else {
        return Ok(*current);
    };
    let moved = if new > old {
        space::is_free(old, new - old)
            && overcommit::allows(new - old, true)
            && space::map(old, new - old, Rights::READ | Rights::WRITE, Backing::Zeroes).is_ok()
    } else {
        new == old || space::unmap(new, old - new).is_ok()
    };
    if moved {
        *current = wanted;
    }
    Ok(*current)
}
