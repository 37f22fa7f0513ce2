//! `/dev`.
pub mod full;
pub mod hwrng;
pub mod null;
pub mod pty;
pub mod random;
pub mod streams;
pub mod vsock;
pub mod zero;

use super::file::{File, Stat};
use super::mounts::Mount;
use super::node::Node;
use super::synthetic::Names;
use crate::errno::Result;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::S_IFCHR;

crate::register!("mount": fn(&mut Vec<Mount>) = { 20 => mount });
// Adds a chosen device's nodes to the directory.
crate::hook!(fn devices() -> "device-file": fn(&mut Names));

fn mount(mounts: &mut Vec<Mount>) {
    let mut names = Names(Vec::new());
    for device in devices() {
        (device.item)(&mut names);
    }
    mounts.push(Mount { path: b"/dev".to_vec(), root: names.into_directory() });
}

/// A character device.
pub struct Device {
    /// Major and minor number (`makedev(3)`).
    pub number: u64,
    pub open: fn() -> Result<Rc<dyn File>>,
}

impl Device {
    pub fn stat_of(number: u64) -> Stat {
        Stat { mode: S_IFCHR | 0o666, inode: number, links: 1, device: number, ..Stat::default() }
    }
}

impl Node for Device {
    fn stat(&self) -> Stat {
        Self::stat_of(self.number)
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        (self.open)()
    }

    fn is_read_only(&self) -> bool {
        false
    }
}
