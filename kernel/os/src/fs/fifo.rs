//! Named pipes (`fifo(7)`): a pipe that those who open a node meet in.

use super::file::{Access, File, Readiness, Stat};
use super::pipe::{Pipe, Reader, Writer};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::sched::wait::Queue;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general::*;

crate::register!("open-special": fn(u64, u32, u32) -> Option<Result<Rc<dyn File>>> = { 10 => open });

/// A pipe that somebody has open.
struct Named {
    /// Of its node.
    inode: u64,
    pipe: Weak<Pipe>,
}

/// The pipes that are open anywhere. When nobody has one open, what was in it is gone.
static PIPES: KernelCell<Vec<Named>> = KernelCell::new(Vec::new());

fn pipe(inode: u64) -> Rc<Pipe> {
    let mut pipes = PIPES.borrow();
    pipes.retain(|named| named.pipe.strong_count() > 0);
    let known = pipes.iter().find(|named| named.inode == inode);
    if let Some(pipe) = known.and_then(|named| named.pipe.upgrade()) {
        return pipe;
    }
    let pipe = Rc::new(Pipe::new(inode));
    pipes.push(Named { inode, pipe: Rc::downgrade(&pipe) });
    pipe
}

/// Both ends at once, which never waits (`fifo(7)`, on Linux).
struct Both {
    reader: Reader,
    writer: Writer,
}

/// Opens the node of this inode and mode, if it is a named pipe.
fn open(inode: u64, mode: u32, flags: u32) -> Option<Result<Rc<dyn File>>> {
    (mode & S_IFMT == S_IFIFO).then(|| open_pipe(pipe(inode), flags))
}

fn open_pipe(pipe: Rc<Pipe>, flags: u32) -> Result<Rc<dyn File>> {
    let waits = flags & O_NONBLOCK == 0;
    match flags & O_ACCMODE {
        O_RDONLY => {
            let reader = Reader::new(pipe);
            if waits {
                reader.wait_for_writer()?;
            }
            Ok(Rc::new(reader))
        }
        O_WRONLY => {
            if !waits && pipe.reading.open.get() == 0 {
                return Err(Errno::ENXIO);
            }
            let writer = Writer::new(pipe);
            if waits {
                writer.wait_for_reader()?;
            }
            Ok(Rc::new(writer))
        }
        _ => {
            pipe.is_joint.set(true);
            Ok(Rc::new(Both { reader: Reader::new(pipe.clone()), writer: Writer::new(pipe) }))
        }
    }
}

impl File for Both {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        self.reader.read(to, count, access)
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        self.writer.write(from, count, access)
    }

    fn stat(&self) -> Stat {
        self.reader.stat()
    }

    fn readiness(&self) -> Readiness {
        self.reader.readiness() | self.writer.readiness()
    }

    fn queue(&self) -> Option<&Queue> {
        self.reader.queue()
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        self.reader.control(request, argument)
    }
}
