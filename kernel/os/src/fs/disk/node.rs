//! Files and directories on a disk.

mod contents;
mod names;

use super::mapped::PageTable;
use super::volume::{Mounted, Volume};
use crate::errno::{Errno, Result};
use crate::fs::file::Stat;
use alloc::rc::{Rc, Weak};
use core::cell::Cell;
use linux_raw_sys::general::*;
use rsext4::{Ext4Result, InodeInfo, InodeNumber};

/// ext4 counts a file's blocks in 32 bits; a size beyond is a lie of the disk. Bytes, for blocks of 4 KiB.
const LARGEST: u64 = ((1 << 32) - 1) << 12;

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

    pub fn sync_volume(&self) -> Result<()> {
        self.volume()?.sync()
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        if let Some(volume) = self.volume.upgrade() {
            volume.let_go(self.number, self.nameless.get());
        }
    }
}
