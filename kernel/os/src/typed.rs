//! Bytes that were typed, or came as a stream, and that the program has not read yet.

use crate::sched::wait::Queue;
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};

/// Stands for the end of the input, among its bytes.
pub const END: u16 = 0x100;
/// Bytes that are kept for the program; more stay where they come from.
const LIMIT: usize = 4096;

/// The bytes, in order.
#[derive(Default)]
pub struct Typed {
    bytes: RefCell<VecDeque<u16>>,
    /// Woken when something has come.
    pub queue: Queue,
    /// Nothing more will come.
    pub has_ended: Cell<bool>,
}

impl Typed {
    /// Adds a byte, or [`END`].
    pub fn push(&self, byte: u16) {
        let mut bytes = self.bytes.borrow_mut();
        // Dropped where there is no memory, as by a device that nobody reads.
        if bytes.try_reserve(1).is_ok() {
            bytes.push_back(byte);
        }
    }

    /// The next byte.
    pub fn peek(&self) -> Option<u16> {
        self.bytes.borrow().front().copied()
    }

    /// How many bytes there are.
    pub fn length(&self) -> usize {
        self.bytes.borrow().len()
    }

    /// Whether more may come.
    pub fn has_room(&self) -> bool {
        self.length() < LIMIT
    }

    /// Throws all away.
    pub fn clear(&self) {
        self.bytes.borrow_mut().clear();
    }

    /// Takes bytes out, up to a buffer's length, until `is_last` says so. An end is taken and not returned.
    pub fn take(&self, to: &mut [u8], is_last: impl Fn(u8) -> bool) -> usize {
        let mut count = 0;
        let mut bytes = self.bytes.borrow_mut();
        while let Some(&next) = bytes.front() {
            if next != END && count == to.len() {
                break;
            }
            bytes.pop_front();
            if next == END {
                break;
            }
            to[count] = next as u8;
            count += 1;
            if is_last(next as u8) {
                break;
            }
        }
        count
    }
}
