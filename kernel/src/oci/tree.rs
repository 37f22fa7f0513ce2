//! The file tree of an image, as its layers leave it.
//!
//! Nothing of it is on the host's disk under its own name, so no entry can reach outside: links are followed inside the
//! tree, and `..` stops at its root, as for a process whose root it is.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::limits;
use super::storage::Extent;
use crate::root::{Attributes, S_IFDIR};

/// Which node of a tree.
pub(super) type Id = usize;

/// A file of an image.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) attributes: Attributes,
    pub(super) content: Content,
    /// The layer that brought it, counted from one.
    pub(super) layer: usize,
    /// It was made because something lies in it.
    pub(super) implied: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Directory(BTreeMap<Box<str>, Id>),
    /// Names of one file (hard links) share this.
    File(Rc<Extent>),
    Link(Box<[u8]>),
    Pipe,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    NotFound,
    NotADirectory,
    Loop,
    TooDeep,
    TooMany,
}

/// The tree. What is removed is only unhooked: a layer's bytes are kept either way.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// How many nodes there may ever be.
    limit: u64,
}

/// The deepest that folders may nest; real images stay below 50.
const DEPTH: usize = 500;

/// The way that a path leads.
pub(super) struct Walk {
    /// The links that were followed: where each lies, and its node.
    pub(super) links: Vec<(String, Id)>,
    /// The path that has no links in it.
    pub(super) path: String,
    /// What is there.
    pub(super) node: Id,
}

impl Tree {
    pub(super) const ROOT: Id = 0;

