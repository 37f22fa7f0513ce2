//! The socket calls (`socket(2)` and its kin), for whatever families are there.

use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Access, Description, File, Readiness, Stat};
use crate::memory::user;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::Cell;
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::FIONREAD;
use linux_raw_sys::net::*;

crate::register!("syscall": Handler = {
    __NR_socket => socket,
    __NR_bind => bind,
    __NR_listen => listen,
    __NR_accept => accept,
    __NR_accept4 => accept4,
    __NR_connect => connect,
    __NR_sendto => sendto,
    __NR_recvfrom => recvfrom,
    __NR_shutdown => shutdown,
    __NR_getsockname => getsockname,
    __NR_getpeername => getpeername,
    __NR_setsockopt => setsockopt,
    __NR_getsockopt => getsockopt,
});

/// Makes a socket of a family: from its type and its protocol.
pub type Family = fn(u32, u32) -> Result<Rc<dyn Protocol>>;

// The key is the family of addresses.
crate::hook!(fn families() -> "socket-family": Family);
// Waits in a queue until a point in time; the component for timeouts.
crate::hook!(fn timed_waits() -> "wait-until": fn(&Queue, u64) -> Result<()>);
// Told when a stream is written to that nobody reads (SIGPIPE).
crate::hook!(fn broken() -> "broken-pipe": fn());
// Serves requests of `ioctl(2)` on any socket; ENOTTY where it does not know one.
crate::hook!(fn controls() -> "socket-ioctl": fn(u32, u64) -> Result<u64>);
// Nanoseconds on the clock that timeouts are measured with.
crate::hook!(fn clocks() -> "timeout-clock": fn() -> u64);

/// `AF_*` as `socket(2)` takes it; the headers that constants come from leave these out.
pub const AF_UNIX: u16 = 1;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;

/// Type flags of `socket(2)` and `accept4(2)`: those of open.
const SOCK_CLOEXEC: u32 = O_CLOEXEC;
const SOCK_NONBLOCK: u32 = O_NONBLOCK;

/// The longest address there is (`struct sockaddr_storage`).
const NAME_MAX: usize = 128;
/// The longest value of an option.
const OPTION_MAX: u64 = 4096;

/// A stretch of the program's memory.
#[derive(Clone, Copy)]
pub struct Part {
    pub address: u64,
    pub length: usize,
}

/// What is sent, or where to put what is received.
pub struct Call<'a> {
    pub parts: &'a [Part],
    /// MSG_*.
    pub flags: u32,
    pub nonblocking: bool,
}

impl Call<'_> {
    /// Bytes in all.
    pub fn length(&self) -> usize {
        self.parts.iter().fold(0, |total: usize, part| total.saturating_add(part.length))
    }

    /// Copies what is to be sent, from a position on.
    pub fn read(&self, mut at: usize, mut into: &mut [u8]) -> Result<()> {
        for part in self.parts {
            if at >= part.length {
                at -= part.length;
                continue;
            }
            let length = into.len().min(part.length - at);
            let (now, later) = into.split_at_mut(length);
            user::read_bytes(part.address + at as u64, now)?;
            (into, at) = (later, 0);
        }
        Ok(())
    }

    /// Copies what was received, to a position on.
    pub fn write(&self, mut at: usize, mut from: &[u8]) -> Result<()> {
        for part in self.parts {
            if at >= part.length {
                at -= part.length;
                continue;
            }
            let length = from.len().min(part.length - at);
            let (now, later) = from.split_at(length);
            user::write_bytes(part.address + at as u64, now)?;
            (from, at) = (later, 0);
        }
        Ok(())
    }
}

/// What comes with received bytes.
#[derive(Default)]
pub struct Reply {
    /// Whether anybody wants to know the sender.
    pub wants_name: bool,
    /// Room for control messages.
    pub control_room: usize,
    pub name: Vec<u8>,
    pub control: Vec<u8>,
    /// MSG_* as `recvmsg(2)` returns them.
    pub flags: u32,
}

