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
use crate::typed::Typed;
use alloc::rc::Rc;
use core::cell::Cell;
use linux_raw_sys::general::S_IFIFO;
use linux_raw_sys::ioctl::FIONREAD;

const VECTOR: u64 = FIRST_INTERRUPT + 2;

crate::register!("init": fn(&StartInfo) = { 85 => init });
crate::register!("interrupt": fn() = { VECTOR => interrupt });
crate::register!("idle": fn() -> Idle = { 30 => idle });
crate::register!("console": fn() -> Rc<dyn File> = { 0 => standard_input, 1 => console });
crate::register!("controlling-terminal": fn() -> Option<Rc<dyn File>> = { 0 => controlling });

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

const CTRL_B: u8 = 0x02;
const CTRL_D: u8 = 0x04;
const CTRL_V: u8 = 0x16;

/// What has arrived.
pub struct Input {
    pub typed: Typed,
    /// No keys, but a stream.
    is_stream: Cell<bool>,
    /// The stream has begun.
    has_begun: Cell<bool>,
    /// The next byte of the stream means itself.
    is_literal: Cell<bool>,
    /// Whether the device may interrupt; not while there is no room.
    is_listening: Cell<bool>,
}

static INPUT: KernelCell<Option<Rc<Input>>> = KernelCell::new(None);

fn input() -> Rc<Input> {
    let create = || {
        Rc::new(Input {
            typed: Typed::default(),
            is_stream: Cell::new(false),
            has_begun: Cell::new(false),
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
    input.typed.has_ended.set(line.is_none());
}

fn interrupt() {
    input().drain();
    apic::end_of_interrupt();
}

fn idle() -> Idle {
    if input().typed.has_ended.get() { Idle::Never } else { Idle::Interrupt }
}

impl Input {
    /// Takes what the device has, as far as there is room.
    fn drain(&self) {
        while self.typed.has_room() {
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
                    self.typed.has_ended.set(true);
                    return self.typed.queue.wake_all();
                }
                _ => self.is_literal.set(false),
            }
        } else if let Some(discipline) = disciplines().first() {
            return (discipline.item.receive)(self, byte);
        }
        self.typed.push(u16::from(byte));
        self.typed.queue.wake_all();
    }

    /// There may be room for what the device has.
    pub fn listen_again(&self) {
        if !self.is_listening.get() && self.typed.has_room() && output::listen(true).is_some() {
            self.is_listening.set(true);
        }
    }

    /// Bytes as they came, without waiting for more than the first.
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        while count > 0 && self.typed.length() == 0 && !self.typed.has_ended.get() {
            if access.nonblocking {
                return Err(Errno::EAGAIN);
            }
            self.typed.queue.wait()?;
        }
        let mut chunk = [0u8; 512];
        let mut done = 0;
        while done < count && self.typed.length() > 0 {
            let length = chunk.len().min(count - done);
            let taken = self.typed.take(&mut chunk[..length], |_| false);
            self.listen_again();
            user::write_bytes(to + done as u64, &chunk[..taken])?;
            done += taken;
        }
        Ok(done)
    }

    fn readiness(&self, is_readable: bool) -> Readiness {
        let mut readiness = Readiness::WRITE;
        readiness.set(Readiness::READ, is_readable || self.typed.has_ended.get());
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
        self.0.readiness(self.0.typed.length() > 0) - Readiness::WRITE
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.0.typed.queue)
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        match request {
            FIONREAD => user::write(argument, &(self.0.typed.length() as u32)).map(|()| 0),
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
            Some(discipline) if !self.0.typed.has_ended.get() => {
                (discipline.read)(&self.0, to, count, access)
            }
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
            None => self.0.typed.length() > 0,
        };
        self.0.readiness(is_readable || self.0.is_stream.get())
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.0.typed.queue)
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        match self.discipline() {
            Some(discipline) => (discipline.control)(&self.0, request, argument),
            None => stdio::control(request, argument),
        }
    }
}

/// The console as a file.
pub fn console() -> Rc<dyn File> {
    Rc::new(Console(input()))
}

/// What `/dev/tty` is: a stream is nobody's terminal.
fn controlling() -> Option<Rc<dyn File>> {
    (!input().is_stream.get()).then(console)
}

fn standard_input() -> Rc<dyn File> {
    let input = input();
    if input.is_stream.get() { Rc::new(Stream(input)) } else { Rc::new(Console(input)) }
}
