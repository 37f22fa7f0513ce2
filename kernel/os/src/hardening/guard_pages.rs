//! Kernel stacks between pages that are not there: one that runs over faults instead of overwriting its neighbour.

use crate::cell::KernelCell;
use crate::memory::paging::{self, Entry, PAGE};
use alloc::vec::Vec;
use x86_64::structures::paging::page_table::PageTableFlags as Flags;

crate::register!("stack-map": fn(u64, usize) -> Option<u64> = { 10 => map });
crate::register!("stack-unmap": fn(u64, usize) = { 10 => unmap });

/// An area of the upper half that nothing else uses.
const BASE: u64 = 0xffff_c000_0000_0000;

struct Places {
    /// Places that have been used and are free again; there is room for as many as there are.
    free: Vec<u64>,
    made: usize,
}

static PLACES: KernelCell<Places> = KernelCell::new(Places { free: Vec::new(), made: 0 });

/// Addresses for a stack, behind a page that stays unmapped.
fn place(pages: usize) -> Option<u64> {
    let mut places = PLACES.borrow();
    if let Some(place) = places.free.pop() {
        return Some(place);
    }
    let room = places.made + 1;
    places.free.try_reserve(room).ok()?;
    places.made = room;
    Some(BASE + PAGE + (room as u64 - 1) * (pages as u64 + 1) * PAGE)
}

fn map(frame: u64, pages: usize) -> Option<u64> {
    let place = place(pages)?;
    let flags = Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE;
    for offset in (0..pages as u64 * PAGE).step_by(PAGE as usize) {
        if paging::set(place + offset, Entry::new(frame + offset, flags)).is_none() {
            unmap(place, pages);
            return None;
        }
    }
    Some(place)
}

fn unmap(place: u64, pages: usize) {
    for offset in (0..pages as u64 * PAGE).step_by(PAGE as usize) {
        paging::take(place + offset);
    }
    PLACES.borrow().free.push(place);
}
