//! `memfd_create(2)`: files in memory without a name. They cannot be sealed.

use super::path::Location;
use super::{file, tmpfs};
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use alloc::rc::Rc;
use linux_raw_sys::general::{__NR_memfd_create, MFD_CLOEXEC, O_CLOEXEC, O_RDWR};

crate::register!("syscall": Handler = { __NR_memfd_create => memfd_create });

/// The longest name, without what Linux puts before it.
const LONGEST_NAME: usize = 249;

fn memfd_create(args: &Args) -> Result<u64> {
    let [name, flags, ..] = args.0;
    let name = user::read_path(name)?;
    if name.len() > LONGEST_NAME || flags as u32 & !MFD_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let close_on_exec = if flags as u32 & MFD_CLOEXEC != 0 { O_CLOEXEC } else { 0 };
    let node = tmpfs::unnamed(0o777);
    // What /proc/self/fd shows of it on Linux.
    let path = [b"/memfd:", name.as_slice(), b" (deleted)"].concat();
    let file = node.clone().open(O_RDWR)?;
    file::open_at(file, O_RDWR | close_on_exec, Some(Rc::new(Location { path, node })))
}
