//! `/proc/self/task`: the threads, one by one.

use super::process::{Name, shared, stat_of, status_of};
use crate::errno::{Errno, Result};
use crate::fs::file::{File, Stat};
use crate::fs::node::{DirectoryEntry, Node};
use crate::fs::synthetic::{Names, OpenText};
use crate::sched::thread::{self, Thread};
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::{O_ACCMODE, O_RDONLY, S_IFDIR, S_IFREG};

crate::register!("process-file": fn(&mut Names) = { 40 => add });

fn add(names: &mut Names) {
    names.insert(b"1/task", Rc::new(Tasks));
}

/// The number of a node about a thread.
fn inode(tid: u32, which: u64) -> u64 {
    1 << 52 | u64::from(tid) << 8 | which
}

struct Tasks;

impl Node for Tasks {
    fn stat(&self) -> Stat {
        let links = 2 + thread::count() as u64;
        Stat { mode: S_IFDIR | 0o555, inode: inode(0, 0), links, ..Stat::default() }
    }

    fn lookup(&self, name: &[u8]) -> Result<Rc<dyn Node>> {
        let tid = core::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).ok_or(Errno::ENOENT)?;
        thread::find(tid).ok_or(Errno::ENOENT)?;
        Ok(Rc::new(Task(tid)))
    }

    fn list(&self) -> Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        thread::any(|thread| {
            let name = format!("{}", thread.tid).into_bytes();
            entries.push(DirectoryEntry { name, inode: inode(thread.tid, 0), mode: S_IFDIR });
            false
        });
        Ok(entries)
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        Err(Errno::EISDIR)
    }
}

/// The directory of a thread.
struct Task(u32);

impl Task {
    /// What is in it.
    fn names(&self) -> Result<Names> {
        thread::find(self.0).ok_or(Errno::ENOENT)?;
        let mut names = Names(Vec::new());
        names.insert(b"comm", Rc::new(Name(self.0)));
        names.insert(b"stat", Rc::new(About { tid: self.0, which: 1, write: stat }));
        names.insert(b"status", Rc::new(About { tid: self.0, which: 2, write: status_of }));
        for (name, node) in shared() {
            names.insert(name, node);
        }
        Ok(names)
    }
}

impl Node for Task {
    fn stat(&self) -> Stat {
        Stat { mode: S_IFDIR | 0o555, inode: inode(self.0, 0), links: 2, ..Stat::default() }
    }

    fn lookup(&self, name: &[u8]) -> Result<Rc<dyn Node>> {
        self.names()?.lookup(name)
    }

    fn list(&self) -> Result<Vec<DirectoryEntry>> {
        self.names()?.list()
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        Err(Errno::EISDIR)
    }
}

fn stat(thread: &Thread, text: &mut Vec<u8>) {
    stat_of(thread, thread::cycles_of(thread), text);
}

/// A text about a thread.
struct About {
    tid: u32,
    which: u64,
    write: fn(&Thread, &mut Vec<u8>),
}

impl Node for About {
    fn stat(&self) -> Stat {
        Stat { mode: S_IFREG | 0o444, inode: inode(self.tid, self.which), links: 1, ..Stat::default() }
    }

    fn open(self: Rc<Self>, flags: u32) -> Result<Rc<dyn File>> {
        if flags & O_ACCMODE != O_RDONLY {
            return Err(Errno::EACCES);
        }
        // One that has ended is told of as nobody on Linux.
        let thread = thread::find(self.tid).ok_or(Errno::ESRCH)?;
        let mut text = Vec::new();
        (self.write)(&thread, &mut text);
        Ok(Rc::new(OpenText { stat: self.stat(), text }))
    }
}
