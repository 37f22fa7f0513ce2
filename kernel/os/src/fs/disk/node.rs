//! Files and directories on a disk.

use super::mapped::{self, PageTable};
use super::volume::{Mounted, Volume};
use crate::abi::process;
use crate::errno::{Errno, Result};
use crate::fs::file::{Access, File, Pages, Stat};
use crate::fs::node::{Change, DirectoryEntry, Node, Usage};
use crate::list;
use crate::memory::user;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::cell::Cell;
use linux_raw_sys::general::*;
use rsext4::{
    DirectoryCursor, DirectoryEntryType, Ext4Error, Ext4Result, Ext4Timestamp, FileExtent, FileExtentTarget,
    FileName, FilePermissions, InodeInfo, InodeMetadataUpdate, InodeNumber, MutationContext, RenameOptions,
    SpecialInodeKind,
};

/// Bytes that are copied between the program and the file system at once.
const CHUNK: usize = 64 << 10;
/// ext4 counts a file's blocks in 32 bits; a size beyond is a lie of the disk. Bytes, for blocks of 4 KiB.
const LARGEST: u64 = ((1 << 32) - 1) << 12;
/// Directory entries fetched at once.
const ENTRIES: usize = 128;

/// A file, directory or link, open or not.
pub struct Inode {
    volume: Weak<Volume>,
    number: InodeNumber,
    info: Cell<InodeInfo>,
    /// What is known of it may be old.
    stale: Cell<bool>,
    /// Its last name is gone.
    nameless: Cell<bool>,
    /// Those that mappings show.
    pub pages: PageTable,
}

/// A name that a directory can hold.
fn name_of(name: &[u8]) -> Result<FileName<'_>> {
    FileName::new(name).map_err(|_| if name.len() > 255 { Errno::ENAMETOOLONG } else { Errno::EINVAL })
}

fn kind_of(entry: DirectoryEntryType) -> u32 {
    match entry {
        DirectoryEntryType::Unknown => 0,
        DirectoryEntryType::RegularFile => S_IFREG,
        DirectoryEntryType::Directory => S_IFDIR,
        DirectoryEntryType::CharacterDevice => S_IFCHR,
        DirectoryEntryType::BlockDevice => S_IFBLK,
        DirectoryEntryType::Fifo => S_IFIFO,
        DirectoryEntryType::Socket => S_IFSOCK,
        DirectoryEntryType::Symlink => S_IFLNK,
    }
}

impl Inode {
    pub fn new(volume: Weak<Volume>, info: InodeInfo) -> Self {
        Self {
            volume,
            number: info.number,
            info: Cell::new(info),
            stale: Cell::new(false),
            nameless: Cell::new(false),
            pages: PageTable::default(),
        }
    }

    /// This is what the file system says of it now.
    pub fn refresh(&self, info: InodeInfo) {
        self.info.set(info);
        self.stale.set(false);
    }

    pub fn set_nameless(&self) {
        self.nameless.set(true);
        self.stale.set(true);
    }

    pub fn is_nameless(&self) -> bool {
        self.nameless.get()
    }

    pub fn number(&self) -> InodeNumber {
        self.number
    }

    /// Changes something that this is part of: what is known of it may be old then, and not before.
    fn change<T>(&self, volume: &Volume, work: impl FnOnce(&mut Mounted) -> Ext4Result<T>) -> Result<T> {
        let outcome = volume.change(work);
        self.stale.set(true);
        outcome
    }

    pub fn volume(&self) -> Result<Rc<Volume>> {
        self.volume.upgrade().ok_or(Errno::EIO)
    }

    fn info(&self) -> InodeInfo {
        if self.stale.get()
            && let Ok(volume) = self.volume()
            && let Ok(info) = volume.look(|mounted| mounted.inode(self.number))
        {
            self.refresh(info);
        }
        self.info.get()
    }

    fn kind(&self) -> u32 {
        u32::from(self.info.get().mode) & S_IFMT
    }

