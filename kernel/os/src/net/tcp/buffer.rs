//! Memory for the two directions of a connection: runs of frames, given back when the connection ends.

use crate::cell::KernelCell;
use crate::list;
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use alloc::vec::Vec;

/// Buffers kept for the next connection.
const SPARE: usize = 16;
/// Frames that are left to the program whatever peers ask for.
const RESERVE: usize = 64;
const LEAST: usize = PAGE as usize;

static SPARES: KernelCell<Vec<(u64, usize)>> = KernelCell::new(Vec::new());

/// A run of frames.
pub struct Buffer {
    base: u64,
    pages: usize,
}

impl Buffer {
    /// A buffer of about `size` bytes: smaller when memory is short, none when it is very short.
    pub fn new(size: usize) -> Option<Self> {
        let (available, _) = frames::counts();
        let mut size = size;
        // A thousand connections are to fit.
        while size > LEAST && size * 512 > available * PAGE as usize {
            size /= 2;
        }
        Self::of(size.max(LEAST).div_ceil(PAGE as usize))
    }

    /// A buffer of exactly so many pages.
    pub fn of(pages: usize) -> Option<Self> {
        let (available, _) = frames::counts();
        let spare = {
            let mut spares = SPARES.borrow();
            let at = spares.iter().position(|spare| spare.1 == pages);
            at.map(|at| spares.swap_remove(at))
        };
        if let Some((base, pages)) = spare {
            return Some(Self { base, pages });
        }
        if available < pages + RESERVE {
            return None;
        }
        Some(Self { base: frames::allocate_run(pages)?, pages })
    }

    pub fn pages(&self) -> usize {
        self.pages
    }

    /// The memory.
    ///
    /// # Safety
    /// To be called once, and not to be used when the buffer is gone.
    pub unsafe fn memory(&self) -> &'static mut [u8] {
        // SAFETY: the run is this buffer's own; old bytes are as good as any.
        unsafe {
            core::slice::from_raw_parts_mut(phys_to_virt(self.base) as *mut u8, self.pages * PAGE as usize)
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spares = SPARES.borrow();
        if spares.len() >= SPARE || list::push(&mut spares, (self.base, self.pages)).is_err() {
            frames::free_run(self.base, self.pages);
        }
    }
}
