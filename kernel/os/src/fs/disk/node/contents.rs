//! The bytes of files on a disk.

use super::{Inode, LARGEST};
use crate::errno::{Errno, Result};
use crate::fs::disk::mapped;
use crate::fs::disk::volume::Mounted;
use crate::fs::file::{Access, File, Pages, Stat};
use crate::fs::node::Node;
use crate::list;
use crate::memory::user;
use alloc::rc::Rc;
use alloc::vec::Vec;
use rsext4::{Ext4Error, Ext4Result, FileExtent, FileExtentTarget, InodeNumber};

/// Bytes that are copied between the program and the file system at once.
const CHUNK: usize = 64 << 10;
/// A buffer of at most [`CHUNK`] bytes.
pub fn buffer(count: usize) -> Result<Vec<u8>> {
    list::zeroes(count.min(CHUNK))
}

/// Blocks that files leave to the file system's own growth: it must not run out in the middle of a change.
pub const KEPT_BACK: u64 = 32;

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

impl Inode {
    pub fn truncate(&self, size: u64) -> Result<()> {
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

/// A file opened with O_DSYNC or O_SYNC: what was written is safe when the call returns.
pub struct Synchronous(pub Rc<Inode>);

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
