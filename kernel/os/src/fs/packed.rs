//! The packed files: a sorted index and the files' bytes, laid out by the composer (`ARCHITECTURE.md`, "The packed root").

use super::file::{Access, File, Stat};
use super::node::{DirectoryEntry, Node};
use crate::errno::{Errno, Result};
use crate::memory::paging::{DIRECT_BASE, image_to_phys, phys_to_virt};
use crate::memory::user;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::{O_ACCMODE, O_RDONLY, O_TRUNC, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};

// Lists a directory. Every image has packed directories: they can be listed only where somebody lets the program ask.
crate::hook!(fn listers() -> "packed-list": fn(&'static Entry) -> Vec<DirectoryEntry>);

#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: u32,
    count: u32,
    index: u64,
    size: u64,
}

#[repr(C)]
pub struct Entry {
    path: u64,
    path_length: u32,
    pub mode: u32,
    user: u32,
    group: u32,
    size: u64,
    data: u64,
    modified: i64,
    modified_nanoseconds: u32,
    links: u32,
    device: u64,
}

fn bytes(offset: u64, length: u64) -> &'static [u8] {
    let base = phys_to_virt(image_to_phys(crate::layout_symbol!("root.start")));
    // SAFETY: offsets come from the composer and stay within the root.
    unsafe { core::slice::from_raw_parts((base + offset) as *const u8, length as usize) }
}

/// The entries, sorted by path.
pub fn entries() -> &'static [Entry] {
    let header = phys_to_virt(image_to_phys(crate::layout_symbol!("root.index"))) as *const Header;
    // SAFETY: the composer puts header and index there, aligned to 8.
    unsafe {
        let index = bytes((*header).index, 0).as_ptr() as *const Entry;
        core::slice::from_raw_parts(index, (*header).count as usize)
    }
}

impl Entry {
    /// The absolute path.
    pub fn path(&self) -> &'static [u8] {
        bytes(self.path, u64::from(self.path_length))
    }

    pub fn data(&self) -> &'static [u8] {
        bytes(self.data, self.size)
    }

    pub fn is_directory(&self) -> bool {
        self.mode & S_IFMT == S_IFDIR
    }

    pub fn stat(&self) -> Stat {
        let first = entries().as_ptr();
        // SAFETY: entries exist in the one index only.
        let index = unsafe { core::ptr::from_ref(self).offset_from(first) };
        let modified = (self.modified, self.modified_nanoseconds);
        let (inode, device) = match self.links > 1 && self.mode & S_IFMT == S_IFREG {
            // Names of one file have its number in the place of a device's.
            true => (self.device, 0),
            false => (index as u64 + 1, self.device),
        };
        Stat {
            mode: self.mode,
            inode,
            links: u64::from(self.links),
            size: self.size,
            user: self.user,
            group: self.group,
            device,
            filesystem: 0,
            accessed: modified,
            modified,
            changed: modified,
        }
    }

    /// The last component of the path.
    pub fn name(&self) -> &'static [u8] {
        let path = self.path();
        &path[path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1)..]
    }

    /// The entries right below this directory: behind it in the index, with its path and exactly one more component.
    pub fn children(&'static self) -> impl Iterator<Item = &'static Entry> {
        let path = self.path();
        let prefix = if path == b"/" { 1 } else { path.len() + 1 };
        let from = entries().partition_point(|entry| entry.path() <= path);
        let below = entries()[from..].iter().take_while(move |entry| entry.path().starts_with(path));
        below.filter(move |entry| {
            let path = entry.path();
            path.len() > prefix && path[prefix - 1] == b'/' && !path[prefix..].contains(&b'/')
        })
    }
}

/// Physical address of packed bytes.
pub fn physical(data: &'static [u8]) -> u64 {
    data.as_ptr() as u64 - DIRECT_BASE
}

/// The entry at an absolute path without links.
pub fn find(path: &[u8]) -> Option<&'static Entry> {
    let entries = entries();
    entries.binary_search_by(|entry| entry.path().cmp(path)).ok().map(|index| &entries[index])
}

/// What [`Node::list`] tells.
pub fn list(directory: &'static Entry) -> Vec<DirectoryEntry> {
    let entry = |entry: &Entry| DirectoryEntry {
        name: entry.name().to_vec(),
        inode: entry.stat().inode,
        mode: entry.mode,
    };
    directory.children().map(entry).collect()
}

/// A node, or an open file, of the image.
pub struct Packed(pub &'static Entry);

impl Node for Packed {
    fn kind(&self) -> u32 {
        self.0.mode & S_IFMT
    }

    fn stat(&self) -> Stat {
        self.0.stat()
    }

    fn lookup(&self, name: &[u8]) -> Result<Rc<dyn Node>> {
        let entry = find(&super::path::join(self.0.path(), name)).ok_or(Errno::ENOENT)?;
        Ok(Rc::new(Packed(entry)))
    }

    fn list(&self) -> Result<Vec<DirectoryEntry>> {
        listers().first().map(|lister| (lister.item)(self.0)).ok_or(Errno::ENOTDIR)
    }

    fn target(&self) -> Option<Vec<u8>> {
        (self.0.mode & S_IFMT == S_IFLNK).then(|| self.0.data().to_vec())
    }

    fn open(self: Rc<Self>, flags: u32) -> Result<Rc<dyn File>> {
        if flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0 { Err(Errno::EROFS) } else { Ok(self) }
    }
}

impl File for Packed {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        let data = self.0.data();
        let rest = &data[data.len().min(access.position as usize)..];
        let count = count.min(rest.len());
        user::write_bytes(to, &rest[..count])?;
        Ok(count)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EBADF) // never open for writing
    }

    fn stat(&self) -> Stat {
        self.0.stat()
    }

    fn image_data(&self) -> Option<&'static [u8]> {
        Some(self.0.data())
    }

    fn is_seekable(&self) -> bool {
        true
    }
}
