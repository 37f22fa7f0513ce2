//! `poll(2)`, `ppoll(2)`.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_poll => poll, __NR_ppoll => poll });

/// Files of the image, the console and /dev/null never make a caller wait, so no timeout ever runs.
fn poll(args: &Args) -> Result<u64> {
    let [list, count, ..] = args.0;
    if count > file::LIMIT as u64 {
        return Err(Errno::EINVAL);
    }
    let mut ready = 0;
    for index in 0..count {
        let address = list + index * size_of::<pollfd>() as u64;
        let mut entry: pollfd = user::read(address)?;
        entry.revents = match entry.fd {
            ..0 => 0,
            fd if file::get(fd as u64).is_err() => POLLNVAL as i16,
            _ => entry.events & (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM) as i16,
        };
        ready += u64::from(entry.revents != 0);
        user::write(address, &entry)?;
    }
    Ok(ready)
}
