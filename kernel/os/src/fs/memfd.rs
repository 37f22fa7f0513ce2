//! `memfd_create(2)`.

use super::file;
use super::path::Location;
use super::tmpfs;
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_memfd_create => memfd_create });

/// Bytes of a name that fit behind "memfd:".
const LONGEST_NAME: usize = 249;

fn memfd_create(args: &Args) -> Result<u64> {
    let [name, flags, ..] = args.0;
    let flags = flags as u32;
    // Huge pages are not kept.
    if flags & !(MFD_CLOEXEC | MFD_ALLOW_SEALING) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = user::read_path(name)?;
    if name.len() > LONGEST_NAME {
        return Err(Errno::EINVAL);
    }
    let node = tmpfs::anonymous(if flags & MFD_ALLOW_SEALING != 0 { 0 } else { F_SEAL_SEAL });
    let path = [b"/memfd:", name.as_slice()].concat();
    let file = node.clone().open(O_RDWR)?;
    let close_on_exec = if flags & MFD_CLOEXEC != 0 { O_CLOEXEC } else { 0 };
    file::open_at(file, O_RDWR | close_on_exec, Some(Location::new(path, node)))
}
