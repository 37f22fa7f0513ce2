//! Nodes in memory: their attributes, and the names in directories.

use super::data::Data;
use crate::abi::clock::time_of_day;
use crate::abi::process;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::{self, File, Stat};
use crate::fs::node::{Change, DirectoryEntry, Node};
use crate::fs::packed;
use crate::memory::frames;
use crate::memory::paging::PAGE;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::*;

// Opens a node that is neither file nor directory nor link, by what is told of it, with O_* flags; `None`: it is of another kind.
crate::hook!(fn special_openers() -> "open-special": fn(Stat, u32) -> Option<Result<Rc<dyn File>>>);

static NEXT_INODE: AtomicU64 = AtomicU64::new(1 << 32);
/// Files of the image that have several names, by their inodes there.
static LINKED: KernelCell<Vec<(u64, Rc<Memory>)>> = KernelCell::new(Vec::new());

pub enum Content {
    /// A directory of the image that nobody has looked into yet.
    Packed(&'static packed::Entry),
    /// Names in order.
    Directory(Vec<(Vec<u8>, Rc<Memory>)>),
    File(Data),
    Link(Vec<u8>),
    /// A socket or named pipe: a name to find something by.
    Special,
}

/// A node in memory.
pub struct Memory {
    inode: u64,
    mode: Cell<u32>,
    user: Cell<u32>,
    group: Cell<u32>,
    pub links: Cell<u64>,
    accessed: Cell<(i64, u32)>,
    modified: Cell<(i64, u32)>,
    /// What may not be done to the contents any more (`F_ADD_SEALS`).
    pub seals: Cell<u32>,
    changed: Cell<(i64, u32)>,
    pub content: RefCell<Content>,
}

impl Memory {
    pub fn new(mode: u32, content: Content, modified: (i64, u32)) -> Rc<Self> {
        Rc::new(Self {
            inode: NEXT_INODE.fetch_add(1, Ordering::Relaxed),
            mode: Cell::new(mode),
            user: Cell::new(0),
            group: Cell::new(0),
            links: Cell::new(if mode & S_IFMT == S_IFDIR { 2 } else { 1 }),
            accessed: Cell::new(modified),
            modified: Cell::new(modified),
            seals: Cell::new(F_SEAL_SEAL),
            changed: Cell::new(modified),
            content: RefCell::new(content),
        })
    }

    pub fn from_packed(entry: &'static packed::Entry) -> Rc<Self> {
        let stat = entry.stat();
        let is_linked = stat.links > 1 && stat.mode & S_IFMT == S_IFREG;
        let known = LINKED.borrow().iter().find(|(inode, _)| is_linked && *inode == stat.inode).cloned();
        if let Some((_, known)) = known {
            return known;
        }
        let content = match stat.mode & S_IFMT {
            S_IFDIR => Content::Packed(entry),
            S_IFLNK => Content::Link(entry.data().to_vec()),
            S_IFREG => Content::File(Data::Image(entry.data())),
            _ => Content::Special,
        };
        let node = Self::new(stat.mode, content, stat.modified);
        node.user.set(stat.user);
        node.group.set(stat.group);
        if is_linked {
            node.links.set(stat.links);
            LINKED.borrow().push((stat.inode, node.clone()));
        }
        node
    }

    /// What it holds has changed.
    pub fn touch(&self) {
        let now = time_of_day();
        self.modified.set(now);
        self.changed.set(now);
    }

    /// Its attributes have changed, or the names it has.
    fn change_attributes(&self) {
        self.changed.set(time_of_day());
    }

    /// It was read: kept if it was not read since it changed (`relatime` of `mount(8)`).
    pub fn note_access(&self) {
        if self.accessed.get() <= self.modified.get().max(self.changed.get()) {
            self.accessed.set(time_of_day());
        }
    }

