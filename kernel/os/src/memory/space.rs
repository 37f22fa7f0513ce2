//! The program's address space: areas, and the pages that faults bring in.

mod fault;
mod files;

pub use fault::{fault, populate};
pub use files::{each_file, forget, is_file_mapped, is_file_written};

use super::frames;
use super::paging::{self, Entry, OWNED, PAGE, USER_END};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use alloc::vec::Vec;
use fault::page_flags;

bitflags::bitflags! {
    /// What a program may do with an area; the values are Linux' PROT_*.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub struct Rights: u32 {
        const READ = linux_raw_sys::general::PROT_READ;
        const WRITE = linux_raw_sys::general::PROT_WRITE;
        const EXECUTE = linux_raw_sys::general::PROT_EXEC;
    }
}

/// What an area shows before it is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    Zeroes,
    /// Bytes of the image: the physical address (congruent to the area's start modulo a page) that belongs to the area's start, and how many bytes are there. Zeroes follow.
    Image {
        start: u64,
        bytes: u64,
    },
    /// A file's pages, from an offset on. Writing changes the file where it is `shared`, and a copy of the page otherwise.
    File {
        /// What the "file-page" hook knows the file by.
        file: u32,
        offset: u64,
        shared: bool,
        /// Shared by a descriptor that was open for reading only: the area never becomes writable.
        read_only: bool,
    },
    /// Nothing, behind the last page of a file: any access is a bus error.
    Beyond,
}

impl Backing {
    /// The backing of the part of an area that starts `offset` further on.
    fn skip(self, offset: u64) -> Self {
        match self {
            Self::Image { start, bytes } if bytes > offset => {
                Self::Image { start: start + offset, bytes: bytes - offset }
            }
            Self::File { file, offset: at, shared, read_only } => {
                Self::File { file, offset: at + offset, shared, read_only }
            }
            Self::Beyond => Self::Beyond,
            _ => Self::Zeroes,
        }
    }

    fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }
}

#[derive(Clone, Copy)]
struct Area {
    start: u64,
    end: u64,
    rights: Rights,
    backing: Backing,
}

/// Why an access cannot be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is mapped there.
    Unmapped,
    /// The area does not allow it.
    Forbidden,
    /// No memory is left to bring the page in.
    OutOfMemory,
    /// The file does not go that far, or cannot be read there.
    Beyond,
}

/// Areas by address, disjoint.
static AREAS: KernelCell<Vec<Area>> = KernelCell::new(Vec::new());

/// Index of the first area that ends above `address`.
fn position(areas: &[Area], address: u64) -> usize {
    areas.partition_point(|area| area.end <= address)
}

/// Splits areas so that none crosses `address`.
fn split(areas: &mut Vec<Area>, address: u64) {
    let index = position(areas, address);
    if let Some(area) = areas.get_mut(index)
        && area.start < address
    {
        let rest = Area { start: address, backing: area.backing.skip(address - area.start), ..*area };
        area.end = address;
        areas.insert(index + 1, rest);
    }
}

/// The areas between two addresses, after splitting at both.
fn isolate(areas: &mut Vec<Area>, start: u64, end: u64) -> core::ops::Range<usize> {
    split(areas, start);
    split(areas, end);
    position(areas, start)..areas.partition_point(|area| area.start < end)
}

/// Joins neighbours around an index that have equal rights, and show zeroes or go on with the same file.
fn join(areas: &mut Vec<Area>, index: usize) {
    for index in [index + 1, index] {
        if index == 0 || index >= areas.len() {
            continue;
        }
        let (before, after) = (areas[index - 1], areas[index]);
        let goes_on = before.backing.skip(before.end - before.start) == after.backing;
        let alike =
            before.rights == after.rights && goes_on && !matches!(before.backing, Backing::Image { .. });
        if alike && before.end == after.start {
            areas[index - 1].end = after.end;
            areas.remove(index);
        }
    }
}

fn drop_pages(start: u64, end: u64) {
    paging::update(start, end, |entry| {
        if entry.flags().contains(OWNED) {
            frames::free(entry.frame());
        }
        None
    });
}

