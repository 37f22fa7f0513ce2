//! Pipes (`pipe(7)`).

mod ring;

use self::ring::Ring;
use super::file::{self, Access, Description, File, Readiness, Stat};
use crate::abi::process;
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::list;
use crate::memory::user;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::FIONREAD;

crate::register!("syscall": Handler = { __NR_pipe => pipe, __NR_pipe2 => pipe2 });
crate::register!("fcntl": fn(&Description, u32, u64) -> Option<Result<u64>> = { 10 => control });

// Told when the program writes where nobody reads (SIGPIPE).
crate::hook!(fn broken() -> "broken-pipe": fn());

// The pipe that a file is both ends of.
crate::hook!(fn owners() -> "joint-pipe": fn(&Description) -> Option<Rc<Pipe>>);

/// Bytes that a new pipe holds.
const CAPACITY: usize = 65536;
/// The most that one can be made to hold (`/proc/sys/fs/pipe-max-size`).
const MOST_CAPACITY: u64 = 1 << 20;
/// Writes up to this many bytes go in whole (PIPE_BUF).
const ATOMIC: usize = 4096;

/// A buffer between those who write and those who read.
pub struct Pipe {
    stat: Stat,
    ring: RefCell<Ring>,
    /// Somebody copies bytes in or out, and may wait for the program's memory meanwhile.
    is_busy: Cell<bool>,
    /// Who waits for that to end.
    turns: Queue,
    capacity: Cell<usize>,
    /// Ends that are open, and how many have ever been.
    pub reading: Ends,
    pub writing: Ends,
    /// Somebody has both ends open as one file, and waits for room in the readers' queue.
    pub is_joint: Cell<bool>,
    readers: Queue,
    writers: Queue,
}

/// The open ends of one kind.
#[derive(Default)]
pub struct Ends {
    pub open: Cell<u32>,
    pub ever: Cell<u32>,
}

impl Ends {
    fn add(&self) {
        self.open.set(self.open.get() + 1);
        self.ever.set(self.ever.get().wrapping_add(1));
    }
}

/// The end to read from. The cell: how many writers had come when it was opened without waiting for one, if none was there.
pub struct Reader(Rc<Pipe>, Cell<Option<u32>>);
pub struct Writer(Rc<Pipe>);

impl Reader {
    pub fn new(pipe: Rc<Pipe>) -> Self {
        pipe.reading.add();
        pipe.writers.wake_all();
        Self(pipe, Cell::new(None))
    }

    /// Nobody has written yet is no reason to say that all have left: not before one comes.
    pub fn expect_writer(&self) {
        self.1.set(Some(self.0.writing.ever.get()).filter(|_| self.0.writing.open.get() == 0));
    }

    /// Has bytes at an address of the program read next, before all others.
    pub fn put_back(&self, from: u64, count: usize) -> Result<()> {
        let mut bytes = list::zeroes(count)?;
        user::read_bytes(from, &mut bytes)?;
        while self.0.is_busy.get() {
            // Not to be ended by a signal: the bytes have no other place.
            self.0.turns.wait_firmly();
        }
        self.0.ring.borrow_mut().push_front(&bytes)?;
        self.0.readers.wake_all();
        Ok(())
    }

    /// Waits until there is a writer, or was one in the meantime.
    pub fn wait_for_writer(&self) -> Result<()> {
        let ever = self.0.writing.ever.get();
        while self.0.writing.open.get() == 0 && self.0.writing.ever.get() == ever {
            self.0.readers.wait()?;
        }
        Ok(())
    }
}

impl Writer {
    pub fn new(pipe: Rc<Pipe>) -> Self {
        pipe.writing.add();
        pipe.readers.wake_all();
        Self(pipe)
    }

