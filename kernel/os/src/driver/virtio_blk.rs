//! The virtio block device (VIRTIO 1.2, section 5.2).

use super::block::{self, Device, Operation, Piece, Request, SECTOR};
use super::virtio::{self, Driver, Part, Transport};
use super::virtio_requests::Requests;
use crate::errno::{Errno, Result};
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// The device's type (section 5).
const BLOCK: u64 = 2;
crate::register!("virtio-device": fn(Rc<dyn Transport>) -> Option<Rc<dyn Driver>> = { BLOCK => start });

const FEATURE_SEGMENTS: u64 = 1 << 2;
const FEATURE_READ_ONLY: u64 = 1 << 5;
const FEATURE_FLUSH: u64 = 1 << 9;

/// Types of requests (section 5.2.6).
const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;

/// Parts of one request: header, pieces of memory, status.
const PARTS: usize = 16;
/// Requests at once.
const MOST: u16 = 16;

/// `struct virtio_blk_req` without its data. The device writes the status.
#[repr(C)]
struct Header {
    kind: u32,
    reserved: u32,
    sector: u64,
    status: u8,
    _padding: [u8; 15],
}
const STATUS: u64 = core::mem::offset_of!(Header, status) as u64;
/// What the status is before the device has written it; none of section 5.2.6.
const UNDONE: u8 = 0xff;
const _: () = assert!(MOST as usize * size_of::<Header>() <= PAGE as usize);

struct Disk {
    requests: Rc<Requests>,
    /// Physical address of the headers, one for each request.
    headers: u64,
    /// Most pieces of memory of a request.
    pieces: usize,
    sectors: u64,
    read_only: bool,
    can_flush: bool,
}

fn start(transport: Rc<dyn Transport>) -> Option<Rc<dyn Driver>> {
    let features = virtio::negotiate(&*transport, FEATURE_SEGMENTS | FEATURE_READ_ONLY | FEATURE_FLUSH)?;
    let word =
        |offset: usize| u32::from_le_bytes(core::array::from_fn(|index| transport.config(offset + index)));
    let sectors = u64::from(word(0)) | u64::from(word(4)) << 32;
    let segments = if features & FEATURE_SEGMENTS != 0 { word(12).max(1) as usize } else { PARTS };
    let requests = Requests::new(transport.clone(), 0, PARTS as u16, MOST)?;
    let pieces = requests.parts().checked_sub(2).filter(|&pieces| pieces > 0)?.min(segments);
    let headers = frames::allocate_zeroed()?;
    let disk = Rc::new(Disk {
        requests,
        headers,
        pieces,
        sectors,
        read_only: features & FEATURE_READ_ONLY != 0,
        can_flush: features & FEATURE_FLUSH != 0,
    });
    virtio::ready(&*transport);
    block::attach(disk.clone());
    Some(disk)
}

impl Driver for Disk {
    fn interrupt(&self) {
        self.requests.collect();
    }
}

impl Disk {
    fn header(&self, number: u16) -> u64 {
        self.headers + u64::from(number) * size_of::<Header>() as u64
    }

    /// Hands a request to the device.
    fn submit(&self, number: u16, kind: u32, sector: u64, pieces: &[Piece]) {
        let header = self.header(number);
        // SAFETY: the request's own header, which the device does not have.
        unsafe {
            (phys_to_virt(header) as *mut Header).write_volatile(Header {
                kind,
                reserved: 0,
                sector,
                status: UNDONE,
                _padding: [0; 15],
            });
        }
        let mut parts = [Part { physical: header, length: STATUS as u32, writable: false }; PARTS];
        for (part, &(physical, length)) in parts[1..].iter_mut().zip(pieces) {
            *part = Part { physical, length, writable: kind == READ };
        }
        let last = pieces.len() + 1;
        parts[last] = Part { physical: header + STATUS, length: 1, writable: true };
        self.requests.submit(number, &parts[..=last]);
    }

    /// Gives back the numbers of those requests that have been answered. EIO: one has failed.
    fn reap(&self, numbers: &mut Vec<u16>) -> Result<()> {
        let mut result = Ok(());
        numbers.retain(|&number| {
            if !self.requests.is_answered(number) {
                return true;
            }
            // SAFETY: the request's own header, which the device is done with.
            let status =
                unsafe { ((phys_to_virt(self.header(number)) + STATUS) as *const u8).read_volatile() };
            if status != 0 {
                result = Err(Errno::EIO);
            }
            self.requests.give_back(number);
            false
        });
        result
    }

    /// Carries out requests, each of a kind, a sector and at most as many pieces as one has room for.
    fn carry_out<'a>(&self, mut requests: impl Iterator<Item = (u32, u64, &'a [Piece])>) -> Result<()> {
        let mut mine = Vec::new();
        mine.try_reserve(self.requests.count()).map_err(|_| Errno::ENOMEM)?;
        let mut result = Ok(());
        let mut next = requests.next();
        while next.is_some() || !mine.is_empty() {
            let before = mine.len();
            while let Some((kind, sector, pieces)) = next {
                let Some(number) = self.requests.take() else { break };
                self.submit(number, kind, sector, pieces);
                mine.push(number);
                next = requests.next();
            }
            if mine.len() > before {
                self.requests.tell();
            }
            let before = mine.len();
            result = result.and(self.reap(&mut mine));
            if mine.len() == before {
                self.requests.wait();
            }
        }
        result
    }
}

impl Device for Disk {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn execute(&self, requests: &[Request]) -> Result<()> {
        for request in requests {
            let bytes: u64 = request.pieces.iter().map(|piece| u64::from(piece.1)).sum();
            let end = request.sector.checked_add(bytes / SECTOR);
            if end.is_none_or(|end| end > self.sectors) {
                return Err(Errno::EIO);
            }
            if request.operation == Operation::Write && self.read_only {
                return Err(Errno::EROFS);
            }
        }
        self.carry_out(requests.iter().flat_map(|request| {
            let kind = if request.operation == Operation::Read { READ } else { WRITE };
            let mut sector = request.sector;
            request.pieces.chunks(self.pieces).map(move |pieces| {
                let at = sector;
                sector += pieces.iter().map(|piece| u64::from(piece.1)).sum::<u64>() / SECTOR;
                (kind, at, pieces)
            })
        }))
    }

    fn flush(&self) -> Result<()> {
        // A device without the feature writes through (section 5.2.6.2).
        if !self.can_flush {
            return Ok(());
        }
        self.carry_out(core::iter::once((FLUSH, 0, &[][..])))
    }
}
