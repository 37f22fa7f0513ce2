//! Pages of a disk in memory: what was read, and what is to be written.
//!
//! What is written stays here until a flush, or until there is too much of it, and then goes to the device many requests at once. The
//! file system tells by its flushes in which order things have to become safe; between two of them a disk may reorder, and so may this.

use crate::abi::clock::time_of_day;
use crate::driver::block::{Device, Operation, Piece, Request, SECTOR};
use crate::errno::Errno;
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::ops::Range;
use rsext4::SectorId;
use rsext4::{BlockIo, Clock, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, Ext4Timestamp};

const SECTORS: u64 = PAGE / SECTOR;
/// Pages that one look needs at most to be here together.
const BATCH: u64 = 64;
/// Pages read beyond what was asked for, when it looks as if they will be asked for.
const AHEAD: Range<u64> = 4..33;

/// Pages that a cache has in any case.
const LEAST: usize = 2 * BATCH as usize;

/// Whether more than such a part of memory is free. The rest is for what cannot be read again, and for the kernel, which needs it in one piece.
pub fn has_room(part: usize) -> bool {
    let (free, total) = frames::counts();
    free > total / part
}

struct Page {
    frame: u64,
    /// Looked at since the search for one to give up came by.
    used: bool,
}

/// The cache of one disk. It is also the disk that the file system sees.
pub struct Cache {
    device: Rc<dyn Device>,
    pages: BTreeMap<u64, Page>,
    /// Pages that differ from the disk's.
    dirty: BTreeSet<u64>,
    /// Something was written to the device since its last flush.
    unsafe_yet: bool,
    /// Most pages.
    limit: usize,
    /// Where the search for a page to give up goes on.
    hand: u64,
    /// The page behind the last that was read from the disk, and how many to read ahead from there.
    expected: u64,
    ahead: u64,
}

impl Cache {
    /// A cache of at most `bytes`.
    pub fn new(device: Rc<dyn Device>, bytes: u64) -> Self {
        Self {
            device,
            pages: BTreeMap::new(),
            dirty: BTreeSet::new(),
            unsafe_yet: false,
            limit: (bytes / PAGE).max(LEAST as u64) as usize,
            hand: 0,
            expected: 0,
            ahead: AHEAD.start,
        }
    }

    /// Bytes of a page that lie on the disk.
    fn length(&self, page: u64) -> u32 {
        (self.device.sectors() - page * SECTORS).min(SECTORS) as u32 * SECTOR as u32
    }

    /// Requests for pages in ascending order, one for each run of neighbours.
    fn requests(&self, operation: Operation, pages: impl Iterator<Item = (u64, u64)>) -> Vec<Request> {
        let mut requests: Vec<Request> = Vec::new();
        let mut next = 0;
        for (page, frame) in pages {
            let piece: Piece = (frame, self.length(page));
            match requests.last_mut() {
                Some(request) if page == next => request.pieces.push(piece),
                _ => {
                    let pieces = [piece].into_iter().collect();
                    requests.push(Request { operation, sector: page * SECTORS, pieces });
                }
            }
            next = page + 1;
        }
        requests
    }

    /// Writes what is dirty to the device, which may still lose it.
    fn write_back(&mut self) -> Ext4Result<()> {
        if self.dirty.is_empty() {
            return Ok(());
        }
        let frames =
            self.dirty.iter().filter_map(|page| self.pages.get(page).map(|entry| (*page, entry.frame)));
        let requests = self.requests(Operation::Write, frames);
        self.unsafe_yet = true;
        self.device.execute(&requests).map_err(failed)?;
        self.dirty.clear();
        Ok(())
    }

    /// A frame for a page, if need be one that another page gives up; not one of `keep`.
    fn frame(&mut self, keep: &Range<u64>) -> Ext4Result<u64> {
        // A small machine's memory is not for the cache to fill.
        let may_grow = self.pages.len() < self.limit && (self.pages.len() < LEAST || has_room(8));
        if may_grow && let Some(frame) = frames::allocate_for_program() {
            return Ok(frame);
        }
        if self.dirty.len() >= self.pages.len().saturating_sub(BATCH as usize) {
            self.write_back()?;
        }
        // Twice around: the first time may only clear marks.
        for _ in 0..2 * self.pages.len() + 2 {
            let Some((&number, page)) = self.pages.range_mut(self.hand..).next() else {
                self.hand = 0;
                continue;
            };
            self.hand = number + 1;
            if core::mem::replace(&mut page.used, false)
                || keep.contains(&number)
                || self.dirty.contains(&number)
            {
                continue;
            }
            if let Some(page) = self.pages.remove(&number) {
                return Ok(page.frame);
            }
        }
        Err(Ext4Error::no_memory())
    }

