//! `preadv(2)`, `pwritev(2)`, `preadv2(2)`, `pwritev2(2)`.

use super::read::{readable, readv};
use super::syscall::{Args, Handler};
use super::write::{place, writable, writev};
use crate::errno::{Errno, Result};
use crate::fs::file::{self, each_part};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_preadv => preadv,
    __NR_preadv2 => preadv2,
    __NR_pwritev => pwritev,
    __NR_pwritev2 => pwritev2,
});

fn preadv(args: &Args) -> Result<u64> {
    let [fd, vector, count, mut position, ..] = args.0;
    file::check_position(position)?;
    let file = readable(fd)?;
    file.check_positions()?;
    each_part(vector, count, |to, length| {
        let done = file.read(to, length, position)?;
        position += done;
        Ok(done)
    })
}

fn preadv2(args: &Args) -> Result<u64> {
    let flags = args.0[5] as u32;
    if flags & !(RWF_HIPRI | RWF_DSYNC | RWF_SYNC) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    // The position is in two halves for the sake of 32-bit machines, whole in the first here; -1 is the file's own.
    if args.0[3] as i64 == -1 { readv(args) } else { preadv(args) }
}

fn pwritev(args: &Args) -> Result<u64> {
    let [fd, vector, count, mut position, ..] = args.0;
    file::check_position(position)?;
    let file = writable(fd)?;
    file.check_positions()?;
    position = place(&file, position);
    each_part(vector, count, |from, length| {
        let done = file.write(from, length, position)?;
        position += done;
        Ok(done)
    })
}

fn pwritev2(args: &Args) -> Result<u64> {
    let [fd, vector, count, position, _, flags] = args.0;
    let flags = flags as u32;
    if flags & !(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_APPEND) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let done = if position as i64 == -1 {
        writev(args)?
    } else if flags & RWF_APPEND != 0 {
        let end = writable(fd)?.stat().size;
        pwritev(&Args([fd, vector, count, end, 0, 0]))?
    } else {
        pwritev(args)?
    };
    if flags & (RWF_DSYNC | RWF_SYNC) != 0 {
        writable(fd)?.sync()?;
    }
    Ok(done)
}
