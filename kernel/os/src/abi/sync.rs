//! `fsync(2)`, `sync(2)`, `posix_fadvise(2)`, `readahead(2)`, and locks: `flock(2)`, `fcntl_locking(2)`.

mod flock;
mod records;

use super::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_fsync => sync_file,
    __NR_fdatasync => sync_file,
    __NR_syncfs => sync_file_system,
    __NR_sync_file_range => check_file,
    __NR_fadvise64 => advise,
    __NR_readahead => read_ahead,
    __NR_sync => sync_all,
});

crate::register!("closed": fn() = { 10 => released });

/// Who waits for any lock to go.
static WAITING: KernelCell<Option<Rc<Queue>>> = KernelCell::new(None);

/// Waits until a lock may have gone.
fn wait() -> Result<()> {
    let waiting = WAITING.borrow().get_or_insert_default().clone();
    waiting.wait()
}

/// A lock may have gone.
fn released() {
    // Nobody waits before there is a queue.
    let waiting = WAITING.borrow().clone();
    if let Some(waiting) = waiting {
        waiting.wake_all();
    }
}

// Told of sync by file systems that keep something to write back.
crate::hook!(fn syncers() -> "sync": fn() -> Result<()>);

/// `sync_file_range(2)` promises nothing that outlives a loss of power.
fn check_file(args: &Args) -> Result<u64> {
    file::get(args.0[0]).map(|_| 0)
}

fn sync_file_system(args: &Args) -> Result<u64> {
    file::get(args.0[0])?.sync().map(|()| 0)
}

/// A file system that writes anything back writes everything back.
fn sync_file(args: &Args) -> Result<u64> {
    let file = file::get(args.0[0])?;
    match file.stat().mode & S_IFMT {
        S_IFREG | S_IFDIR | S_IFBLK => file.sync().map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// For `posix_fadvise(2)`: everything is in memory, or close enough.
fn advise(args: &Args) -> Result<u64> {
    let [fd, _, _, advice, ..] = args.0;
    if file::get(fd)?.stat().mode & S_IFMT == S_IFIFO {
        return Err(Errno::ESPIPE);
    }
    if advice as u32 > POSIX_FADV_NOREUSE { Err(Errno::EINVAL) } else { Ok(0) }
}

fn read_ahead(args: &Args) -> Result<u64> {
    let file = file::get(args.0[0])?;
    if file.flags.get() & O_ACCMODE == O_WRONLY {
        return Err(Errno::EBADF);
    }
    if file.stat().mode & S_IFMT == S_IFREG { Ok(0) } else { Err(Errno::EINVAL) }
}

/// As sync(2) has it, this never fails: errors come with fsync.
fn sync_all(_: &Args) -> Result<u64> {
    for syncer in syncers() {
        let _ = (syncer.item)();
    }
    Ok(0)
}
