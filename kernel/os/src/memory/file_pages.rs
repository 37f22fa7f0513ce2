//! Files behind mappings: which numbers stand for which, for as long as an area shows them.

use super::space::{self, Backing, Fault};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::{File, Pages};
use alloc::rc::Rc;
use alloc::vec::Vec;

crate::register!("map-file": fn(&Rc<dyn File>, u64, bool) -> Option<Result<Backing>> = { 10 => map });
crate::register!("file-page": fn(u32, u64, bool) -> core::result::Result<u64, Fault> = { 10 => page });
crate::register!("file-unmapped": fn() = { 10 => release });
crate::register!("file-sync": fn(u32, u64, u64) -> Result<()> = { 10 => sync });
crate::register!("file-written": fn(&dyn Pages) -> bool = { 10 => is_written });
crate::register!("file-changed": fn(&dyn Pages, u64, bool) = { 10 => changed });

/// Files by number.
static FILES: KernelCell<Vec<Option<Rc<dyn Pages>>>> = KernelCell::new(Vec::new());

fn file(number: u32) -> Option<Rc<dyn Pages>> {
    FILES.borrow().get(number as usize).cloned().flatten()
}

fn is_same(a: &dyn Pages, b: &dyn Pages) -> bool {
    core::ptr::addr_eq(a, b)
}

fn number_of(pages: &dyn Pages) -> Option<u32> {
    let files = FILES.borrow();
    let found = files.iter().position(|file| file.as_ref().is_some_and(|file| is_same(&**file, pages)));
    found.map(|number| number as u32)
}

fn is_written(pages: &dyn Pages) -> bool {
    number_of(pages).is_some_and(space::is_file_written)
}

/// What an area of a file is to show; `None`: the file has no pages to share.
fn map(file: &Rc<dyn File>, offset: u64, shared: bool) -> Option<Result<Backing>> {
    let pages = file.clone().pages()?;
    if let Some(file) = number_of(&*pages) {
        return Some(Ok(Backing::File { file, offset, shared, read_only: false }));
    }
    let mut files = FILES.borrow();
    let number = match files.iter().position(Option::is_none) {
        Some(free) => free,
        None => {
            if crate::list::push(&mut files, None).is_err() {
                return Some(Err(Errno::ENOMEM));
            }
            files.len() - 1
        }
    };
    files[number] = Some(pages);
    Some(Ok(Backing::File { file: number as u32, offset, shared, read_only: false }))
}

fn page(number: u32, index: u64, write: bool) -> core::result::Result<u64, Fault> {
    let file = file(number).ok_or(Fault::Beyond)?;
    file.page(index, write)
        .map_err(|error| if error == Errno::ENOMEM { Fault::OutOfMemory } else { Fault::Beyond })
}

/// Lets go of files that nothing shows any more.
fn release() {
    let count = FILES.borrow().len();
    for number in 0..count {
        if file(number as u32).is_some() && !space::is_file_mapped(number as u32) {
            let gone = FILES.borrow()[number].take();
            // The last of a file's content may go with it.
            drop(gone);
        }
    }
}

fn sync(number: u32, first: u64, count: u64) -> Result<()> {
    file(number).map_or(Ok(()), |file| file.sync(first, count))
}

/// The pages of a file from `first` on are no longer what is mapped.
fn changed(pages: &dyn Pages, first: u64, copies: bool) {
    if let Some(number) = number_of(pages) {
        space::forget(number, first, copies);
    }
}
