//! `/dev/ptmx`, and the directory of slaves.

use super::master::{self, Master};
use super::{MOST, PAIRS, Pair, find, slave};
use crate::errno::{Errno, Result};
use crate::fs::dev::Device;
use crate::fs::file::{File, Stat};
use crate::fs::node::{Change, DirectoryEntry, Node, Usage};
use crate::fs::path::Location;
use crate::fs::synthetic::Names;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::{S_IFCHR, S_IFDIR};

crate::register!("device-file": fn(&mut Names) = { 30 => add });

/// What tells nodes of this file system from others (`st_dev`).
pub const FILESYSTEM: u64 = 0x18;
/// `DEVPTS_SUPER_MAGIC` (linux/magic.h).
const MAGIC: u64 = 0x1cd1;

fn add(names: &mut Names) {
    names.insert(b"ptmx", Rc::new(Multiplexer));
    names.insert(b"pts", Rc::new(Slaves));
}

/// `/dev/ptmx`: each time it is opened there is a new pair.
struct Multiplexer;

impl Node for Multiplexer {
    fn stat(&self) -> Stat {
        Device::stat_of(master::NUMBER)
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        Ok(Master::open()?)
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

/// `/dev/pts`.
struct Slaves;

fn usage() -> Usage {
    Usage { magic: MAGIC, block: 4096, blocks: 0, free: 0, files: 0, free_files: 0, read_only: false }
}

impl Node for Slaves {
    fn stat(&self) -> Stat {
        Stat { mode: S_IFDIR | 0o755, inode: 1, links: 2, filesystem: FILESYSTEM, ..Stat::default() }
    }

    fn lookup(&self, name: &[u8]) -> Result<Rc<dyn Node>> {
        if name == b"ptmx" {
            return Ok(Rc::new(Multiplexer));
        }
        let index = core::str::from_utf8(name).ok().and_then(|name| name.parse::<usize>().ok());
        // Written as it is listed, and no other way.
        let index = index.filter(|index| *index < MOST && format!("{index}").as_bytes() == name);
        let pair = index.and_then(find).ok_or(Errno::ENOENT)?;
        Ok(Rc::new(Name(pair)))
    }

    fn list(&self) -> Result<Vec<DirectoryEntry>> {
        let entry = |name: &[u8], inode| DirectoryEntry { name: name.to_vec(), inode, mode: S_IFCHR };
        let count = PAIRS.borrow().len();
        let pairs = (0..count).filter_map(find);
        let mut entries: Vec<_> =
            pairs.map(|pair| entry(format!("{}", pair.index).as_bytes(), pair.stat().inode)).collect();
        entries.push(entry(b"ptmx", 2));
        Ok(entries)
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        Err(Errno::EISDIR)
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn usage(&self) -> Option<Usage> {
        Some(usage())
    }

    fn create(&self, _: &[u8], _: u32, _: &[u8]) -> Result<Rc<dyn Node>> {
        Err(Errno::EPERM)
    }

    fn remove(&self, _: &[u8], _: bool) -> Result<()> {
        Err(Errno::EPERM)
    }
}

/// A slave's name.
struct Name(Rc<Pair>);

impl Node for Name {
    fn stat(&self) -> Stat {
        self.0.stat()
    }

    fn open(self: Rc<Self>, flags: u32) -> Result<Rc<dyn File>> {
        Ok(slave::open(&self.0, flags)?)
    }

    /// Who logs in gets the terminal (`grantpt(3)`).
    fn change(&self, change: &Change) -> Result<()> {
        let pair = &self.0;
        pair.permissions.set(change.permissions.unwrap_or(pair.permissions.get()) & 0o7777);
        pair.user.set(change.user.unwrap_or(pair.user.get()));
        pair.group.set(change.group.unwrap_or(pair.group.get()));
        Ok(())
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn usage(&self) -> Option<Usage> {
        Some(usage())
    }
}

/// Where a pair's slave is.
pub fn location(pair: &Rc<Pair>) -> Rc<Location> {
    let path = format!("/dev/pts/{}", pair.index).into_bytes();
    Location::new(path, Rc::new(Name(pair.clone())))
}
