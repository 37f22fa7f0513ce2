//! What QEMU's `blklogwrites` records, in the format of Linux' dm-log-writes (`Documentation/admin-guide/device-mapper/log-writes.rst`), and
//! the disks that it may have left when the power went.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// Bytes of a sector of the log and of the disk.
const SECTOR: usize = 512;
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

/// Where ext4's superblock stands on a disk. It is kept or lost as one: its checksum is in the second of its two sectors, and Linux as
/// well counts on disks that write both or none.
const SUPERBLOCK: Range<usize> = 1024..2048;

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
        let superblock = random.bool();
        for (number, sector) in entry.data.chunks(SECTOR).enumerate() {
            let at = entry.at + number * SECTOR;
            let kept = if SUPERBLOCK.contains(&at) { superblock } else { random.bool() };
            if fate == 0 || fate == 1 && kept {
                image[at..at + sector.len()].copy_from_slice(sector);
            }
        }
    }
    image
}

/// Which writes a disk has kept when the power goes, by their places in the log.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Vec<usize>);

impl Moment {
    /// How many writes it has kept.
    pub fn writes(&self) -> usize {
        self.0.len()
    }

    /// The disk at this moment.
    pub fn image(&self, before: &[u8], entries: &[Entry]) -> Vec<u8> {
        let mut image = before.to_vec();
        for entry in self.0.iter().map(|&index| &entries[index]) {
            image[entry.at..][..entry.data.len()].copy_from_slice(&entry.data);
        }
        image
    }
}

/// The moments at which the power may go: after each write; and between two flushes with any one write lost, or all but one, since disks
/// reorder.
pub fn moments(entries: &[Entry]) -> Vec<Moment> {
    let mut moments = BTreeSet::new();
    let mut safe = 0;
    for end in 0..=entries.len() {
        moments.insert(Moment((0..end).collect()));
        if entries.get(end).is_none_or(|entry| entry.flush) {
            for one in safe..end {
                moments.insert(Moment((0..end).filter(|&index| index != one).collect()));
                moments.insert(Moment((0..safe).chain([one]).collect()));
            }
            safe = end;
        }
    }
    moments.into_iter().collect()
}
