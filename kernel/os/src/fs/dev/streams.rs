//! Names for open descriptors (`fd(4)`) and the console.

use super::Device;
use crate::abi::process;
use crate::errno::{Errno, Result};
use crate::fs::file::{self, File, Stat};
use crate::fs::node::{DirectoryEntry, Node};
use crate::fs::stdio::{CONSOLE, console};
use crate::fs::synthetic::Names;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::{S_IFCHR, S_IFDIR};

crate::register!("device-file": fn(&mut Names) = { 20 => add });

// The terminal that controls the session; `None`: there is none. The last that is asked knows best.
crate::hook!(fn controlling() -> "controlling-terminal": fn() -> Option<Rc<dyn File>>);

/// The number of `/dev/tty`.
const TTY: u64 = 0x500;

fn add(names: &mut Names) {
    names.insert(b"stdin", Rc::new(Descriptor(0)));
    names.insert(b"stdout", Rc::new(Descriptor(1)));
    names.insert(b"stderr", Rc::new(Descriptor(2)));
    names.insert(b"fd", Rc::new(Descriptors));
    names.insert(b"tty", Rc::new(Device { number: TTY, open: terminal }));
    names.insert(b"console", Rc::new(Device { number: CONSOLE, open: || Ok(console()) }));
}

/// `/dev/tty` (`tty(4)`).
fn terminal() -> Result<Rc<dyn File>> {
    match controlling().last() {
        Some(controlling) => (controlling.item)().ok_or(Errno::ENXIO),
        None => Ok(console()),
    }
}

/// An open descriptor as a node.
struct Descriptor(u64);

impl Node for Descriptor {
    fn stat(&self) -> Stat {
        match file::get(self.0) {
            Ok(file) => file.stat(),
            Err(_) => Stat { mode: S_IFCHR | 0o600, ..Stat::default() },
        }
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        Ok(file::get(self.0).map_err(|_| Errno::ENOENT)?.file.clone())
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

/// All of them.
struct Descriptors;

impl Node for Descriptors {
    fn stat(&self) -> Stat {
        Stat {
            mode: S_IFDIR | 0o500,
            inode: 0x5fd,
            links: 2,
            user: process::credentials().users[0],
            ..Stat::default()
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Rc<dyn Node>> {
        Ok(Rc::new(Descriptor(file::named(name)?)))
    }

    fn list(&self) -> Result<Vec<DirectoryEntry>> {
        let entry = |fd: u64| DirectoryEntry {
            name: alloc::format!("{fd}").into_bytes(),
            inode: fd + 1,
            mode: S_IFCHR,
        };
        Ok(file::all().into_iter().map(entry).collect())
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        Err(Errno::EISDIR)
    }
}
