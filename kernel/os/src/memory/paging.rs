//! Page tables (Intel SDM vol. 3A, chapter 5).
//!
//! All physical memory is mapped at [`DIRECT_BASE`] in pages of 2 MiB; the image also at [`KERNEL_BASE`], where it is linked.
//! The lower half is the program's.

use super::frames;
use crate::boot::pvh::{self, MemoryRange};
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::structures::paging::page_table::PageTableFlags as Flags;

pub const PAGE: u64 = 4096;
pub const HUGE_PAGE: u64 = 2 << 20;
/// Where the image is linked: virtual address of physical 0.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// Where all physical memory is mapped.
pub const DIRECT_BASE: u64 = 0xffff_8000_0000_0000;
/// The end of the program's half. The last page stays unmapped, as on Linux.
pub const USER_END: u64 = 0x7fff_ffff_f000;

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const ENTRIES: u64 = 512;
/// A frame that belongs to the page and is freed with it, unlike one of the image.
pub const OWNED: Flags = Flags::BIT_9;
/// A frame of a file that knows that the page may be written to.
pub const SHARED: Flags = Flags::BIT_10;

static MAPPED_END: AtomicU64 = AtomicU64::new(1 << 30);

/// A page-table entry.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Entry(u64);

impl Entry {
    pub fn new(frame: u64, flags: Flags) -> Self {
        Self(frame | flags.bits())
    }
    pub fn flags(self) -> Flags {
        Flags::from_bits_retain(self.0 & !ADDRESS)
    }
    pub fn frame(self) -> u64 {
        self.0 & ADDRESS
    }
    pub fn is_present(self) -> bool {
        self.0 & 1 != 0
    }
    /// Whether the entry holds a frame, be it present for the processor or not.
    pub fn is_used(self) -> bool {
        self.0 != 0
    }
    /// Bytes from this entry's frame on, in the direct mapping.
    pub fn bytes(self) -> *mut u8 {
        phys_to_virt(self.frame()) as *mut u8
    }
}

type Table = [Entry; ENTRIES as usize];

/// Where a physical address can be read and written.
#[inline]
pub fn phys_to_virt(physical: u64) -> u64 {
    DIRECT_BASE + physical
}

/// The physical address of a byte of the image.
#[inline]
pub fn image_to_phys(address: u64) -> u64 {
    address - KERNEL_BASE
}

/// The end of the physical memory that is mapped at [`DIRECT_BASE`].
pub fn mapped_end() -> u64 {
    MAPPED_END.load(Ordering::Relaxed)
}

fn table(frame: u64) -> *mut Table {
    phys_to_virt(frame) as *mut Table
}

/// Index into the table of a level; level 4 is the root, level 1 holds pages.
fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * (level - 1))) as usize & (ENTRIES as usize - 1)
}

/// The entry for `address` in the table of `level`; with `create`, tables above it are made. `None`: absent, or no memory for a table.
fn entry(address: u64, level: u32, create: bool) -> Option<*mut Entry> {
    let mut current = table(pvh::root_table());
    for above in (level + 1..=4).rev() {
        // SAFETY: a live table; nothing else holds a reference into it.
        let slot = unsafe { &mut (*current)[index(address, above)] };
        if !slot.is_present() {
            if !create {
                return None;
            }
            let frame = frames::allocate_zeroed()?;
            // The last level alone decides on rights.
            *slot = Entry::new(frame, Flags::PRESENT | Flags::WRITABLE | Flags::USER_ACCESSIBLE);
        } else if slot.flags().contains(Flags::HUGE_PAGE) {
            return None;
        }
        current = table(slot.frame());
    }
    // SAFETY: as above.
    Some(unsafe { &raw mut (*current)[index(address, level)] })
}

/// Maps all of memory and drops the identity mapping that start-up needed.
pub fn init(map: &[MemoryRange]) {
    let top =
        map.iter().filter(|range| range.is_ram()).map(|range| range.start + range.size).max().unwrap_or(0);
    for physical in (1 << 30..top).step_by(HUGE_PAGE as usize) {
        map_direct(physical, Flags::empty());
    }
    MAPPED_END.fetch_max(top, Ordering::Relaxed);
    // SAFETY: the identity mapping is used by nothing any more.
    unsafe { (*table(pvh::root_table()))[0] = Entry(0) };
    flush_all();
}

/// Maps 2 MiB at [`DIRECT_BASE`], for memory or for a device's registers.
pub fn map_direct(physical: u64, extra: Flags) {
    let Some(slot) = entry(phys_to_virt(physical), 2, true) else { panic!("no memory for page tables") };
    let plain = direct(physical & !(HUGE_PAGE - 1));
    // SAFETY: the slot of an address that maps nothing else.
    unsafe { *slot = Entry::new(plain.frame(), plain.flags() | extra) };
}

/// What maps 2 MiB of memory at [`DIRECT_BASE`].
fn direct(physical: u64) -> Entry {
    Entry::new(physical, Flags::PRESENT | Flags::WRITABLE | Flags::HUGE_PAGE | Flags::NO_EXECUTE)
}

/// A device's registers, uncached.
pub fn map_device(physical: u64) -> u64 {
    map_direct(physical, Flags::NO_CACHE | Flags::WRITE_THROUGH);
    phys_to_virt(physical)
}

/// The entry of a page of 4 KiB, with tables made for it. `None` when memory is short.
pub fn page(address: u64) -> Option<*mut Entry> {
    entry(address, 1, true)
}

