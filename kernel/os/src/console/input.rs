//! Input from the console, brought by interrupts.
//!
//! `bespoke run` says on the command line what is at the other end (`terminal=…`): a stream, of which nothing may be taken for a key, or
//! keys. A stream is sent with marks, since a serial line has no start and no end: what comes before Ctrl-B is not part of it, Ctrl-D is its
//! end, and Ctrl-V has the next byte mean itself.

use super::output;
use crate::boot::pvh::StartInfo;
use crate::cell::KernelCell;
use crate::driver::{apic, ioapic};
use crate::errno::{Errno, Result};
use crate::fs::file::{Access, File, Readiness, Stat};
use crate::fs::stdio;
use crate::memory::user;
use crate::sched::thread::Idle;
use crate::sched::trap::FIRST_INTERRUPT;
use crate::sched::wait::Queue;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general::S_IFIFO;
use linux_raw_sys::ioctl::FIONREAD;

const VECTOR: u64 = FIRST_INTERRUPT + 2;

crate::register!("init": fn(&StartInfo) = { 85 => init });
crate::register!("interrupt": fn() = { VECTOR => interrupt });
crate::register!("idle": fn() -> Idle = { 30 => idle });
crate::register!("console": fn() -> Rc<dyn File> = { 0 => standard_input, 1 => console });

/// What makes a terminal of a line with keys at its other end.
pub struct Discipline {
    /// Takes a byte that was typed.
    pub receive: fn(&Input, u8),
    pub read: fn(&Input, u64, usize, Access) -> Result<usize>,
    pub is_readable: fn(&Input) -> bool,
    /// Shows bytes.
    pub write: fn(&[u8]),
    /// `ioctl_tty(2)`.
    pub control: fn(&Input, u32, u64) -> Result<u64>,
}

crate::hook!(fn disciplines() -> "line-discipline": &'static Discipline);

/// Stands for the end of the input, among its bytes.
pub const END: u16 = 0x100;
/// Bytes that are kept for the program; more stay where they come from.
const LIMIT: usize = 4096;

const CTRL_B: u8 = 0x02;
const CTRL_D: u8 = 0x04;
const CTRL_V: u8 = 0x16;

/// What has arrived.
pub struct Input {
    bytes: RefCell<VecDeque<u16>>,
    /// Woken when something has.
    pub queue: Queue,
    /// No keys, but a stream.
    is_stream: Cell<bool>,
    /// The stream has begun.
    has_begun: Cell<bool>,
    /// The stream has ended.
    has_ended: Cell<bool>,
    /// The next byte of the stream means itself.
    is_literal: Cell<bool>,
    /// Whether the device may interrupt; not while there is no room.
    is_listening: Cell<bool>,
}

static INPUT: KernelCell<Option<Rc<Input>>> = KernelCell::new(None);

fn input() -> Rc<Input> {
    let create = || {
        Rc::new(Input {
            bytes: RefCell::default(),
            queue: Queue::new(),
            is_stream: Cell::new(false),
            has_begun: Cell::new(false),
            has_ended: Cell::new(false),
            is_literal: Cell::new(false),
            is_listening: Cell::new(false),
        })
    };
    INPUT.borrow().get_or_insert_with(create).clone()
}

/// What the command line says of the console's other end.
pub fn other_end(info: &StartInfo) -> Option<&'static [u8]> {
    info.command_line().split(|&byte| byte == b' ').find_map(|word| word.strip_prefix(b"terminal="))
}

fn init(info: &StartInfo) {
    let input = input();
    input.is_stream.set(other_end(info) == Some(b"none"));
    // The way first: an interrupt that waits already would come to nobody, and not again.
    let line = output::listen(false).filter(|&line| ioapic::route(line, VECTOR));
    if input.is_stream.get() {
        // Before the stream comes what may get lost.
        output::hurry();
    }
    if line.is_some() {
        output::listen(true);
    }
    input.is_listening.set(line.is_some());
    input.has_ended.set(line.is_none());
}

fn interrupt() {
    input().drain();
    apic::end_of_interrupt();
}

fn idle() -> Idle {
    if input().has_ended.get() { Idle::Never } else { Idle::Interrupt }
}

impl Input {
    /// Takes what the device has, as far as there is room.
    fn drain(&self) {
        while self.length() < LIMIT {
            match output::read() {
                Some(byte) => self.receive(byte),
                None => return,
            }
        }
        self.is_listening.set(false);
        output::listen(false);
    }

