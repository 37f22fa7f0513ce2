//! Files in memory.

use super::file::{self, Access, File, Pages, Stat};
use super::mounts::Mount;
use super::node::{Change, DirectoryEntry, Node};
use super::packed;
use crate::abi::clock::time_of_day;
use crate::abi::process;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use crate::memory::user;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::*;

crate::register!("mount": fn(&mut Vec<Mount>) = { 10 => mount });

crate::param! {
    /// Mount points.
    static AT: &'static str = "at"
}
crate::param! {
    /// Bytes in a file.
    static LIMIT: u64 = "limit"
}

// Opens a node that is neither file nor directory nor link, by what is told of it, with O_* flags; `None`: it is of another kind.
crate::hook!(fn special_openers() -> "open-special": fn(Stat, u32) -> Option<Result<Rc<dyn File>>>);

fn mount(mounts: &mut Vec<Mount>) {
    for path in AT.get().split_ascii_whitespace() {
        let path = path.trim_end_matches('/').as_bytes();
        // What is packed there shows through.
        let root = match packed::find(path) {
            Some(entry) if entry.is_directory() => over(entry),
            _ => Memory::new(S_IFDIR | 0o1777, Content::Directory(Vec::new()), time_of_day()),
        };
        mounts.push(Mount { path: path.to_vec(), root });
    }
}

/// A file without a name; `seals` as `F_GET_SEALS` tells them.
pub fn anonymous(seals: u32) -> Rc<dyn Node> {
    let data = Data::Pages { frames: Vec::new(), size: 0 };
    let node = Memory::new(S_IFREG | 0o777, Content::File(data), time_of_day());
    node.links.set(0);
    node.seals.set(seals);
    node
}

/// A writable directory that starts with what a packed one holds.
pub fn over(entry: &'static packed::Entry) -> Rc<dyn Node> {
    Memory::from_packed(entry)
}

static NEXT_INODE: AtomicU64 = AtomicU64::new(1 << 32);
/// Files of the image that have several names, by their inodes there.
static LINKED: KernelCell<Vec<(u64, Rc<Memory>)>> = KernelCell::new(Vec::new());

/// Bytes of a file: those of the image until the first write, then frames, absent where nothing was written.
enum Data {
    Image(&'static [u8]),
    Pages { frames: Vec<Option<u64>>, size: u64 },
}

enum Content {
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
struct Memory {
    inode: u64,
    mode: Cell<u32>,
    user: Cell<u32>,
    group: Cell<u32>,
    links: Cell<u64>,
    accessed: Cell<(i64, u32)>,
    modified: Cell<(i64, u32)>,
    /// What may not be done to the contents any more (`F_ADD_SEALS`).
    seals: Cell<u32>,
    changed: Cell<(i64, u32)>,
    content: RefCell<Content>,
}

impl Data {
    fn size(&self) -> u64 {
        match self {
            Self::Image(bytes) => bytes.len() as u64,
            Self::Pages { size, .. } => *size,
        }
    }

    /// Bytes from `position` up to the end of its page or of the file; `None` is a hole of that length.
    fn run(&self, position: u64) -> (Option<*const u8>, usize) {
        match self {
            Self::Image(bytes) => {
                let rest = &bytes[bytes.len().min(position as usize)..];
                (Some(rest.as_ptr()), rest.len())
            }
            Self::Pages { frames, size } => {
                let length = (PAGE - position % PAGE).min(size.saturating_sub(position));
                let frame = frames.get((position / PAGE) as usize).copied().flatten();
                (frame.map(|frame| (phys_to_virt(frame) + position % PAGE) as *const u8), length as usize)
            }
        }
    }

    /// The frames, after moving the image's bytes into some.
    fn pages(&mut self) -> Result<(&mut Vec<Option<u64>>, &mut u64)> {
        if let Self::Image(bytes) = *self {
            let mut pages = Self::Pages { frames: Vec::new(), size: 0 };
            let (frames, size) = pages.pages()?;
            frames.try_reserve(bytes.len().div_ceil(PAGE as usize)).map_err(|_| Errno::ENOSPC)?;
            for chunk in bytes.chunks(PAGE as usize) {
                let frame = frames::allocate_for_program();
                frames.push(frame);
                // A frame not to be had leaves a half copy, which drops what it has.
                let frame = frame.ok_or(Errno::ENOSPC)?;
                let to = phys_to_virt(frame) as *mut u8;
                // SAFETY: a frame of our own.
                unsafe {
                    core::ptr::copy_nonoverlapping(chunk.as_ptr(), to, chunk.len());
                    core::ptr::write_bytes(to.add(chunk.len()), 0, PAGE as usize - chunk.len());
                }
            }
            *size = bytes.len() as u64;
            *self = pages;
        }
        match self {
            Self::Pages { frames, size } => Ok((frames, size)),
            Self::Image(_) => unreachable!("just replaced"),
        }
    }

    /// The frame of a page, made if absent.
    fn frame(&mut self, page: usize) -> Result<u64> {
        let (frames, _) = self.pages()?;
        if page >= frames.len() {
            frames.try_reserve(page + 1 - frames.len()).map_err(|_| Errno::ENOSPC)?;
            frames.resize(page + 1, None);
        }
        if frames[page].is_none() {
            let frame = frames::allocate_for_program().ok_or(Errno::ENOSPC)?;
            // SAFETY: a frame of our own.
            unsafe { core::ptr::write_bytes(phys_to_virt(frame) as *mut u8, 0, PAGE as usize) };
            frames[page] = Some(frame);
        }
        frames[page].ok_or(Errno::ENOSPC)
    }

