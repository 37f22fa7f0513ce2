//! The bytes of a file in memory.

use super::LIMIT;
use crate::errno::{Errno, Result};
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use alloc::vec::Vec;

/// Bytes of a file: those of the image until the first write, then frames, absent where nothing was written.
pub enum Data {
    Image(&'static [u8]),
    Pages { frames: Vec<Option<u64>>, size: u64 },
}

impl Data {
    pub fn size(&self) -> u64 {
        match self {
            Self::Image(bytes) => bytes.len() as u64,
            Self::Pages { size, .. } => *size,
        }
    }

    /// Bytes from `position` up to the end of its page or of the file; `None` is a hole of that length.
    pub fn run(&self, position: u64) -> (Option<*const u8>, usize) {
        match self {
            Self::Image(bytes) => {
                let rest = &bytes[bytes.len().min(position as usize)..];
                (Some(rest.as_ptr()), rest.len())
            }
            Self::Pages { frames, size } => {
                let length = (PAGE - position % PAGE).min(size.saturating_sub(position));
                let frame = frames.get((position / PAGE) as usize).copied().flatten();
                (frame.map(|frame| (phys_to_virt(frame) + position % PAGE) as *const u8), length as usize)
            }
        }
    }

    /// The frames, after moving the image's bytes into some.
    pub fn pages(&mut self) -> Result<(&mut Vec<Option<u64>>, &mut u64)> {
        if let Self::Image(bytes) = *self {
            let mut pages = Self::Pages { frames: Vec::new(), size: 0 };
            let (frames, size) = pages.pages()?;
            frames.try_reserve(bytes.len().div_ceil(PAGE as usize)).map_err(|_| Errno::ENOSPC)?;
            for chunk in bytes.chunks(PAGE as usize) {
                let frame = frames::allocate_for_program();
                frames.push(frame);
                // A frame not to be had leaves a half copy, which drops what it has.
                let frame = frame.ok_or(Errno::ENOSPC)?;
                let to = phys_to_virt(frame) as *mut u8;
                // SAFETY: a frame of our own.
                unsafe {
                    core::ptr::copy_nonoverlapping(chunk.as_ptr(), to, chunk.len());
                    core::ptr::write_bytes(to.add(chunk.len()), 0, PAGE as usize - chunk.len());
                }
            }
            *size = bytes.len() as u64;
            *self = pages;
        }
        match self {
            Self::Pages { frames, size } => Ok((frames, size)),
            Self::Image(_) => unreachable!("just replaced"),
        }
    }

    /// The frame of a page, made if absent.
    pub fn frame(&mut self, page: usize) -> Result<u64> {
        let (frames, _) = self.pages()?;
        if page >= frames.len() {
            frames.try_reserve(page + 1 - frames.len()).map_err(|_| Errno::ENOSPC)?;
            frames.resize(page + 1, None);
        }
        if frames[page].is_none() {
            let frame = frames::allocate_for_program().ok_or(Errno::ENOSPC)?;
            // SAFETY: a frame of our own.
            unsafe { core::ptr::write_bytes(phys_to_virt(frame) as *mut u8, 0, PAGE as usize) };
            frames[page] = Some(frame);
        }
        frames[page].ok_or(Errno::ENOSPC)
    }

    /// The first page at or above `page` that has a frame, or has none; the end if there is no such.
    pub fn next(&self, page: usize, hole: bool) -> usize {
        match self {
            Self::Image(bytes) if hole => bytes.len().div_ceil(PAGE as usize),
            Self::Image(_) => page,
            Self::Pages { frames, size } => {
                let end = size.div_ceil(PAGE) as usize;
                let has_frame = |page: usize| frames.get(page).copied().flatten().is_some();
                (page..end).find(|&page| has_frame(page) != hole).unwrap_or(end)
            }
        }
    }

    pub fn resize(&mut self, new: u64) -> Result<()> {
        if new > LIMIT.get() {
            return Err(Errno::EFBIG);
        }
        if new == 0 {
            *self = Self::Pages { frames: Vec::new(), size: 0 };
            return Ok(());
        }
        let (frames, size) = self.pages()?;
        if new < *size {
            for frame in frames.drain(frames.len().min(new.div_ceil(PAGE) as usize)..).flatten() {
                frames::free(frame);
            }
            // What comes back when the file grows again must read as zeroes.
            if !new.is_multiple_of(PAGE)
                && let Some(frame) =
                    frames.last().copied().flatten().filter(|_| frames.len() as u64 == new.div_ceil(PAGE))
            {
                let rest = new % PAGE;
                // SAFETY: the end of a frame of our own.
                unsafe {
                    core::ptr::write_bytes(
                        (phys_to_virt(frame) + rest) as *mut u8,
                        0,
                        (PAGE - rest) as usize,
                    );
                }
            }
        }
        *size = new;
        Ok(())
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Self::Pages { frames, .. } = self {
            for frame in frames.drain(..).flatten() {
                frames::free(frame);
            }
        }
    }
}
