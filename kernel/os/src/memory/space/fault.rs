//! Bringing pages in.

use super::{AREAS, Area, Backing, Fault, Rights, files, position};
use crate::hardening::isolation;
use crate::memory::frames;
use crate::memory::paging::{self, Entry, OWNED, PAGE, SHARED, USER_END, phys_to_virt};
use x86_64::structures::paging::page_table::PageTableFlags as Flags;

/// Brings in all pages between two addresses that the program may access, as far as there is memory.
pub fn populate(start: u64, length: u64) {
    let end = start.saturating_add(length).min(USER_END);
    let mut page = start;
    while page < end {
        let area = {
            let areas = AREAS.borrow();
            areas.get(position(&areas, page)).copied()
        };
        let Some(area) = area else { return };
        page = page.max(area.start);
        let access = if area.rights.contains(Rights::WRITE) { Rights::WRITE } else { Rights::READ };
        if area.rights.is_empty() {
            page = area.end;
        }
        while page < area.end.min(end) {
            let present = paging::get(page)
                .is_some_and(|entry| access == Rights::READ || entry.flags().intersects(OWNED | SHARED));
            if !present && matches!(fault(page, access), Err(Fault::OutOfMemory | Fault::Beyond)) {
                return;
            }
            page += PAGE;
        }
    }
}

/// Flags of a page that had these, under an area's rights. Only a frame of its own or one of a shared file is ever writable: for any other
/// the first write makes one. Without rights a page is absent, but keeps its frame and so what it holds.
pub fn page_flags(rights: Rights, had: Flags) -> Flags {
    let kind = had & (OWNED | SHARED);
    let mut flags = if rights.is_empty() { kind } else { isolation::page_flags() | kind };
    if !kind.is_empty() && rights.contains(Rights::WRITE) {
        flags |= Flags::WRITABLE;
    }
    if !rights.contains(Rights::EXECUTE) {
        flags |= Flags::NO_EXECUTE;
    }
    flags
}

/// The area of an address, if it allows an access of this kind.
#[inline(never)]
fn accessible(address: u64, access: Rights) -> Result<Area, Fault> {
    let areas = AREAS.borrow();
    let found = areas.get(position(&areas, address)).filter(|area| area.start <= address);
    let area = *found.ok_or(Fault::Unmapped)?;
    // As on x86 under Linux, a page that may be written or executed may be read.
    let readable = if area.rights.is_empty() { Rights::empty() } else { Rights::READ };
    if (area.rights | readable).contains(access) { Ok(area) } else { Err(Fault::Forbidden) }
}

fn set(page: u64, frame: u64, rights: Rights, kind: Flags) -> Result<(), Fault> {
    paging::set(page, Entry::new(frame, page_flags(rights, kind))).ok_or(Fault::OutOfMemory)
}

/// Gives a page a frame of its own, with bytes from a physical address on and zeroes behind them.
fn copy(page: u64, rights: Rights, source: u64, bytes: u64) -> Result<(), Fault> {
    let frame = frames::allocate_for_program().ok_or(Fault::OutOfMemory)?;
    let target = phys_to_virt(frame) as *mut u8;
    // SAFETY: a frame of our own, and bytes of the image or of a file, which the direct mapping covers.
    unsafe {
        core::ptr::copy_nonoverlapping(phys_to_virt(source) as *const u8, target, bytes as usize);
        core::ptr::write_bytes(target.add(bytes as usize), 0, (PAGE - bytes) as usize);
    }
    set(page, frame, rights, OWNED).inspect_err(|_| frames::free(frame))
}

/// Brings in the page that an access of this kind (READ, WRITE or EXECUTE) faulted on. May wait, for a file.
pub fn fault(address: u64, access: Rights) -> Result<(), Fault> {
    let area = accessible(address, access)?;
    let page = address & !(PAGE - 1);
    let writes = access == Rights::WRITE;
    if let Some(entry) = paging::get(page)
        && (entry.flags().intersects(OWNED | SHARED) || !writes)
    {
        // Only the rights were stale.
        return set(page, entry.frame(), area.rights, entry.flags());
    }
    let (source, bytes) = match area.backing.skip(page - area.start) {
        Backing::Zeroes => (0, 0),
        Backing::Image { start, bytes } => (start, bytes.min(PAGE)),
        Backing::Beyond => return Err(Fault::Beyond),
        Backing::File { file, offset, shared, .. } => {
            let frame = files::page(file, offset / PAGE, shared && writes)?;
            // What may have changed while the file was waited for.
            let still = accessible(address, access)?;
            if still.start != area.start || still.backing != area.backing || still.rights != area.rights {
                return Ok(()); // the access is made once more, and faults if it has to
            }
            if shared {
                return set(page, frame, area.rights, if writes { SHARED } else { Flags::empty() });
            }
            (frame, PAGE)
        }
    };
    if bytes == PAGE && !writes && source.is_multiple_of(PAGE) {
        return set(page, source, area.rights, Flags::empty());
    }
    copy(page, area.rights, source, bytes)
}
