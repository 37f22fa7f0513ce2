//! `readlink(2)`.

use super::open::base;
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::{file, path};
use crate::memory::user;
use linux_raw_sys::general::{__NR_readlink, __NR_readlinkat, AT_FDCWD};

crate::register!("syscall": Handler = { __NR_readlink => readlink, __NR_readlinkat => readlinkat });

fn read_at(directory: u64, address: u64, to: u64, size: u64) -> Result<u64> {
    if size as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    let (location, otherwise) = user::with_path(address, |path| match path {
        [] if directory as i32 == AT_FDCWD => Err(Errno::ENOENT),
        // The link that the descriptor was opened on (O_PATH).
        [] => Ok((file::get_place(directory)?.location.clone().ok_or(Errno::ENOENT)?, Errno::ENOENT)),
        path => Ok((path::resolve(&base(directory, path)?, path, false)?, Errno::EINVAL)),
    })?;
    let target = location.node.target().ok_or(otherwise)?;
    let length = target.len().min(size as usize);
    user::write_bytes(to, &target[..length])?;
    Ok(length as u64)
}

fn readlink(args: &Args) -> Result<u64> {
    let [path, to, size, ..] = args.0;
    read_at(AT_FDCWD as u64, path, to, size)
}

fn readlinkat(args: &Args) -> Result<u64> {
    let [directory, path, to, size, ..] = args.0;
    read_at(directory, path, to, size)
}
