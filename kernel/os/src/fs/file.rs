//! Open files and the descriptors that name them.

use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

/// What `stat(2)` tells.
#[derive(Clone, Copy, Default)]
pub struct Stat {
    pub mode: u32,
    pub inode: u64,
    pub links: u64,
    pub size: u64,
    pub user: u32,
    pub group: u32,
    pub device: u64,
    /// Modification time: seconds and nanoseconds since 1970.
    pub modified: (i64, u32),
}

/// What can be open. Addresses are the program's, and may fault.
pub trait File {
    /// Reads at most `count` bytes from `position` to the program's memory.
    fn read(&self, to: u64, count: usize, position: u64) -> Result<usize>;
    /// Writes bytes of the program's memory.
    fn write(&self, from: u64, count: usize) -> Result<usize>;
    fn stat(&self) -> Stat;
    /// The whole contents, for a file of the image.
    fn image_data(&self) -> Option<&'static [u8]> {
        None
    }
    /// Index in the packed root, for a directory of the image.
    fn root_index(&self) -> Option<usize> {
        None
    }
    /// Whether it has positions.
    fn is_seekable(&self) -> bool {
        false
    }
    /// Whether it is a terminal.
    fn is_terminal(&self) -> bool {
        false
    }
}

/// An open file description (`open(2)`): what descriptors made by dup share.
pub struct Description {
    pub file: Rc<dyn File>,
    pub position: Cell<u64>,
    /// O_* flags.
    pub flags: Cell<u32>,
}

impl core::ops::Deref for Description {
    type Target = dyn File;
    fn deref(&self) -> &Self::Target {
        &*self.file
    }
}

#[derive(Clone)]
struct Descriptor {
    description: Rc<Description>,
    close_on_exec: bool,
}

static TABLE: KernelCell<Vec<Option<Descriptor>>> = KernelCell::new(Vec::new());

/// Most descriptors at once (`RLIMIT_NOFILE`).
pub const LIMIT: usize = 1024;

/// What a descriptor names.
pub fn get(fd: u64) -> Result<Rc<Description>> {
    let table = TABLE.borrow();
    let slot = table.get(fd as u32 as usize).and_then(Option::as_ref);
    slot.map(|descriptor| descriptor.description.clone()).ok_or(Errno::EBADF)
}

/// The lowest free descriptor at or above `lowest`, now naming this description.
pub fn insert(description: Rc<Description>, close_on_exec: bool, lowest: usize) -> Result<u64> {
    let mut table = TABLE.borrow();
    let index =
        (lowest..table.len()).find(|&index| table[index].is_none()).unwrap_or(table.len().max(lowest));
    if index >= LIMIT {
        return Err(Errno::EMFILE);
    }
    if index >= table.len() {
        table.resize(index + 1, None);
    }
    table[index] = Some(Descriptor { description, close_on_exec });
    Ok(index as u64)
}

/// Opens a file.
pub fn open(file: Rc<dyn File>, flags: u32) -> Result<u64> {
    let close_on_exec = flags & linux_raw_sys::general::O_CLOEXEC != 0;
    insert(Rc::new(Description { file, position: Cell::new(0), flags: Cell::new(flags) }), close_on_exec, 0)
}

/// Makes a particular descriptor name this description.
pub fn replace(fd: u64, description: Rc<Description>, close_on_exec: bool) -> Result<()> {
    let index = fd as u32 as usize;
    if index >= LIMIT {
        return Err(Errno::EBADF);
    }
    let mut table = TABLE.borrow();
    if index >= table.len() {
        table.resize(index + 1, None);
    }
    let old = table[index].replace(Descriptor { description, close_on_exec });
    drop(table);
    drop(old); // what closing does may need the table
    Ok(())
}

/// Closes a descriptor.
pub fn close(fd: u64) -> Result<()> {
    let old = TABLE.borrow().get_mut(fd as u32 as usize).and_then(Option::take);
    old.map(drop).ok_or(Errno::EBADF)
}

/// The close-on-exec flag, after changing it where asked to.
pub fn close_on_exec(fd: u64, change: Option<bool>) -> Result<bool> {
    let mut table = TABLE.borrow();
    let descriptor = table.get_mut(fd as u32 as usize).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
    if let Some(flag) = change {
        descriptor.close_on_exec = flag;
    }
    Ok(descriptor.close_on_exec)
}
