//! Named pipes (`fifo(7)`): a pipe that those who open a node meet in.

use super::file::{Access, Description, File, Readiness, Stat};
use super::pipe::{Pipe, Reader, Writer};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::sched::wait::Queue;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general::*;

crate::register!("open-special": fn(Stat, u32) -> Option<Result<Rc<dyn File>>> = { 10 => open });
crate::register!("joint-pipe": fn(&Description) -> Option<Rc<Pipe>> = { 10 => pipe_of });

/// A pipe that somebody has open.
struct Named {
    /// Of its node: file system and inode.
    key: (u64, u64),
    pipe: Weak<Pipe>,
}

/// The pipes that are open anywhere. When nobody has one open, what was in it is gone.
static PIPES: KernelCell<Vec<Named>> = KernelCell::new(Vec::new());

fn pipe(stat: Stat) -> Rc<Pipe> {
    let key = (stat.filesystem, stat.inode);
    let mut pipes = PIPES.borrow();
    pipes.retain(|named| named.pipe.strong_count() > 0);
    let known = pipes.iter().find(|named| named.key == key);
    if let Some(pipe) = known.and_then(|named| named.pipe.upgrade()) {
        return pipe;
    }
    let pipe = Rc::new(Pipe::new(stat));
    pipes.push(Named { key, pipe: Rc::downgrade(&pipe) });
    pipe
}

/// Both ends at once, which never waits (`fifo(7)`, on Linux).
struct Both {
    pipe: Rc<Pipe>,
    reader: Reader,
    writer: Writer,
}

/// The pipe of a file that is both ends.
fn pipe_of(file: &Description) -> Option<Rc<Pipe>> {
    file.downcast::<Both>().map(|both| both.pipe.clone())
}

/// Opens the node that this is told of, if it is a named pipe.
fn open(stat: Stat, flags: u32) -> Option<Result<Rc<dyn File>>> {
    (stat.mode & S_IFMT == S_IFIFO).then(|| open_pipe(pipe(stat), flags))
}

fn open_pipe(pipe: Rc<Pipe>, flags: u32) -> Result<Rc<dyn File>> {
    let waits = flags & O_NONBLOCK == 0;
    match flags & O_ACCMODE {
        O_RDONLY => {
            let reader = Reader::new(pipe);
            if waits {
                reader.wait_for_writer()?;
            } else {
                reader.expect_writer();
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
            let (reader, writer) = (Reader::new(pipe.clone()), Writer::new(pipe.clone()));
            Ok(Rc::new(Both { pipe, reader, writer }))
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