/// Options of the socket level; shared with the protocol, and handed on to accepted connections.
#[derive(Clone)]
pub struct Common {
    pub family: u16,
    pub kind: u32,
    pub protocol: u32,
    pub reuse_address: Cell<bool>,
    pub reuse_port: Cell<bool>,
    pub keep_alive: Cell<bool>,
    pub broadcast: Cell<bool>,
    pub pass_credentials: Cell<bool>,
    pub timestamp: Cell<bool>,
    pub out_of_band_inline: Cell<bool>,
    /// Seconds to linger at close.
    pub linger: Cell<Option<u32>>,
    /// Sizes asked for; zero is the component's own.
    pub receive_buffer: Cell<usize>,
    pub send_buffer: Cell<usize>,
    /// Nanoseconds; zero is for ever.
    pub receive_timeout: Cell<u64>,
    pub send_timeout: Cell<u64>,
    pub priority: Cell<u32>,
}

impl Common {
    pub fn new(family: u16, kind: u32, protocol: u32) -> Self {
        Self {
            family,
            kind,
            protocol,
            reuse_address: Cell::new(false),
            reuse_port: Cell::new(false),
            keep_alive: Cell::new(false),
            broadcast: Cell::new(false),
            pass_credentials: Cell::new(false),
            timestamp: Cell::new(false),
            out_of_band_inline: Cell::new(false),
            linger: Cell::new(None),
            receive_buffer: Cell::new(0),
            send_buffer: Cell::new(0),
            receive_timeout: Cell::new(0),
            send_timeout: Cell::new(0),
            priority: Cell::new(0),
        }
    }
}

/// What a family's sockets do. Names are `struct sockaddr` as bytes.
pub trait Protocol: Any {
    fn common(&self) -> &Common;
    fn bind(&self, name: &[u8]) -> Result<()>;
    fn connect(&self, name: &[u8], nonblocking: bool) -> Result<()>;
    fn listen(&self, _backlog: u32) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// A connection that was made to this socket, and who made it.
    fn accept(&self, _nonblocking: bool) -> Result<(Rc<dyn Protocol>, Vec<u8>)> {
        Err(Errno::EOPNOTSUPP)
    }
    fn send(&self, call: &Call, to: Option<&[u8]>, control: &[u8]) -> Result<usize>;
    fn receive(&self, call: &Call, reply: &mut Reply) -> Result<usize>;
    fn shutdown(&self, how: u32) -> Result<()>;
    fn name(&self) -> Result<Vec<u8>>;
    fn peer(&self) -> Result<Vec<u8>>;
    fn readiness(&self) -> Readiness;
    fn queue(&self) -> &Queue;
    /// The error that happened since it was last asked for.
    fn take_error(&self) -> Option<Errno> {
        None
    }
    /// An option of the protocol's own levels.
    fn set_option(&self, _level: u32, _name: u32, _value: &[u8]) -> Result<()> {
        Err(Errno::ENOPROTOOPT)
    }
    fn option(&self, _level: u32, _name: u32) -> Result<Vec<u8>> {
        Err(Errno::ENOPROTOOPT)
    }
    /// Bytes that a read would return, and bytes sent that have not arrived yet.
    fn pending(&self) -> (usize, usize);
    fn is_listening(&self) -> bool {
        false
    }
    /// Sizes of the buffers for receiving and sending.
    fn buffers(&self) -> (usize, usize);
}

/// A socket as a file.
pub struct Socket {
    pub protocol: Rc<dyn Protocol>,
}

impl File for Socket {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        let parts = [Part { address: to, length: count }];
        let call = Call { parts: &parts, flags: 0, nonblocking: access.nonblocking };
        self.protocol.receive(&call, &mut Reply::default())
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        let parts = [Part { address: from, length: count }];
        let call = Call { parts: &parts, flags: 0, nonblocking: access.nonblocking };
        send(&*self.protocol, &call, None, &[])
    }

    fn stat(&self) -> Stat {
        Stat { mode: S_IFSOCK | 0o777, links: 1, ..Stat::default() }
    }

    fn readiness(&self) -> Readiness {
        self.protocol.readiness()
    }

    fn queue(&self) -> Option<&Queue> {
        Some(self.protocol.queue())
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        /// Bytes that were sent and have not arrived (`tcp(7)`); the terminals' number for it.
        const SIOCOUTQ: u32 = linux_raw_sys::ioctl::TIOCOUTQ;
        let count = match request {
            FIONREAD if self.protocol.is_listening() => return Err(Errno::EINVAL),
            FIONREAD => self.protocol.pending().0,
            SIOCOUTQ => self.protocol.pending().1,
            // As Linux does for a request that nobody knows.
            _ => {
                let serve = |entry: &crate::compose::Entry<fn(u32, u64) -> Result<u64>>| {
                    Some((entry.item)(request, argument)).filter(|result| *result != Err(Errno::ENOTTY))
                };
                return controls().iter().find_map(serve).unwrap_or(Err(Errno::ENOTTY));
            }
        };
        user::write(argument, &(count as u32))?;
        Ok(0)
    }
}

