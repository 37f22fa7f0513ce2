//! What programs do with a file in memory that is open, and its pages for those who map it.

use super::LIMIT;
use super::data::Data;
use super::memory::{Content, Memory};
use crate::errno::{Errno, Result};
use crate::fs::file::{Access, File, Pages, Stat};
use crate::memory::paging::{PAGE, phys_to_virt};
use crate::memory::user;
use alloc::rc::Rc;
use core::cell::Cell;
use linux_raw_sys::general::*;

impl File for Memory {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        self.note_access();
        let mut done = 0;
        while done < count {
            let position = access.position + done as u64;
            // The program's memory may fault: no borrow of the content across the copy. Frames stay while the file is open.
            let (source, length) = self.data(|data| Ok(data.run(position)))?;
            let length = length.min(count - done);
            if length == 0 {
                break;
            }
            let copied = match source {
                // SAFETY: bytes of the image, or of a frame that belongs to this file.
                Some(source) => user::write_bytes(to + done as u64, unsafe {
                    core::slice::from_raw_parts(source, length)
                }),
                None => user::write_bytes(to + done as u64, &[0; PAGE as usize][..length]),
            };
            match copied {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += length,
            }
        }
        Ok(done)
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        let limit = LIMIT.get();
        if count > 0 && access.position >= limit {
            return Err(Errno::EFBIG);
        }
        let count = count.min((limit - access.position) as usize);
        let seals = self.seals.get();
        if seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0 {
            return Err(Errno::EPERM);
        }
        let mut count = count;
        if seals & F_SEAL_GROW != 0 && count > 0 {
            let left = self.data(|data| Ok(data.size().saturating_sub(access.position)))?;
            if left == 0 {
                return Err(Errno::EPERM);
            }
            count = count.min(left as usize);
        }
        let mut done = 0;
        while done < count {
            let position = access.position + done as u64;
            let length = ((PAGE - position % PAGE) as usize).min(count - done);
            let written = self.data(|data| data.frame((position / PAGE) as usize)).and_then(|frame| {
                let target = (phys_to_virt(frame) + position % PAGE) as *mut u8;
                // SAFETY: part of a frame that belongs to this file.
                user::read_bytes(from + done as u64, unsafe {
                    core::slice::from_raw_parts_mut(target, length)
                })
            });
            match written {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += length,
            }
            let end = access.position + done as u64;
            self.data(|data| {
                let (_, size) = data.pages()?;
                *size = (*size).max(end);
                Ok(())
            })?;
        }
        if done > 0 {
            self.touch();
        }
        Ok(done)
    }

    fn stat(&self) -> Stat {
        self.stat()
    }

    fn image_data(&self) -> Option<&'static [u8]> {
        match &*self.content.borrow() {
            Content::File(Data::Image(bytes)) => Some(bytes),
            _ => None,
        }
    }

    fn next(&self, position: u64, hole: bool) -> u64 {
        let page = self.data(|data| Ok(data.next((position / PAGE) as usize, hole)));
        page.map_or(position, |page| position.max(page as u64 * PAGE)).min(self.stat().size)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_changeable(&self) -> bool {
        true
    }

    fn pages(self: Rc<Self>) -> Option<Rc<dyn Pages>> {
        Some(self)
    }

    fn seals(&self) -> Option<&Cell<u32>> {
        Some(&self.seals)
    }
}

impl Pages for Memory {
    fn page(&self, index: u64, write: bool) -> Result<u64> {
        if write {
            self.touch();
        }
        self.data(|data| {
            if index >= data.size().div_ceil(PAGE) {
                return Err(Errno::EINVAL);
            }
            data.frame(index as usize)
        })
    }
}
