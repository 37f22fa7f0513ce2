//! From a path to a node (`path_resolution(7)`).

use super::file;
use super::node::{Node, Wish, permit};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use alloc::borrow::Cow;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::{S_IFDIR, S_IFLNK, S_IFREG, X_OK};

/// What stands at an absolute path instead of what the directory above has there. Asked a second time, with that directory and the name,
/// where it has nothing.
pub type Crossing = fn(&[u8], Option<(&dyn Node, &[u8])>) -> Option<Rc<dyn Node>>;

crate::hook!(fn crossings() -> "crossing": Crossing);
// Whether what is at an absolute path has to stay there.
crate::hook!(fn holders() -> "busy-path": fn(&[u8]) -> bool);

/// A root that the program has chosen for itself (`chroot(2)`). Paths are told from the root of all.
pub struct Jail {
    /// Has a path be that of the program's root, and tells what is there.
    pub start: fn(&mut Vec<u8>) -> Rc<dyn Node>,
    /// Has a path be that of the directory above, unless it is the program's root, and tells what is there.
    pub up: fn(&mut Vec<u8>) -> Result<Rc<dyn Node>>,
    /// What is at a path.
    pub find: fn(&[u8]) -> Result<Rc<Location>>,
    /// A path as the program knows it; `None`: it is outside.
    pub seen: fn(&[u8]) -> Option<Vec<u8>>,
    /// The program's root.
    pub root: fn() -> Rc<Location>,
}

crate::hook!(fn jails() -> "root": &'static Jail);

fn jail() -> Option<&'static Jail> {
    jails().first().map(|jail| jail.item)
}

const LONGEST_NAME: usize = 255;
const MOST_LINKS: u32 = 40;

/// A node and its absolute path, without links, `.` and `..`.
pub struct Location {
    /// What led to it, and follows where it is moved.
    path: KernelCell<Vec<u8>>,
    pub node: Rc<dyn Node>,
}

impl Location {
    pub fn new(path: Vec<u8>, node: Rc<dyn Node>) -> Rc<Self> {
        Rc::new(Self { path: KernelCell::new(path), node })
    }

    #[inline(never)]
    pub fn path(&self) -> Vec<u8> {
        self.path.borrow().clone()
    }

    /// Has a path begin with its own.
    pub fn copy_path(&self, to: &mut Vec<u8>) {
        to.clear();
        to.extend_from_slice(&self.path.borrow());
    }

    pub fn is_at(&self, path: &[u8]) -> bool {
        *self.path.borrow() == path
    }

    /// Whether it is a file or directory that has lost its last name.
    pub fn is_removed(&self) -> bool {
        matches!(self.node.kind(), S_IFREG | S_IFDIR) && self.node.stat().links == 0
    }

    /// Its path as links in /proc tell it (`proc(5)`). One that the program cannot name is told whole.
    pub fn told(&self) -> Vec<u8> {
        let path = self.path();
        let mut path = seen(&path).unwrap_or(path);
        if self.is_removed() {
            path.extend_from_slice(b" (deleted)");
        }
        path
    }
}

struct Tree {
    root: Rc<Location>,
    working_directory: Rc<Location>,
}

static TREE: KernelCell<Option<Tree>> = KernelCell::new(None);

fn with_tree<T>(look: impl FnOnce(&mut Tree) -> T) -> T {
    let mut tree = TREE.borrow();
    look(tree.get_or_insert_with(plant))
}

#[inline(never)]
fn plant() -> Tree {
    let root = Location::new(b"/".to_vec(), super::root::root());
    Tree { working_directory: root.clone(), root }
}

/// The root of all paths.
#[inline(never)]
pub fn root() -> Rc<Location> {
    with_tree(|tree| tree.root.clone())
}

fn root_node() -> Rc<dyn Node> {
    root().node.clone()
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

/// A name has moved, and with it the paths of what is open or worked in, there or below.
pub fn moved(from: &[u8], to: &[u8], node: &Rc<dyn Node>) {
    let moved = node.stat().key();
    let follow = |location: &Location| {
        let path = location.path();
        match below(from, &path) {
            // What has lost this very name before has not moved.
            Some(b"") if location.node.stat().key() != moved => {}
            Some(b"") => *location.path.borrow() = to.to_vec(),
            Some(rest) => *location.path.borrow() = join(to, rest),
            None => {}
        }
    };
    follow(&working_directory());
    if let Some(jail) = jail() {
        follow(&(jail.root)());
    }
    file::each_location(follow);
}

/// A path as the program may name it, or know it. `None`: it is outside of the program's root.
pub fn seen(path: &[u8]) -> Option<Vec<u8>> {
    jail().map_or_else(|| Some(path.to_vec()), |jail| (jail.seen)(path))
}

/// What is at a path without links, `.` and `..`, wherever the program's root is.
pub fn find(path: &[u8]) -> Result<Rc<Location>> {
    jail().map_or_else(|| resolve(&root(), path, true), |jail| (jail.find)(path))
}

/// What of a path lies below a directory; empty for the directory's own.
pub fn below<'p>(directory: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(directory)?;
    if rest.is_empty() || directory == b"/" { Some(rest) } else { rest.strip_prefix(b"/") }
}

/// The path of a name in a directory.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    enter(&mut path, name);
    path
}

/// Adds a name to a directory's path, and says where it starts.
fn enter(path: &mut Vec<u8>, name: &[u8]) -> usize {
    if path != b"/" {
        path.push(b'/');
    }
    let start = path.len();
    path.extend_from_slice(name);
    start
}