    /// The first page at or above `page` that has a frame, or has none; the end if there is no such.
    fn next(&self, page: usize, hole: bool) -> usize {
        match self {
            Self::Image(bytes) if hole => bytes.len().div_ceil(PAGE as usize),
            Self::Image(_) => page,
            Self::Pages { frames, size } => {
                let end = size.div_ceil(PAGE) as usize;
                let has_frame = |page: usize| frames.get(page).copied().flatten().is_some();
                (page..end).find(|&page| has_frame(page) != hole).unwrap_or(end)
            }
        }
    }

    fn resize(&mut self, new: u64) -> Result<()> {
        if new > LIMIT.get() {
            return Err(Errno::EFBIG);
        }
        if new == 0 {
            *self = Self::Pages { frames: Vec::new(), size: 0 };
            return Ok(());
        }
        let (frames, size) = self.pages()?;
        if new < *size {
            for frame in frames.drain(frames.len().min(new.div_ceil(PAGE) as usize)..).flatten() {
                frames::free(frame);
            }
            // What comes back when the file grows again must read as zeroes.
            if !new.is_multiple_of(PAGE)
                && let Some(frame) =
                    frames.last().copied().flatten().filter(|_| frames.len() as u64 == new.div_ceil(PAGE))
            {
                let rest = new % PAGE;
                // SAFETY: the end of a frame of our own.
                unsafe {
                    core::ptr::write_bytes(
                        (phys_to_virt(frame) + rest) as *mut u8,
                        0,
                        (PAGE - rest) as usize,
                    );
                }
            }
        }
        *size = new;
        Ok(())
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Self::Pages { frames, .. } = self {
            for frame in frames.drain(..).flatten() {
                frames::free(frame);
            }
        }
    }
}

impl Memory {
    fn new(mode: u32, content: Content, modified: (i64, u32)) -> Rc<Self> {
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

    fn from_packed(entry: &'static packed::Entry) -> Rc<Self> {
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
    fn touch(&self) {
        let now = time_of_day();
        self.modified.set(now);
        self.changed.set(now);
    }

    /// Its attributes have changed, or the names it has.
    fn change_attributes(&self) {
        self.changed.set(time_of_day());
    }

    /// It was read: kept if it was not read since it changed (`relatime` of `mount(8)`).
    fn note_access(&self) {
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

    fn data<T>(&self, look: impl FnOnce(&mut Data) -> Result<T>) -> Result<T> {
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

    fn stat(&self) -> Stat {
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

impl File for Memory {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        self.note_access();
        let mut done = 0;
        while done < count {
            let position = access.position + done as u64;
            // The program's memory may fault: no borrow of the content across the copy. Frames stay while the file is open.
            let (source, length) = self.data(|data| Ok(data.run(position)))?;
            let length = length.min(count - done);
            if length == 0 {
                break;
            }
            let copied = match source {
                // SAFETY: bytes of the image, or of a frame that belongs to this file.
                Some(source) => user::write_bytes(to + done as u64, unsafe {
                    core::slice::from_raw_parts(source, length)
                }),
                None => user::write_bytes(to + done as u64, &[0; PAGE as usize][..length]),
            };
            match copied {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += length,
            }
        }
        Ok(done)
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        let limit = LIMIT.get();
        if count > 0 && access.position >= limit {
            return Err(Errno::EFBIG);
        }
        let count = count.min((limit - access.position) as usize);
        let seals = self.seals.get();
        if seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0 {
            return Err(Errno::EPERM);
        }
        let mut count = count;
        if seals & F_SEAL_GROW != 0 && count > 0 {
            let left = self.data(|data| Ok(data.size().saturating_sub(access.position)))?;
            if left == 0 {
                return Err(Errno::EPERM);
            }
            count = count.min(left as usize);
        }
        let mut done = 0;
        while done < count {
            let position = access.position + done as u64;
            let length = ((PAGE - position % PAGE) as usize).min(count - done);
            let written = self.data(|data| data.frame((position / PAGE) as usize)).and_then(|frame| {
                let target = (phys_to_virt(frame) + position % PAGE) as *mut u8;
                // SAFETY: part of a frame that belongs to this file.
                user::read_bytes(from + done as u64, unsafe {
                    core::slice::from_raw_parts_mut(target, length)
                })
            });
            match written {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += length,
            }
            let end = access.position + done as u64;
            self.data(|data| {
                let (_, size) = data.pages()?;
                *size = (*size).max(end);
                Ok(())
            })?;
        }
        if done > 0 {
            self.touch();
        }
        Ok(done)
    }

    fn stat(&self) -> Stat {
        self.stat()
    }

    fn image_data(&self) -> Option<&'static [u8]> {
        match &*self.content.borrow() {
            Content::File(Data::Image(bytes)) => Some(bytes),
            _ => None,
        }
    }

    fn next(&self, position: u64, hole: bool) -> u64 {
        let page = self.data(|data| Ok(data.next((position / PAGE) as usize, hole)));
        page.map_or(position, |page| position.max(page as u64 * PAGE)).min(self.stat().size)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_changeable(&self) -> bool {
        true
    }

    fn pages(self: Rc<Self>) -> Option<Rc<dyn Pages>> {
        Some(self)
    }

    fn seals(&self) -> Option<&Cell<u32>> {
        Some(&self.seals)
    }
}

impl Pages for Memory {
    fn page(&self, index: u64, write: bool) -> Result<u64> {
        if write {
            self.touch();
        }
        self.data(|data| {
            if index >= data.size().div_ceil(PAGE) {
                return Err(Errno::EINVAL);
            }
            data.frame(index as usize)
        })
    }
}
