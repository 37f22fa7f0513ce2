//! `fsync(2)`, `sync(2)`, `flock(2)`, `posix_fadvise(2)`, `readahead(2)`.

use super::syscall::{Args, Handler};
use crate::errno::Result;
use crate::fs::file;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_fsync => for_file,
    __NR_fdatasync => for_file,
    __NR_syncfs => for_file,
    __NR_sync_file_range => for_file,
    __NR_flock => for_file,
    __NR_fadvise64 => for_file,
    __NR_readahead => for_file,
    __NR_sync => for_all,
});

// Told of fsync and its kin by file systems that keep something to write back.
crate::hook!(fn syncers() -> "sync": fn() -> Result<()>);

/// What a descriptor must exist for. A lock on a whole file is always granted: there is no other process to hold it.
fn for_file(args: &Args) -> Result<u64> {
    file::get(args.0[0])?;
    for_all(args)
}

fn for_all(_: &Args) -> Result<u64> {
    all().map(|()| 0)
}

/// Writes back whatever is kept somewhere.
pub fn all() -> Result<()> {
    for syncer in syncers() {
        (syncer.item)()?;
    }
    Ok(())
}
