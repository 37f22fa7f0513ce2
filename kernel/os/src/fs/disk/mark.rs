//! The mark in the superblock that the journal may have to be replayed (`INCOMPAT_RECOVER`, "needs_recovery").
//!
//! Where the mark is missing, Linux throws away what the journal holds, and e2fsck asks before it does anything. So it has to be safe on the
//! disk before the journal gets anything, and may go only when nothing is left there. rsext4 writes it as any other change, through the
//! journal: too late when mounting, too early when unmounting. [`Disk`] stands below and sees to it.

use super::cache::Cache;
use crate::driver::block::SECTOR;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::ops::Range;
use rsext4::endian::DiskFormat;
use rsext4::superblock::Ext4Superblock;
use rsext4::{
    BlockIo, DeviceCapabilities, DeviceGeometry, EXT4_SUPER_MAGIC, Ext4Result, SUPERBLOCK_OFFSET,
    SUPERBLOCK_SIZE, SectorId,
};

/// Bytes of the disk that are the superblock.
const SUPERBLOCK: Range<u64> = SUPERBLOCK_OFFSET..SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE as u64;
const SUPERBLOCK_SECTOR: SectorId = SectorId::new(SUPERBLOCK_OFFSET / SECTOR);
const SUPERBLOCK_SECTORS: u32 = (SUPERBLOCK_SIZE as u64 / SECTOR) as u32;

/// How the journal's own superblock starts: the magic number, and its first or second version (`struct journal_superblock_s`).
const JOURNAL: [[u8; 8]; 2] = [[0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 3], [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 4]];

/// The disk as the file system sees it.
#[derive(Clone)]
pub struct Disk(Rc<RefCell<Marked>>);

struct Marked {
    cache: Cache,
    /// Something was written: from then on the mark stays where there is a journal.
    written: bool,
}

impl Disk {
    pub fn new(cache: Cache) -> Self {
        Self(Rc::new(RefCell::new(Marked { cache, written: false })))
    }

    /// Takes the mark away. The file system has been unmounted: its journal is empty, and everything is safe.
    pub fn unmark(&self) -> Ext4Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.set(false)?;
        disk.written = false;
        disk.cache.flush()
    }
}

impl Marked {
    /// Sets the mark or takes it away, where there is a journal.
    fn set(&mut self, marked: bool) -> Ext4Result<()> {
        let mut bytes = [0; SUPERBLOCK_SIZE];
        self.cache.read(&mut bytes, SUPERBLOCK_SECTOR, SUPERBLOCK_SECTORS)?;
        let mut superblock = Ext4Superblock::from_disk_bytes(&bytes);
        let before = superblock.s_feature_incompat;
        let mark = Ext4Superblock::EXT4_FEATURE_INCOMPAT_RECOVER;
        superblock.s_feature_incompat = if marked { before | mark } else { before & !mark };
        if superblock.s_magic != EXT4_SUPER_MAGIC
            || !superblock.has_journal()
            || superblock.s_feature_incompat == before
        {
            return Ok(());
        }
        superblock.update_checksum();
        superblock.to_disk_bytes(&mut bytes);
        self.cache.write(&bytes, SUPERBLOCK_SECTOR, SUPERBLOCK_SECTORS)
    }
}

impl BlockIo for Disk {
    fn read(&mut self, buffer: &mut [u8], sector: SectorId, count: u32) -> Ext4Result<()> {
        self.0.borrow_mut().cache.read(buffer, sector, count)
    }

    fn write(&mut self, buffer: &[u8], sector: SectorId, count: u32) -> Ext4Result<()> {
        let mut disk = self.0.borrow_mut();
        if !disk.written {
            disk.set(true)?;
            disk.cache.flush()?;
            disk.written = true;
        }
        // What was replayed has to be safe before the journal says that it is empty: rsext4 waits for both at once.
        if JOURNAL.iter().any(|start| buffer.starts_with(start)) {
            disk.cache.flush()?;
        }
        disk.cache.write(buffer, sector, count)?;
        let start = sector.raw() * SECTOR;
        if start < SUPERBLOCK.end && start + buffer.len() as u64 > SUPERBLOCK.start {
            disk.set(true)?;
        }
        Ok(())
    }

    fn geometry(&self) -> DeviceGeometry {
        self.0.borrow().cache.geometry()
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.borrow().cache.capabilities()
    }

    fn flush(&mut self) -> Ext4Result<()> {
        self.0.borrow_mut().cache.flush()
    }
}
