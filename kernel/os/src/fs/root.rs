//! The packed root: a sorted index and the files' bytes, laid out by the composer (`ARCHITECTURE.md`, "The packed root").

use super::file::{Access, File, Stat};
use crate::errno::{Errno, Result};
use crate::memory::paging::{DIRECT_BASE, image_to_phys, phys_to_virt};
use crate::memory::user;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::{S_IFDIR, S_IFLNK, S_IFMT};

// Files that no image holds: asked for an absolute path, in order.
crate::hook!(fn device_files() -> "device-file": fn(&[u8]) -> Option<Rc<dyn File>>);

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

    pub fn is_symlink(&self) -> bool {
        self.mode & S_IFMT == S_IFLNK
    }
}

/// Physical address of packed bytes.
pub fn physical(data: &'static [u8]) -> u64 {
    data.as_ptr() as u64 - DIRECT_BASE
}

fn find(path: &[u8]) -> Option<usize> {
    entries().binary_search_by(|entry| entry.path().cmp(path)).ok()
}

/// An absolute path without `.`, `..`, symlinks, and doubled or trailing slashes; with `follow`, the last component is followed too.
/// ENOENT and friends when it leads nowhere; the last component need not exist.
fn canonical(path: &[u8], follow: bool) -> Result<Vec<u8>> {
    const MOST_LINKS: u32 = 40;
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let mut links = 0;
    // What is left to walk, the next component last.
    let mut rest: Vec<&[u8]> =
        path.split(|&byte| byte == b'/').rev().filter(|part| !part.is_empty()).collect();
    let mut walked: Vec<u8> = Vec::new();
    while let Some(part) = rest.pop() {
        match part {
            b"." => continue,
            b".." => {
                walked.truncate(walked.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                continue;
            }
            _ => {}
        }
        let parent = walked.len();
        walked.push(b'/');
        walked.extend_from_slice(part);
        let Some(index) = find(&walked) else {
            // A device file has no entry; a missing directory has no children.
            if rest.iter().all(|part| *part == b".")
                || walked.starts_with(b"/dev")
                || walked.starts_with(b"/proc")
            {
                continue;
            }
            return Err(Errno::ENOENT);
        };
        let entry = &entries()[index];
        if entry.is_symlink() && (follow || !rest.is_empty()) {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::ELOOP);
            }
            let target = entry.data();
            walked.truncate(if target.starts_with(b"/") { 0 } else { parent });
            rest.extend(target.split(|&byte| byte == b'/').rev().filter(|part| !part.is_empty()));
        } else if !rest.is_empty() && !entry.is_directory() {
            return Err(Errno::ENOTDIR);
        }
    }
    if walked.is_empty() {
        walked.push(b'/');
    }
    Ok(walked)
}

/// The index of the entry at an absolute path.
pub fn lookup(path: &[u8], follow: bool) -> Result<usize> {
    find(&canonical(path, follow)?).ok_or(Errno::ENOENT)
}

/// Opens what is at an absolute path.
pub fn open(path: &[u8], follow: bool) -> Result<Rc<dyn File>> {
    let path = canonical(path, follow)?;
    match find(&path) {
        Some(index) => Ok(Rc::new(Packed(index))),
        None => device_files().iter().find_map(|entry| (entry.item)(&path)).ok_or(Errno::ENOENT),
    }
}

/// An open file of the packed root, by index.
struct Packed(usize);

impl Packed {
    fn entry(&self) -> &'static Entry {
        &entries()[self.0]
    }
}

impl File for Packed {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        let entry = self.entry();
        if entry.is_directory() {
            return Err(Errno::EISDIR);
        }
        let data = entry.data();
        let rest = &data[data.len().min(access.position as usize)..];
        let count = count.min(rest.len());
        user::write_bytes(to, &rest[..count])?;
        Ok(count)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EBADF) // never open for writing
    }

    fn stat(&self) -> Stat {
        let entry = self.entry();
        Stat {
            mode: entry.mode,
            inode: self.0 as u64 + 1,
            links: u64::from(entry.links),
            size: entry.size,
            user: entry.user,
            group: entry.group,
            device: entry.device,
            modified: (entry.modified, entry.modified_nanoseconds),
        }
    }

    fn image_data(&self) -> Option<&'static [u8]> {
        let entry = self.entry();
        (!entry.is_directory()).then(|| entry.data())
    }

    fn root_index(&self) -> Option<usize> {
        Some(self.0)
    }

    fn is_seekable(&self) -> bool {
        true
    }
}
