//! Each system call as a line on the console, in the style of `strace(1)`: the thread, the call's name, its arguments and its result.
//!
//! A line is written when the call is over; of calls that do not come back, when they begin.

use super::names;
use crate::abi::syscall::{self, Args};
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::sched::thread;
use crate::sched::trap::Frame;
use core::fmt::{self, Display, Formatter};
use linux_raw_sys::general::{__NR_exit, __NR_exit_group, __NR_rt_sigreturn};

crate::register!("call": fn(&Frame, &Args) -> Result<u64> = { 10 => observe });

/// Bytes of a string or buffer that are shown.
const SHOWN: usize = 48;

/// A call with its arguments.
struct Call<'a>(&'a Frame);

/// Bytes of the program, quoted.
struct Bytes {
    bytes: [u8; SHOWN],
    length: usize,
    more: bool,
}

impl Bytes {
    /// A buffer of the program. `None`: it cannot be read.
    fn buffer(address: u64, count: u64) -> Option<Self> {
        let length = count.min(SHOWN as u64) as usize;
        let mut bytes = [0; SHOWN];
        user::read_bytes(address, &mut bytes[..length]).ok()?;
        Some(Self { bytes, length, more: count > SHOWN as u64 })
    }

    /// A string of the program that ends with a NUL.
    fn string(address: u64) -> Option<Self> {
        let mut bytes = [0; SHOWN];
        for length in 0..SHOWN {
            bytes[length] = user::read(address.checked_add(length as u64)?).ok()?;
            if bytes[length] == 0 {
                return Some(Self { bytes, length, more: false });
            }
        }
        Some(Self { bytes, length: SHOWN, more: true })
    }
}

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let dots = if self.more { "..." } else { "" };
        write!(f, "\"{}\"{dots}", self.bytes[..self.length].escape_ascii())
    }
}

impl Display for Call<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const AT_FDCWD: i32 = -100;
        let frame = self.0;
        let (name, kinds) = names::of(frame.code);
        if name.is_empty() {
            write!(f, "call_{}(", frame.code)?;
        } else {
            write!(f, "{name}(")?;
        }
        let values = [frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9];
        let kinds = kinds.bytes().filter(|kind| kind.is_ascii_alphabetic());
        for (index, (kind, &value)) in kinds.zip(&values).enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            let bytes = match kind {
                b's' => Bytes::string(value),
                b'w' => Bytes::buffer(value, values[index + 1]),
                _ => None,
            };
            match (kind, bytes) {
                (_, Some(bytes)) => write!(f, "{bytes}")?,
                (b'A', _) if value as i32 == AT_FDCWD => f.write_str("AT_FDCWD")?,
                (b'f' | b'A' | b'i', _) => write!(f, "{}", value as i32)?,
                (b'u', _) => write!(f, "{value}")?,
                (b'o', _) => write!(f, "{:#o}", value as u32)?,
                (_, _) if value == 0 => f.write_str("0")?,
                _ => write!(f, "{value:#x}")?,
            }
        }
        f.write_str(")")
    }
}

/// The name of an error.
fn error_name(error: Errno) -> &'static str {
    /// By number from 1 on; numbers that Linux does not have are empty.
    const NAMES: &str = "EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST \
        EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE \
        EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP";
    /// From ENOTSOCK on.
    const SOCKETS: &str = "ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP \
        EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN \
        ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS";
    const FIRST_SOCKET: usize = 88;
    let number = usize::from(error.0);
    let name = match number.checked_sub(FIRST_SOCKET) {
        Some(index) => SOCKETS.split_ascii_whitespace().nth(index),
        None => NAMES.split_ascii_whitespace().nth(number.wrapping_sub(1)),
    };
    name.unwrap_or("error")
}

/// Calls that do not come back to where they were made.
const FINAL: [u32; 3] = [__NR_exit, __NR_exit_group, __NR_rt_sigreturn];

fn observe(frame: &Frame, args: &Args) -> Result<u64> {
    let tid = thread::current().tid;
    let call = Call(frame);
    if FINAL.contains(&(frame.code as u32)) {
        crate::println!("[{tid}] {call} = ?");
        return syscall::serve(frame.code, args);
    }
    let result = syscall::serve(frame.code, args);
    let (_, kinds) = names::of(frame.code);
    match result {
        Ok(value) if kinds.ends_with('*') => crate::println!("[{tid}] {call} = {value:#x}"),
        Ok(value) => crate::println!("[{tid}] {call} = {value}"),
        Err(error) => crate::println!("[{tid}] {call} = -1 {} ({})", error_name(error), error.0),
    }
    result
}
