//! What paths lead to on a disk: attributes, and the names in directories.

use super::Inode;
use super::contents::{KEPT_BACK, Synchronous, buffer};
use crate::abi::process;
use crate::errno::{Errno, Result};
use crate::fs::disk::volume::Mounted;
use crate::fs::file::{File, Stat};
use crate::fs::node::{Change, DirectoryEntry, Node, Usage};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::general::*;
use rsext4::{
    DirectoryCursor, DirectoryEntryType, Ext4Error, Ext4Result, Ext4Timestamp, FileName, FilePermissions,
    InodeMetadataUpdate, InodeNumber, MutationContext, RenameOptions, SpecialInodeKind,
};

/// Directory entries fetched at once.
const ENTRIES: usize = 128;

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

impl Inode {
    /// A node of this volume, given as any.
    fn same_volume(&self, node: &Rc<dyn Node>) -> Result<Rc<Inode>> {
        let node: Rc<Inode> = (node.clone() as Rc<dyn Any>).downcast().map_err(|_| Errno::EXDEV)?;
        if Weak::ptr_eq(&node.volume, &self.volume) { Ok(node) } else { Err(Errno::EXDEV) }
    }
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
