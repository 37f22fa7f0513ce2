//! Pages of files that mappings show.
//!
//! A page stays in its frame for as long as anything maps the file, and until it has been written back. What is written through a mapping goes
//! to the file system with the next sync of the volume; after that the next write is noticed anew. Reading and writing calls see the same.

use super::cache::has_room;
use super::node::Inode;
use super::volume::{Mounted, Volume};
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Pages};
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use rsext4::{Ext4Result, InodeNumber};

/// Pages that became dirty since there was a sync for their sake. What is changed between two syncs takes memory of the kernel's.
static DIRTIED: AtomicUsize = AtomicUsize::new(0);
const MOST_DIRTIED: usize = 256;

struct Page {
    frame: u64,
    /// Differs from what the file system has, or may.
    dirty: bool,
}

impl Page {
    /// The bytes of the page from an offset on.
    #[expect(clippy::mut_from_ref, reason = "a frame of our own, looked at without waiting for anything")]
    fn bytes(&self, from: u64) -> &mut [u8] {
        // SAFETY: the frame is the page's own; the program may write to it, but does not run meanwhile.
        unsafe {
            core::slice::from_raw_parts_mut(
                (phys_to_virt(self.frame) + from) as *mut u8,
                (PAGE - from) as usize,
            )
        }
    }
}

/// The pages of one file that are in frames.
#[derive(Default)]
pub struct PageTable {
    pages: RefCell<BTreeMap<u64, Page>>,
    /// What mappings know the file by, while there are some.
    mapping: RefCell<Weak<Mapping>>,
}

/// A file as mappings know it.
pub struct Mapping(Rc<Inode>);

/// The file as mappings are to know it.
pub fn mapping(inode: Rc<Inode>) -> Rc<dyn Pages> {
    if let Some(mapping) = inode.pages.mapping() {
        return mapping;
    }
    let mapping = Rc::new(Mapping(inode));
    *mapping.0.pages.mapping.borrow_mut() = Rc::downgrade(&mapping);
    mapping
}

impl Pages for Mapping {
    fn page(&self, index: u64, write: bool) -> Result<u64> {
        let (inode, table) = (&self.0, &self.0.pages);
        let position = index * PAGE;
        if position >= inode.size() {
            return Err(Errno::EINVAL);
        }
        if !table.pages.borrow().contains_key(&index) {
            let page = Page { frame: self.frame()?, dirty: false };
            page.bytes(0).fill(0);
            let read = inode.read_at(position, page.bytes(0));
            // Another thread may have been here meanwhile.
            let mut pages = table.pages.borrow_mut();
            if read.is_err() || pages.contains_key(&index) {
                frames::free(page.frame);
                read?;
            } else {
                pages.insert(index, page);
            }
        }
        if write && !table.is_dirty(index) {
            if DIRTIED.fetch_add(1, Ordering::Relaxed) >= MOST_DIRTIED {
                DIRTIED.store(0, Ordering::Relaxed);
                inode.sync_volume()?;
            }
            // There must be room for what is going to be written.
            inode.allocate(position, PAGE.min(inode.size().saturating_sub(position)))?;
            if let Some(page) = table.pages.borrow_mut().get_mut(&index) {
                page.dirty = true;
            }
        }
        // It may have been cut off while something was waited for.
        table.pages.borrow().get(&index).map(|page| page.frame).ok_or(Errno::EINVAL)
    }

    fn sync(&self, _: u64, _: u64) -> Result<()> {
        self.0.sync_volume()
    }
}

impl Mapping {
    /// A frame for a page. Where memory gets short, other pages of the file give theirs up: they can be read again.
    fn frame(&self) -> Result<u64> {
        if !has_room(4) && !self.0.pages.shrink(self) {
            // All there are may have to be written back first.
            self.0.sync_volume()?;
            self.0.pages.shrink(self);
        }
        frames::allocate_for_program().ok_or(Errno::ENOMEM)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // What was written last is still to be written back; whoever unmaps does not wait for that.
        if !self.0.pages.release()
            && let Ok(volume) = self.0.volume()
        {
            volume.keep(self.0.clone());
        }
    }
}

impl PageTable {
    fn mapping(&self) -> Option<Rc<Mapping>> {
        self.mapping.borrow().upgrade()
    }

    fn is_dirty(&self, index: u64) -> bool {
        self.pages.borrow().get(&index).is_some_and(|page| page.dirty)
    }

    /// Whether there is nothing here.
    pub fn is_empty(&self) -> bool {
        self.pages.borrow().is_empty()
    }

    /// Lets go of all pages that the file system has as they are. True: there were some.
    fn shrink(&self, mapping: &Mapping) -> bool {
        file::forget_pages(mapping, 0, false);
        let mut pages = self.pages.borrow_mut();
        let before = pages.len();
        pages.retain(|_, page| {
            if !page.dirty {
                frames::free(page.frame);
            }
            page.dirty
        });
        pages.len() < before
    }

