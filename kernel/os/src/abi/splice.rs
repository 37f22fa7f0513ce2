//! `splice(2)`. Bytes are copied; what is spared is the program's own read and write.

use super::read::readable;
use super::syscall::{Args, Handler};
use super::transfer::Buffer;
use super::write::{writable, write_on};
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Access, Description, File};
use crate::fs::pipe::{Reader, Writer};
use crate::memory::user;
use linux_raw_sys::general::{__NR_splice, IN_ACCESS};

crate::register!("syscall": Handler = { __NR_splice => splice });

// bits/fcntl-linux.h
const SPLICE_F_MOVE: u64 = 1;
const SPLICE_F_NONBLOCK: u64 = 2;
const SPLICE_F_MORE: u64 = 4;
const SPLICE_F_GIFT: u64 = 8;

/// A place in a file: the one at an address of the program, or the file's own.
fn position(file: &Description, address: u64) -> Result<u64> {
    if address == 0 {
        return Ok(file.position.get());
    }
    let position = user::read(address)?;
    file.check_positions()?;
    file::check_position(position)?;
    Ok(position)
}

fn advance(file: &Description, address: u64, position: u64) -> Result<()> {
    match address {
        0 if file.is_seekable() => file.position.set(position),
        0 => {}
        address => user::write(address, &position)?,
    }
    Ok(())
}

fn splice(args: &Args) -> Result<u64> {
    let [from, from_at, to, to_at, count, flags] = args.0;
    if flags & !(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT) != 0 {
        return Err(Errno::EINVAL);
    }
    if count == 0 {
        return Ok(0);
    }
    let (from, to) = (readable(from)?, writable(to)?);
    let (reader, writer) = (from.downcast::<Reader>(), to.downcast::<Writer>());
    if reader.is_some() && from_at != 0 || writer.is_some() && to_at != 0 {
        return Err(Errno::ESPIPE);
    }
    let nonblocking = flags & SPLICE_F_NONBLOCK != 0;
    let count = count.min(Buffer::SIZE) as usize;
    match (reader, writer) {
        (_, Some(writer)) => {
            // What was read has to find room, or it would be lost.
            let room = writer.wait_for_room(nonblocking || to.access(0).nonblocking)?.min(count);
            let position = position(&from, from_at)?;
            let mut access = from.access(position);
            access.nonblocking |= nonblocking && reader.is_some();
            let buffer = Buffer::new()?;
            let got = from.file.read(buffer.0, room, access)?;
            if got > 0 {
                from.tell(IN_ACCESS);
                advance(&from, from_at, position + got as u64)?;
                writer.write(buffer.0, got, Access { position: 0, nonblocking: false })?;
            }
            Ok(got as u64)
        }
        (Some(reader), None) => {
            let position = position(&to, to_at)?;
            let mut access = from.access(0);
            access.nonblocking |= nonblocking;
            let buffer = Buffer::new()?;
            let got = reader.read(buffer.0, count, access)?;
            if got == 0 {
                return Ok(0);
            }
            let put = if to_at == 0 {
                write_on(&to, buffer.0, got as u64)
            } else {
                to.write(buffer.0, got as u64, position)
            };
            let taken = *put.as_ref().unwrap_or(&0);
            // What the other side did not take stays in the pipe.
            reader.put_back(buffer.0 + taken, got - taken as usize)?;
            if to_at != 0 {
                advance(&to, to_at, position + put?)?;
            }
            put
        }
        // One side has to be a pipe.
        (None, None) => Err(Errno::EINVAL),
    }
}
