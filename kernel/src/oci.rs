//! Container images: read from archives, and written for unikernels.
//!
//! [`Image::open`] takes what `docker save` writes (of old and of today), and OCI layouts: as a tar file, compressed or not,
//! or as a folder. Every document and layer is held against its digest. Layers are applied to a tree in memory; the
//! files' bytes stay in the archive, or in a temporary file without a name when they are compressed there. Nothing is ever
//! unpacked under a name that an archive chose.
//!
//! What archives hold is not trusted: names that lead upwards or out, entries behind circles of links, hard links to what
//! is not there, names that come twice, headers without end, and more bytes, files or compression than [`Limits`]
//! allows are all [`ImageError`]s.

mod archive;
mod choose;
mod command;
mod compress;
mod digest;
mod documents;
mod error;
mod layer;
mod limits;
mod storage;
mod tarball;
#[cfg(test)]
mod tests;
mod tree;
mod wanted;
mod write;

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::rc::Rc;

pub use choose::Pick;
pub use command::{Launch, LaunchError};
pub use digest::Digest;
pub use documents::Start;
pub use error::ImageError;
pub use layer::Skipped;
pub use limits::Limits;
pub use wanted::{Wanted, folders, wanted};
pub use write::{KERNEL, NEEDED, Unikernel, is_reference, reference_for};

use self::archive::Archive;
use self::choose::Found;
use self::digest::Checked;
use self::storage::Spool;
use self::tree::{Content, Fault, Id, Tree};
use crate::root::{Attributes, FileId};

/// A container image: its file tree, and how it is started.
#[derive(Debug)]
pub struct Image {
    id: Digest,
    start: Start,
    tree: Tree,
    skipped: Vec<Skipped>,
}

/// What lies at a path of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file, of this length.
    File(u64),
    /// A folder.
    Directory,
    /// A symbolic link.
    Link,
    /// Something else: a pipe.
    Other,
}

/// A file of an image, on its way into a packed root.
pub(crate) struct Entry {
    /// Its path, without links in it.
    pub(crate) path: String,
    pub(crate) attributes: Attributes,
    id: Id,
}

impl Image {
    /// Reads an image, all of it.
    ///
    /// # Errors
    /// When there is no such image, or it is not to be trusted: see [`ImageError`].
    pub fn open(path: &Path, pick: &Pick, limits: Limits) -> Result<Self, ImageError> {
        let spool = Spool::new(limits);
        let archive = Archive::open(path, &spool)?;
        let found = choose::choose(choose::candidates(&archive)?, pick)?;
        Self::read(found, &spool)
    }

    fn read(found: Found, spool: &Spool) -> Result<Self, ImageError> {
        let Found { id, configuration, layers } = found;
        let diff_ids = &configuration.rootfs.diff_ids;
        if diff_ids.len() != layers.len() || layers.len() > limits::LAYERS {
            let why = format!("it has {} layers and says it has {}", layers.len(), diff_ids.len());
            return Err(ImageError::malformed("the image", why));
        }
        let mut tree = Tree::new(spool.limits().files);
        let mut skipped = Vec::new();
        for (index, (layer, diff_id)) in layers.into_iter().zip(diff_ids).enumerate() {
            let number = index + 1;
            let what = format!("layer {number}");
            let diff_id: Digest = diff_id.parse()?;
            if let Some(digest) = &layer.digest {
                Checked::new(layer.extent.reader(), digest).finish(&what, digest, None)?;
            }
            let plain = spool.unfold(layer.extent, &what)?;
            let mut reader = Checked::new(plain.reader(), &diff_id);
            layer::apply(&mut tree, &mut reader, &plain, number, &what, spool, &mut skipped)?;
            reader.finish(&what, &diff_id, None)?;
        }
        Ok(Self { id, start: configuration.config, tree, skipped })
    }

    /// Its id, as `docker images` shows it: the digest of its configuration, and so of all that is in it.
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// How a container of it is started.
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// What was left out of its tree.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// What lies at a path; links are followed, also at its end on demand.
    pub fn kind(&self, path: &str, follow: bool) -> Option<FileKind> {
        let node = self.tree.node(self.tree.find(path.as_bytes(), follow).ok()?);
        Some(match &node.content {
            Content::Directory(_) => FileKind::Directory,
            Content::File(extent) => FileKind::File(extent.length()),
            Content::Link(_) => FileKind::Link,
            Content::Pipe => FileKind::Other,
        })
    }

    /// The permissions of what lies at a path, links followed.
    pub fn mode(&self, path: &str) -> Option<u32> {
        let node = self.tree.node(self.tree.find(path.as_bytes(), true).ok()?);
        Some(node.attributes.mode & 0o7777)
    }

