//! The `buddy_system_allocator`.

use crate::cell::KernelCell;
use buddy_system_allocator::Heap;
use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};

/// Blocks up to 2^31 bytes.
static BUDDY: KernelCell<Heap<32>> = KernelCell::new(Heap::new());

crate::member! {
    fn allocate(layout: Layout) -> *mut u8 {
        BUDDY.borrow().alloc(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    fn deallocate(block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller gives back what `allocate` returned for this layout.
            unsafe { BUDDY.borrow().dealloc(block, layout) }
        }
    }

    fn add(start: *mut u8, size: usize) {
        // SAFETY: frames that the heap has just taken.
        unsafe { BUDDY.borrow().add_to_heap(start as usize, start as usize + size) }
    }
}
