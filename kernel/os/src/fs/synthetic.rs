//! Nodes that exist only when somebody looks: directories of generated things, texts and links.

use super::file::{Access, File, Stat};
use super::node::{DirectoryEntry, Node};
use crate::errno::{Errno, Result};
use crate::memory::user;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::{O_ACCMODE, O_RDONLY, S_IFDIR, S_IFLNK, S_IFREG};

/// A number for a node, from what makes it what it is.
fn inode(seed: u64) -> u64 {
    seed >> 4 | 1 << 40
}

/// A directory of fixed names.
pub struct Names(pub Vec<(Vec<u8>, Rc<dyn Node>)>);

impl Names {
    /// Adds a node under a path of several names, with directories made for those before the last.
    pub fn insert(&mut self, path: &[u8], node: Rc<dyn Node>) {
        self.0.push((path.to_vec(), node));
    }

    /// The directory of what was inserted.
    pub fn into_directory(self) -> Rc<dyn Node> {
        let mut names: Vec<(Vec<u8>, Rc<dyn Node>)> = Vec::new();
        let mut rest = self.0;
        while let Some((path, node)) = rest.pop() {
            let Some(slash) = path.iter().position(|&byte| byte == b'/') else {
                names.push((path, node));
                continue;
            };
            let first = path[..slash].to_vec();
            let mut below = Names(Vec::new());
            below.insert(&path[slash + 1..], node);
            rest.retain(|(other, node)| {
                let rest = other.strip_prefix(first.as_slice()).and_then(|rest| rest.strip_prefix(b"/"));
                if let Some(rest) = rest {
                    below.insert(rest, node.clone());
                }
                rest.is_none()
            });
            names.push((first, below.into_directory()));
        }
        names.sort_by(|(a, _), (b, _)| a.cmp(b));
        Rc::new(Names(names))
    }
}

impl Node for Names {
    fn stat(&self) -> Stat {
        let seed = self.0.as_ptr() as u64;
        Stat { mode: S_IFDIR | 0o755, inode: inode(seed), links: 2, ..Stat::default() }
    }

    fn lookup(&self, name: &[u8]) -> Result<Rc<dyn Node>> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, node)| node.clone()).ok_or(Errno::ENOENT)
    }

    fn list(&self) -> Result<Vec<DirectoryEntry>> {
        let entry = |(name, node): &(Vec<u8>, Rc<dyn Node>)| {
            let stat = node.stat();
            DirectoryEntry { name: name.clone(), inode: stat.inode, mode: stat.mode }
        };
        Ok(self.0.iter().map(entry).collect())
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        Err(Errno::EISDIR)
    }
}

/// Writes a text.
pub type Writer = fn(&mut Vec<u8>);

/// A file whose text is made when it is opened.
pub struct Text(pub Writer);

impl Node for Text {
    fn stat(&self) -> Stat {
        Stat { mode: S_IFREG | 0o444, inode: inode(self.0 as usize as u64), links: 1, ..Stat::default() }
    }

    fn open(self: Rc<Self>, flags: u32) -> Result<Rc<dyn File>> {
        if flags & O_ACCMODE != O_RDONLY {
            return Err(Errno::EACCES);
        }
        let mut text = Vec::new();
        (self.0)(&mut text);
        Ok(Rc::new(OpenText { stat: self.stat(), text }))
    }
}

/// A text as it was when it was opened.
pub struct OpenText {
    pub stat: Stat,
    pub text: Vec<u8>,
}

impl File for OpenText {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        let rest = &self.text[self.text.len().min(access.position as usize)..];
        let count = count.min(rest.len());
        user::write_bytes(to, &rest[..count])?;
        Ok(count)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EBADF) // never open for writing
    }

    fn stat(&self) -> Stat {
        self.stat
    }

    fn is_seekable(&self) -> bool {
        true
    }
}

/// A symbolic link whose target is made when it is read.
pub struct Link(pub fn() -> Vec<u8>);

impl Node for Link {
    fn stat(&self) -> Stat {
        Stat { mode: S_IFLNK | 0o777, inode: inode(self.0 as usize as u64), links: 1, ..Stat::default() }
    }

    fn target(&self) -> Option<Vec<u8>> {
        Some((self.0)())
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        Err(Errno::ELOOP)
    }
}
