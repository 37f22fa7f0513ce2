//! Messages of 9P: numbers are little endian, texts and lists have their length before them.

use crate::errno::{Errno, Result};
use alloc::vec::Vec;

/// Bytes before a message's own: its size, type and tag.
pub const HEADER: usize = 7;

/// Types of requests; an answer's is one more.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The answer to anything that failed, less one.
    Error = 6,
    Statfs = 8,
    Open = 12,
    Create = 14,
    Symlink = 16,
    MakeNode = 18,
    ReadLink = 22,
    GetAttributes = 24,
    SetAttributes = 26,
    ReadDirectory = 40,
    Sync = 50,
    Link = 70,
    MakeDirectory = 72,
    Rename = 74,
    Unlink = 76,
    Version = 100,
    Attach = 104,
    Walk = 110,
    Read = 116,
    Write = 118,
    Clunk = 120,
}

/// Writes a message into a buffer that is known to be long enough for all but data, whose length the caller limits.
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    length: usize,
    overrun: bool,
}

impl<'a> Writer<'a> {
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: HEADER, overrun: false }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.length..self.length + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.overrun = true,
        }
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn text(&mut self, text: &[u8]) {
        self.u16(text.len().min(usize::from(u16::MAX)) as u16);
        self.bytes(text);
    }

    /// Completes the message; its length.
    pub fn finish(self, kind: Kind, tag: u16) -> Result<usize> {
        if self.overrun {
            return Err(Errno::ENAMETOOLONG);
        }
        self.buffer[..4].copy_from_slice(&(self.length as u32).to_le_bytes());
        self.buffer[4] = kind as u8;
        self.buffer[5..HEADER].copy_from_slice(&tag.to_le_bytes());
        Ok(self.length)
    }
}

/// Reads a message of the host, which may be cut short: then EIO.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Errno::EIO)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.bytes(N)?.try_into().map_err(|_| Errno::EIO)
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn text(&mut self) -> Result<Vec<u8>> {
        let length = self.u16()?;
        Ok(self.bytes(usize::from(length))?.to_vec())
    }

    /// What the host knows a file by: its number for it, without type and version.
    pub fn identity(&mut self) -> Result<u64> {
        self.bytes(5)?;
        self.u64()
    }
}
