//! ext4 on disks: files that outlive the machine.
//!
//! The file system itself is the crate `rsext4`, journal and recovery included. This component gives it a disk with a cache ([`cache`]) and a
//! mark while it is in use ([`mark`]), one caller at a time and a stack ([`volume`]), and the program its files ([`node`]) and their pages
//! ([`mapped`]).
mod cache;
mod mapped;
mod mark;
mod node;
mod volume;

use self::volume::Volume;
use super::mounts::Mount;
use super::node::Node;
use crate::boot::poweroff;
use crate::cell::KernelCell;
use crate::driver::block;
use crate::errno::Result;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

crate::register!("mount": fn(&mut Vec<Mount>) = { 20 => mount });
crate::register!("sync": fn() -> Result<()> = { 20 => sync });
crate::register!("poweroff": fn(u8) = { 2 => close });

crate::param! {
    /// Mount points.
    static AT: &'static str = "at"
}
crate::param! {
    /// Bytes of a disk that stay in memory.
    static CACHE: u64 = "cache"
}
crate::param! {
    /// How long a change may stay in memory only.
    static COMMIT: u64 = "commit"
}

static VOLUMES: KernelCell<Vec<Rc<Volume>>> = KernelCell::new(Vec::new());

fn mount(mounts: &mut Vec<Mount>) {
    let mut places = AT.get().split_ascii_whitespace().map(|path| path.trim_end_matches('/'));
    for (index, device) in block::devices().iter().enumerate() {
        let Some(path) = places.next() else {
            crate::println!("bespoke: disk {} has no place: name one in fs.disk.at", index + 1);
            break;
        };
        if !path.starts_with('/') {
            crate::println!(
                "bespoke: fs.disk.at names `{path}`: a disk needs an absolute path, and cannot be the root"
            );
            poweroff::power_off(126);
        }
        let volume = match Volume::mount(device, path, index as u64 + 2, CACHE.get(), COMMIT.get()) {
            Ok(volume) => volume,
            Err(error) => volume::cannot_start(path, error),
        };
        let root = volume.look(|mounted| mounted.inode(mounted.root_inode())).map(|info| volume.node(info));
        match root {
            Ok(root) => mounts.push(Mount { path: path.as_bytes().to_vec(), root: root as Rc<dyn Node> }),
            Err(_) => volume::cannot_start(path, rsext4::Ext4Error::corrupted()),
        }
        VOLUMES.borrow().push(volume);
    }
}

fn volumes() -> Vec<Rc<Volume>> {
    VOLUMES.borrow().clone()
}

fn sync() -> Result<()> {
    volumes().iter().try_for_each(|volume| volume.sync())
}

fn close(_: u8) {
    static CLOSING: AtomicBool = AtomicBool::new(false);
    // An end within the end: something is wrong enough to leave the journal to the next start.
    if !CLOSING.swap(true, Ordering::Relaxed) {
        for volume in volumes() {
            volume.close();
        }
    }
}
