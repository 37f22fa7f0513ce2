//! `read(2)`, `readv(2)`, `pread64(2)`, `lseek(2)`.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Description, each_part};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_read => read,
    __NR_readv => readv,
    __NR_pread64 => pread,
    __NR_lseek => lseek,
});

/// A descriptor that may be read from.
pub fn readable(fd: u64) -> Result<alloc::rc::Rc<Description>> {
    let file = file::get(fd)?;
    if file.flags.get() & O_ACCMODE == O_WRONLY { Err(Errno::EBADF) } else { Ok(file) }
}

fn read_on(file: &Description, to: u64, count: u64) -> Result<u64> {
    let position = file.position.get();
    let done = file.read(to, count, position)?;
    if file.is_seekable() {
        file.position.set(position + done);
    }
    Ok(done)
}

fn read(args: &Args) -> Result<u64> {
    let [fd, to, count, ..] = args.0;
    read_on(&*readable(fd)?, to, count)
}

pub fn readv(args: &Args) -> Result<u64> {
    let [fd, vector, count, ..] = args.0;
    let file = readable(fd)?;
    file::move_vector(&file, vector, count, false)
        .unwrap_or_else(|| each_part(vector, count, |to, length| read_on(&file, to, length)))
}

fn pread(args: &Args) -> Result<u64> {
    let [fd, to, count, position, ..] = args.0;
    file::check_position(position)?;
    let file = readable(fd)?;
    file.check_positions()?;
    file.read(to, count, position)
}

fn lseek(args: &Args) -> Result<u64> {
    let [fd, offset, whence, ..] = args.0;
    let file = file::get(fd)?;
    file.check_positions()?;
    let base = match whence as u32 {
        SEEK_SET => 0,
        SEEK_CUR => file.position.get(),
        SEEK_END => file.stat().size,
        SEEK_DATA | SEEK_HOLE => {
            let end = file.stat().size;
            let found = if offset < end { file.next(offset, whence as u32 == SEEK_HOLE) } else { end };
            if offset >= end || whence as u32 == SEEK_DATA && found >= end {
                return Err(Errno::ENXIO);
            }
            file.position.set(found);
            return Ok(found);
        }
        _ => return Err(Errno::EINVAL),
    };
    let position = base.wrapping_add(offset);
    file::check_position(position)?;
    file.position.set(position);
    Ok(position)
}
