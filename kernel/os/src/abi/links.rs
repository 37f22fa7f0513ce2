//! `readlink(2)`.

use super::open::path_at;
use super::process;
use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::root;
use crate::memory::user;
use linux_raw_sys::general::{__NR_readlink, __NR_readlinkat, AT_FDCWD};

crate::register!("syscall": Handler = { __NR_readlink => readlink, __NR_readlinkat => readlinkat });

fn read_at(directory: u64, path: u64, to: u64, size: u64) -> Result<u64> {
    if size == 0 {
        return Err(Errno::EINVAL);
    }
    let path = path_at(directory, path)?;
    let target = if path == b"/proc/self/exe" {
        process::program()
    } else {
        let entry = &root::entries()[root::lookup(&path, false)?];
        if !entry.is_symlink() {
            return Err(Errno::EINVAL);
        }
        entry.data()
    };
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
