//! The bytes that are in a pipe.

use crate::errno::Result;
use crate::list;
use alloc::vec::Vec;

/// The storage that a pipe starts with.
const LEAST: usize = 4096;

/// A ring of bytes that grows as far as it is asked to.
///
/// Bytes are copied in and out at addresses that it tells, and counted in or out afterwards, so that they go straight between the program and the
/// ring. The addresses hold until the next [`Ring::reserve`].
pub struct Ring {
    storage: Vec<u8>,
    start: usize,
    length: usize,
}

impl Ring {
    pub const fn new() -> Self {
        Self { storage: Vec::new(), start: 0, length: 0 }
    }

    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Makes room for more bytes.
    pub fn reserve(&mut self, more: usize) -> Result<()> {
        let wanted = self.length + more;
        if wanted <= self.storage.len() {
            return Ok(());
        }
        let size = wanted.next_power_of_two().max(LEAST);
        let mut storage = list::zeroes(size)?;
        let (front, back) = self.parts();
        storage[..front.len()].copy_from_slice(front);
        storage[front.len()..self.length].copy_from_slice(back);
        self.storage = storage;
        self.start = 0;
        Ok(())
    }

    /// The bytes in order, in two pieces.
    fn parts(&self) -> (&[u8], &[u8]) {
        let front = self.length.min(self.storage.len() - self.start);
        (&self.storage[self.start..self.start + front], &self.storage[..self.length - front])
    }

    /// The first bytes that lie in one piece.
    pub fn front(&self) -> (*const u8, usize) {
        let (front, _) = self.parts();
        (front.as_ptr(), front.len())
    }

    /// Takes bytes out that were copied from the front.
    pub fn consume(&mut self, count: usize) {
        self.length -= count;
        self.start += count;
        if self.start >= self.storage.len() {
            self.start -= self.storage.len();
        }
        if self.length == 0 {
            // What comes next is in one piece as long as can be.
            self.start = 0;
        }
    }

    /// Where the next bytes go, and how many fit in one piece.
    pub fn back(&mut self) -> (*mut u8, usize) {
        let end = self.start + self.length;
        let free = match end.checked_sub(self.storage.len()) {
            Some(wrapped) => &mut self.storage[wrapped..self.start],
            None => &mut self.storage[end..],
        };
        (free.as_mut_ptr(), free.len())
    }

    /// Counts bytes in that were copied to the back.
    pub fn produce(&mut self, count: usize) {
        self.length += count;
    }

    /// Puts bytes before all others.
    pub fn push_front(&mut self, bytes: &[u8]) -> Result<()> {
        self.reserve(bytes.len())?;
        let size = self.storage.len();
        for &byte in bytes.iter().rev() {
            self.start = self.start.checked_sub(1).unwrap_or(size - 1);
            self.storage[self.start] = byte;
            self.length += 1;
        }
        Ok(())
    }
}
