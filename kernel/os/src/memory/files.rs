//! Mappings that show a file's pages in place: what is written to a shared one goes to the file.
//!
//! Areas know a file by its number here. A file stays as long as an area shows it, also when it is closed and removed.

use super::paging::PAGE;
use super::space::{self, Backing, Fault, FilePages};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::{Description, File};
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::{O_ACCMODE, O_RDWR};

crate::register!("map-file": fn(&Description, u64, bool) -> Result<Option<Backing>> = { 10 => map });
crate::register!("file-page": fn(u32, u64) -> core::result::Result<u64, Fault> = { 10 => find });
crate::register!("file-unmapped": fn() = { 10 => forget });
crate::register!("file-cut": fn(*const (), u64) = { 10 => cut });

/// A file that areas show.
#[derive(Clone)]
struct Shown(Rc<dyn File>);

/// Files by number, as long as areas show them.
static FILES: KernelCell<Vec<Option<Shown>>> = KernelCell::new(Vec::new());

impl Shown {
    /// Whether it is the file at this address.
    fn is(&self, address: *const ()) -> bool {
        core::ptr::eq(Rc::as_ptr(&self.0).cast(), address)
    }
}

/// The number of the file at an address.
fn number_of(files: &[Option<Shown>], address: *const ()) -> Option<usize> {
    files.iter().position(|file| file.as_ref().is_some_and(|file| file.is(address)))
}

/// The backing of an area that shows a file from `offset` on; none if the file's pages cannot be shown in place.
fn map(description: &Description, offset: u64, shared: bool) -> Result<Option<Backing>> {
    if description.pages().is_none() {
        return Ok(None);
    }
    let mut files = FILES.borrow();
    let known = number_of(&files, Rc::as_ptr(&description.file).cast());
    let number = match known.or_else(|| files.iter().position(Option::is_none)) {
        Some(number) => number,
        None => {
            files.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            files.push(None);
            files.len() - 1
        }
    };
    files[number] = Some(Shown(description.file.clone()));
    let read_only = shared && description.flags.get() & O_ACCMODE != O_RDWR;
    Ok(Some(Backing::File(FilePages { file: number as u32, offset, shared, read_only })))
}

fn find(number: u32, page: u64) -> core::result::Result<u64, Fault> {
    let file = FILES.borrow().get(number as usize).cloned().flatten().ok_or(Fault::BeyondEnd)?.0;
    if page.saturating_mul(PAGE) >= file.stat().size {
        return Err(Fault::BeyondEnd);
    }
    let pages = file.pages().ok_or(Fault::BeyondEnd)?;
    pages
        .frame(page)
        .map_err(|error| if error == Errno::ENOSPC { Fault::OutOfMemory } else { Fault::BeyondEnd })
}

/// Lets go of files that no area shows any more.
fn forget() {
    let mut gone = core::mem::take(&mut *FILES.borrow());
    let mut shown = Vec::new();
    shown.resize_with(gone.len(), || None);
    space::files(|number| {
        if let Some(file) = gone.get_mut(number as usize) {
            let file = file.take();
            shown[number as usize] = shown[number as usize].take().or(file);
        }
    });
    *FILES.borrow() = shown;
    drop(gone); // a file's last owner may have much to do
}

/// A file has become shorter: nobody may see what was behind its new end.
fn cut(file: *const (), size: u64) {
    let number = number_of(&FILES.borrow(), file);
    if let Some(number) = number {
        space::cut(number as u32, size.next_multiple_of(PAGE));
    }
}
