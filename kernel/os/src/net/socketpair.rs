//! `socketpair(2)`.

use super::socket::{self, AF_UNIX};
use super::unix;
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::memory::user;
use linux_raw_sys::general::{__NR_socketpair, O_CLOEXEC, O_NONBLOCK};

crate::register!("syscall": Handler = { __NR_socketpair => socketpair });

fn socketpair(args: &Args) -> Result<u64> {
    let [family, kind, protocol, to, ..] = args.0;
    let kind = kind as u32;
    match family as u16 {
        AF_UNIX => {}
        socket::AF_INET | socket::AF_INET6 => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EAFNOSUPPORT),
    }
    if kind & !(O_CLOEXEC | O_NONBLOCK | 0xf) != 0 {
        return Err(Errno::EINVAL);
    }
    let [one, other] = unix::pair(kind & 0xf, protocol as u32)?;
    let first = socket::open(one, kind)?;
    let second = socket::open(other, kind).inspect_err(|_| {
        let _ = file::close(first);
    })?;
    user::write(to, &[first as u32, second as u32]).inspect_err(|_| {
        let _ = file::close(first);
        let _ = file::close(second);
    })?;
    Ok(0)
}
