//! The `buddy_system_allocator`.

use crate::cell::KernelCell;
use buddy_system_allocator::Heap;
use core::alloc::Layout;
use core::ptr::NonNull;

/// Blocks up to 2^31 bytes.
static BUDDY: KernelCell<Heap<32>> = KernelCell::new(Heap::new());

crate::member! {
    fn allocate(layout: Layout) -> Option<NonNull<u8>> {
        BUDDY.borrow().alloc(layout).ok()
    }

    fn deallocate(block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller gives back what `allocate` returned for this layout.
        unsafe { BUDDY.borrow().dealloc(block, layout) }
    }

    fn add(start: NonNull<u8>, size: usize) {
        // SAFETY: frames that the heap has just taken.
        unsafe { BUDDY.borrow().add_to_heap(start.addr().get(), start.addr().get() + size) }
    }
}
