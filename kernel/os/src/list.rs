//! Lists that are made and grow where memory may be short.

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

/// All items, or ENOMEM.
pub fn collect<T>(items: impl Iterator<Item = T>) -> Result<Vec<T>> {
    let mut list = Vec::new();
    for item in items {
        push(&mut list, item)?;
    }
    Ok(list)
}

/// That many zeroes, or ENOMEM. `Vec::resize` writes them one by one where code is compiled for size.
pub fn zeroes(length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    // SAFETY: there is room for as many, and they are filled.
    unsafe {
        core::ptr::write_bytes(bytes.as_mut_ptr(), 0, length);
        bytes.set_len(length);
    }
    Ok(bytes)
}
