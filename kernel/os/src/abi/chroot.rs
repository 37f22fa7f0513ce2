//! `chroot(2)`.

use super::open::locate_at;
use super::process::credentials;
use super::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::node::{Node, Wish, permit};
use crate::fs::path::{self, Jail, Last, Location};
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::{__NR_chroot, AT_FDCWD, X_OK};

crate::register!("syscall": Handler = { __NR_chroot => chroot });
crate::register!("root": &'static Jail = { 10 => &JAIL });

static JAIL: Jail = Jail { start, up, find, seen, root };

/// Where the program's absolute paths start, once it has said so.
static ROOT: KernelCell<Option<Rc<Location>>> = KernelCell::new(None);

fn root() -> Rc<Location> {
    let chosen = ROOT.borrow().clone();
    chosen.unwrap_or_else(path::root)
}

fn start(path: &mut Vec<u8>) -> Rc<dyn Node> {
    let root = root();
    root.copy_path(path);
    root.node.clone()
}

fn up(place: &mut Vec<u8>) -> Result<Rc<dyn Node>> {
    let root = root();
    if root.is_at(place) {
        return Ok(root.node.clone());
    }
    path::leave(place);
    find(place).map(|location| location.node.clone())
}

fn find(place: &[u8]) -> Result<Rc<Location>> {
    let root = root();
    // From the program's root, where it may not be allowed to pass through what is above.
    let (from, rest) = match path::below(&root.path(), place) {
        Some(rest) => (root, rest),
        None => (path::root(), &place[1..]),
    };
    if rest.is_empty() { Ok(from) } else { path::walk(&from, rest, Last::Followed)?.location() }
}

fn seen(place: &[u8]) -> Option<Vec<u8>> {
    Some([b"/", path::below(&root().path(), place)?].concat())
}

fn chroot(args: &Args) -> Result<u64> {
    let location = locate_at(AT_FDCWD as u64, args.0[0], true)?;
    if !location.node.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    permit(&*location.node, Wish::Use(X_OK))?;
    if !credentials().is_root() {
        return Err(Errno::EPERM);
    }
    *ROOT.borrow() = Some(location);
    Ok(0)
}
