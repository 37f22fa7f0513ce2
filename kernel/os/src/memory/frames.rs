//! The frame allocator: a bitmap over physical memory, searched from where the last search ended.

use super::paging::{KERNEL_BASE, PAGE, phys_to_virt};
use crate::boot::pvh::MemoryRange;
use crate::cell::KernelCell;

/// Memory below is the firmware's.
const LOW_MEMORY_END: u64 = 0x10_0000;

struct Frames {
    /// A set bit is a frame that is free.
    free: &'static mut [u64],
    next: usize,
    available: usize,
    total: usize,
}

static FRAMES: KernelCell<Frames> =
    KernelCell::new(Frames { free: &mut [], next: 0, available: 0, total: 0 });

fn ram(map: &[MemoryRange]) -> impl Iterator<Item = (u64, u64)> + '_ {
    map.iter().filter(|range| range.is_ram()).map(|range| {
        let end = (range.start + range.size) & !(PAGE - 1);
        (range.start.next_multiple_of(PAGE).max(LOW_MEMORY_END), end)
    })
}

pub fn init(map: &[MemoryRange]) {
    let image_end = (crate::layout_symbol!("root.end") - KERNEL_BASE).next_multiple_of(PAGE);
    let top = ram(map).map(|(_, end)| end).max().unwrap_or(0);
    let words = (top / PAGE).div_ceil(64) as usize;
    let bitmap_end = image_end + (words as u64 * 8).next_multiple_of(PAGE);
    if top < bitmap_end {
        panic!("{} KiB of memory cannot hold the image and its bookkeeping", (top >> 10) as usize);
    }
    // SAFETY: RAM just behind the image, which nobody else knows of yet.
    let free = unsafe { core::slice::from_raw_parts_mut(phys_to_virt(image_end) as *mut u64, words) };
    free.fill(0);
    let mut frames = FRAMES.borrow();
    frames.free = free;
    for (start, end) in ram(map) {
        let start = if start < bitmap_end { bitmap_end } else { start };
        let (mut frame, end) = ((start / PAGE) as usize, (end.max(start) / PAGE) as usize);
        frames.available += end - frame;
        while frame < end {
            let (word, bit) = frames.bit(frame);
            // Whole words at once: memory is large, and nothing else happens meanwhile.
            let whole = bit == 1 && end - frame >= 64;
            *word |= if whole { u64::MAX } else { bit };
            frame += if whole { 64 } else { 1 };
        }
    }
    frames.total = frames.available;
    frames.next = (bitmap_end / PAGE / 64) as usize;
}

impl Frames {
    /// The word that has a frame's bit, and the bit.
    fn bit(&mut self, frame: usize) -> (&mut u64, u64) {
        (&mut self.free[frame / 64], 1 << (frame % 64))
    }

    fn take_one(&mut self) -> Option<u64> {
        let words = self.free.len();
        for offset in 0..words {
            let mut index = self.next + offset;
            if index >= words {
                index -= words;
            }
            let (word, _) = self.bit(index * 64);
            if *word != 0 {
                let bit = word.trailing_zeros();
                *word &= *word - 1;
                self.next = index;
                self.available -= 1;
                return Some((index as u64 * 64 + u64::from(bit)) * PAGE);
            }
        }
        None
    }

    fn take_run(&mut self, count: usize) -> Option<u64> {
        let mut run = 0;
        let frames = self.free.len() * 64;
        let mut frame = 0;
        while frame < frames {
            let (&mut word, bit) = self.bit(frame);
            if word == 0 {
                run = 0;
                frame = (frame / 64 + 1) * 64;
                continue;
            }
            run = if word & bit != 0 { run + 1 } else { 0 };
            frame += 1;
            if run == count {
                let first = frame - count;
                for taken in first..frame {
                    let (word, bit) = self.bit(taken);
                    *word &= !bit;
                }
                self.available -= count;
                return Some(first as u64 * PAGE);
            }
        }
        None
    }
}

/// Physical address of a free frame, its contents unspecified.
pub fn allocate() -> Option<u64> {
    FRAMES.borrow().take_one()
}

/// Whether no more is free than is kept back from the program, so that the kernel can go on serving calls. What a program may have without end
/// is refused then.
pub fn are_scarce() -> bool {
    let (available, total) = counts();
    available <= (total / 64).clamp(16, 1024)
}

/// A frame for the program, unless they are scarce.
pub fn allocate_for_program() -> Option<u64> {
    if are_scarce() { None } else { allocate() }
}

/// Physical address of a frame of zeroes.
pub fn allocate_zeroed() -> Option<u64> {
    let frame = allocate()?;
    // SAFETY: a frame that was free, in the direct mapping.
    unsafe { core::ptr::write_bytes(phys_to_virt(frame) as *mut u8, 0, PAGE as usize) };
    Some(frame)
}

/// Physical address of `count` frames in a row.
pub fn allocate_run(count: usize) -> Option<u64> {
    FRAMES.borrow().take_run(count)
}

/// Gives a frame back.
pub fn free(frame: u64) {
    let mut frames = FRAMES.borrow();
    let (word, bit) = frames.bit((frame / PAGE) as usize);
    debug_assert!(*word & bit == 0);
    *word |= bit;
    frames.available += 1;
}

/// Gives a run of frames back.
pub fn free_run(first: u64, count: usize) {
    for index in 0..count as u64 {
        free(first + index * PAGE);
    }
}

/// Frames that are free, and frames that were free at boot.
pub fn counts() -> (usize, usize) {
    let frames = FRAMES.borrow();
    (frames.available, frames.total)
}