    fn receive(&self, byte: u8) {
        if self.is_stream.get() {
            match byte {
                _ if !self.has_begun.get() => return self.has_begun.set(byte == CTRL_B),
                CTRL_V if !self.is_literal.get() => return self.is_literal.set(true),
                CTRL_D if !self.is_literal.get() => {
                    self.has_ended.set(true);
                    return self.queue.wake_all();
                }
                _ => self.is_literal.set(false),
            }
        } else if let Some(discipline) = disciplines().first() {
            return (discipline.item.receive)(self, byte);
        }
        self.push(u16::from(byte));
        self.queue.wake_all();
    }

    /// Adds a byte, or [`END`], for the program to read.
    pub fn push(&self, byte: u16) {
        let mut bytes = self.bytes.borrow_mut();
        // Dropped where there is no memory, as by a device that nobody reads.
        if bytes.try_reserve(1).is_ok() {
            bytes.push_back(byte);
        }
    }

    /// The next byte.
    pub fn peek(&self) -> Option<u16> {
        self.bytes.borrow().front().copied()
    }

    /// How many bytes there are.
    pub fn length(&self) -> usize {
        self.bytes.borrow().len()
    }

    pub fn clear(&self) {
        self.bytes.borrow_mut().clear();
        self.listen_again();
    }

    /// Takes bytes out, up to a buffer's length, until `is_last` says so. An end is taken and not returned.
    pub fn take(&self, to: &mut [u8], is_last: impl Fn(u8) -> bool) -> usize {
        let mut count = 0;
        let mut bytes = self.bytes.borrow_mut();
        while let Some(&next) = bytes.front() {
            if next != END && count == to.len() {
                break;
            }
            bytes.pop_front();
            if next == END {
                break;
            }
            to[count] = next as u8;
            count += 1;
            if is_last(next as u8) {
                break;
            }
        }
        drop(bytes);
        self.listen_again();
        count
    }

    fn listen_again(&self) {
        if !self.is_listening.get() && self.length() < LIMIT && output::listen(true).is_some() {
            self.is_listening.set(true);
        }
    }

    /// Bytes as they came, without waiting for more than the first.
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        while count > 0 && self.length() == 0 && !self.has_ended.get() {
            if access.nonblocking {
                return Err(Errno::EAGAIN);
            }
            self.queue.wait()?;
        }
        let mut chunk = [0u8; 512];
        let mut done = 0;
        while done < count && self.length() > 0 {
            let length = chunk.len().min(count - done);
            let taken = self.take(&mut chunk[..length], |_| false);
            user::write_bytes(to + done as u64, &chunk[..taken])?;
            done += taken;
        }
        Ok(done)
    }

    fn readiness(&self, is_readable: bool) -> Readiness {
        let mut readiness = Readiness::WRITE;
        readiness.set(Readiness::READ, is_readable || self.has_ended.get());
        readiness
    }
}

/// A stream into the program.
struct Stream(Rc<Input>);

impl File for Stream {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        self.0.read(to, count, access)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn stat(&self) -> Stat {
        Stat { mode: S_IFIFO | 0o600, links: 1, ..Stat::default() }
    }

    fn readiness(&self) -> Readiness {
        self.0.readiness(self.0.length() > 0) - Readiness::WRITE
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.0.queue)
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        match request {
            FIONREAD => user::write(argument, &(self.0.length() as u32)).map(|()| 0),
            _ => Err(Errno::ENOTTY),
        }
    }
}

/// A line with keys at its other end; or none, when a stream is read by another file.
struct Console(Rc<Input>);

impl Console {
    fn discipline(&self) -> Option<&'static Discipline> {
        disciplines().first().map(|discipline| discipline.item)
    }
}

impl File for Console {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        match self.discipline() {
            _ if self.0.is_stream.get() => Ok(0),
            Some(discipline) if !self.0.has_ended.get() => (discipline.read)(&self.0, to, count, access),
            _ => self.0.read(to, count, access),
        }
    }

    fn write(&self, from: u64, count: usize, _: Access) -> Result<usize> {
        stdio::write(from, count, self.discipline().map_or(output::write, |discipline| discipline.write))
    }

    fn stat(&self) -> Stat {
        stdio::stat()
    }

    fn readiness(&self) -> Readiness {
        let is_readable = match self.discipline() {
            Some(discipline) => (discipline.is_readable)(&self.0),
            None => self.0.length() > 0,
        };
        self.0.readiness(is_readable || self.0.is_stream.get())
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.0.queue)
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        match self.discipline() {
            Some(discipline) => (discipline.control)(&self.0, request, argument),
            None => stdio::control(request, argument),
        }
    }
}

fn console() -> Rc<dyn File> {
    Rc::new(Console(input()))
}

fn standard_input() -> Rc<dyn File> {
    let input = input();
    if input.is_stream.get() { Rc::new(Stream(input)) } else { Rc::new(Console(input)) }
}
