//! File systems that are mounted somewhere else than at the root.

use super::node::{Change, Node};
use super::path::Crossing;
use super::synthetic::Names;
use crate::cell::KernelCell;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::S_IFDIR;

crate::register!("crossing": Crossing = { 10 => cross });
crate::register!("busy-path": fn(&[u8]) -> bool = { 10 => is_busy });
crate::register!("more-names": fn(&[u8]) -> Vec<Vec<u8>> = { 10 => names_below });

/// A file system and its place.
pub struct Mount {
    /// Absolute path without a trailing slash.
    pub path: Vec<u8>,
    pub root: Rc<dyn Node>,
}

// What chosen file systems mount; asked once, at the first walk.
crate::hook!(fn mounts_of() -> "mount": fn(&mut Vec<Mount>));

static MOUNTS: KernelCell<Option<Vec<Mount>>> = KernelCell::new(None);

fn with_mounts<T>(look: impl FnOnce(&[Mount]) -> T) -> T {
    let mut mounts = MOUNTS.borrow();
    look(mounts.get_or_insert_with(|| {
        let mut mounts = Vec::new();
        for mount in mounts_of() {
            (mount.item)(&mut mounts);
        }
        mounts
    }))
}

fn mounted(path: &[u8]) -> Option<Rc<dyn Node>> {
    with_mounts(|mounts| mounts.iter().find(|mount| mount.path == path).map(|mount| mount.root.clone()))
}

/// Whether something is mounted further down.
fn leads_to_mount(path: &[u8]) -> bool {
    let below = |mount: &Mount| mount.path.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/"));
    with_mounts(|mounts| mounts.iter().any(below))
}

fn is_busy(path: &[u8]) -> bool {
    mounted(path).is_some() || leads_to_mount(path)
}

/// What is mounted at a path. Where something is mounted further down, its place is there even if no file system has the directories above it.
fn cross(path: &[u8], missing: Option<(&dyn Node, &[u8])>) -> Option<Rc<dyn Node>> {
    match missing {
        None => mounted(path),
        Some((parent, name)) => leads_to_mount(path).then(|| make_way(parent, name)),
    }
}

/// A directory on the way to what is mounted further down: made where that can be, or there for the way only.
fn make_way(parent: &dyn Node, name: &[u8]) -> Rc<dyn Node> {
    let Ok(made) = parent.create(name, S_IFDIR | 0o755, &[]) else { return Rc::new(Names(Vec::new())) };
    // Nobody's in particular, whoever happens to come by first.
    let _ = made.change(&Change { user: Some(0), group: Some(0), ..Change::default() });
    made
}

/// Names that lead to what is mounted below a directory.
fn names_below(directory: &[u8]) -> Vec<Vec<u8>> {
    let prefix = if directory == b"/" { &b""[..] } else { directory };
    let name_of = |path: &[u8]| {
        let name = path.strip_prefix(prefix)?.strip_prefix(b"/")?.split(|&byte| byte == b'/').next()?;
        (!name.is_empty()).then(|| name.to_vec())
    };
    with_mounts(|mounts| mounts.iter().filter_map(|mount| name_of(&mount.path)).collect())
}
