//! Files that were opened by their paths: what is done with them is told.

use super::{emit_at, gone, is_wanted};
use crate::errno::Result;
use crate::fs::file::{Access, File, Pages, Readiness, Stat};
use crate::fs::node::Witness;
use crate::fs::path::Location;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use core::cell::Cell;
use linux_raw_sys::general::*;

crate::register!("file-opened": fn(&Rc<Location>, Rc<dyn File>, u32) -> Rc<dyn File> = { 10 => file });
crate::register!("directory-opened": fn(&Rc<Location>) -> Rc<dyn Witness> = { 10 => directory });

/// Tells when it goes that its file was closed.
struct Open {
    location: Rc<Location>,
    is_written: bool,
}

impl Open {
    fn new(location: &Rc<Location>, flags: u32) -> Self {
        emit_at(location, IN_OPEN);
        Self { location: location.clone(), is_written: flags & O_ACCMODE != O_RDONLY }
    }

    /// Tells of what moved bytes.
    fn moved(&self, what: u32, result: Result<usize>) -> Result<usize> {
        if matches!(result, Ok(1..)) {
            emit_at(&self.location, what);
        }
        result
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        emit_at(&self.location, if self.is_written { IN_CLOSE_WRITE } else { IN_CLOSE_NOWRITE });
        // The last that held a file without a name may have been this.
        if is_wanted(u32::MAX, |_| true) && self.location.node.stat().links == 0 {
            gone(&self.location.node);
        }
    }
}

impl Witness for Open {
    fn listed(&self) {
        emit_at(&self.location, IN_ACCESS);
    }
}

fn directory(location: &Rc<Location>) -> Rc<dyn Witness> {
    Rc::new(Open::new(location, O_RDONLY))
}

/// An open file that is watched, or may be.
struct Watched {
    file: Rc<dyn File>,
    open: Open,
}

fn file(location: &Rc<Location>, file: Rc<dyn File>, flags: u32) -> Rc<dyn File> {
    Rc::new(Watched { file, open: Open::new(location, flags) })
}

impl File for Watched {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        self.open.moved(IN_ACCESS, self.file.read(to, count, access))
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        self.open.moved(IN_MODIFY, self.file.write(from, count, access))
    }

    fn stat(&self) -> Stat {
        self.file.stat()
    }

    fn readiness(&self) -> Readiness {
        self.file.readiness()
    }

    fn queue(&self) -> Option<&Queue> {
        self.file.queue()
    }

    fn sync(&self) -> Result<()> {
        self.file.sync()
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        self.file.control(request, argument)
    }

    fn image_data(&self) -> Option<&'static [u8]> {
        self.file.image_data()
    }

    fn next(&self, position: u64, hole: bool) -> u64 {
        self.file.next(position, hole)
    }

    fn is_seekable(&self) -> bool {
        self.file.is_seekable()
    }

    fn seals(&self) -> Option<&Cell<u32>> {
        self.file.seals()
    }

    fn is_changeable(&self) -> bool {
        self.file.is_changeable()
    }

    fn pages(self: Rc<Self>) -> Option<Rc<dyn Pages>> {
        self.file.clone().pages()
    }
}