/// Sends, and tells of a broken stream.
pub fn send(protocol: &dyn Protocol, call: &Call, to: Option<&[u8]>, control: &[u8]) -> Result<usize> {
    let result = protocol.send(call, to, control);
    if result == Err(Errno::EPIPE) && call.flags & MSG_NOSIGNAL == 0 {
        for hook in broken() {
            (hook.item)();
        }
    }
    result
}

/// Waits for an event, under one of the socket's timeouts (nanoseconds; zero is for ever). `started`: [`now`] when the call began.
pub fn wait(queue: &Queue, timeout: u64, started: u64) -> Result<()> {
    match timed_waits().first() {
        Some(waiting) if timeout != 0 => {
            let deadline = started.saturating_add(timeout);
            if now() >= deadline {
                return Err(Errno::EAGAIN);
            }
            (waiting.item)(queue, deadline)
        }
        _ => queue.wait(),
    }
}

/// The time by the clock of timeouts; zero where nothing measures it.
pub fn now() -> u64 {
    clocks().first().map_or(0, |clock| (clock.item)())
}

/// The socket that a descriptor names.
pub fn get(fd: u64) -> Result<(Rc<Description>, Rc<dyn Protocol>)> {
    let description = file::get(fd)?;
    let protocol = description.downcast::<Socket>().ok_or(Errno::ENOTSOCK)?.protocol.clone();
    Ok((description, protocol))
}

/// A descriptor for a socket, under the flags of a type.
pub fn open(protocol: Rc<dyn Protocol>, flags: u32) -> Result<u64> {
    file::open(Rc::new(Socket { protocol }), O_RDWR | flags & (SOCK_CLOEXEC | SOCK_NONBLOCK))
}

/// A fresh socket of a family.
pub fn create(family: u64, kind: u32, protocol: u32) -> Result<Rc<dyn Protocol>> {
    if kind & !(SOCK_CLOEXEC | SOCK_NONBLOCK | 0xf) != 0 {
        return Err(Errno::EINVAL);
    }
    match families().iter().find(|entry| entry.key == family) {
        Some(entry) => (entry.item)(kind & 0xf, protocol),
        None => {
            refuse("socket-family", crate::table!("refused.socket-family"), family);
            Err(Errno::EAFNOSUPPORT)
        }
    }
}

/// Says on the console which component would have served a key of a hook, once for each.
pub fn refuse(what: &str, table: &'static [u8], key: u64) {
    use core::sync::atomic::{AtomicU64, Ordering};
    static TOLD: AtomicU64 = AtomicU64::new(0);
    let bit = 1 << ((key + what.len() as u64) % 64);
    if TOLD.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return;
    }
    let mut rest = table;
    while let Some((&length, after)) = rest.split_first() {
        let Some((id, after)) = after.split_at_checked(usize::from(length)) else { return };
        let Some((count, after)) = after.split_first_chunk::<2>() else { return };
        let Some((keys, after)) = after.split_at_checked(usize::from(u16::from_le_bytes(*count)) * 2) else {
            return;
        };
        if keys.chunks_exact(2).any(|pair| u64::from(u16::from_le_bytes([pair[0], pair[1]])) == key) {
            let id = core::str::from_utf8(id).unwrap_or("");
            crate::println!("bespoke: {what} {key} was asked for: {id} is off");
            return;
        }
        rest = after;
    }
}

