//! The family's own options (`vsock(7)`, `linux/vm_sockets.h`).

use crate::errno::{Errno, Result};
use crate::net::socket;
use alloc::vec::Vec;
use core::cell::Cell;

crate::param! {
    static BUFFER: u64 = "buffer"
}

/// Names; their level's number is the family's.
const BUFFER_SIZE: u32 = 0;
const BUFFER_MIN_SIZE: u32 = 1;
const BUFFER_MAX_SIZE: u32 = 2;
const CONNECT_TIMEOUT_OLD: u32 = 6;
const CONNECT_TIMEOUT_NEW: u32 = 8;
/// As Linux has them unless told otherwise: bytes, and nanoseconds.
const LEAST: u64 = 128;
const CONNECT_TIMEOUT: u64 = 2_000_000_000;

/// What the family's own options say.
#[derive(Clone)]
pub struct Options {
    size: Cell<u64>,
    least: Cell<u64>,
    most: Cell<u64>,
    connect_timeout: Cell<u64>,
}

impl Options {
    pub fn new() -> Self {
        let size = BUFFER.get();
        Self {
            size: Cell::new(size),
            least: Cell::new(LEAST),
            most: Cell::new(size),
            connect_timeout: Cell::new(CONNECT_TIMEOUT),
        }
    }

    /// How long a connection may take to be made, in nanoseconds.
    pub fn connect_timeout(&self) -> u64 {
        self.connect_timeout.get()
    }

    /// Bytes that a connection holds.
    pub fn room(&self) -> u32 {
        self.size.get().min(u64::from(u32::MAX)) as u32
    }

    /// Keeps the size between its bounds (`vsock_update_buffer_size` of Linux).
    fn set_size(&self, size: u64) {
        self.size.set(size.min(self.most.get()).max(self.least.get()));
    }

    pub fn set(&self, name: u32, value: &[u8]) -> Result<()> {
        let first = value.first_chunk::<8>().map(|word| u64::from_le_bytes(*word));
        match name {
            BUFFER_SIZE => self.set_size(first.ok_or(Errno::EINVAL)?),
            BUFFER_MIN_SIZE => {
                self.least.set(first.ok_or(Errno::EINVAL)?);
                self.set_size(self.size.get());
            }
            BUFFER_MAX_SIZE => {
                self.most.set(first.ok_or(Errno::EINVAL)?);
                self.set_size(self.size.get());
            }
            CONNECT_TIMEOUT_OLD | CONNECT_TIMEOUT_NEW => {
                let micros = value.get(8..16).and_then(|rest| rest.first_chunk::<8>());
                let micros = u64::from_le_bytes(*micros.ok_or(Errno::EINVAL)?);
                let seconds = first.filter(|&seconds| seconds as i64 >= 0 && micros < 1_000_000);
                let seconds = seconds.ok_or(Errno(linux_raw_sys::errno::ERANGE as u16))?;
                let time = seconds.saturating_mul(1_000_000_000).saturating_add(micros * 1000);
                self.connect_timeout.set(if time == 0 { CONNECT_TIMEOUT } else { time });
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    pub fn get(&self, name: u32) -> Result<Vec<u8>> {
        let time = self.connect_timeout.get();
        let word = match name {
            BUFFER_SIZE => self.size.get(),
            BUFFER_MIN_SIZE => self.least.get(),
            BUFFER_MAX_SIZE => self.most.get(),
            CONNECT_TIMEOUT_OLD | CONNECT_TIMEOUT_NEW => {
                return Ok(socket::timeval_bytes(time));
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(word.to_le_bytes().to_vec())
    }
}
