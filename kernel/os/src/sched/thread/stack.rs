//! Kernel stacks.

use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};

/// Pages of a kernel stack.
const STACK_PAGES: usize = 4;

// Makes a kernel stack visible at other addresses than the frames' own: its first frame and how many.
crate::hook!(pub fn stack_mappers() -> "stack-map": fn(u64, usize) -> Option<u64>);
// Undoes that: the address, and how many pages.
crate::hook!(fn stack_unmappers() -> "stack-unmap": fn(u64, usize));

/// Where a thread runs in the kernel.
#[derive(Clone, Copy)]
pub struct KernelStack {
    frame: u64,
    address: u64,
}

impl KernelStack {
    pub fn new() -> Option<Self> {
        let frame = frames::allocate_run(STACK_PAGES)?;
        let address = match stack_mappers().first() {
            None => Some(phys_to_virt(frame)),
            Some(mapper) => (mapper.item)(frame, STACK_PAGES),
        };
        if address.is_none() {
            frames::free_run(frame, STACK_PAGES);
        }
        Some(Self { frame, address: address? })
    }

    pub fn top(self) -> u64 {
        self.address + STACK_PAGES as u64 * PAGE
    }

    pub fn free(self) {
        for unmapper in stack_unmappers() {
            (unmapper.item)(self.address, STACK_PAGES);
        }
        frames::free_run(self.frame, STACK_PAGES);
    }
}