    /// This directory's names.
    fn names<T>(&self, look: impl FnOnce(&mut Vec<(Vec<u8>, Rc<Memory>)>) -> Result<T>) -> Result<T> {
        let mut content = self.content.borrow_mut();
        if let Content::Packed(entry) = *content {
            let name = |child: &'static packed::Entry| (child.name().to_vec(), Self::from_packed(child));
            *content = Content::Directory(entry.children().map(name).collect());
        }
        match &mut *content {
            Content::Directory(names) => look(names),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub fn data<T>(&self, look: impl FnOnce(&mut Data) -> Result<T>) -> Result<T> {
        match &mut *self.content.borrow_mut() {
            Content::File(data) => look(data),
            Content::Packed(_) | Content::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn resize(&self, size: u64) -> Result<()> {
        let before = self.data(|data| Ok(data.size()))?;
        let sealed = match size.cmp(&before) {
            core::cmp::Ordering::Less => F_SEAL_SHRINK,
            core::cmp::Ordering::Equal => 0,
            core::cmp::Ordering::Greater => F_SEAL_GROW,
        };
        if self.seals.get() & sealed != 0 {
            return Err(Errno::EPERM);
        }
        if size < before {
            // The frames behind go; the rest of the last page is wiped where it is.
            file::forget_pages(self, size.div_ceil(PAGE), true);
        }
        self.data(|data| data.resize(size))?;
        self.touch();
        Ok(())
    }

    /// Adds a name. ENOSPC: memory is short.
    fn insert(&self, name: &[u8], node: Rc<Memory>) -> Result<()> {
        if frames::are_scarce() {
            return Err(Errno::ENOSPC);
        }
        self.put(name, node)
    }

    fn put(&self, name: &[u8], node: Rc<Memory>) -> Result<()> {
        self.names(|names| match names.binary_search_by(|(other, _)| other.as_slice().cmp(name)) {
            Ok(_) => Err(Errno::EEXIST),
            Err(at) => {
                names.insert(at, (name.to_vec(), node));
                Ok(())
            }
        })?;
        self.touch();
        Ok(())
    }

    fn get(&self, name: &[u8]) -> Result<Rc<Memory>> {
        self.names(|names| {
            let at =
                names.binary_search_by(|(other, _)| other.as_slice().cmp(name)).map_err(|_| Errno::ENOENT)?;
            Ok(names[at].1.clone())
        })
    }

    fn take(&self, name: &[u8]) -> Result<Rc<Memory>> {
        let taken = self.names(|names| {
            let at =
                names.binary_search_by(|(other, _)| other.as_slice().cmp(name)).map_err(|_| Errno::ENOENT)?;
            Ok(names.remove(at).1)
        })?;
        self.touch();
        Ok(taken)
    }

    fn is_directory(&self) -> bool {
        self.mode.get() & S_IFMT == S_IFDIR
    }

    /// Whether a name may be taken away from this node, as a directory or as something else.
    fn check_removable(&self, directory: bool) -> Result<()> {
        match (self.is_directory(), directory) {
            (true, false) => Err(Errno::EISDIR),
            (false, true) => Err(Errno::ENOTDIR),
            (false, false) => Ok(()),
            (true, true) => self.names(|names| if names.is_empty() { Ok(()) } else { Err(Errno::ENOTEMPTY) }),
        }
    }

    fn lose_name(&self) {
        let names = if self.is_directory() { 2 } else { 1 };
        self.links.set(self.links.get().saturating_sub(names));
        self.change_attributes();
    }

    /// Whether `node` is this directory or one below it.
    fn holds(self: &Rc<Self>, node: &Rc<Memory>) -> bool {
        Rc::ptr_eq(self, node)
            || self
                .names(|names| Ok(names.iter().any(|(_, child)| child.is_directory() && child.holds(node))))
                == Ok(true)
    }

    pub fn stat(&self) -> Stat {
        let size = match &*self.content.borrow() {
            Content::File(data) => data.size(),
            Content::Link(target) => target.len() as u64,
            Content::Directory(names) => names.len() as u64 * 20,
            Content::Packed(_) | Content::Special => 0,
        };
        Stat {
            mode: self.mode.get(),
            inode: self.inode,
            links: self.links.get(),
            size,
            user: self.user.get(),
            group: self.group.get(),
            device: 0,
            filesystem: 0,
            accessed: self.accessed.get(),
            modified: self.modified.get(),
            changed: self.changed.get(),
        }
    }
}

fn as_memory(node: Rc<dyn Node>) -> Result<Rc<Memory>> {
    (node as Rc<dyn Any>).downcast().map_err(|_| Errno::EXDEV)
}

impl Node for Memory {
    fn kind(&self) -> u32 {
        self.mode.get() & S_IFMT
    }

    fn stat(&self) -> Stat {
        self.stat()
    }

    fn lookup(&self, name: &[u8]) -> Result<Rc<dyn Node>> {
        Ok(self.get(name)?)
    }

    fn list(&self) -> Result<Vec<DirectoryEntry>> {
        let entry = |(name, node): &(Vec<u8>, Rc<Memory>)| DirectoryEntry {
            name: name.clone(),
            inode: node.inode,
            mode: node.mode.get(),
        };
        self.names(|names| Ok(names.iter().map(entry).collect()))
    }

    fn target(&self) -> Option<Vec<u8>> {
        match &*self.content.borrow() {
            Content::Link(target) => Some(target.clone()),
            _ => None,
        }
    }

    fn open(self: Rc<Self>, flags: u32) -> Result<Rc<dyn File>> {
        if let Content::Special = *self.content.borrow() {
            let stat = self.stat();
            let opened = special_openers().iter().find_map(|opener| (opener.item)(stat, flags));
            return opened.unwrap_or(Err(Errno::ENXIO));
        }
        if flags & O_TRUNC != 0 {
            self.resize(0)?;
        }
        Ok(self)
    }

    fn create(&self, name: &[u8], mode: u32, target: &[u8]) -> Result<Rc<dyn Node>> {
        let content = match mode & S_IFMT {
            S_IFDIR => Content::Directory(Vec::new()),
            S_IFLNK => Content::Link(target.to_vec()),
            S_IFREG => Content::File(Data::Pages { frames: Vec::new(), size: 0 }),
            _ => Content::Special,
        };
        if self.links.get() == 0 {
            return Err(Errno::ENOENT); // a directory that was removed while somebody was in it
        }
        let node = Self::new(mode, content, time_of_day());
        {
            let who = process::credentials();
            node.user.set(who.user());
            // In a directory with the bit set, files are the directory's group's (inode(7)).
            let inherits = self.mode.get() & S_ISGID != 0;
            node.group.set(if inherits { self.group.get() } else { who.group() });
            if inherits && node.is_directory() {
                node.mode.set(node.mode.get() | S_ISGID);
            }
        }
        self.insert(name, node.clone())?;
        if node.is_directory() {
            self.links.set(self.links.get() + 1);
        }
        Ok(node)
    }

    fn link(&self, name: &[u8], node: Rc<dyn Node>) -> Result<()> {
        let node = as_memory(node)?;
        if node.is_directory() {
            return Err(Errno::EPERM);
        }
        self.insert(name, node.clone())?;
        node.links.set(node.links.get() + 1);
        node.change_attributes();
        Ok(())
    }

    fn remove(&self, name: &[u8], directory: bool) -> Result<()> {
        self.get(name)?.check_removable(directory)?;
        self.take(name)?.lose_name();
        if directory {
            self.links.set(self.links.get() - 1);
        }
        Ok(())
    }

    fn rename(&self, name: &[u8], to: &Rc<dyn Node>, new_name: &[u8]) -> Result<()> {
        let to = as_memory(to.clone())?;
        let node = self.get(name)?;
        if node.is_directory() && node.holds(&to) {
            return Err(Errno::EINVAL);
        }
        match to.get(new_name) {
            Ok(old) if Rc::ptr_eq(&old, &node) => return Ok(()),
            Ok(old) => {
                match (node.is_directory(), old.is_directory()) {
                    (true, false) => return Err(Errno::ENOTDIR),
                    (false, true) => return Err(Errno::EISDIR),
                    _ => old.check_removable(old.is_directory())?,
                }
                to.take(new_name)?.lose_name();
                if old.is_directory() {
                    to.links.set(to.links.get() - 1);
                }
            }
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        self.take(name)?;
        to.put(new_name, node.clone())?;
        node.change_attributes();
        if node.is_directory() {
            self.links.set(self.links.get() - 1);
            to.links.set(to.links.get() + 1);
        }
        Ok(())
    }

    fn change(&self, change: &Change) -> Result<()> {
        self.change_attributes();
        if let Some(size) = change.size {
            self.resize(size)?;
        }
        if let Some(permissions) = change.permissions {
            self.mode.set(self.mode.get() & S_IFMT | permissions & 0o7777);
        }
        if let Some(user) = change.user {
            self.user.set(user);
        }
        if let Some(group) = change.group {
            self.group.set(group);
        }
        if let Some(accessed) = change.accessed {
            self.accessed.set(accessed);
        }
        if let Some(modified) = change.modified {
            self.modified.set(modified);
        }
        Ok(())
    }

    fn is_read_only(&self) -> bool {
        false
    }
}