/// Takes areas out of the list, and says whether any showed a file.
fn take_out(areas: &mut Vec<Area>, range: core::ops::Range<usize>) -> bool {
    let had_file = areas[range.clone()].iter().any(|area| area.backing.is_file());
    let left = areas.len() - range.len();
    areas.copy_within(range.end.., range.start);
    areas.truncate(left);
    had_file
}

/// Makes sure that the list of areas has room for what one change may add.
fn make_room(areas: &mut Vec<Area>) -> Result<()> {
    areas.try_reserve(3).map_err(|_| Errno::ENOMEM)
}

/// Frees page tables that have become useless between two addresses.
fn prune(areas: &[Area], start: u64, end: u64) {
    let index = position(areas, start);
    let below = index.checked_sub(1).map_or(0, |index| areas[index].end);
    let above = areas.get(index).map_or(USER_END, |area| area.start);
    paging::prune(start, end, below..above);
}

/// Maps an area in place of whatever was there. Addresses are page-aligned.
pub fn map(start: u64, length: u64, rights: Rights, backing: Backing) -> Result<()> {
    let end = start.checked_add(length).filter(|&end| end <= USER_END && length > 0).ok_or(Errno::ENOMEM)?;
    let mut areas = AREAS.borrow();
    make_room(&mut areas)?;
    let range = isolate(&mut areas, start, end);
    if !range.is_empty() {
        drop_pages(start, end);
    }
    let index = range.start;
    let had_file = take_out(&mut areas, range);
    areas.insert(index, Area { start, end, rights, backing });
    join(&mut areas, index);
    drop(areas);
    files::unmapped(had_file);
    Ok(())
}

/// Unmaps whatever is between two page-aligned addresses.
pub fn unmap(start: u64, length: u64) -> Result<()> {
    let end = start.checked_add(length).filter(|&end| end <= USER_END && length > 0).ok_or(Errno::EINVAL)?;
    let mut areas = AREAS.borrow();
    make_room(&mut areas)?;
    let range = isolate(&mut areas, start, end);
    if !range.is_empty() {
        drop_pages(start, end);
        let had_file = take_out(&mut areas, range);
        prune(&areas, start, end);
        drop(areas);
        files::unmapped(had_file);
    }
    Ok(())
}

/// Bytes that the program may write to and so may come to need memory of its own.
pub fn committed() -> u64 {
    let areas = AREAS.borrow();
    let own = |area: &&Area| !matches!(area.backing, Backing::File { shared: true, .. } | Backing::Beyond);
    let writable = areas.iter().filter(own).filter(|area| area.rights.contains(Rights::WRITE));
    writable.map(|area| area.end - area.start).sum()
}

/// The rights of the one area that covers all between two addresses. `None`: there is no such.
pub fn rights(start: u64, length: u64) -> Option<Rights> {
    let areas = AREAS.borrow();
    let area = areas.get(position(&areas, start))?;
    (area.start <= start && start.checked_add(length)? <= area.end).then_some(area.rights)
}

/// Whether every address between two is mapped.
pub fn is_mapped_throughout(start: u64, length: u64) -> bool {
    start.checked_add(length).is_some_and(|end| is_covered(&AREAS.borrow(), start, end))
}

/// Lets the area that ends at `end` go on for `more` bytes. False: something is there.
pub fn extend(end: u64, more: u64) -> Result<bool> {
    if end.checked_add(more).is_none_or(|end| end > USER_END) || !is_free(end, more) {
        return Ok(false);
    }
    let mut areas = AREAS.borrow();
    make_room(&mut areas)?;
    let index = areas.partition_point(|area| area.end < end);
    match areas.get_mut(index) {
        Some(area) if area.end == end => area.end += more,
        _ => return Ok(false),
    }
    join(&mut areas, index);
    Ok(true)
}

