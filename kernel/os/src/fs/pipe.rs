//! Pipes (`pipe(7)`).

use super::file::{self, Access, File, Readiness, Stat};
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::sched::wait::Queue;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::FIONREAD;

crate::register!("syscall": Handler = { __NR_pipe => pipe, __NR_pipe2 => pipe2 });

// Told when the program writes where nobody reads (SIGPIPE).
crate::hook!(fn broken() -> "broken-pipe": fn());

const CAPACITY: usize = 65536;
/// Writes up to this many bytes go in whole (PIPE_BUF).
const ATOMIC: usize = 4096;

struct Pipe {
    inode: u64,
    buffer: RefCell<VecDeque<u8>>,
    has_reader: Cell<bool>,
    has_writer: Cell<bool>,
    readers: Queue,
    writers: Queue,
}

struct Reader(Rc<Pipe>);
struct Writer(Rc<Pipe>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.has_reader.set(false);
        self.0.writers.wake_all();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.has_writer.set(false);
        self.0.readers.wake_all();
    }
}

fn create(to: u64, flags: u32) -> Result<u64> {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 48);
    if flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    let pipe = Rc::new(Pipe {
        inode: NEXT.fetch_add(1, Ordering::Relaxed),
        buffer: RefCell::new(VecDeque::new()),
        has_reader: Cell::new(true),
        has_writer: Cell::new(true),
        readers: Queue::new(),
        writers: Queue::new(),
    });
    let flags = flags & !O_DIRECT;
    let reader = file::open(Rc::new(Reader(pipe.clone())), flags | O_RDONLY)?;
    let ends =
        file::open(Rc::new(Writer(pipe)), flags | O_WRONLY).map(|writer| [reader as u32, writer as u32]);
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

impl Pipe {
    fn stat(&self) -> Stat {
        Stat { mode: S_IFIFO | 0o600, inode: self.inode, links: 1, ..Stat::default() }
    }

    /// Moves bytes out of the buffer's front, as many as there are.
    fn take<'c>(&self, chunk: &'c mut [MaybeUninit<u8>]) -> &'c [u8] {
        let mut buffer = self.buffer.borrow_mut();
        let length = chunk.len().min(buffer.len());
        let (front, back) = buffer.as_slices();
        let split = length.min(front.len());
        chunk[..split].write_copy_of_slice(&front[..split]);
        chunk[split..length].write_copy_of_slice(&back[..length - split]);
        buffer.drain(..length);
        // SAFETY: just written.
        unsafe { chunk[..length].assume_init_ref() }
    }
}

impl File for Reader {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        let pipe = &self.0;
        if count == 0 {
            return Ok(0);
        }
        while pipe.buffer.borrow().is_empty() {
            if !pipe.has_writer.get() {
                return Ok(0);
            }
            if access.nonblocking {
                return Err(Errno::EAGAIN);
            }
            pipe.readers.wait()?;
        }
        let mut done = 0;
        let mut chunk = [MaybeUninit::uninit(); 1024];
        while done < count {
            let limit = chunk.len().min(count - done);
            let taken = pipe.take(&mut chunk[..limit]);
            if taken.is_empty() {
                break;
            }
            if let Err(error) = user::write_bytes(to + done as u64, taken) {
                // What could not be handed over stays readable.
                let mut buffer = pipe.buffer.borrow_mut();
                for &byte in taken.iter().rev() {
                    buffer.push_front(byte);
                }
                if done == 0 {
                    return Err(error);
                }
                break;
            }
            done += taken.len();
        }
        pipe.writers.wake_all();
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
        readiness.set(Readiness::READ, !self.0.buffer.borrow().is_empty());
        readiness.set(Readiness::HANG_UP, !self.0.has_writer.get());
        readiness
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.0.readers)
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let length = self.0.buffer.borrow().len() as u32;
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
        let mut chunk = [MaybeUninit::uninit(); 1024];
        while done < count {
            if !pipe.has_reader.get() {
                if done > 0 {
                    break;
                }
                for hook in broken() {
                    (hook.item)();
                }
                return Err(Errno::EPIPE);
            }
            let room = CAPACITY - pipe.buffer.borrow().len();
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
            let length = chunk.len().min(count - done).min(room);
            let taken = match user::read_fresh(from + done as u64, &mut chunk[..length]) {
                Ok(taken) => taken,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let mut buffer = pipe.buffer.borrow_mut();
            if buffer.try_reserve(length).is_err() {
                return if done > 0 { Ok(done) } else { Err(Errno::ENOMEM) };
            }
            buffer.extend(&*taken);
            drop(buffer);
            done += length;
            pipe.readers.wake_all();
        }
        Ok(done)
    }

    fn stat(&self) -> Stat {
        self.0.stat()
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::WRITE, CAPACITY - self.0.buffer.borrow().len() >= ATOMIC);
        readiness.set(Readiness::ERROR, !self.0.has_reader.get());
        readiness
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.0.writers)
    }
}
