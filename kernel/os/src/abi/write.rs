//! `write(2)`, `writev(2)`.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::memory::user;
use linux_raw_sys::general::{__NR_write, __NR_writev, O_ACCMODE, O_RDONLY, UIO_MAXIOV, iovec};

crate::register!("syscall": Handler = { __NR_write => write, __NR_writev => writev });

/// Linux moves at most this many bytes at once (`write(2)`, notes).
const MOST: u64 = 0x7fff_f000;

fn writable(fd: u64) -> Result<alloc::rc::Rc<file::Description>> {
    let file = file::get(fd)?;
    if file.flags.get() & O_ACCMODE == O_RDONLY { Err(Errno::EBADF) } else { Ok(file) }
}

fn write(args: &Args) -> Result<u64> {
    let [fd, from, count, ..] = args.0;
    Ok(writable(fd)?.write(from, count.min(MOST) as usize)? as u64)
}

fn writev(args: &Args) -> Result<u64> {
    let [fd, vector, count, ..] = args.0;
    let file = writable(fd)?;
    if count > u64::from(UIO_MAXIOV) {
        return Err(Errno::EINVAL);
    }
    let mut total = 0;
    for index in 0..count {
        let part: iovec = user::read(vector + index * size_of::<iovec>() as u64)?;
        let length = part.iov_len.min(MOST - total);
        if length == 0 {
            continue;
        }
        match file.write(part.iov_base as u64, length as usize) {
            Ok(written) => {
                total += written as u64;
                if (written as u64) < length {
                    break;
                }
            }
            Err(error) if total == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(total)
}
