//! What QEMU's `blklogwrites` records, in the format of Linux' dm-log-writes (`Documentation/admin-guide/device-mapper/log-writes.rst`), and
//! the disks that it may have left when the power went.

use std::fs;
use std::path::Path;

/// Bytes of a sector of the log and of the disk.
const SECTOR: usize = 512;
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

/// Something that reached the disk.
pub struct Entry {
    /// What was written before this is safe.
    pub flush: bool,
    /// Where on the disk, in bytes.
    pub at: usize,
    /// What was written there.
    pub data: Vec<u8>,
}

/// Reads a log.
pub fn read(path: &Path) -> Vec<Entry> {
    let log = fs::read(path).expect("a log");
    let word = |at: usize| u64::from_le_bytes(log[at..at + 8].try_into().expect("8 bytes"));
    assert_eq!(word(0), MAGIC, "not a log of writes");
    assert_eq!(log[24..28], (SECTOR as u32).to_le_bytes(), "another sector size");
    let mut entries = Vec::new();
    let mut at = SECTOR;
    // As many as are there: the count at the front is written now and then only.
    while at + SECTOR <= log.len() {
        let (sector, sectors, flags) = (word(at) as usize, word(at + 8) as usize, word(at + 16));
        if sectors == 0 && flags == 0 {
            break;
        }
        assert_eq!(flags & DISCARD, 0, "nothing discards");
        let data = log.get(at + SECTOR..at + SECTOR + sectors * SECTOR).unwrap_or_default().to_vec();
        entries.push(Entry { flush: flags & FLUSH != 0, at: sector * SECTOR, data });
        at += SECTOR * (1 + sectors);
    }
    entries
}

/// A disk after these entries: all that was flushed is there, and of what came after any part, in sectors.
pub fn image(before: &[u8], entries: &[Entry], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut image = before.to_vec();
    let safe = entries.iter().rposition(|entry| entry.flush).unwrap_or(0);
    // Everything kept, as when only the machine dies; or each write kept, lost, or kept in part.
    let all = random.u8(..4) == 0;
    for (index, entry) in entries.iter().enumerate() {
        let fate = if all || index < safe { 0 } else { random.u8(..3) };
        for (number, sector) in entry.data.chunks(SECTOR).enumerate() {
            if fate == 0 || fate == 1 && random.bool() {
                image[entry.at + number * SECTOR..][..sector.len()].copy_from_slice(sector);
            }
        }
    }
    image
}
