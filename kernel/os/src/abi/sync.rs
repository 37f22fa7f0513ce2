//! `fsync(2)`, `sync(2)`, `flock(2)`, `posix_fadvise(2)`, `readahead(2)`.

use super::syscall::{Args, Handler};
use crate::errno::Result;
use crate::fs::file;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_fsync => sync_file,
    __NR_fdatasync => sync_file,
    __NR_syncfs => sync_file,
    __NR_sync_file_range => check_file,
    __NR_flock => check_file,
    __NR_fadvise64 => check_file,
    __NR_readahead => check_file,
    __NR_sync => sync_all,
});

// Told of sync by file systems that keep something to write back.
crate::hook!(fn syncers() -> "sync": fn() -> Result<()>);

/// What a descriptor must exist for. A lock on a whole file is always granted: there is no other process to hold it. `sync_file_range(2)`
/// promises nothing that outlives a loss of power.
fn check_file(args: &Args) -> Result<u64> {
    file::get(args.0[0]).map(|_| 0)
}

/// A file system that writes anything back writes everything back.
fn sync_file(args: &Args) -> Result<u64> {
    file::get(args.0[0])?.sync().map(|()| 0)
}

/// As sync(2) has it, this never fails: errors come with fsync.
fn sync_all(_: &Args) -> Result<u64> {
    for syncer in syncers() {
        let _ = (syncer.item)();
    }
    Ok(0)
}