/// An address from the program.
pub fn read_name(address: u64, length: u64) -> Result<Vec<u8>> {
    if length as u32 as usize > NAME_MAX {
        return Err(Errno::EINVAL);
    }
    let mut name = alloc::vec![0; length as u32 as usize];
    user::read_bytes(address, &mut name)?;
    Ok(name)
}

/// Hands an address to the program: as much as fits, and how long it is.
pub fn write_name(name: &[u8], address: u64, length_address: u64) -> Result<()> {
    if address == 0 {
        return Ok(());
    }
    let room: i32 = user::read(length_address)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    user::write_bytes(address, &name[..name.len().min(room)])?;
    user::write(length_address, &(name.len() as u32))
}

fn nonblocking(description: &Description, flags: u32) -> bool {
    description.flags.get() & O_NONBLOCK != 0 || flags & MSG_DONTWAIT != 0
}

/// A call on a description, with MSG_* flags.
pub fn call<'a>(description: &Description, parts: &'a [Part], flags: u32) -> Call<'a> {
    Call { parts, flags, nonblocking: nonblocking(description, flags) }
}

fn socket(args: &Args) -> Result<u64> {
    let [family, kind, protocol, ..] = args.0;
    open(create(family as u32 as u64, kind as u32, protocol as u32)?, kind as u32)
}

fn bind(args: &Args) -> Result<u64> {
    let [fd, name, length, ..] = args.0;
    let (_, protocol) = get(fd)?;
    protocol.bind(&read_name(name, length)?)?;
    Ok(0)
}

fn listen(args: &Args) -> Result<u64> {
    let (_, protocol) = get(args.0[0])?;
    // The kernel's own limit (`net.core.somaxconn`); negative is as much as can be.
    protocol.listen((args.0[1] as u32).min(4096))?;
    Ok(0)
}

fn accept_with(args: &Args, flags: u32) -> Result<u64> {
    let [fd, name, length, ..] = args.0;
    if flags & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let (description, protocol) = get(fd)?;
    let (connection, peer) = protocol.accept(nonblocking(&description, 0))?;
    write_name(&peer, name, length)?;
    open(connection, flags)
}

fn accept(args: &Args) -> Result<u64> {
    accept_with(args, 0)
}

fn accept4(args: &Args) -> Result<u64> {
    accept_with(args, args.0[3] as u32)
}

fn connect(args: &Args) -> Result<u64> {
    let [fd, name, length, ..] = args.0;
    let (description, protocol) = get(fd)?;
    protocol.connect(&read_name(name, length)?, nonblocking(&description, 0))?;
    Ok(0)
}

fn sendto(args: &Args) -> Result<u64> {
    let [fd, from, count, flags, name, length] = args.0;
    let (description, protocol) = get(fd)?;
    let parts = [Part { address: from, length: count as usize }];
    let call = call(&description, &parts, flags as u32);
    if name == 0 {
        return Ok(send(&*protocol, &call, None, &[])? as u64);
    }
    let name = read_name(name, length)?;
    Ok(send(&*protocol, &call, Some(&name), &[])? as u64)
}

fn recvfrom(args: &Args) -> Result<u64> {
    let [fd, to, count, flags, name, length] = args.0;
    let (description, protocol) = get(fd)?;
    let parts = [Part { address: to, length: count as usize }];
    let mut reply = Reply { wants_name: name != 0, ..Reply::default() };
    let done = protocol.receive(&call(&description, &parts, flags as u32), &mut reply)?;
    write_name(&reply.name, name, length)?;
    Ok(done as u64)
}