/// Moves what is mapped at `from` to `to`, where it gets `new_length` bytes in place of whatever was there. With `keep` the old addresses
/// stay mapped, empty.
pub fn relocate(from: u64, length: u64, to: u64, new_length: u64, keep: bool) -> Result<()> {
    let area = {
        let areas = AREAS.borrow();
        *areas.get(position(&areas, from)).filter(|area| area.start <= from).ok_or(Errno::EFAULT)?
    };
    let backing = area.backing.skip(from - area.start);
    map(to, new_length, area.rights, backing)?;
    let moved = length.min(new_length);
    // Tables first, so that nothing can fail half way.
    let mut at = from;
    while let Some(page) = paging::next_used(at, from + moved) {
        if paging::page(to + (page - from)).is_none() {
            return unmap(to, new_length).and(Err(Errno::ENOMEM));
        }
        at = page + PAGE;
    }
    at = from;
    while let Some(page) = paging::next_used(at, from + moved) {
        if let Some(entry) = paging::take(page) {
            // The table is there.
            let _ = paging::set(to + (page - from), entry);
        }
        at = page + PAGE;
    }
    if keep { map(from, length, area.rights, Backing::Zeroes) } else { unmap(from, length) }
}

/// Whether a page is in memory.
pub fn is_resident(page: u64) -> bool {
    paging::get(page).is_some()
}

/// Calls `look` with start, end and rights of each area, and whether bytes of the image are behind it.
pub fn each_area(mut look: impl FnMut(u64, u64, Rights, bool)) {
    let areas = AREAS.borrow().clone();
    for area in areas {
        look(area.start, area.end, area.rights, matches!(area.backing, Backing::Image { .. }));
    }
}

/// Whether an address lies in an area.
pub fn is_mapped(address: u64) -> bool {
    let areas = AREAS.borrow();
    areas.get(position(&areas, address)).is_some_and(|area| area.start <= address)
}

/// Whether nothing is mapped between two addresses.
pub fn is_free(start: u64, length: u64) -> bool {
    let areas = AREAS.borrow();
    areas.get(position(&areas, start)).is_none_or(|area| area.start >= start + length)
}

/// The highest gap of `length` bytes that ends at or below `limit`.
pub fn find_gap(length: u64, limit: u64) -> Option<u64> {
    /// The lowest address that a program may map (`vm.mmap_min_addr`).
    const LOWEST: u64 = 0x10000;
    let areas = AREAS.borrow();
    let mut end = limit;
    let mut index = areas.partition_point(|area| area.start < limit);
    loop {
        let below = if index == 0 { LOWEST } else { areas[index - 1].end };
        if end >= below && end - below >= length {
            return Some(end - length);
        }
        if index == 0 {
            return None;
        }
        index -= 1;
        end = areas[index].start.min(limit);
    }
}

/// Whether every address between two is mapped.
fn is_covered(areas: &[Area], start: u64, end: u64) -> bool {
    let mut at = start;
    for area in &areas[position(areas, start)..] {
        if at >= end || area.start > at {
            break;
        }
        at = area.end;
    }
    at >= end
}

/// Changes the rights of all areas between two page-aligned addresses; ENOMEM if there is a hole (`mprotect(2)`).
pub fn protect(start: u64, length: u64, rights: Rights) -> Result<()> {
    let end = start.checked_add(length).filter(|&end| end <= USER_END).ok_or(Errno::ENOMEM)?;
    let mut areas = AREAS.borrow();
    if !is_covered(&areas, start, end) {
        return Err(Errno::ENOMEM);
    }
    make_room(&mut areas)?;
    let range = isolate(&mut areas, start, end);
    let is_fixed = |area: &Area| matches!(area.backing, Backing::File { read_only: true, .. });
    if rights.contains(Rights::WRITE) && areas[range.clone()].iter().any(is_fixed) {
        return Err(Errno::EACCES);
    }
    for area in &mut areas[range.clone()] {
        area.rights = rights;
    }
    join(&mut areas, range.end);
    join(&mut areas, range.start);
    paging::update(start, end, |entry| Some(Entry::new(entry.frame(), page_flags(rights, entry.flags()))));
    Ok(())
}

/// Drops the contents of the pages between two addresses; they read as the backing again (`MADV_DONTNEED`).
pub fn discard(start: u64, length: u64) -> Result<()> {
    let end = start.checked_add(length).filter(|&end| end <= USER_END).ok_or(Errno::ENOMEM)?;
    if !is_covered(&AREAS.borrow(), start, end) {
        return Err(Errno::ENOMEM);
    }
    drop_pages(start, end);
    Ok(())
}