/// Sets the page at `address`, whose old entry was absent or is flushed here.
pub fn set(address: u64, new: Entry) -> Option<()> {
    let slot = page(address)?;
    // SAFETY: a live slot of the program's or the kernel's tables.
    let old = unsafe { core::mem::replace(&mut *slot, new) };
    if old.is_used() {
        flush(address);
    }
    Some(())
}

/// The entry of a page, if it holds a frame.
pub fn get(address: u64) -> Option<Entry> {
    // SAFETY: a live slot.
    entry(address, 1, false).map(|slot| unsafe { *slot }).filter(|entry| entry.is_used())
}

/// Calls `change` with every page that holds a frame between two page-aligned addresses of the lower half and stores what it returns.
pub fn update(start: u64, end: u64, mut change: impl FnMut(Entry) -> Option<Entry>) {
    let mut address = start;
    while address < end {
        // Whole absent tables are stepped over: a reservation of many GiB costs nothing.
        let mut level = 4;
        let slot = loop {
            match entry(address, level, false) {
                // SAFETY: a live slot.
                Some(slot) if unsafe { (*slot).is_used() } => {
                    if level == 1 {
                        break Some(slot);
                    }
                    level -= 1;
                }
                _ => break None,
            }
        };
        if let Some(slot) = slot {
            // SAFETY: a live slot.
            unsafe { *slot = change(*slot).unwrap_or(Entry(0)) };
            flush(address);
            address += PAGE;
        } else {
            let span = PAGE << (9 * (level - 1));
            address = (address & !(span - 1)) + span;
        }
    }
}

/// Frees the tables of the lower half that map `start` to `end` and lie wholly in a gap, where no page is.
pub fn prune(start: u64, end: u64, gap: core::ops::Range<u64>) {
    if prune_table(pvh::root_table(), 4, 0, start, end, &gap) {
        // Also drops what the processor remembers of the tables themselves (SDM vol. 3A, section 5.10.4.1).
        flush(start);
    }
}

fn prune_table(frame: u64, level: u32, base: u64, start: u64, end: u64, gap: &core::ops::Range<u64>) -> bool {
    let span = PAGE << (9 * (level - 1));
    let mut pruned = false;
    let first = start.max(base) & !(span - 1);
    let last = end.min(base.saturating_add(span * ENTRIES)).min(USER_END);
    for address in (first..last).step_by(span as usize) {
        // SAFETY: a live table of the lower half; nothing else holds a reference into it.
        let slot = unsafe { &mut (*table(frame))[index(address, level)] };
        if !slot.is_present() {
            continue;
        }
        if gap.start <= address && address + span <= gap.end {
            free_tables(slot.frame(), level - 1);
            *slot = Entry(0);
            pruned = true;
        } else if level > 2 {
            pruned |= prune_table(slot.frame(), level - 1, address, start, end, gap);
        }
    }
    pruned
}

/// Frees a table without pages, and the tables below it.
fn free_tables(frame: u64, level: u32) {
    if level > 1 {
        for index in 0..ENTRIES as usize {
            // SAFETY: a table that is no longer reachable for the processor's walks.
            let slot = unsafe { (*table(frame))[index] };
            if slot.is_present() {
                free_tables(slot.frame(), level - 1);
            }
        }
    }
    frames::free(frame);
}

/// Takes the frame of a page away from it, if it has one.
pub fn take(address: u64) -> Option<Entry> {
    let slot = entry(address, 1, false)?;
    // SAFETY: a live slot.
    let old = unsafe { core::mem::replace(&mut *slot, Entry(0)) };
    flush(address);
    Some(old).filter(|old| old.is_used())
}

/// The next page at or above `start` that has a frame.
pub fn next_used(start: u64, end: u64) -> Option<u64> {
    let mut address = start;
    while address < end {
        let mut level = 4;
        loop {
            match entry(address, level, false) {
                // SAFETY: a live slot.
                Some(slot) if unsafe { (*slot).is_used() } => {
                    if level == 1 {
                        return Some(address);
                    }
                    level -= 1;
                }
                _ => break,
            }
        }
        let span = PAGE << (9 * (level - 1));
        address = (address & !(span - 1)) + span;
    }
    None
}

pub fn flush(address: u64) {
    x86_64::instructions::tlb::flush(x86_64::VirtAddr::new_truncate(address));
}

pub fn flush_all() {
    x86_64::instructions::tlb::flush_all();
}

/// Gives the image's high mapping tables of its own. For rights by page.
pub fn replace_image_tables(flags_of: impl Fn(u64) -> Flags, end: u64) -> Option<()> {
    let directory = frames::allocate_zeroed()?;
    for start in (0..end).step_by(HUGE_PAGE as usize) {
        let page_table = frames::allocate_zeroed()?;
        for page in (start..(start + HUGE_PAGE).min(end)).step_by(PAGE as usize) {
            // SAFETY: a fresh table.
            unsafe { (*table(page_table))[index(page, 1)] = Entry::new(page, flags_of(KERNEL_BASE + page)) };
        }
        // SAFETY: a fresh table.
        unsafe {
            (*table(directory))[index(start, 2)] = Entry::new(page_table, Flags::PRESENT | Flags::WRITABLE)
        };
    }
    let slot = entry(KERNEL_BASE, 3, false)?;
    // The direct mapping keeps the boot directory, all of its entries in use; kernel text must not run from there.
    let first = entry(DIRECT_BASE, 2, false)?;
    for index in 0..ENTRIES {
        // SAFETY: the entries of one table.
        unsafe { *first.add(index as usize) = direct(index * HUGE_PAGE) };
    }
    // SAFETY: the new tables map the same frames.
    unsafe { *slot = Entry::new(directory, Flags::PRESENT | Flags::WRITABLE) };
    flush_all();
    Some(())
}