    /// Waits until something fits in, and says how much does.
    pub fn wait_for_room(&self, nonblocking: bool) -> Result<usize> {
        loop {
            let room = self.0.capacity.get().saturating_sub(self.0.ring.borrow().len());
            if room > 0 || self.0.reading.open.get() == 0 {
                return Ok(room.max(1));
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            self.0.writers.wait()?;
        }
    }

    /// Waits until there is a reader, or was one in the meantime.
    pub fn wait_for_reader(&self) -> Result<()> {
        let ever = self.0.reading.ever.get();
        while self.0.reading.open.get() == 0 && self.0.reading.ever.get() == ever {
            self.0.writers.wait()?;
        }
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.reading.open.set(self.0.reading.open.get() - 1);
        self.0.writers.wake_all();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.writing.open.set(self.0.writing.open.get() - 1);
        self.0.readers.wake_all();
    }
}

fn create(to: u64, flags: u32) -> Result<u64> {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 48);
    if flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    let inode = NEXT.fetch_add(1, Ordering::Relaxed);
    let (user, group) = {
        let who = process::credentials();
        (who.user(), who.group())
    };
    let pipe =
        Rc::new(Pipe::new(Stat { mode: S_IFIFO | 0o600, inode, links: 1, user, group, ..Stat::default() }));
    let flags = flags & !O_DIRECT;
    let writer = Rc::new(Writer::new(pipe.clone()));
    let reader = file::open(Rc::new(Reader::new(pipe)), flags | O_RDONLY)?;
    let ends = file::open(writer, flags | O_WRONLY).map(|writer| [reader as u32, writer as u32]);
    let written = ends.and_then(|ends| user::write(to, &ends).map(|()| ends));
    match written {
        Ok(_) => Ok(0),
        Err(error) => {
            file::close(reader)?;
            if let Ok([_, writer]) = ends {
                file::close(u64::from(writer))?;
            }
            Err(error)
        }
    }
}

fn pipe(args: &Args) -> Result<u64> {
    create(args.0[0], 0)
}

fn pipe2(args: &Args) -> Result<u64> {
    create(args.0[0], args.0[1] as u32)
}

/// F_GETPIPE_SZ and F_SETPIPE_SZ; EBADF for what is no pipe.
fn control(file: &Description, command: u32, argument: u64) -> Option<Result<u64>> {
    if !matches!(command, F_GETPIPE_SZ | F_SETPIPE_SZ) {
        return None;
    }
    // Both ends at once are a type of their own.
    let both = || owners().iter().find_map(|owner| (owner.item)(file));
    let pipe = match (file.downcast::<Reader>(), file.downcast::<Writer>()) {
        (Some(reader), _) => reader.0.clone(),
        (_, Some(writer)) => writer.0.clone(),
        _ => match both() {
            Some(pipe) => pipe,
            None => return Some(Err(Errno::EBADF)),
        },
    };
    if command == F_SETPIPE_SZ {
        if argument > MOST_CAPACITY {
            return Some(Err(if argument > 1 << 31 { Errno::EINVAL } else { Errno::EPERM }));
        }
        let capacity = (argument as usize).next_power_of_two().max(ATOMIC);
        if capacity < pipe.ring.borrow().len() {
            return Some(Err(Errno::EBUSY));
        }
        pipe.capacity.set(capacity);
        pipe.writers.wake_all();
    }
    Some(Ok(pipe.capacity.get() as u64))
}

impl Pipe {
    /// An empty pipe without ends; `stat` is what `fstat(2)` tells.
    pub fn new(stat: Stat) -> Self {
        Self {
            stat,
            ring: RefCell::new(Ring::new()),
            is_busy: Cell::new(false),
            turns: Queue::new(),
            capacity: Cell::new(CAPACITY),
            reading: Ends::default(),
            writing: Ends::default(),
            is_joint: Cell::new(false),
            readers: Queue::new(),
            writers: Queue::new(),
        }
    }

    fn stat(&self) -> Stat {
        self.stat
    }

