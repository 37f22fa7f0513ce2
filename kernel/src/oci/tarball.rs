//! Walks tar archives entry by entry, with bounds on what their headers may take.

use std::cell::Cell;
use std::io::{self, Read, Seek};
use std::rc::Rc;

use tar::{Archive, Entry, EntryType};

use super::error::{ImageError, shown};
use super::limits;

/// What an entry says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    /// Its name as it is written.
    pub(super) name: Vec<u8>,
    /// What it links to.
    pub(super) link: Vec<u8>,
    pub(super) kind: Kind,
    /// Permissions.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i64,
    pub(super) mtime_nsec: u32,
    /// The length of its data, holes included.
    pub(super) size: u64,
    /// Where its data starts in the archive.
    pub(super) at: u64,
    /// Its data has holes, and so does not lie in the archive as it is.
    pub(super) sparse: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    HardLink,
    SymbolicLink,
    Pipe,
    Device,
    /// A kind that only some archiver knows.
    Other(u8),
}

/// A reader that gives no more than what is left of a budget.
pub(super) struct Guard<R> {
    inner: R,
    budget: Rc<Cell<u64>>,
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let budget = self.budget.get();
        if budget == 0 && !into.is_empty() {
            return Err(io::Error::other("the headers of an entry are too long"));
        }
        let most = into.len().min(usize::try_from(budget).unwrap_or(usize::MAX));
        let count = self.inner.read(&mut into[..most])?;
        self.budget.set(budget - count as u64);
        Ok(count)
    }
}

impl<R: Seek> Seek for Guard<R> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Calls `visit` with each entry and its data, and reads the archive to the end of its last entry.
pub(super) fn walk<R: Read>(
    reader: R,
    what: &str,
    mut visit: impl FnMut(Meta, &mut dyn Read) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let malformed = |error: io::Error| ImageError::malformed(what, error);
    let budget = Rc::new(Cell::new(0));
    let mut archive = Archive::new(Guard { inner: reader, budget: budget.clone() });
    let mut entries = archive.entries().map_err(malformed)?;
    loop {
        budget.set(limits::HEADERS);
        let Some(entry) = entries.next() else { return Ok(()) };
        let mut entry = entry.map_err(malformed)?;
        let Some(meta) = meta(&mut entry, what)? else { continue };
        // Data is bounded by who takes it; here it is only headers that must not fill the memory.
        budget.set(u64::MAX);
        visit(meta, &mut entry)?;
        io::copy(&mut entry, &mut io::sink()).map_err(malformed)?;
    }
}

/// The same for an archive whose data need not be read.
pub(super) fn skim<R: Read + Seek>(
    reader: R,
    what: &str,
    mut visit: impl FnMut(Meta) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let malformed = |error: io::Error| ImageError::malformed(what, error);
    let budget = Rc::new(Cell::new(0));
    let mut archive = Archive::new(Guard { inner: reader, budget: budget.clone() });
    let mut entries = archive.entries_with_seek().map_err(malformed)?;
    loop {
        budget.set(limits::HEADERS);
        let Some(entry) = entries.next() else { return Ok(()) };
        if let Some(meta) = meta(&mut entry.map_err(malformed)?, what)? {
            visit(meta)?;
        }
    }
}

/// What an entry says; nothing when it only speaks of others.
fn meta<R: Read>(entry: &mut Entry<'_, R>, what: &str) -> Result<Option<Meta>, ImageError> {
    let name = entry.path_bytes().into_owned();
    let hostile = |why| ImageError::Hostile { layer: what.into(), name: shown(&name), why };
    let malformed = |error: io::Error| ImageError::malformed(format!("{what}: `{}`", shown(&name)), error);
    let kind = match entry.header().entry_type() {
        EntryType::XGlobalHeader => return Ok(None),
        // Before 1988 a folder was a file whose name ends in a slash.
        EntryType::Regular if name.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Link => Kind::HardLink,
        EntryType::Symlink => Kind::SymbolicLink,
        EntryType::Fifo => Kind::Pipe,
        EntryType::Char | EntryType::Block => Kind::Device,
        other => Kind::Other(other.as_byte()),
    };
    let link = entry.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default();
    let header = entry.header();
    // A field that is left empty is zero, as for every other reader.
    let old = header.as_old();
    let number = |field: &[u8], number: io::Result<u64>| match field.iter().all(|b| matches!(b, 0 | b' ')) {
        true => Ok(0),
        false => number.map_err(malformed),
    };
    let id = |id: u64| u32::try_from(id).map_err(|_| hostile("its owner is out of range"));
    let (uid, gid) = (id(number(&old.uid, header.uid())?)?, id(number(&old.gid, header.gid())?)?);
    let mode = number(&old.mode, header.mode().map(u64::from))? as u32 & 0o7777;
    let mtime = i64::try_from(number(&old.mtime, header.mtime())?).unwrap_or(i64::MAX);
    let sparse = header.entry_type() == EntryType::GNUSparse;
    let mut meta = Meta {
        link,
        kind,
        mode,
        uid,
        gid,
        mtime,
        mtime_nsec: 0,
        size: entry.size(),
        at: entry.raw_file_position(),
        sparse,
        name: Vec::new(),
    };
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for record in entry.pax_extensions().map_err(malformed)?.into_iter().flatten() {
        let record = record.map_err(malformed)?;
        let key = record.key_bytes();
        if key.starts_with(b"GNU.sparse.") {
            return Err(hostile(
                "it is sparse in a way that is not known here; save the image with another tool",
            ));
        }
        if !matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime") {
            continue;
        }
        // Readers disagree on which of two counts, and so could be shown different files.
        if seen.iter().any(|known| known == key) {
            return Err(hostile("its headers say one thing twice"));
        }
        seen.push(key.to_vec());
        if key == b"mtime" {
            (meta.mtime, meta.mtime_nsec) =
                record.value().ok().and_then(seconds).ok_or_else(|| hostile("its time is no time"))?;
        }
    }
    if name.contains(&0) || meta.link.contains(&0) {
        return Err(hostile("its name holds a zero byte"));
    }
    if name.len() > limits::PATH || meta.link.len() > limits::PATH {
        return Err(hostile("its name is longer than 4095 bytes"));
    }
    meta.name = name;
    Ok(Some(meta))
}

/// A time with a fraction, such as `-1.5`: whole seconds, rounded down, and nanoseconds.
fn seconds(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (negative, digits) = match whole.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, whole),
    };
    if digits.is_empty() || !digits.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = digits.parse().ok()?;
    let nanos: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    match (negative, nanos) {
        (false, nanos) => Some((whole, nanos)),
        (true, 0) => Some((-whole, 0)),
        (true, nanos) => Some((-whole - 1, 1_000_000_000 - nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_have_fractions() {
        assert_eq!(seconds("1350244992.023960108"), Some((1_350_244_992, 23_960_108)));
        assert_eq!(seconds("7"), Some((7, 0)));
        assert_eq!(seconds("-1.5"), Some((-2, 500_000_000)));
        assert_eq!(seconds("-3"), Some((-3, 0)));
        assert_eq!(seconds("1.0000000009"), Some((1, 0)));
        for wrong in ["", "-", "1e9", "+1", "1.-2", "99999999999999999999", "0x1"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
