//! Where the bytes of an archive are: in the file itself where they lie there as they are, and otherwise in a temporary
//! file that has no name, into which compressed parts are unfolded.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;

use super::compress::{self, Packing};
use super::error::ImageError;
use super::limits::Limits;

/// A stretch of a file.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    file: Rc<File>,
    offset: u64,
    length: u64,
}

impl Extent {
    /// A file of the host.
    pub(super) fn of_file(path: &Path, what: &str) -> Result<Self, ImageError> {
        let failed = |error| ImageError::Read { what: what.to_owned(), error };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            // A pipe or a device has neither a length nor places to come back to.
            return Err(failed(io::Error::other("it is neither a file nor a folder")));
        }
        Ok(Self { file: Rc::new(file), offset: 0, length: metadata.len() })
    }

    /// A part of it, when it lies in it.
    pub(super) fn part(&self, offset: u64, length: u64) -> Option<Extent> {
        let end = offset.checked_add(length)?;
        let offset = self.offset.checked_add(offset)?;
        (end <= self.length).then(|| Extent { file: self.file.clone(), offset, length })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads it from its beginning.
    pub(super) fn reader(&self) -> Reader {
        Reader { extent: self.clone(), at: 0 }
    }

    /// How it is packed.
    pub(super) fn packing(&self) -> io::Result<Packing> {
        let mut head = Vec::new();
        self.reader().take(4).read_to_end(&mut head)?;
        Ok(Packing::of(&head))
    }

    /// All of it.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader().read_to_end(&mut bytes)?;
        match bytes.len() as u64 == self.length {
            true => Ok(bytes),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Reads a stretch, without moving anybody else's position in its file.
#[derive(Debug)]
pub(super) struct Reader {
    extent: Extent,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.extent.length - self.at;
        let most = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.extent.file.read_at(&mut into[..most], self.extent.offset + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl io::Seek for Reader {
    /// Steps forward, which is all that skipping takes.
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let io::SeekFrom::Current(step) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        let step = u64::try_from(step).map_err(|_| io::Error::from(io::ErrorKind::Unsupported))?;
        if step > self.extent.length - self.at {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += step;
        Ok(self.at)
    }
}

/// The temporary file.
#[derive(Debug)]
pub(super) struct Spool {
    limits: Limits,
    /// Made when it is first needed; with its length.
    file: RefCell<Option<(Rc<File>, u64)>>,
}

impl Spool {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, file: RefCell::default() }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Unfolds what is compressed; what is plain stays where it is.
    pub(super) fn unfold(&self, extent: Extent, what: &str) -> Result<Extent, ImageError> {
        let packing = extent.packing().map_err(|error| ImageError::malformed(what, error))?;
        if packing == Packing::Plain {
            return Ok(extent);
        }
        self.append(compress::unpack(extent.reader(), packing), self.limits.unfolded(extent.length), what)
    }

    /// Keeps what a reader gives.
    pub(super) fn keep(&self, from: impl Read, what: &str) -> Result<Extent, ImageError> {
        self.append(from, self.limits.bytes, what)
    }

    fn append(&self, mut from: impl Read, limit: u64, what: &str) -> Result<Extent, ImageError> {
        let temporary = |error| ImageError::Temporary { error };
        let mut place = self.file.borrow_mut();
        if place.is_none() {
            *place = Some((Rc::new(tempfile::tempfile().map_err(temporary)?), 0));
        }
        let Some((file, end)) = place.as_mut() else { unreachable!("it was made above") };
        // All that was unfolded so far counts, whatever part it came from.
        let limit = limit.min(self.limits.bytes.saturating_sub(*end));
        let mut chunk = vec![0; 1 << 18];
        let mut length = 0;
        loop {
            let count = match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ImageError::malformed(what, error)),
            };
            if length + count as u64 > limit {
                return Err(ImageError::TooMuch { what: "bytes, unpacked", limit, setting: "max-size" });
            }
            file.write_all_at(&chunk[..count], *end + length).map_err(temporary)?;
            length += count as u64;
        }
        let extent = Extent { file: file.clone(), offset: *end, length };
        *end += length;
        Ok(extent)
    }
}