    /// The right to copy bytes in or out. `None`: somebody else had it, and what was true before may no longer be.
    fn turn(&self) -> Result<Option<Turn<'_>>> {
        if self.is_busy.replace(true) {
            self.turns.wait()?;
            return Ok(None);
        }
        Ok(Some(Turn(self)))
    }
}

/// Held by who copies bytes in or out.
struct Turn<'p>(&'p Pipe);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.is_busy.set(false);
        self.0.turns.wake_all();
    }
}

impl File for Reader {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        let pipe = &self.0;
        if count == 0 {
            return Ok(0);
        }
        let turn = loop {
            if pipe.ring.borrow().is_empty() {
                if pipe.writing.open.get() == 0 {
                    return Ok(0);
                }
                if access.nonblocking {
                    return Err(Errno::EAGAIN);
                }
                pipe.readers.wait()?;
            } else if let Some(turn) = pipe.turn()? {
                break turn;
            }
        };
        let mut done = 0;
        while done < count {
            let (bytes, length) = pipe.ring.borrow().front();
            let length = length.min(count - done);
            if length == 0 {
                break;
            }
            // SAFETY: they stay where they are during the turn.
            let bytes = unsafe { core::slice::from_raw_parts(bytes, length) };
            match user::write_bytes(to + done as u64, bytes) {
                // What could not be handed over stays readable.
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => pipe.ring.borrow_mut().consume(length),
            }
            done += length;
        }
        drop(turn);
        pipe.writers.wake_all();
        if pipe.is_joint.get() {
            pipe.readers.wake_all();
        }
        Ok(done)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn stat(&self) -> Stat {
        self.0.stat()
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READ, !self.0.ring.borrow().is_empty());
        let writing = &self.0.writing;
        let none_came = self.1.get() == Some(writing.ever.get());
        readiness.set(Readiness::HANG_UP, writing.open.get() == 0 && !none_came);
        readiness
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.0.readers)
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let length = self.0.ring.borrow().len() as u32;
        user::write(argument, &length).map(|()| 0)
    }
}

impl File for Writer {
    fn read(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        let pipe = &self.0;
        let mut done = 0;
        while done < count {
            if pipe.reading.open.get() == 0 {
                for hook in broken() {
                    (hook.item)();
                }
                return if done > 0 { Ok(done) } else { Err(Errno::EPIPE) };
            }
            let room = pipe.capacity.get().saturating_sub(pipe.ring.borrow().len());
            let wanted = if count <= ATOMIC { count - done } else { 1 };
            if room < wanted {
                if access.nonblocking {
                    return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN) };
                }
                match pipe.writers.wait() {
                    Err(_) if done > 0 => break,
                    result => result?,
                }
                continue;
            }
            let turn = match pipe.turn() {
                Ok(Some(turn)) => turn,
                Ok(None) => continue,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let (before, target) = (done, done + room.min(count - done));
            let mut result = pipe.ring.borrow_mut().reserve(target - done);
            while done < target && result.is_ok() {
                let (to, length) = pipe.ring.borrow_mut().back();
                let length = length.min(target - done);
                // SAFETY: nobody else uses this room during the turn.
                let to = unsafe { core::slice::from_raw_parts_mut(to, length) };
                result = user::read_bytes(from + done as u64, to);
                if result.is_ok() {
                    pipe.ring.borrow_mut().produce(length);
                    done += length;
                }
            }
            drop(turn);
            if let Err(error) = result {
                if done > before {
                    pipe.readers.wake_all();
                }
                return if done > 0 { Ok(done) } else { Err(error) };
            }
            pipe.readers.wake_all();
        }
        Ok(done)
    }

    fn stat(&self) -> Stat {
        self.0.stat()
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::empty();
        readiness.set(
            Readiness::WRITE,
            self.0.capacity.get().saturating_sub(self.0.ring.borrow().len()) >= ATOMIC,
        );
        readiness.set(Readiness::ERROR, self.0.reading.open.get() == 0);
        readiness
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.0.writers)
    }
}
