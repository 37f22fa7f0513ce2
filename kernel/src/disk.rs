//! Makes disks: files with an empty ext4 file system, by the code that the library OS reads and writes them with.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rsext4::{
    BlockIo, Clock, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, Ext4Timestamp, MkfsOptions,
    SectorId,
};

/// The least that a journal and some files have room in, in bytes.
pub const SMALLEST: u64 = 32 << 20;
/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Bytes of a block of the file system; disks are made of whole ones.
const BLOCK: u64 = 4096;

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// Something is there.
    #[error("{} exists; --force overwrites it, and what is on it is lost", .0.display())]
    Exists(PathBuf),
    /// Less than [`SMALLEST`].
    #[error("a disk cannot be as small as {0} B; 32M is the least")]
    TooSmall(u64),
    /// The file cannot be written.
    #[error("{} cannot be written: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// No file system fits.
    #[error("no file system of this size can be made: {0}")]
    Format(String),
}

/// A new file, all zeroes.
struct Blank {
    file: File,
    bytes: u64,
    /// Of each block, whether something was written to it: zeroes need not be written before.
    written: Vec<bool>,
}

impl Blank {
    fn blocks(start: u64, bytes: usize) -> std::ops::Range<usize> {
        (start / BLOCK) as usize..(start + bytes as u64).div_ceil(BLOCK) as usize
    }
}

impl BlockIo for Blank {
    fn write(&mut self, buffer: &[u8], sector: SectorId, _: u32) -> Ext4Result<()> {
        let start = sector.raw() * SECTOR;
        let blocks = self.written.get_mut(Blank::blocks(start, buffer.len())).ok_or(Ext4Error::io())?;
        if buffer.iter().all(|&byte| byte == 0) && !blocks.contains(&true) {
            return Ok(());
        }
        blocks.fill(true);
        self.file.write_all_at(buffer, start).map_err(|_| Ext4Error::io())
    }

    fn read(&mut self, buffer: &mut [u8], sector: SectorId, _: u32) -> Ext4Result<()> {
        self.file.read_exact_at(buffer, sector.raw() * SECTOR).map_err(|_| Ext4Error::io())
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(SECTOR as u32, self.bytes / SECTOR)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities { flush: true, ..DeviceCapabilities::default() }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        Ok(()) // once, at the end
    }
}

struct Now;

impl Clock for Now {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Ext4Timestamp::new(since.as_secs() as i64, since.subsec_nanos()))
    }
}

/// Makes a disk of `bytes`, rounded down to whole blocks. The file has holes: it takes room as it fills.
///
/// # Errors
/// When the file exists and is not to be overwritten, when it is too small, or when it cannot be written; nothing is left of it then.
pub fn make(path: &Path, bytes: u64, overwrite: bool) -> Result<u64, DiskError> {
    if bytes < SMALLEST {
        return Err(DiskError::TooSmall(bytes));
    }
    let bytes = bytes / BLOCK * BLOCK;
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => DiskError::Exists(path.to_owned()),
        _ => DiskError::Io { path: path.to_owned(), error },
    };
    // Beside the file, so that what was there is there until the new one is whole.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !overwrite && path.symlink_metadata().is_ok() {
        return Err(DiskError::Exists(path.to_owned()));
    }
    let scratch = tempfile::Builder::new().prefix(".bespoke-disk-").tempfile_in(folder).map_err(io)?;
    let file = OpenOptions::new().read(true).write(true).open(scratch.path()).map_err(io)?;
    file.set_len(bytes).map_err(io)?;
    let blank = Blank { file, bytes, written: vec![false; (bytes / BLOCK) as usize] };
    let options = MkfsOptions { block_size: BLOCK as u32, ..MkfsOptions::default() };
    let made = rsext4::format(blank, Now, options).map_err(|error| match error.kind() {
        rsext4::Ext4ErrorKind::Io => io(std::io::Error::other("writing failed")),
        _ => DiskError::Format(error.kind().to_string()),
    })?;
    made.file.sync_all().map_err(io)?;
    let kept = if overwrite { scratch.persist(path) } else { scratch.persist_noclobber(path) };
    kept.map_err(|error| io(error.error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_made_once_and_has_holes() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        assert_eq!(make(&path, (64 << 20) + 5, false).unwrap(), 64 << 20);
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), 64 << 20);
        assert!(metadata.blocks() * 512 < 4 << 20, "{} blocks", metadata.blocks());
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[0x438..0x43a], [0x53, 0xef], "ext4's magic");
        assert!(matches!(make(&path, 64 << 20, false), Err(DiskError::Exists(_))));
        make(&path, 32 << 20, true).unwrap();
        assert!(matches!(make(&path, 1 << 20, true), Err(DiskError::TooSmall(_))));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
