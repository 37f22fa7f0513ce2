//! Areas that show files. Which file a number stands for is the business of a component; here are the areas.

use super::{AREAS, Area, Backing, Fault, Rights, drop_pages};
use crate::memory::paging::{self, OWNED, PAGE};
use alloc::vec::Vec;

// The frame of a page of a file; true: it is going to be written to.
crate::hook!(fn pagers() -> "file-page": fn(u32, u64, bool) -> Result<u64, Fault>);
// Called after areas that showed files have gone.
crate::hook!(fn releasers() -> "file-unmapped": fn());

/// The frame of a file's page.
pub fn page(file: u32, index: u64, write: bool) -> Result<u64, Fault> {
    pagers().first().map_or(Err(Fault::Beyond), |pager| (pager.item)(file, index, write))
}

/// Areas have gone, and files may have been behind them.
pub fn unmapped(had_files: bool) {
    if had_files {
        for releaser in releasers() {
            (releaser.item)();
        }
    }
}

/// Areas of a file: their bounds, and the offset in the file where they start.
fn areas_of(areas: &[Area], wanted: u32) -> impl Iterator<Item = (u64, u64, u64)> {
    areas.iter().filter_map(move |area| match area.backing {
        Backing::File { file, offset, .. } if file == wanted => Some((area.start, area.end, offset)),
        _ => None,
    })
}

/// Whether any area shows a file.
pub fn is_file_mapped(file: u32) -> bool {
    areas_of(&AREAS.borrow(), file).next().is_some()
}

/// Whether writing to any area changes a file.
pub fn is_file_written(wanted: u32) -> bool {
    let writes = |area: &Area| match area.backing {
        Backing::File { file, shared, .. } => file == wanted && shared && area.rights.contains(Rights::WRITE),
        _ => false,
    };
    AREAS.borrow().iter().any(writes)
}

/// Takes the pages of a file from its page `first` on out of all areas: their frames go, or the file must be told of the next write. `copies`:
/// those of private areas too.
pub fn forget(file: u32, first: u64, copies: bool) {
    for (start, end, offset) in areas_of(&AREAS.borrow(), file) {
        let start = start + (first * PAGE).saturating_sub(offset);
        if start < end && copies {
            drop_pages(start, end);
        } else if start < end {
            paging::update(start, end, |entry| Some(entry).filter(|entry| entry.flags().contains(OWNED)));
        }
    }
}

/// Calls `look` with each file that is shared between two addresses: its number, the first page there, and how many.
pub fn each_file(start: u64, end: u64, mut look: impl FnMut(u32, u64, u64)) {
    let mut found = Vec::new();
    for area in AREAS.borrow().iter().filter(|area| area.start < end && area.end > start) {
        if let Backing::File { file, offset, shared: true, .. } = area.backing {
            let from = start.max(area.start);
            let first = (offset + (from - area.start)) / PAGE;
            found.push((file, first, (end.min(area.end) - from) / PAGE));
        }
    }
    // Nothing is borrowed any more: writing back may wait.
    for (file, first, count) in found {
        look(file, first, count);
    }
}
