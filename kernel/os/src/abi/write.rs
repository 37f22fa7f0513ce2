//! `write(2)`, `writev(2)`, `pwrite(2)`.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Description, each_part};
use linux_raw_sys::general::{__NR_pwrite64, __NR_write, __NR_writev, O_ACCMODE, O_APPEND, O_RDONLY};

crate::register!("syscall": Handler = { __NR_write => write, __NR_writev => writev, __NR_pwrite64 => pwrite });

/// A descriptor that may be written to.
pub fn writable(fd: u64) -> Result<alloc::rc::Rc<Description>> {
    let file = file::get(fd)?;
    if file.flags.get() & O_ACCMODE == O_RDONLY { Err(Errno::EBADF) } else { Ok(file) }
}

/// Where to write what is to go to a position: elsewhere when the file only grows. So does Linux even where POSIX has it otherwise (`pwrite(2)`, bugs).
pub fn place(file: &Description, position: u64) -> u64 {
    if file.flags.get() & O_APPEND != 0 && file.is_seekable() { file.stat().size } else { position }
}

/// Writes where the file is, and moves on.
pub fn write_on(file: &Description, from: u64, count: u64) -> Result<u64> {
    let position = place(file, file.position.get());
    let done = file.write(from, count, position)?;
    if file.is_seekable() {
        file.position.set(position + done);
    }
    Ok(done)
}

fn write(args: &Args) -> Result<u64> {
    let [fd, from, count, ..] = args.0;
    write_on(&*writable(fd)?, from, count)
}

fn pwrite(args: &Args) -> Result<u64> {
    let [fd, from, count, position, ..] = args.0;
    file::check_position(position)?;
    let file = writable(fd)?;
    file.check_positions()?;
    let position = place(&file, position);
    file.write(from, count, position)
}

pub fn writev(args: &Args) -> Result<u64> {
    let [fd, vector, count, ..] = args.0;
    let file = writable(fd)?;
    file::move_vector(&file, vector, count, true)
        .unwrap_or_else(|| each_part(vector, count, |from, length| write_on(&file, from, length)))
}