    fn stat(&self) -> Stat {
        let info = self.info();
        let time = |seconds: u32| (i64::from(seconds as i32), 0);
        Stat {
            mode: u32::from(info.mode),
            inode: u64::from(info.number.raw()),
            links: u64::from(info.links),
            size: info.size,
            user: info.uid,
            group: info.gid,
            filesystem: self.volume().map_or(0, |volume| volume.number),
            accessed: time(info.atime),
            modified: time(info.mtime),
            changed: time(info.ctime),
            ..Stat::default()
        }
    }

    /// Fails unless this is a directory that is still somewhere.
    fn directory(&self) -> Result<Rc<Volume>> {
        if self.kind() != S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        if self.nameless.get() {
            return Err(Errno::ENOENT);
        }
        self.volume()
    }

    fn regular(&self) -> Result<Rc<Volume>> {
        match self.kind() {
            S_IFREG if self.info().size > LARGEST => Err(Errno::EIO),
            S_IFREG => self.volume(),
            S_IFDIR => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn truncate(&self, size: u64) -> Result<()> {
        let volume = self.regular()?;
        if size > LARGEST {
            return Err(Errno::EFBIG);
        }
        if !self.pages.is_empty() {
            let before = self.size();
            if size < before { self.pages.cut(size) } else { self.pages.clear_behind(before) }
        }
        self.change(&volume, |mounted| mounted.truncate_inode(self.number, size))
    }

    pub fn size(&self) -> u64 {
        self.info().size
    }

    /// Reads what the file system has.
    pub fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize> {
        self.regular()?.look(|mounted| mounted.read_inode(self.number, position, buffer))
    }

    /// Makes room for bytes that are going to be written, where there is none yet.
    pub fn allocate(&self, position: u64, length: u64) -> Result<()> {
        let volume = self.regular()?;
        self.change(&volume, |mounted| {
            if is_allocated(mounted, self.number, position, length)? {
                return Ok(());
            }
            make_sure_of_room(mounted, self.number, position, length)?;
            // A hole reads as zeroes; now these are written.
            let mut zeroes = Vec::new();
            zeroes.try_reserve_exact(length as usize).map_err(|_| Ext4Error::no_memory())?;
            zeroes.resize(length as usize, 0);
            let have = mounted.read_inode(self.number, position, &mut zeroes)?;
            mounted.write_inode(self.number, position, &zeroes[..have])
        })
    }

    pub fn sync_volume(&self) -> Result<()> {
        self.volume()?.sync()
    }

    /// A node of this volume, given as any.
    fn same_volume(&self, node: &Rc<dyn Node>) -> Result<Rc<Inode>> {
        let node: Rc<Inode> = (node.clone() as Rc<dyn Any>).downcast().map_err(|_| Errno::EXDEV)?;
        if Weak::ptr_eq(&node.volume, &self.volume) { Ok(node) } else { Err(Errno::EXDEV) }
    }
}

/// A buffer of at most [`CHUNK`] bytes.
fn buffer(count: usize) -> Result<Vec<u8>> {
    list::zeroes(count.min(CHUNK))
}

/// Blocks that files leave to the file system's own growth: it must not run out in the middle of a change.
const KEPT_BACK: u64 = 32;

/// Fails with ENOSPC where a write may need more blocks than there are.
fn make_sure_of_room(
    mounted: &mut Mounted,
    number: InodeNumber,
    position: u64,
    length: u64,
) -> Ext4Result<()> {
    let facts = mounted.statfs();
    if facts.free_blocks >= length / facts.block_size + 2 + KEPT_BACK {
        return Ok(());
    }
    // Only what has its blocks already.
    if is_allocated(mounted, number, position, length)? { Ok(()) } else { Err(Ext4Error::no_space()) }
}

/// Whether bytes of a file have their blocks.
fn is_allocated(mounted: &mut Mounted, number: InodeNumber, position: u64, length: u64) -> Ext4Result<bool> {
    let map =
        mounted.inode_extents(number, position, length, FileExtentTarget::Data, usize::from(u16::MAX))?;
    let end = position + length;
    let of = |extent: &FileExtent| {
        let from = extent.logical_start.max(position);
        (extent.logical_start + extent.length).min(end).saturating_sub(from)
    };
    let mapped: u64 = map.extents.iter().map(of).sum();
    Ok(mapped >= length)
}

/// Fails with ENOSPC where a new name may need more blocks than there are.
fn make_sure_of_name(mounted: &Mounted) -> Ext4Result<()> {
    if mounted.statfs().free_blocks >= KEPT_BACK / 2 { Ok(()) } else { Err(Ext4Error::no_space()) }
}

/// Whether a directory is, or lies below, another; by its parents.
fn lies_below(mounted: &mut Mounted, mut directory: InodeNumber, above: InodeNumber) -> Ext4Result<bool> {
    // A damaged disk may have a circle of parents.
    for _ in 0..4096 {
        if directory == above {
            return Ok(true);
        }
        if directory == mounted.root_inode() {
            return Ok(false);
        }
        let parent = mounted.lookup_child(directory, FileName::new(b"..")?)?;
        directory = parent.ok_or(Ext4Error::corrupted())?.number;
    }
    Err(Ext4Error::corrupted())
}

impl Node for Inode {
    fn stat(&self) -> Stat {
        self.stat()
    }

    fn kind(&self) -> u32 {
        Self::kind(self)
    }

    fn lookup(&self, name: &[u8]) -> Result<Rc<dyn Node>> {
        let volume = self.directory()?;
        let name = name_of(name)?;
        let found = volume.look(|mounted| mounted.lookup_child(self.number, name))?;
        Ok(volume.node(found.ok_or(Errno::ENOENT)?))
    }

    fn list(&self) -> Result<Vec<DirectoryEntry>> {
        if self.nameless.get() {
            return Ok(Vec::new());
        }
        let volume = self.directory()?;
        volume.look(|mounted| {
            let mut entries = Vec::new();
            let mut reader = mounted.open_directory_reader(self.number)?;
            let mut cursor = DirectoryCursor::Start;
            loop {
                let some = mounted.read_directory_with_reader(&mut reader, cursor, ENTRIES)?;
                let Some(last) = some.last() else { return Ok(entries) };
                // A damaged disk must not keep us here.
                if last.next_cursor == cursor {
                    return Err(Ext4Error::corrupted());
                }
                cursor = last.next_cursor;
                entries.try_reserve(some.len()).map_err(|_| Ext4Error::no_memory())?;
                entries.extend(
                    some.into_iter().filter(|entry| entry.name != b"." && entry.name != b"..").map(|entry| {
                        DirectoryEntry {
                            name: entry.name,
                            inode: u64::from(entry.inode.raw()),
                            mode: kind_of(entry.file_type),
                        }
                    }),
                );
            }
        })
    }

    fn target(&self) -> Option<Vec<u8>> {
        if self.kind() != S_IFLNK {
            return None;
        }
        let mut target = buffer(4096).ok()?;
        let length =
            self.volume().ok()?.look(|mounted| mounted.read_inode(self.number, 0, &mut target)).ok()?;
        target.truncate(length);
        Some(target)
    }

    fn open(self: Rc<Self>, flags: u32) -> Result<Rc<dyn File>> {
        if !matches!(self.kind(), S_IFREG | S_IFDIR) {
            return Err(Errno::ENXIO);
        }
        let writes = flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0;
        if writes && self.volume()?.is_read_only() {
            return Err(Errno::EROFS);
        }
        if flags & O_TRUNC != 0 {
            self.truncate(0)?;
        }
        if writes && flags & O_DSYNC != 0 { Ok(Rc::new(Synchronous(self))) } else { Ok(self) }
    }

    fn create(&self, name: &[u8], mode: u32, target: &[u8]) -> Result<Rc<dyn Node>> {
        let volume = self.directory()?;
        let name = name_of(name)?;
        let (user, group) = {
            let who = process::credentials();
            (who.user(), who.group())
        };
        // In a directory with the bit set, files are the directory's group's, and directories have it too (inode(7)).
        let own = self.info();
        let inherits = u32::from(own.mode) & S_ISGID != 0;
        let context = MutationContext::new(user, if inherits { own.gid } else { group }, 0, 0);
        let mode = if inherits && mode & S_IFMT == S_IFDIR { mode | S_ISGID } else { mode };
        let permissions = FilePermissions::new((mode & 0o7777) as u16).map_err(|_| Errno::EINVAL)?;
        let info = self.change(&volume, |mounted| {
            make_sure_of_name(mounted)?;
            let special = |kind| (context, self.number, name, permissions, kind);
            let (context, parent, name, permissions, kind) = match mode & S_IFMT {
                S_IFDIR => return mounted.create_directory(context, self.number, name, permissions),
                S_IFLNK => return mounted.create_symlink(context, self.number, name, target),
                S_IFREG => return mounted.create_regular_file(context, self.number, name, permissions),
                S_IFIFO => special(SpecialInodeKind::Fifo),
                S_IFSOCK => special(SpecialInodeKind::Socket),
                _ => return Err(Ext4Error::invalid_input()),
            };
            mounted.create_special_inode(context, parent, name, permissions, kind)
        })?;
        Ok(volume.node(info))
    }

    fn link(&self, name: &[u8], node: Rc<dyn Node>) -> Result<()> {
        let node = self.same_volume(&node)?;
        if node.kind() == S_IFDIR {
            return Err(Errno::EPERM);
        }
        if node.nameless.get() {
            return Err(Errno::ENOENT);
        }
        let volume = self.directory()?;
        let name = name_of(name)?;
        let info = self.change(&volume, |mounted| {
            make_sure_of_name(mounted)?;
            mounted.hard_link(node.number, self.number, name)
        })?;
        node.refresh(info);
        Ok(())
    }

    fn remove(&self, name: &[u8], directory: bool) -> Result<()> {
        let volume = self.directory()?;
        let name = name_of(name)?;
        let outcome = self.change(&volume, |mounted| {
            let found = mounted.lookup_child(self.number, name)?.ok_or(Ext4Error::not_found())?;
            match (found.is_directory(), directory) {
                (true, false) => Err(Ext4Error::is_dir()),
                (false, true) => Err(Ext4Error::not_dir()),
                (true, true) => mounted.remove_empty_directory(self.number, name),
                (false, false) => mounted.unlink(self.number, name),
            }
        })?;
        if outcome.requires_reap() {
            volume.lost_last_name(outcome.inode);
        } else if let Some(node) = volume.held(outcome.inode) {
            node.stale.set(true);
        }
        Ok(())
    }

    fn rename(&self, name: &[u8], to: &Rc<dyn Node>, new_name: &[u8]) -> Result<()> {
        let to = self.same_volume(to)?;
        let volume = self.directory()?;
        to.directory()?;
        let (name, new_name) = (name_of(name)?, name_of(new_name)?);
        let outcome = self.change(&volume, |mounted| {
            let node = mounted.lookup_child(self.number, name)?.ok_or(Ext4Error::not_found())?;
            if let Some(old) = mounted.lookup_child(to.number, new_name)? {
                match (node.is_directory(), old.is_directory()) {
                    _ if old.number == node.number => return Ok(None),
                    (true, false) => return Err(Ext4Error::not_dir()),
                    (false, true) => return Err(Ext4Error::is_dir()),
                    _ => {}
                }
            }
            if node.is_directory() && lies_below(mounted, to.number, node.number)? {
                return Err(Ext4Error::invalid_input());
            }
            make_sure_of_name(mounted)?;
            mounted.rename(self.number, name, to.number, new_name, RenameOptions::REPLACE).map(Some)
        });
        to.stale.set(true);
        let outcome = outcome?;
        if let Some(replaced) = outcome.and_then(|outcome| outcome.replaced) {
            if replaced.requires_reap() {
                volume.lost_last_name(replaced.inode);
            } else if let Some(node) = volume.held(replaced.inode) {
                node.stale.set(true);
            }
        }
        Ok(())
    }

    fn change(&self, change: &Change) -> Result<()> {
        if let Some(size) = change.size {
            self.truncate(size)?;
        }
        let mut update = InodeMetadataUpdate::default();
        if let Some(permissions) = change.permissions {
            update.permissions = FilePermissions::new((permissions & 0o7777) as u16).ok();
        }
        if change.user.is_some() || change.group.is_some() {
            let info = self.info();
            update.owner = Some((change.user.unwrap_or(info.uid), change.group.unwrap_or(info.gid)));
        }
        let time = |(seconds, nanoseconds)| Ext4Timestamp::new(seconds, nanoseconds);
        update.atime = change.accessed.map(time);
        update.mtime = change.modified.map(time);
        if update != InodeMetadataUpdate::default() {
            let info = self.volume()?.change(|mounted| mounted.update_inode_metadata(self.number, update))?;
            self.refresh(info);
        }
        Ok(())
    }

    fn is_read_only(&self) -> bool {
        self.volume().is_ok_and(|volume| volume.is_read_only())
    }

    fn sync(&self) -> Result<()> {
        self.volume()?.sync()
    }

    fn usage(&self) -> Option<Usage> {
        /// EXT4_SUPER_MAGIC of linux/magic.h.
        const MAGIC: u64 = 0xef53;
        let volume = self.volume().ok()?;
        let facts = volume.look(|mounted| Ok(mounted.statfs())).ok()?;
        Some(Usage {
            magic: MAGIC,
            block: facts.block_size,
            blocks: facts.total_blocks,
            free: facts.free_blocks,
            files: u64::from(facts.total_inodes),
            free_files: u64::from(facts.free_inodes),
            read_only: volume.is_read_only(),
        })
    }
}

impl File for Inode {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        let volume = self.regular()?;
        let left = self.info().size.saturating_sub(access.position);
        let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut buffer = buffer(count)?;
        let mut done = 0;
        while done < count {
            let length = buffer.len().min(count - done);
            let part = &mut buffer[..length];
            let position = access.position + done as u64;
            let got =
                volume.look(|mounted| mounted.read_inode(self.number, position, part)).and_then(|got| {
                    self.pages.read_over(position, &mut buffer[..got]);
                    user::write_bytes(to + done as u64, &buffer[..got]).map(|()| got)
                });
            match got {
                Err(error) if done == 0 => return Err(error),
                Ok(got) if got > 0 => done += got,
                _ => break,
            }
        }
        Ok(done)
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        let volume = self.regular()?;
        if count > 0 && access.position >= LARGEST {
            return Err(Errno::EFBIG);
        }
        let count = count.min((LARGEST - access.position) as usize);
        let mut buffer = buffer(count)?;
        let mut done = 0;
        while done < count {
            // Whole blocks where it can be: up to the end of a chunk in the file.
            let position = access.position + done as u64;
            let length = (buffer.len() - position as usize % buffer.len().max(1)).min(count - done);
            let part = &mut buffer[..length];
            let written = user::read_bytes(from + done as u64, part).and_then(|()| {
                if !self.pages.is_empty() {
                    self.pages.clear_behind(self.size());
                }
                self.change(&volume, |mounted| {
                    make_sure_of_room(mounted, self.number, position, part.len() as u64)?;
                    mounted.write_inode(self.number, position, part)
                })
            });
            if written.is_ok() && self.pages.write_over(position, &buffer[..length]) {
                volume.note_change();
            }
            match written {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += length,
            }
        }
        Ok(done)
    }

    fn stat(&self) -> Stat {
        self.stat()
    }

    fn sync(&self) -> Result<()> {
        Node::sync(self)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn pages(self: Rc<Self>) -> Option<Rc<dyn Pages>> {
        self.regular().ok()?;
        Some(mapped::mapping(self))
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        if let Some(volume) = self.volume.upgrade() {
            volume.let_go(self.number, self.nameless.get());
        }
    }
}

/// A file opened with O_DSYNC or O_SYNC: what was written is safe when the call returns.
struct Synchronous(Rc<Inode>);

impl File for Synchronous {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        File::read(&*self.0, to, count, access)
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        let done = File::write(&*self.0, from, count, access)?;
        Node::sync(&*self.0)?;
        Ok(done)
    }

    fn stat(&self) -> Stat {
        self.0.stat()
    }

    fn sync(&self) -> Result<()> {
        Node::sync(&*self.0)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn pages(self: Rc<Self>) -> Option<Rc<dyn Pages>> {
        File::pages(self.0.clone())
    }
}