/// Has an absolute path be that of the program's root, and tells what is there.
fn begin(path: &mut Vec<u8>) -> Rc<dyn Node> {
    if let Some(jail) = jail() {
        return (jail.start)(path);
    }
    path.clear();
    path.push(b'/');
    root_node()
}

/// Makes an absolute path that of the directory above; the root's is the root.
pub fn leave(path: &mut Vec<u8>) {
    let end = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    path.truncate(end.max(1));
}

/// Whether something is mounted at a path or below it: such a place stays where it is.
pub fn is_busy(path: &[u8]) -> bool {
    holders().iter().any(|holder| (holder.item)(path))
}

/// The node of a name in a directory; `path` is the name's own.
fn child(directory: &dyn Node, path: &[u8], name: &[u8]) -> Result<Rc<dyn Node>> {
    let across = |missing| crossings().iter().find_map(|crossing| (crossing.item)(path, missing));
    if let Some(node) = across(None) {
        return Ok(node);
    }
    match directory.lookup(name) {
        Err(Errno::ENOENT) => across(Some((directory, name))).ok_or(Errno::ENOENT),
        found => found,
    }
}

/// Where a path leads that may not exist yet.
pub struct Target {
    /// The directory that the last name is in.
    pub directory: Rc<dyn Node>,
    /// What is there, if anything.
    pub found: Option<Rc<dyn Node>>,
    /// The path ended in a slash: only a directory will do.
    pub must_be_directory: bool,
    /// The absolute path, without links, `.` and `..`.
    path: Vec<u8>,
    /// Where the last name starts in it.
    name: usize,
}

impl Target {
    /// The last name; empty when the path ended in `.`, `..` or at the root.
    pub fn name(&self) -> &[u8] {
        &self.path[self.name..]
    }

    /// The absolute path.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The location of what was found.
    pub fn location(mut self) -> Result<Rc<Location>> {
        let found = self.found.take().ok_or(Errno::ENOENT)?;
        Ok(self.at(found))
    }

    /// The location, with the node that is there now.
    pub fn at(&mut self, node: Rc<dyn Node>) -> Rc<Location> {
        Location::new(core::mem::take(&mut self.path), node)
    }
}

/// The first name of a path, and what is left behind it; nothing but slashes has none.
fn first_name(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = path.iter().position(|&byte| byte != b'/')?;
    let path = &path[start..];
    let end = path.iter().position(|&byte| byte == b'/').unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    Some((name, &rest[rest.iter().take_while(|&&byte| byte == b'/').count()..]))
}

/// What a link at the end of a path stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// What it leads to.
    Followed,
    /// Itself, unless a slash behind it asks for what it leads to.
    Itself,
    /// Itself in any case: it is the name that is made, moved or taken away. Nor has what is there to be a directory because of a slash.
    Name,
}

impl Last {
    /// By whether links at the end are followed.
    pub fn of(follow: bool) -> Self {
        if follow { Self::Followed } else { Self::Itself }
    }
}

/// Walks a path from a directory.
pub fn walk(from: &Rc<Location>, path: &[u8], last: Last) -> Result<Target> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let mut links = 0;
    let mut must_be_directory = path.ends_with(b"/");
    // Where the walk has come to.
    let is_absolute = path.starts_with(b"/");
    let above = if is_absolute { 0 } else { from.path.borrow().len() };
    let mut place = Vec::with_capacity(above + 1 + path.len());
    let mut node = if is_absolute {
        begin(&mut place)
    } else {
        from.copy_path(&mut place);
        from.node.clone()
    };
    let mut is_directory = node.is_directory();
    // What is walked, and how far that has come. A link's target takes the place of its name.
    let mut text = Cow::Borrowed(path);
    let mut walked = 0;
    while let Some((name, rest)) = first_name(&text[walked..]) {
        walked = text.len() - rest.len();
        if !is_directory {
            return Err(Errno::ENOTDIR);
        }
        permit(&*node, Wish::Use(X_OK))?;
        if name == b"." {
            continue;
        }
        if name == b".." {
            node = match jail() {
                Some(jail) => (jail.up)(&mut place)?,
                None => {
                    leave(&mut place);
                    walk(from, &place, Last::Followed)?.found.ok_or(Errno::ENOENT)?
                }
            };
            continue;
        }
        if name.len() > LONGEST_NAME {
            return Err(Errno::ENAMETOOLONG);
        }
        let is_last = rest.is_empty();
        let start = enter(&mut place, name);
        let next = match child(&*node, &place, name) {
            Ok(next) => next,
            Err(Errno::ENOENT) if is_last => {
                return Ok(Target {
                    directory: node,
                    found: None,
                    must_be_directory,
                    path: place,
                    name: start,
                });
            }
            Err(error) => return Err(error),
        };
        let kind = next.kind();
        if kind == S_IFLNK
            && (last == Last::Followed || !is_last || must_be_directory && last == Last::Itself)
        {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::ELOOP);
            }
            let mut target = next.target().ok_or(Errno::EINVAL)?;
            if target.starts_with(b"/") {
                node = begin(&mut place);
            } else {
                leave(&mut place);
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
            if must_be_directory && kind != S_IFDIR && last != Last::Name {
                return Err(Errno::ENOTDIR);
            }
            return Ok(Target {
                directory: node,
                found: Some(next),
                must_be_directory,
                path: place,
                name: start,
            });
        }
        node = next;
        is_directory = kind == S_IFDIR;
    }
    let name = place.len();
    Ok(Target { directory: node.clone(), found: Some(node), must_be_directory, path: place, name })
}

/// The location that a path leads to.
pub fn resolve(from: &Rc<Location>, path: &[u8], follow: bool) -> Result<Rc<Location>> {
    walk(from, path, Last::of(follow))?.location()
}