fn shutdown(args: &Args) -> Result<u64> {
    let (_, protocol) = get(args.0[0])?;
    match args.0[1] as u32 {
        how @ (SHUT_RD | SHUT_WR | SHUT_RDWR) => protocol.shutdown(how).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

fn getsockname(args: &Args) -> Result<u64> {
    let [fd, name, length, ..] = args.0;
    write_name(&get(fd)?.1.name()?, name, length).map(|()| 0)
}

fn getpeername(args: &Args) -> Result<u64> {
    let [fd, name, length, ..] = args.0;
    write_name(&get(fd)?.1.peer()?, name, length).map(|()| 0)
}

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
    Ok((seconds.max(0) as u64).saturating_mul(1_000_000_000).saturating_add(micros as u64 * 1000))
}

/// `SO_RCVTIMEO` with impossible microseconds is EDOM, and nothing else is.
fn linux_edom() -> Errno {
    Errno(linux_raw_sys::errno::EDOM as u16)
}

/// Least and most bytes of a buffer that can be asked for.
const BUFFER_LEAST: usize = 2304;
const BUFFER_MOST: usize = 4 << 20;

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
    let flag = || number(&bytes).map(|number| number != 0);
    let size =
        || number(&bytes).map(|size| ((size as usize).saturating_mul(2)).clamp(BUFFER_LEAST, BUFFER_MOST));
    match name {
        SO_REUSEADDR => common.reuse_address.set(flag()?),
        SO_REUSEPORT => common.reuse_port.set(flag()?),
        SO_KEEPALIVE => {
            common.keep_alive.set(flag()?);
            return protocol.set_option(level, name, &bytes).map(|()| 0);
        }
        SO_BROADCAST => common.broadcast.set(flag()?),
        SO_PASSCRED => common.pass_credentials.set(flag()?),
        SO_TIMESTAMP => common.timestamp.set(flag()?),
        SO_OOBINLINE => common.out_of_band_inline.set(flag()?),
        SO_LINGER => {
            let on = number(&bytes)? != 0;
            let seconds = number(bytes.get(4..).unwrap_or_default())?;
            common.linger.set(on.then_some(seconds));
        }
        SO_RCVBUF | SO_RCVBUFFORCE => common.receive_buffer.set(size()?),
        SO_SNDBUF | SO_SNDBUFFORCE => common.send_buffer.set(size()?),
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
        SO_BINDTODEVICE => {
            // There is one card, and what it does not reach is reached without it.
            let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            if !matches!(name, b"" | b"eth0") {
                return Err(Errno::ENODEV);
            }
        }
        SO_PRIORITY => common.priority.set(number(&bytes)?),
        // Hints about what is not there: routes, low-water marks, busy polling, processor steering.
        SO_DONTROUTE | SO_RCVLOWAT | SO_BUSY_POLL | SO_INCOMING_CPU | SO_MARK | SO_NO_CHECK | SO_ZEROCOPY => {
            flag()?;
        }
        SO_TYPE | SO_PROTOCOL | SO_DOMAIN | SO_ERROR | SO_ACCEPTCONN => return Err(Errno::ENOPROTOOPT),
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
    let timeval = |nanoseconds: u64| {
        let words = [nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000 / 1000];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    };
    let number = match name {
        SO_REUSEADDR => u32::from(common.reuse_address.get()),
        SO_REUSEPORT => u32::from(common.reuse_port.get()),
        SO_KEEPALIVE => u32::from(common.keep_alive.get()),
        SO_BROADCAST => u32::from(common.broadcast.get()),
        SO_PASSCRED => u32::from(common.pass_credentials.get()),
        SO_TIMESTAMP => u32::from(common.timestamp.get()),
        SO_OOBINLINE => u32::from(common.out_of_band_inline.get()),
        SO_LINGER => {
            let words = common.linger.get().map_or([0, 0], |seconds| [1, seconds]);
            return Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect());
        }
        SO_RCVBUF => protocol.buffers().0 as u32,
        SO_SNDBUF => protocol.buffers().1 as u32,
        SO_RCVTIMEO_OLD => return Ok(timeval(common.receive_timeout.get())),
        SO_SNDTIMEO_OLD => return Ok(timeval(common.send_timeout.get())),
        SO_PRIORITY => common.priority.get(),
        SO_TYPE => common.kind,
        SO_PROTOCOL => common.protocol,
        SO_DOMAIN => u32::from(common.family),
        SO_ERROR => protocol.take_error().map_or(0, |error| u32::from(error.0)),
        SO_ACCEPTCONN => u32::from(protocol.is_listening()),
        SO_RCVLOWAT | SO_SNDLOWAT => 1,
        SO_DONTROUTE | SO_MARK | SO_BUSY_POLL | SO_INCOMING_CPU => 0,
        _ => return protocol.option(SOL_SOCKET, name),
    };
    Ok(number.to_le_bytes().to_vec())
}