    /// Lets go of all pages, unless some are to be written back. True: it did.
    fn release(&self) -> bool {
        let mut pages = self.pages.borrow_mut();
        if pages.values().any(|page| page.dirty) {
            return false;
        }
        for page in core::mem::take(&mut *pages).into_values() {
            frames::free(page.frame);
        }
        true
    }

    /// Calls `act` with each page that has bytes from a position on: its bytes there, and where in the range they lie.
    fn each(&self, position: u64, length: usize, mut act: impl FnMut(&mut Page, u64, usize, usize)) {
        if self.is_empty() || length == 0 {
            return;
        }
        let end = position + length as u64;
        for (&index, page) in self.pages.borrow_mut().range_mut(position / PAGE..end.div_ceil(PAGE)) {
            let start = (index * PAGE).max(position);
            let count = ((index + 1) * PAGE).min(end) - start;
            act(page, start % PAGE, (start - position) as usize, count as usize);
        }
    }

    /// Puts what mappings have written over what the file system has said.
    pub fn read_over(&self, position: u64, buffer: &mut [u8]) {
        self.each(position, buffer.len(), |page, from, at, count| {
            if page.dirty {
                buffer[at..at + count].copy_from_slice(&page.bytes(from)[..count]);
            }
        });
    }

    /// Has mappings show what the file system was told. True: there are some that may do.
    pub fn write_over(&self, position: u64, buffer: &[u8]) -> bool {
        let mut any = false;
        self.each(position, buffer.len(), |page, from, at, count| {
            page.bytes(from)[..count].copy_from_slice(&buffer[at..at + count]);
            // An older state may just be on its way to the file system.
            page.dirty = true;
            any = true;
        });
        any
    }

    /// The file ends here, now or until now: nothing stands behind that on its page.
    pub fn clear_behind(&self, end: u64) {
        if !end.is_multiple_of(PAGE)
            && let Some(page) = self.pages.borrow().get(&(end / PAGE))
        {
            page.bytes(end % PAGE).fill(0);
        }
    }

    /// The file is cut off here.
    pub fn cut(&self, end: u64) {
        if self.is_empty() {
            return;
        }
        if let Some(mapping) = self.mapping() {
            file::forget_pages(&*mapping, end.div_ceil(PAGE), true);
        }
        for page in self.pages.borrow_mut().split_off(&end.div_ceil(PAGE)).into_values() {
            frames::free(page.frame);
        }
        self.clear_behind(end);
    }

    /// Gives what was written through mappings to the file system. `work` runs there.
    pub fn write_back(
        &self,
        number: InodeNumber,
        work: impl Fn(&mut dyn FnMut(&mut Mounted) -> Ext4Result<()>) -> Ext4Result<()>,
    ) -> Ext4Result<()> {
        let Some(first) = self.pages.borrow().iter().find(|(_, page)| page.dirty).map(|(&index, _)| index)
        else {
            return Ok(());
        };
        // From here on the next write to a page is noticed.
        if let Some(mapping) = self.mapping() {
            file::forget_pages(&*mapping, first, false);
        }
        let mut next = first;
        loop {
            let mut copy = Vec::new();
            {
                let mut pages = self.pages.borrow_mut();
                let Some((&index, page)) = pages.range_mut(next..).find(|(_, page)| page.dirty) else {
                    break;
                };
                copy.try_reserve_exact(PAGE as usize).map_err(|_| rsext4::Ext4Error::no_memory())?;
                copy.extend_from_slice(page.bytes(0));
                page.dirty = false;
                next = index;
            }
            let done = work(&mut |mounted| {
                let left = mounted.inode(number)?.size.saturating_sub(next * PAGE);
                let count = left.min(PAGE) as usize;
                if count == 0 { Ok(()) } else { mounted.write_inode(number, next * PAGE, &copy[..count]) }
            });
            if let Err(error) = done {
                if let Some(page) = self.pages.borrow_mut().get_mut(&next) {
                    page.dirty = true;
                }
                return Err(error);
            }
            next += 1;
        }
        if self.mapping().is_none() {
            self.release();
        }
        Ok(())
    }
}

impl Drop for PageTable {
    fn drop(&mut self) {
        for page in self.pages.get_mut().values() {
            frames::free(page.frame);
        }
    }
}

/// Gives what was written through mappings of these files to their file system, whose lock is held.
pub fn write_all_back(volume: &Volume, inodes: &[Rc<Inode>]) -> Ext4Result<()> {
    for inode in inodes {
        inode.pages.write_back(inode.number(), |step| volume.locked(|mounted| step(mounted)))?;
    }
    Ok(())
}
