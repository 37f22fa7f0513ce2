//! Options of the socket level (`socket(7)`).

use super::{Protocol, get, refuse, timed_waits};
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use alloc::vec::Vec;
use linux_raw_sys::general::*;
use linux_raw_sys::net::*;

crate::register!("syscall": Handler = {
    __NR_setsockopt => setsockopt,
    __NR_getsockopt => getsockopt,
});

const SECOND: u64 = 1_000_000_000;
/// The longest value of an option.
const OPTION_MAX: u64 = 4096;

/// A number out of an option's value.
pub fn number(value: &[u8]) -> Result<u32> {
    let (word, _) = value.split_first_chunk::<4>().ok_or(Errno::EINVAL)?;
    Ok(u32::from_le_bytes(*word))
}

/// Nanoseconds of a `struct timeval`.
fn timeval(value: &[u8]) -> Result<u64> {
    let (seconds, rest) = value.split_first_chunk::<8>().ok_or(Errno::EINVAL)?;
    let (micros, _) = rest.split_first_chunk::<8>().ok_or(Errno::EINVAL)?;
    let (seconds, micros) = (i64::from_le_bytes(*seconds), i64::from_le_bytes(*micros));
    if !(0..1_000_000).contains(&micros) {
        return Err(linux_edom());
    }
    Ok((seconds.max(0) as u64).saturating_mul(SECOND).saturating_add(micros as u64 * 1000))
}

