//! The files of a build.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::layout::{Region, VIRTUAL_OFFSET};
use crate::plan::{ComposeError, Plan};
use crate::{image, link, symbols};

/// What [`Plan::write`] left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The bootable file.
    pub image: PathBuf,
    /// Its symbols, beside it: an ELF file that `nm` and gdb read.
    pub symbols: PathBuf,
    /// The length of the image.
    pub bytes: u64,
}

impl Plan<'_> {
    /// The bytes of the image.
    ///
    /// # Errors
    /// When an address does not fit where it has to be written.
    pub fn to_vec(&self) -> Result<Vec<u8>, ComposeError> {
        let mut out = vec![0; self.extents.image_bytes as usize];
        let segments: Vec<image::Segment> = self
            .regions()
            .map(|r| image::Segment {
                offset: r.offset,
                physical: r.address - VIRTUAL_OFFSET,
                virtual_: r.address,
                file_size: r.file_size,
                memory_size: r.memory_size,
                write: r.region == Region::Data,
                execute: r.region == Region::Text,
            })
            .collect();
        image::write_headers(&mut out, self.entry() as u32, &segments);
        link::write_parts(self, &mut out)?;
        let root = self.extents.region(Region::Root);
        self.payload.root().write(&mut out[root.offset as usize..]);
        Ok(out)
    }

    /// The symbols of the image, as an ELF file without code.
    pub fn symbols_elf(&self) -> Vec<u8> {
        symbols::write(self)
    }

    /// Writes the image and, beside it, `FILE.sym`. Both are complete before either has its name.
    ///
    /// # Errors
    /// When the image cannot be made or the files cannot be written.
    pub fn write(&self, path: &Path) -> Result<Written, ComposeError> {
        let bytes = self.to_vec()?;
        let mut symbols = path.as_os_str().to_owned();
        symbols.push(".sym");
        let symbols = PathBuf::from(symbols);
        let image_file = beside(path, &bytes)?;
        let symbols_file = beside(&symbols, &self.symbols_elf())?;
        if path.is_dir() {
            let error = std::io::Error::from(std::io::ErrorKind::IsADirectory);
            return Err(ComposeError::Write { path: path.to_owned(), error });
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |e: tempfile::PersistError| ComposeError::Write { path, error: e.error }
        };
        symbols_file.persist(&symbols).map_err(failed(&symbols))?;
        image_file.persist(path).map_err(failed(path))?;
        Ok(Written { image: path.to_owned(), symbols, bytes: bytes.len() as u64 })
    }
}

/// A file with these bytes, in the directory of `path` but not yet under that name.
fn beside(path: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile, ComposeError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error| ComposeError::Write { path: path.to_owned(), error };
    let mut file = tempfile::Builder::new()
        .prefix(".bespoke-")
        .permissions(std::fs::Permissions::from_mode(0o666)) // less the umask, as for any file
        .tempfile_in(dir)
        .map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(failed)?;
    Ok(file)
}