    /// The path without links in it.
    pub fn real_path(&self, path: &str) -> Option<String> {
        Some(self.tree.walk(path.as_bytes(), true).ok()?.path)
    }

    /// What a path needs to lead where it leads: the links on its way, and what is at its end. None when it leads nowhere.
    pub fn way(&self, path: &str) -> Vec<String> {
        self.entries(path).map(|way| way.into_iter().map(|entry| entry.path).collect()).unwrap_or_default()
    }

    /// A file's contents.
    ///
    /// # Errors
    /// When there is no such file, or the archive has changed under us.
    pub fn read_file(&self, path: &str) -> io::Result<Vec<u8>> {
        let id = self.tree.find(path.as_bytes(), true).map_err(io_error)?;
        match &self.tree.node(id).content {
            Content::File(extent) => extent.bytes(),
            Content::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
            Content::Link(_) | Content::Pipe => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The names in a folder, in order.
    pub fn names(&self, path: &str) -> Vec<&str> {
        match self.tree.find(path.as_bytes(), true) {
            Ok(id) => self.tree.children(id).map(|(name, _)| name).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// The length of all files together, and how many entries there are.
    pub fn size(&self) -> (u64, u64) {
        self.size_of(Tree::ROOT)
    }

    /// The length of all files at a path and in it; a link's is what it leads to.
    pub fn bytes_in(&self, path: &str) -> u64 {
        let find = |follow| self.tree.find(path.as_bytes(), follow).ok();
        let Some(id) = find(false) else { return 0 };
        match self.tree.node(id).content {
            // Not that of a folder: that is packed under its own name.
            Content::Link(_) => find(true)
                .filter(|id| matches!(self.tree.node(*id).content, Content::File(_)))
                .map_or(0, |id| self.size_of(id).0),
            _ => self.size_of(id).0,
        }
    }

    /// The length of all files at a node and in it, of which one that has several names counts once, and how many entries there are.
    fn size_of(&self, id: Id) -> (u64, u64) {
        let mut size = (0, 0);
        let mut left = vec![id];
        let mut known = HashSet::new();
        while let Some(id) = left.pop() {
            size.1 += 1;
            if let Content::File(extent) = &self.tree.node(id).content
                && known.insert(Rc::as_ptr(extent))
            {
                size.0 += extent.length();
            }
            left.extend(self.tree.children(id).map(|(_, child)| child));
        }
        size
    }

    /// What a path needs to lead where it leads: the links on its way, and what is at its end.
    pub(crate) fn entries(&self, path: &str) -> io::Result<Vec<Entry>> {
        let walk = self.tree.walk(path.as_bytes(), true).map_err(io_error)?;
        let entry = |path: String, id: Id| Entry { path, attributes: self.tree.node(id).attributes, id };
        let mut entries: Vec<Entry> = walk.links.into_iter().map(|(path, id)| entry(path, id)).collect();
        entries.push(entry(walk.path, walk.node));
        Ok(entries)
    }

    /// What lies in a folder.
    pub(crate) fn inside(&self, of: &Entry) -> Vec<Entry> {
        let above = if of.path == "/" { "" } else { &of.path };
        let entry = |(name, id): (&str, Id)| Entry {
            path: format!("{above}/{name}"),
            attributes: self.tree.node(id).attributes,
            id,
        };
        self.tree.children(of.id).map(entry).collect()
    }

    /// What tells an entry that is a file from others.
    pub(crate) fn file_id(&self, of: &Entry) -> Option<FileId> {
        match &self.tree.node(of.id).content {
            // No device of the host has that number.
            Content::File(extent) => Some((u64::MAX, Rc::as_ptr(extent) as u64)),
            _ => None,
        }
    }

    /// The bytes of an entry: a file's contents, or what a link leads to.
    pub(crate) fn data(&self, of: &Entry) -> io::Result<Vec<u8>> {
        match &self.tree.node(of.id).content {
            Content::File(extent) => extent.bytes(),
            Content::Link(target) => Ok(target.to_vec()),
            Content::Directory(_) | Content::Pipe => Ok(Vec::new()),
        }
    }
}

fn io_error(fault: Fault) -> io::Error {
    match fault {
        Fault::NotFound => io::ErrorKind::NotFound.into(),
        Fault::NotADirectory => io::ErrorKind::NotADirectory.into(),
        Fault::Loop => io::Error::other("links lead in a circle"),
        Fault::TooDeep | Fault::TooMany => io::Error::other("it lies too deep"),
    }
}
