//! From a path to a node (`path_resolution(7)`).

use super::node::{Change, Node, Wish, permit};
use super::synthetic::Names;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use alloc::borrow::Cow;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::{S_IFDIR, X_OK};

/// A file system mounted somewhere else than at the root.
pub struct Mount {
    /// Absolute path without a trailing slash.
    pub path: Vec<u8>,
    pub root: Rc<dyn Node>,
}

// What chosen file systems mount; asked once, at the first walk.
crate::hook!(fn mounts_of() -> "mount": fn(&mut Vec<Mount>));

const LONGEST_NAME: usize = 255;
const MOST_LINKS: u32 = 40;

/// A node and the absolute path that led to it, without links, `.` and `..`.
pub struct Location {
    pub path: Vec<u8>,
    pub node: Rc<dyn Node>,
}

struct Tree {
    root: Rc<Location>,
    mounts: Vec<Mount>,
    working_directory: Rc<Location>,
}

static TREE: KernelCell<Option<Tree>> = KernelCell::new(None);

fn with_tree<T>(look: impl FnOnce(&mut Tree) -> T) -> T {
    let mut tree = TREE.borrow();
    let tree = tree.get_or_insert_with(|| {
        let root = Rc::new(Location { path: b"/".to_vec(), node: super::root::root() });
        let mut mounts = Vec::new();
        for mount in mounts_of() {
            (mount.item)(&mut mounts);
        }
        Tree { working_directory: root.clone(), root, mounts }
    });
    look(tree)
}

/// The root of all paths.
pub fn root() -> Rc<Location> {
    with_tree(|tree| tree.root.clone())
}

pub fn working_directory() -> Rc<Location> {
    with_tree(|tree| tree.working_directory.clone())
}

pub fn set_working_directory(location: Rc<Location>) -> Result<()> {
    if !location.node.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    permit(&*location.node, Wish::Use(X_OK))?;
    with_tree(|tree| tree.working_directory = location);
    Ok(())
}

fn mounted(path: &[u8]) -> Option<Rc<dyn Node>> {
    with_tree(|tree| tree.mounts.iter().find(|mount| mount.path == path).map(|mount| mount.root.clone()))
}

/// Whether something is mounted further down. Its place is there even if no file system has the directories above it.
fn leads_to_mount(path: &[u8]) -> bool {
    let below = |mount: &Mount| mount.path.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/"));
    with_tree(|tree| tree.mounts.iter().any(below))
}

/// Whether something is mounted at a path or below it: such a place stays where it is.
pub fn is_busy(path: &[u8]) -> bool {
    mounted(path).is_some() || leads_to_mount(path)
}

/// Names that lead to what is mounted below a directory.
pub fn mounts_below(directory: &[u8]) -> Vec<Vec<u8>> {
    let prefix = if directory == b"/" { &b""[..] } else { directory };
    let name_of = |path: &[u8]| {
        let name = path.strip_prefix(prefix)?.strip_prefix(b"/")?.split(|&byte| byte == b'/').next()?;
        (!name.is_empty()).then(|| name.to_vec())
    };
    with_tree(|tree| tree.mounts.iter().filter_map(|mount| name_of(&mount.path)).collect())
}

/// The path of a name in a directory.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if directory != b"/" {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

impl Location {
    /// The location of a name in this directory.
    pub fn child(&self, name: &[u8]) -> Result<Rc<Location>> {
        if name.len() > LONGEST_NAME {
            return Err(Errno::ENAMETOOLONG);
        }
        let path = join(&self.path, name);
        let node = match mounted(&path) {
            Some(node) => node,
            None => match self.node.lookup(name) {
                Err(Errno::ENOENT) if leads_to_mount(&path) => make_way(&*self.node, name),
                found => found?,
            },
        };
        Ok(Rc::new(Location { path, node }))
    }

    /// The directory that holds this one; the root's is the root.
    fn parent(&self) -> Result<Rc<Location>> {
        let end = self.path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        resolve(&root(), &self.path[..end.max(1)], true)
    }
}

/// A directory on the way to what is mounted further down: made where that can be, or there for the way only.
fn make_way(parent: &dyn Node, name: &[u8]) -> Rc<dyn Node> {
    let Ok(made) = parent.create(name, S_IFDIR | 0o755, &[]) else { return Rc::new(Names(Vec::new())) };
    // Nobody's in particular, whoever happens to come by first.
    let _ = made.change(&Change { user: Some(0), group: Some(0), ..Change::default() });
    made
}

/// Where a path leads that may not exist yet.
pub struct Target {
    /// The directory that the last name is in.
    pub directory: Rc<Location>,
    /// The last name; empty when the path ends in `.`, `..` or at the root.
    pub name: Vec<u8>,
    /// What is there, if anything.
    pub found: Option<Rc<Location>>,
    /// The path ended in a slash: only a directory will do.
    pub must_be_directory: bool,
}

/// The first name of a path, and what is left behind it; nothing but slashes has none.
fn first_name(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = path.iter().position(|&byte| byte != b'/')?;
    let path = &path[start..];
    let end = path.iter().position(|&byte| byte == b'/').unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    Some((name, &rest[rest.iter().take_while(|&&byte| byte == b'/').count()..]))
}

/// Walks a path from a directory; `follow` says whether a link at its end is followed.
pub fn walk(from: &Rc<Location>, path: &[u8], follow: bool) -> Result<Target> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let mut links = 0;
    let mut must_be_directory = path.ends_with(b"/");
    let mut at = if path.starts_with(b"/") { root() } else { from.clone() };
    // What is walked, and how far that has come. A link's target takes the place of its name.
    let mut text = Cow::Borrowed(path);
    let mut walked = 0;
    while let Some((name, rest)) = first_name(&text[walked..]) {
        walked = text.len() - rest.len();
        if !at.node.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        permit(&*at.node, Wish::Use(X_OK))?;
        if name == b"." {
            continue;
        }
        if name == b".." {
            at = at.parent()?;
            continue;
        }
        let is_last = rest.is_empty();
        let next = match at.child(name) {
            Ok(next) => next,
            Err(Errno::ENOENT) if is_last => {
                return Ok(Target { directory: at, name: name.to_vec(), found: None, must_be_directory });
            }
            Err(error) => return Err(error),
        };
        if next.node.is_symlink() && (follow || !is_last || must_be_directory) {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::ELOOP);
            }
            let mut target = next.node.target().ok_or(Errno::EINVAL)?;
            if target.starts_with(b"/") {
                at = root();
            }
            must_be_directory |= is_last && target.ends_with(b"/");
            if !is_last {
                target.push(b'/');
                target.extend_from_slice(rest);
            }
            text = Cow::Owned(target);
            walked = 0;
            continue;
        }
        if is_last {
            if must_be_directory && !next.node.is_directory() {
                return Err(Errno::ENOTDIR);
            }
            return Ok(Target { directory: at, name: name.to_vec(), found: Some(next), must_be_directory });
        }
        at = next;
    }
    Ok(Target { directory: at.clone(), name: Vec::new(), found: Some(at), must_be_directory })
}

/// The location that a path leads to.
pub fn resolve(from: &Rc<Location>, path: &[u8], follow: bool) -> Result<Rc<Location>> {
    walk(from, path, follow)?.found.ok_or(Errno::ENOENT)
}
