//! `sendfile(2)`, `copy_file_range(2)`.

use super::read::readable;
use super::syscall::{Args, Handler};
use super::write::{writable, write_on};
use crate::errno::{Errno, Result};
use crate::fs::file::{Description, MOST_AT_ONCE};
use crate::memory::paging::PAGE;
use crate::memory::space::{self, Backing, Rights};
use crate::memory::user;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = { __NR_sendfile => sendfile, __NR_copy_file_range => copy_file_range });

/// Moved at once.
const CHUNK: u64 = 16 * PAGE;
/// What a buffer may be used for.
const RIGHTS: Rights = Rights::READ.union(Rights::WRITE);

/// The buffer of the last call, zero for none: to map one, bring its pages in and unmap it costs several times what sending a small file does.
static SPARE: AtomicU64 = AtomicU64::new(0);

/// A buffer in the program's half, where files read to and write from.
pub struct Buffer(pub u64);

impl Buffer {
    pub const SIZE: u64 = CHUNK;

    pub fn new() -> Result<Self> {
        let spare = SPARE.swap(0, Ordering::Relaxed);
        // It lies where the program could have unmapped it.
        if spare != 0 && space::rights(spare, CHUNK) == Some(RIGHTS) {
            return Ok(Self(spare));
        }
        let address = space::find_gap(CHUNK, 1 << 46).ok_or(Errno::ENOMEM)?;
        space::map(address, CHUNK, RIGHTS, Backing::Zeroes)?;
        Ok(Self(address))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let other = SPARE.swap(self.0, Ordering::Relaxed);
        if other != 0 {
            let _ = space::unmap(other, CHUNK);
        }
    }
}

/// Copies from a position of one file to another; how many bytes went over.
fn copy(from: &Description, mut position: u64, to: &Description, count: u64) -> Result<u64> {
    let buffer = Buffer::new()?;
    let count = count.min(MOST_AT_ONCE);
    let mut total = 0;
    while total < count {
        let length = CHUNK.min(count - total);
        let got = match from.read(buffer.0, length, position) {
            Err(error) if total == 0 => return Err(error),
            // What went over did.
            Err(_) => break,
            Ok(got) => got,
        };
        if got == 0 {
            break;
        }
        let mut sent = 0;
        while sent < got {
            match write_on(to, buffer.0 + sent, got - sent) {
                Ok(written) => sent += written,
                Err(error) if total + sent == 0 => return Err(error),
                Err(_) => return Ok(total + sent),
            }
        }
        total += got;
        position += got;
    }
    Ok(total)
}

/// The position at an address of the program, or the file's own; `advance` stores it again.
fn position(file: &Description, address: u64) -> Result<u64> {
    if !file.is_seekable() {
        return Err(Errno::EINVAL);
    }
    let position = if address == 0 { file.position.get() } else { user::read(address)? };
    if (position as i64) < 0 { Err(Errno::EINVAL) } else { Ok(position) }
}

fn advance(file: &Description, address: u64, position: u64) -> Result<()> {
    if address == 0 {
        file.position.set(position);
        return Ok(());
    }
    user::write(address, &position)
}

fn sendfile(args: &Args) -> Result<u64> {
    let [to, from, offset, count, ..] = args.0;
    let (from, to) = (readable(from)?, writable(to)?);
    if to.flags.get() & O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    let start = position(&from, offset)?;
    let done = copy(&from, start, &to, count)?;
    advance(&from, offset, start + done)?;
    Ok(done)
}

fn copy_file_range(args: &Args) -> Result<u64> {
    let [from, from_offset, to, to_offset, count, flags] = args.0;
    let (from, to) = (readable(from)?, writable(to)?);
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    for file in [&from, &to] {
        match file.stat().mode & S_IFMT {
            S_IFREG => {}
            S_IFDIR => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
    }
    if to.flags.get() & O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    let start = position(&from, from_offset)?;
    let target = position(&to, to_offset)?;
    let (source, goal) = (from.stat(), to.stat());
    let is_same = (source.filesystem, source.inode) == (goal.filesystem, goal.inode);
    if is_same && start < target.saturating_add(count) && target < start.saturating_add(count) {
        return Err(Errno::EINVAL);
    }
    let before = to.position.replace(target);
    let done = copy(&from, start, &to, count);
    to.position.set(before);
    let done = done?;
    advance(&from, from_offset, start + done)?;
    advance(&to, to_offset, target + done)?;
    Ok(done)
}
