//! The kernel's heap: Rust's global allocator, filled with runs of frames as it runs out.
pub mod buddy;
pub mod talc;

use super::frames;
use super::paging::{PAGE, phys_to_virt};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

crate::choice! {
    /// A block, if there is room.
    pub fn allocate(layout: Layout) -> Option<NonNull<u8>>;
    /// Takes back a block that `allocate` gave for the same layout.
    pub fn deallocate(block: NonNull<u8>, layout: Layout);
    /// Takes memory to allocate from, for good.
    pub fn add(start: NonNull<u8>, size: usize);
}

crate::param! {
    /// Bytes to ask for at once.
    static GROW: u64 = "grow"
}

struct Heap;

// SAFETY: the chosen allocator's blocks are disjoint and of the layout asked for.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(block) = allocate(layout) {
            return block.as_ptr();
        }
        // Room for the allocator's own bookkeeping and for rounding up to a power of two.
        let need = (layout.size() + layout.align()).next_power_of_two() + PAGE as usize;
        for size in [need.max(GROW.get() as usize), need] {
            let pages = size.div_ceil(PAGE as usize);
            if let Some(run) = frames::allocate_run(pages)
                && let Some(start) = NonNull::new(phys_to_virt(run) as *mut u8)
            {
                add(start, pages * PAGE as usize);
                return allocate(layout).map_or(null_mut(), NonNull::as_ptr);
            }
        }
        null_mut()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            deallocate(block, layout);
        }
    }
}

#[global_allocator]
static HEAP: Heap = Heap;
