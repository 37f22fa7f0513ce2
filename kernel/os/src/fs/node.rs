//! Nodes of file systems: what a path leads to.

use super::file::{Access, File, Stat};
use super::path::Location;
use crate::errno::{Errno, Result};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::RefCell;
use linux_raw_sys::general::{S_IFDIR, S_IFLNK, S_IFMT};

/// An entry of a directory.
pub struct DirectoryEntry {
    pub name: Vec<u8>,
    pub inode: u64,
    /// S_IFMT and permissions.
    pub mode: u32,
}

/// Attributes to change; `None` leaves one as it is.
#[derive(Clone, Copy, Default)]
pub struct Change {
    pub permissions: Option<u32>,
    pub user: Option<u32>,
    pub group: Option<u32>,
    pub size: Option<u64>,
    /// Seconds and nanoseconds since 1970.
    pub accessed: Option<(i64, u32)>,
    pub modified: Option<(i64, u32)>,
}

/// How full a file system is, as `statfs(2)` tells.
#[derive(Clone, Copy)]
pub struct Usage {
    /// Which kind it is, by linux/magic.h.
    pub magic: u64,
    /// Bytes of a block; the next two count blocks.
    pub block: u64,
    pub blocks: u64,
    pub free: u64,
    pub files: u64,
    pub free_files: u64,
    pub read_only: bool,
}

/// What is to be done with a node, for whoever may forbid it.
#[derive(Clone, Copy)]
pub enum Wish<'a> {
    /// Use it: R_OK, W_OK, X_OK of `access(2)`, by the effective ids.
    Use(u32),
    /// The same by the real ids.
    Ask(u32),
    /// Change what is its owner's to change.
    Own,
    /// Set its times to now.
    Touch,
    /// Give it to a user and a group.
    Give(Option<u32>, Option<u32>),
    /// Take the name of another out of it.
    Remove(&'a dyn Node),
}

// Says whether something may be done with a node: EACCES or EPERM if not.
crate::hook!(fn guards() -> "permission": fn(&dyn Node, Wish) -> Result<()>);

/// Whether this may be done with a node.
pub fn permit(node: &dyn Node, wish: Wish) -> Result<()> {
    guards().iter().try_for_each(|guard| (guard.item)(node, wish))
}

/// A name in a directory, and what it names.
pub struct Name<'a> {
    pub directory: &'a Rc<dyn Node>,
    pub name: &'a [u8],
    pub node: &'a Rc<dyn Node>,
}

/// What the program did to names and attributes, for those who watch.
pub enum Event<'a> {
    /// Something new has got its name.
    Created(Name<'a>),
    /// Something has got one more name.
    Linked(Name<'a>),
    Removed(Name<'a>),
    /// A name has moved, maybe to the place of something else.
    Moved {
        from: Name<'a>,
        to: Name<'a>,
        replaced: Option<&'a Rc<dyn Node>>,
    },
    /// It was opened, or contents or attributes have changed otherwise than by writing to an open file: `IN_*` of `inotify(7)`.
    Changed(&'a Location, u32),
}

// Told of events.
crate::hook!(fn watchers() -> "file-event": fn(&Event));

/// Tells those who watch.
pub fn tell(event: &Event) {
    for watcher in watchers() {
        (watcher.item)(event);
    }
}

/// A file, directory or link, open or not. What a file system cannot do is EROFS by default: file systems that change override it.
pub trait Node: Any {
    fn stat(&self) -> Stat;

    /// S_IFMT of its mode. Every step of a path asks for it: file systems that know it at once say so.
    fn kind(&self) -> u32 {
        self.stat().mode & S_IFMT
    }

    /// The node behind a name in this directory.
    fn lookup(&self, _name: &[u8]) -> Result<Rc<dyn Node>> {
        Err(Errno::ENOTDIR)
    }

    /// All entries of this directory but `.` and `..`.
    fn list(&self) -> Result<Vec<DirectoryEntry>> {
        Err(Errno::ENOTDIR)
    }

    /// Where this symbolic link points.
    fn target(&self) -> Option<Vec<u8>> {
        None
    }

    /// Opens what is not a directory.
    fn open(self: Rc<Self>, flags: u32) -> Result<Rc<dyn File>>;

    /// Makes a node in this directory: `mode` says of which type and with which permissions, `target` where a link points.
    fn create(&self, _name: &[u8], _mode: u32, _target: &[u8]) -> Result<Rc<dyn Node>> {
        Err(Errno::EROFS)
    }

    /// Adds a name for an existing node.
    fn link(&self, _name: &[u8], _node: Rc<dyn Node>) -> Result<()> {
        Err(Errno::EROFS)
    }

    /// Takes a name out of this directory: an empty directory's, or that of anything else.
    fn remove(&self, _name: &[u8], _directory: bool) -> Result<()> {
        Err(Errno::EROFS)
    }

    /// Moves a name of this directory to another of the same file system, replacing what is there.
    fn rename(&self, _name: &[u8], _to: &Rc<dyn Node>, _new_name: &[u8]) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn change(&self, _change: &Change) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn is_read_only(&self) -> bool {
        true
    }

    /// Returns when what was changed is safe from a loss of power.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// How full its file system is; none for what lives in memory.
    fn usage(&self) -> Option<Usage> {
        None
    }
}

impl dyn Node {
    pub fn is_directory(&self) -> bool {
        self.kind() == S_IFDIR
    }

    pub fn is_symlink(&self) -> bool {
        self.kind() == S_IFLNK
    }
}

/// An open directory. Its entries are those at the first look, so that removing files while listing skips none.
pub struct Directory {
    pub node: Rc<dyn Node>,
    pub entries: RefCell<Option<Vec<DirectoryEntry>>>,
}

impl Directory {
    pub fn of(location: &Location) -> Self {
        Self { node: location.node.clone(), entries: RefCell::new(None) }
    }
}

impl File for Directory {
    fn read(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EBADF) // never open for writing
    }

    fn stat(&self) -> Stat {
        self.node.stat()
    }

    fn sync(&self) -> Result<()> {
        self.node.sync()
    }

    fn is_seekable(&self) -> bool {
        true
    }
}
