//! The `talc` allocator.

use crate::cell::KernelCell;
use core::alloc::Layout;
use core::ptr::NonNull;
use talc::base::Talc;
use talc::base::binning::DefaultBinning;
use talc::source::Manual;

static TALC: KernelCell<Talc<Manual, DefaultBinning>> = KernelCell::new(Talc::new(Manual));

crate::member! {
    fn allocate(layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: Rust's allocation functions never ask for zero bytes.
        unsafe { TALC.borrow().allocate(layout) }
    }

    fn deallocate(block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller gives back what `allocate` returned for this layout.
        unsafe { TALC.borrow().deallocate(block.as_ptr(), layout) }
    }

    fn add(start: NonNull<u8>, size: usize) {
        // SAFETY: frames that the heap has just taken.
        unsafe { TALC.borrow().claim(start.as_ptr(), size) };
    }
}
