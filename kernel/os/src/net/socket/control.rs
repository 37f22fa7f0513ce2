//! Control messages (`cmsg(3)`): what is told beside the bytes of a message.

use crate::errno::{Errno, Result};
use alloc::vec::Vec;

/// `struct cmsghdr`: length with the header (8 bytes), level, type.
const HEADER: usize = 16;

/// Control messages for the program, in the room that it has for them.
#[derive(Default)]
pub struct Messages {
    pub bytes: Vec<u8>,
    pub room: usize,
    /// Something did not fit (MSG_CTRUNC).
    pub is_cut: bool,
}

impl Messages {
    /// How many bytes the next one can hold.
    pub fn left(&self) -> usize {
        (self.room - self.bytes.len()).saturating_sub(HEADER)
    }

    /// What does not fit is cut short, or left out if not even its header fits; the same as Linux' `put_cmsg`.
    pub fn add(&mut self, level: u32, kind: u32, value: &[u8]) {
        let left = self.room - self.bytes.len();
        let length = (HEADER + value.len()).min(left);
        self.is_cut |= length < HEADER + value.len();
        let Some(value) = length.checked_sub(HEADER).map(|length| &value[..length]) else { return };
        let end = self.bytes.len() + length.next_multiple_of(8).min(left);
        self.bytes.extend((length as u64).to_le_bytes());
        self.bytes.extend(level.to_le_bytes());
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(end, 0);
    }
}

/// Has `f` look at each control message of the program's: level, type and value. EINVAL: one that is shorter than its header, or longer than
/// all there is.
pub fn each(mut control: &[u8], mut f: impl FnMut(u32, u32, &[u8]) -> Result<()>) -> Result<()> {
    while let Some((header, _)) = control.split_first_chunk::<HEADER>() {
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = word(0) as usize;
        let value = control.get(HEADER..length).filter(|_| word(4) == 0).ok_or(Errno::EINVAL)?;
        f(word(8), word(12), value)?;
        control = control.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(())
}
