//! The socket calls (`socket(2)` and its kin), for whatever families are there.

mod calls;
pub mod control;
mod options;

pub use options::{number, timeval_bytes};

use self::control::Messages;
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Access, Description, File, Readiness, Stat};
use crate::list;
use crate::memory::user;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::FIONREAD;
use linux_raw_sys::net::*;

crate::register!("vector": fn(&Description, u64, u64, bool) -> Option<Result<u64>> = { 10 => move_vector });

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

    /// Waits as [`wait`] does, if the call waits at all.
    pub fn wait(&self, queue: &Queue, timeout: u64, started: &mut Option<u64>) -> Result<()> {
        if self.nonblocking { Err(Errno::EAGAIN) } else { wait(queue, timeout, started) }
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
    pub name: Vec<u8>,
    pub control: Messages,
    /// MSG_* as `recvmsg(2)` returns them, but for MSG_CTRUNC.
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
    /// Whether to linger at close, and for how many seconds.
    pub lingers: Cell<bool>,
    pub linger_time: Cell<u32>,
    /// Sizes asked for; zero is the component's own.
    pub receive_buffer: Cell<usize>,
    pub send_buffer: Cell<usize>,
    /// Nanoseconds; zero is for ever.
    pub receive_timeout: Cell<u64>,
    pub send_timeout: Cell<u64>,
    /// Bytes that have to be there before there is anything to read.
    pub receive_low: Cell<usize>,
    /// Options that change nothing here: level, name and what they were set to.
    hints: RefCell<Vec<(u32, u32, i32)>>,
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
            lingers: Cell::new(false),
            linger_time: Cell::new(0),
            receive_buffer: Cell::new(0),
            send_buffer: Cell::new(0),
            receive_timeout: Cell::new(0),
            send_timeout: Cell::new(0),
            receive_low: Cell::new(1),
            hints: RefCell::new(Vec::new()),
        }
    }

    /// Remembers an option that changes nothing here.
    pub fn remember(&self, level: u32, name: u32, value: i32) -> Result<()> {
        let mut hints = self.hints.borrow_mut();
        if let Some(known) = hints.iter_mut().find(|known| (known.0, known.1) == (level, name)) {
            known.2 = value;
            return Ok(());
        }
        list::push(&mut hints, (level, name, value))
    }

    /// What such an option was set to.
    pub fn remembered(&self, level: u32, name: u32) -> Option<i32> {
        let hints = self.hints.borrow();
        hints.iter().find(|known| (known.0, known.1) == (level, name)).map(|known| known.2)
    }

    /// Seconds to linger at close.
    pub fn linger(&self) -> Option<u32> {
        self.lingers.get().then_some(self.linger_time.get())
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
    /// Whether the byte to be read next is one that was sent as urgent.
    fn is_at_mark(&self) -> Result<bool> {
        Err(Errno::ENOTTY)
    }
    /// The program closes the last descriptor: waits where that is wanted.
    fn finish(&self) {}
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

    fn finish(&self) {
        self.protocol.finish();
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        /// Bytes that were sent and have not arrived (`tcp(7)`); the terminals' number for it.
        const SIOCOUTQ: u32 = linux_raw_sys::ioctl::TIOCOUTQ;
        /// Whether the next byte is urgent (`sockatmark(3)`).
        const SIOCATMARK: u32 = 0x8905;
        let count = match request {
            FIONREAD if self.protocol.is_listening() => return Err(Errno::EINVAL),
            FIONREAD => self.protocol.pending().0,
            SIOCOUTQ => self.protocol.pending().1,
            SIOCATMARK => usize::from(self.protocol.is_at_mark()?),
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

/// Waits for an event, under one of the socket's timeouts (nanoseconds; zero is for ever). `started`: when the call first had to wait, kept
/// here.
pub fn wait(queue: &Queue, timeout: u64, started: &mut Option<u64>) -> Result<()> {
    match timed_waits().first() {
        Some(waiting) if timeout != 0 => {
            let deadline = started.get_or_insert_with(now).saturating_add(timeout);
            if now() >= deadline {
                return Err(Errno::EAGAIN);
            }
            (waiting.item)(queue, deadline)
        }
        _ => queue.wait(),
    }
}

/// The time by the clock of timeouts; zero where nothing measures it.
fn now() -> u64 {
    clocks().first().map_or(0, |clock| (clock.item)())
}

/// The socket that a descriptor names.
pub fn get(fd: u64) -> Result<(Rc<Description>, Rc<dyn Protocol>)> {
    let description = file::get(fd)?;
    let protocol = description.downcast::<Socket>().ok_or(Errno::ENOTSOCK)?.protocol.clone();
    Ok((description, protocol))
}

/// Parts as a vector of the program's lists them.
pub fn parts(address: u64, count: u64) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut total = 0u64;
    for index in 0..count {
        let part: linux_raw_sys::general::iovec = user::read(address + index * 16)?;
        total =
            total.checked_add(part.iov_len).filter(|&total| total <= i64::MAX as u64).ok_or(Errno::EINVAL)?;
        list::push(&mut parts, Part { address: part.iov_base as u64, length: part.iov_len as usize })?;
    }
    Ok(parts)
}

/// `readv(2)` and `writev(2)`: a datagram is one, however many parts it has.
fn move_vector(file: &Description, address: u64, count: u64, writes: bool) -> Option<Result<u64>> {
    let protocol = &file.downcast::<Socket>()?.protocol;
    let moved = || {
        let parts = parts(
            address,
            Some(count).filter(|&count| count <= u64::from(UIO_MAXIOV)).ok_or(Errno::EINVAL)?,
        )?;
        let call = call(file, &parts, 0);
        if writes {
            send(&**protocol, &call, None, &[])
        } else {
            protocol.receive(&call, &mut Reply::default())
        }
    };
    Some(moved().map(|moved| moved as u64))
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
