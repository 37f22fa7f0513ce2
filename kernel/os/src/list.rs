//! Lists that grow where memory may be short.

use crate::errno::{Errno, Result};
use alloc::vec::Vec;

/// Appends an item, or says ENOMEM. The code that grows is one for all types of items.
#[inline]
pub fn push<T>(list: &mut Vec<T>, item: T) -> Result<()> {
    list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    let length = list.len();
    list.spare_capacity_mut()[0].write(item);
    // SAFETY: there was room, and it is filled.
    unsafe { list.set_len(length + 1) };
    Ok(())
}