/// A `struct timeval` of nanoseconds.
pub fn timeval_bytes(nanoseconds: u64) -> Vec<u8> {
    let words = [nanoseconds / SECOND, nanoseconds % SECOND / 1000];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// `SO_RCVTIMEO` with impossible microseconds is EDOM, and nothing else is.
fn linux_edom() -> Errno {
    Errno(linux_raw_sys::errno::EDOM as u16)
}

/// Least bytes of a buffer for receiving and for sending, and most of either: as Linux has them, which doubles what it is asked for.
const RECEIVE_LEAST: usize = 2304;
const SEND_LEAST: usize = 4608;
const BUFFER_MOST: usize = 8 << 20;

fn setsockopt(args: &Args) -> Result<u64> {
    let [fd, level, name, value, length, _] = args.0;
    let (level, name, length) = (level as u32, name as u32, length as i32);
    let (_, protocol) = get(fd)?;
    let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let mut bytes = alloc::vec![0; length.min(OPTION_MAX) as usize];
    user::read_bytes(value, &mut bytes)?;
    if level != SOL_SOCKET {
        return protocol.set_option(level, name, &bytes).map(|()| 0);
    }
    let common = protocol.common();
    if name == SO_BINDTODEVICE {
        // There is one card, and what it does not reach is reached without it.
        let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        return if matches!(name, b"" | b"eth0") { Ok(0) } else { Err(Errno::ENODEV) };
    }
    // As on Linux before it is known what it is for.
    number(&bytes)?;
    let flag = || number(&bytes).map(|number| number != 0);
    let size = |least| number(&bytes).map(|size| (size as usize * 2).clamp(least, BUFFER_MOST));
    match name {
        SO_REUSEADDR => common.reuse_address.set(flag()?),
        SO_REUSEPORT => common.reuse_port.set(flag()?),
        SO_KEEPALIVE | SO_OOBINLINE => {
            let kept = if name == SO_KEEPALIVE { &common.keep_alive } else { &common.out_of_band_inline };
            kept.set(flag()?);
            // Whoever sends nothing by itself only remembers it.
            return match protocol.set_option(level, name, &bytes) {
                Ok(()) | Err(Errno::ENOPROTOOPT) => Ok(0),
                Err(error) => Err(error),
            };
        }
        SO_BROADCAST => common.broadcast.set(flag()?),
        SO_PASSCRED => common.pass_credentials.set(flag()?),
        SO_TIMESTAMP => common.timestamp.set(flag()?),
        SO_LINGER => {
            let seconds = number(bytes.get(4..).unwrap_or_default())?;
            common.lingers.set(flag()?);
            // The time stays when it is off.
            if common.lingers.get() {
                common.linger_time.set(seconds);
            }
        }
        SO_RCVBUF | SO_RCVBUFFORCE => common.receive_buffer.set(size(RECEIVE_LEAST)?),
        SO_SNDBUF | SO_SNDBUFFORCE => common.send_buffer.set(size(SEND_LEAST)?),
        SO_RCVTIMEO_OLD | SO_SNDTIMEO_OLD => {
            let nanoseconds = timeval(&bytes)?;
            if nanoseconds != 0 && timed_waits().is_empty() {
                refuse("wait-until", crate::table!("refused.wait-until"), 10);
                return Err(Errno::ENOPROTOOPT);
            }
            let timeout =
                if name == SO_RCVTIMEO_OLD { &common.receive_timeout } else { &common.send_timeout };
            timeout.set(nanoseconds);
        }
        SO_RCVLOWAT => {
            // Negative is as much as can be.
            let low = usize::try_from(number(&bytes)? as i32).unwrap_or(BUFFER_MOST);
            common.receive_low.set(low.clamp(1, BUFFER_MOST));
        }
        // Hints about what is not there: routes, marks, busy polling, processor steering, security modules.
        SO_DONTROUTE | SO_PASSSEC | SO_NO_CHECK | SO_ZEROCOPY => {
            common.remember(level, name, i32::from(flag()?))?;
        }
        SO_PRIORITY | SO_BUSY_POLL | SO_INCOMING_CPU | SO_MARK => {
            common.remember(level, name, number(&bytes)? as i32)?;
        }
        SO_TYPE | SO_PROTOCOL | SO_DOMAIN | SO_ERROR | SO_ACCEPTCONN | SO_SNDLOWAT => {
            return Err(Errno::ENOPROTOOPT);
        }
        _ => return protocol.set_option(level, name, &bytes).map(|()| 0),
    }
    Ok(0)
}

fn getsockopt(args: &Args) -> Result<u64> {
    let [fd, level, name, value, length_address, _] = args.0;
    let (level, name) = (level as u32, name as u32);
    let (_, protocol) = get(fd)?;
    let room: i32 = user::read(length_address)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let bytes =
        if level == SOL_SOCKET { socket_option(&*protocol, name)? } else { protocol.option(level, name)? };
    let length = bytes.len().min(room);
    user::write_bytes(value, &bytes[..length])?;
    user::write(length_address, &(length as u32))?;
    Ok(0)
}

fn socket_option(protocol: &dyn Protocol, name: u32) -> Result<Vec<u8>> {
    let common = protocol.common();
    let number = match name {
        SO_REUSEADDR => u32::from(common.reuse_address.get()),
        SO_REUSEPORT => u32::from(common.reuse_port.get()),
        SO_KEEPALIVE => u32::from(common.keep_alive.get()),
        SO_BROADCAST => u32::from(common.broadcast.get()),
        SO_PASSCRED => u32::from(common.pass_credentials.get()),
        SO_TIMESTAMP => u32::from(common.timestamp.get()),
        SO_OOBINLINE => u32::from(common.out_of_band_inline.get()),
        SO_LINGER => {
            let words = [u32::from(common.lingers.get()), common.linger_time.get()];
            return Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect());
        }
        SO_RCVBUF => protocol.buffers().0 as u32,
        SO_SNDBUF => protocol.buffers().1 as u32,
        SO_RCVTIMEO_OLD => return Ok(timeval_bytes(common.receive_timeout.get())),
        SO_SNDTIMEO_OLD => return Ok(timeval_bytes(common.send_timeout.get())),
        SO_TYPE => common.kind,
        SO_PROTOCOL => common.protocol,
        SO_DOMAIN => u32::from(common.family),
        SO_ERROR => protocol.take_error().map_or(0, |error| u32::from(error.0)),
        SO_ACCEPTCONN => u32::from(protocol.is_listening()),
        SO_RCVLOWAT => common.receive_low.get() as u32,
        SO_SNDLOWAT => 1,
        SO_DONTROUTE | SO_PASSSEC | SO_NO_CHECK | SO_PRIORITY | SO_MARK | SO_BUSY_POLL | SO_INCOMING_CPU
        | SO_ZEROCOPY => common.remembered(SOL_SOCKET, name).unwrap_or(0) as u32,
        _ => match protocol.option(SOL_SOCKET, name) {
            // Nobody is at the other end who is known.
            Err(Errno::ENOPROTOOPT) if name == SO_PEERCRED => return Ok([&[0; 4][..], &[0xff; 8]].concat()),
            result => return result,
        },
    };
    Ok(number.to_le_bytes().to_vec())
}