    pub(super) fn new(limit: u64) -> Self {
        let root = Node {
            attributes: Attributes::made(S_IFDIR | 0o755),
            content: Content::Directory(BTreeMap::new()),
            layer: 0,
            implied: true,
        };
        Self { nodes: vec![root], limit }
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id]
    }

    /// What lies in a folder.
    pub(super) fn children(&self, id: Id) -> impl Iterator<Item = (&str, Id)> {
        let children = match &self.nodes[id].content {
            Content::Directory(children) => Some(children),
            _ => None,
        };
        children.into_iter().flatten().map(|(name, id)| (&**name, *id))
    }

    pub(super) fn child(&self, directory: Id, name: &str) -> Option<Id> {
        match &self.nodes[directory].content {
            Content::Directory(children) => children.get(name).copied(),
            _ => None,
        }
    }

    /// Puts a node into a folder, in the place of what has that name.
    pub(super) fn put(&mut self, directory: Id, name: &str, node: Node) -> Result<Id, Fault> {
        if self.nodes.len() as u64 > self.limit {
            return Err(Fault::TooMany);
        }
        let id = self.nodes.len();
        self.nodes.push(node);
        match &mut self.nodes[directory].content {
            Content::Directory(children) => children.insert(name.into(), id),
            _ => return Err(Fault::NotADirectory),
        };
        Ok(id)
    }

    /// Takes away what layers below brought; whether nothing is left.
    pub(super) fn prune(&mut self, id: Id, layer: usize) -> bool {
        let old = self.nodes[id].layer < layer;
        let inside: Vec<(Box<str>, Id)> =
            self.children(id).map(|(name, child)| (Box::from(name), child)).collect();
        let mut empty = true;
        for (name, child) in inside {
            if !self.prune(child, layer) {
                empty = false;
            } else if let Content::Directory(children) = &mut self.nodes[id].content {
                children.remove(&name);
            }
        }
        old && empty
    }

    /// Takes a name out of a folder, as far as layers below brought it; whether it is gone.
    pub(super) fn remove(&mut self, directory: Id, name: &str, layer: usize) -> bool {
        let Some(id) = self.child(directory, name) else { return true };
        let gone = self.prune(id, layer);
        if gone && let Content::Directory(children) = &mut self.nodes[directory].content {
            children.remove(name);
        }
        gone
    }

    /// Whether a folder, or something in it, is of this layer.
    pub(super) fn touched(&self, id: Id, layer: usize) -> bool {
        let node = &self.nodes[id];
        (node.layer >= layer && !node.implied)
            || self.children(id).any(|(_, child)| self.touched(child, layer))
    }

    /// The folder that a path leads to, made where it is missing.
    pub(super) fn make_directory(&mut self, path: &[u8], layer: usize) -> Result<Id, Fault> {
        let id = self.walk_making(path, layer)?;
        match self.nodes[id].content {
            Content::Directory(_) => Ok(id),
            _ => Err(Fault::NotADirectory),
        }
    }

    /// What a path leads to. A link at its end is followed only on demand; links on the way always are.
    pub(super) fn find(&self, path: &[u8], follow: bool) -> Result<Id, Fault> {
        self.walk(path, follow).map(|walk| walk.node)
    }

    /// Follows a path, as [`Tree::find`] does, and tells of its way.
    pub(super) fn walk(&self, path: &[u8], follow: bool) -> Result<Walk, Fault> {
        let mut trail: Vec<(Box<str>, Id)> = Vec::new();
        let mut pending = parts(path);
        let mut links = Vec::new();
        while let Some(part) = pending.pop() {
            if &*part == b".." {
                trail.pop();
                continue;
            }
            let name = std::str::from_utf8(&part).map_err(|_| Fault::NotFound)?;
            let here = trail.last().map_or(Self::ROOT, |(_, id)| *id);
            if !matches!(self.nodes[here].content, Content::Directory(_)) {
                return Err(Fault::NotADirectory);
            }
            let id = self.child(here, name).ok_or(Fault::NotFound)?;
            match &self.nodes[id].content {
                Content::Link(target) if follow || !pending.is_empty() => {
                    if links.len() >= limits::LINKS {
                        return Err(Fault::Loop);
                    }
                    links.push((format!("{}/{name}", joined(&trail)), id));
                    if target.first() == Some(&b'/') {
                        trail.clear();
                    }
                    pending.extend(parts(target));
                }
                _ => trail.push((name.into(), id)),
            }
        }
        let node = trail.last().map_or(Self::ROOT, |(_, id)| *id);
        let path = if trail.is_empty() { "/".into() } else { joined(&trail) };
        Ok(Walk { links, path, node })
    }

    fn walk_making(&mut self, path: &[u8], layer: usize) -> Result<Id, Fault> {
        let mut trail: Vec<Id> = vec![Self::ROOT];
        let mut pending = parts(path);
        let mut links = 0;
        while let Some(part) = pending.pop() {
            if &*part == b".." {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            let name = std::str::from_utf8(&part).map_err(|_| Fault::NotFound)?;
            let here = trail.last().copied().unwrap_or(Self::ROOT);
            match self.child(here, name) {
                None => {
                    let node = Node {
                        attributes: Attributes::made(S_IFDIR | 0o755),
                        content: Content::Directory(BTreeMap::new()),
                        layer,
                        implied: true,
                    };
                    trail.push(self.put(here, name, node)?);
                }
                Some(id) => match &self.nodes[id].content {
                    Content::Link(target) => {
                        links += 1;
                        if links > limits::LINKS {
                            return Err(Fault::Loop);
                        }
                        if target.first() == Some(&b'/') {
                            trail.truncate(1);
                        }
                        pending.extend(parts(target));
                    }
                    _ => trail.push(id),
                },
            }
            if trail.len() > DEPTH {
                return Err(Fault::TooDeep);
            }
        }
        Ok(trail.last().copied().unwrap_or(Self::ROOT))
    }
}

fn joined(trail: &[(Box<str>, Id)]) -> String {
    trail.iter().flat_map(|(name, _)| ["/", name]).collect()
}

/// The steps of a path, the first one last.
fn parts(path: &[u8]) -> Vec<Box<[u8]>> {
    let parts = path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
    let mut parts: Vec<Box<[u8]>> = parts.map(Box::from).collect();
    parts.reverse();
    parts
}