    /// Has pages here; those for which `fresh` says so need not hold what the disk does. At most [`BATCH`].
    fn bring(&mut self, wanted: Range<u64>, fresh: impl Fn(u64) -> bool) -> Ext4Result<()> {
        let mut missing: Vec<(u64, u64)> = Vec::new();
        let mut result = Ok(());
        let mut end = wanted.end;
        let mut page = wanted.start;
        while page < end {
            if let Some(entry) = self.pages.get_mut(&page) {
                entry.used = true;
            } else {
                match self.frame(&(wanted.start..end)) {
                    Ok(frame) if fresh(page) => {
                        // SAFETY: a frame of our own.
                        unsafe { core::ptr::write_bytes(phys_to_virt(frame) as *mut u8, 0, PAGE as usize) };
                        self.pages.insert(page, Page { frame, used: true });
                    }
                    Ok(frame) => {
                        if page == wanted.start && page == self.expected {
                            self.ahead = (2 * self.ahead).min(AHEAD.end - 1);
                            let last = self.device.sectors().div_ceil(SECTORS);
                            end = (wanted.end + self.ahead).min(last).max(wanted.end);
                        } else if page == wanted.start {
                            self.ahead = AHEAD.start;
                        }
                        missing.push((page, frame));
                    }
                    // What was to be read ahead only can be done without.
                    Err(_) if page >= wanted.end => break,
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            }
            page += 1;
        }
        if !missing.is_empty() && result.is_ok() {
            let requests = self.requests(Operation::Read, missing.iter().copied());
            result = self.device.execute(&requests).map_err(failed);
            self.expected = page;
        }
        for (page, frame) in missing {
            if result.is_ok() {
                self.pages.insert(page, Page { frame, used: page < wanted.end });
            } else {
                frames::free(frame);
            }
        }
        result
    }

    /// Calls `act` with each stretch of bytes on one page, after bringing the pages: the page, where its bytes are, and which of the caller's
    /// they belong to.
    fn each(
        &mut self,
        sector: u64,
        bytes: usize,
        overwrites: bool,
        mut act: impl FnMut(&mut Self, u64, *mut u8, Range<usize>),
    ) -> Ext4Result<()> {
        let start = sector.checked_mul(SECTOR).ok_or(Ext4Error::io())?;
        let end = start.checked_add(bytes as u64).ok_or(Ext4Error::io())?;
        if end > self.device.sectors() * SECTOR {
            return Err(Ext4Error::io());
        }
        let mut at = start;
        while at < end {
            let first = at / PAGE;
            let last = end.div_ceil(PAGE).min(first + BATCH);
            self.bring(first..last, |page| overwrites && page * PAGE >= start && (page + 1) * PAGE <= end)?;
            while at < end && at / PAGE < last {
                let page = at / PAGE;
                let length = (PAGE - at % PAGE).min(end - at);
                // Just brought, and not given up meanwhile.
                let frame = self.pages.get(&page).map(|entry| entry.frame).ok_or(Ext4Error::io())?;
                let done = (at - start) as usize;
                let bytes = (phys_to_virt(frame) + at % PAGE) as *mut u8;
                act(self, page, bytes, done..done + length as usize);
                at += length;
            }
        }
        Ok(())
    }
}

fn failed(error: Errno) -> Ext4Error {
    match error {
        Errno::EROFS => Ext4Error::read_only(),
        Errno::ENOMEM => Ext4Error::no_memory(),
        _ => Ext4Error::io(),
    }
}

impl BlockIo for Cache {
    fn read(&mut self, buffer: &mut [u8], sector: SectorId, _: u32) -> Ext4Result<()> {
        self.each(sector.raw(), buffer.len(), false, |_, _, from, range| {
            let to = &mut buffer[range];
            // SAFETY: a stretch of a frame of our own.
            unsafe { core::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        })
    }

    fn write(&mut self, buffer: &[u8], sector: SectorId, _: u32) -> Ext4Result<()> {
        if self.device.is_read_only() {
            return Err(Ext4Error::read_only());
        }
        self.each(sector.raw(), buffer.len(), true, |cache, page, to, range| {
            let from = &buffer[range];
            // SAFETY: a stretch of a frame of our own.
            unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
            cache.dirty.insert(page);
        })?;
        if self.dirty.len() > self.limit / 2 {
            self.write_back()?;
        }
        Ok(())
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(SECTOR as u32, self.device.sectors())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities {
            read_only: self.device.is_read_only(),
            flush: true,
            ..DeviceCapabilities::default()
        }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        self.write_back()?;
        if self.unsafe_yet {
            self.device.flush().map_err(failed)?;
            self.unsafe_yet = false;
        }
        Ok(())
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        for page in self.pages.values() {
            frames::free(page.frame);
        }
    }
}

/// The time of day for what is changed.
pub struct Now;

impl Clock for Now {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        let (seconds, nanoseconds) = time_of_day();
        Ok(Ext4Timestamp::new(seconds, nanoseconds))
    }
}
