//! Access to the program's memory.
//!
//! One routine touches it. When its copy instruction faults for good, the page-fault handler moves on behind it, and the rest is
//! reported as not copied.

use super::paging::USER_END;
use crate::errno::{Errno, Result};
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::sync::atomic::AtomicBool;

/// Set where the processor denies the kernel the program's pages unless it says so (SMAP).
pub static SMAP: AtomicBool = AtomicBool::new(false);

/// Copies bytes, by eight as far as they go, and returns how many were left over when a fault stopped it.
#[unsafe(naked)]
unsafe extern "C" fn copy(to: u64, from: u64, count: usize) -> usize {
    core::arch::naked_asm!(
        "cmp byte ptr [rip + {smap}], 0",
        "je 2f",
        "stac",
        "2:",
        "mov rcx, rdx",
        "shr rcx, 3",
        "je 3f",
        "rep movsq",
        // Behind a fault there are some left.
        "test rcx, rcx",
        "jne 4f",
        "3:",
        "mov ecx, edx",
        "and ecx, 7",
        "je 5f",
        "rep movsb",
        "5:",
        "mov rax, rcx",
        "6:",
        "cmp byte ptr [rip + {smap}], 0",
        "je 7f",
        "clac",
        "7:",
        "ret",
        "4:",
        "and edx, 7",
        "lea rax, [rdx + rcx * 8]",
        "jmp 6b",
        smap = sym SMAP,
    )
}

/// If `rip` is at a copy instruction: where to go on after a fault there.
pub fn resume_after_fault(rip: u64) -> Option<u64> {
    let start = copy as *const () as u64;
    // The routine is 80 bytes at most.
    if !(start..start + 80).contains(&rip) {
        return None;
    }
    // SAFETY: kernel text.
    let instruction = unsafe { core::ptr::read_unaligned(rip as *const [u8; 3]) };
    match instruction {
        [0xf3, 0x48, 0xa5] => Some(rip + 3), // rep movsq
        [0xf3, 0xa4, _] => Some(rip + 2),    // rep movsb
        _ => None,
    }
}

fn check(address: u64, length: usize) -> Result<()> {
    match address.checked_add(length as u64) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// Copies from the program.
pub fn read_bytes(address: u64, into: &mut [u8]) -> Result<()> {
    check(address, into.len())?;
    // SAFETY: within the program's half; faults are resumed.
    match unsafe { copy(into.as_mut_ptr() as u64, address, into.len()) } {
        0 => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// The same into memory that nobody has written yet.
pub fn read_fresh(address: u64, into: &mut [MaybeUninit<u8>]) -> Result<&mut [u8]> {
    check(address, into.len())?;
    // SAFETY: as above; without a fault all bytes have been written.
    unsafe {
        match copy(into.as_mut_ptr() as u64, address, into.len()) {
            0 => Ok(into.assume_init_mut()),
            _ => Err(Errno::EFAULT),
        }
    }
}

/// Copies to the program.
pub fn write_bytes(address: u64, from: &[u8]) -> Result<()> {
    check(address, from.len())?;
    // SAFETY: within the program's half; faults are resumed.
    match unsafe { copy(address, from.as_ptr() as u64, from.len()) } {
        0 => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// Writes zeroes to the program, as far as it goes.
pub fn fill_zeroes(address: u64, count: usize) -> Result<usize> {
    let zeroes = [0u8; 512];
    for done in (0..count).step_by(zeroes.len()) {
        let length = zeroes.len().min(count - done);
        check(address, done + length)?;
        // SAFETY: within the program's half; faults are resumed.
        let left = unsafe { copy(address + done as u64, zeroes.as_ptr() as u64, length) };
        match done + length - left {
            0 => return Err(Errno::EFAULT),
            written if left > 0 => return Ok(written),
            _ => {}
        }
    }
    Ok(count)
}

/// Types that any bytes are a value of, without padding that could tell the program something.
///
/// # Safety
/// Implemented for plain old data only.
pub unsafe trait Plain {}

macro_rules! plain {
    ($($ty:ty),+ $(,)?) => { $(
        // SAFETY: integers and C structures of integers.
        unsafe impl Plain for $ty {}
    )+ };
}

plain!(
    u8,
    u16,
    u32,
    i32,
    u64,
    i64,
    linux_raw_sys::general::__kernel_timespec,
    linux_raw_sys::general::__kernel_old_timeval,
    linux_raw_sys::general::iovec,
    linux_raw_sys::general::pollfd,
    linux_raw_sys::general::rlimit64,
    linux_raw_sys::general::rusage,
    linux_raw_sys::general::stat,
    linux_raw_sys::general::statx,
    linux_raw_sys::system::new_utsname,
    linux_raw_sys::system::sysinfo,
);
// SAFETY: an array of plain values.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// Reads a value from the program.
pub fn read<T: Plain>(address: u64) -> Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the value's own bytes; any bytes are a value of it.
    unsafe {
        read_bytes(address, core::slice::from_raw_parts_mut(value.as_mut_ptr().cast(), size_of::<T>()))?;
        Ok(value.assume_init())
    }
}

/// Writes a value to the program.
pub fn write<T: Plain>(address: u64, value: &T) -> Result<()> {
    // SAFETY: the value's own bytes.
    write_bytes(address, unsafe { core::slice::from_raw_parts((&raw const *value).cast(), size_of::<T>()) })
}

/// Reads a path and hands it on. Most are short: these take no memory of the heap.
pub fn with_path<T>(address: u64, look: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    let mut chunk = [MaybeUninit::uninit(); 128];
    let length = chunk.len().min((super::paging::PAGE - address % super::paging::PAGE) as usize);
    let chunk = read_fresh(address, &mut chunk[..length])?;
    match chunk.iter().position(|&byte| byte == 0) {
        Some(end) => look(&chunk[..end]),
        None => look(&read_path(address)?),
    }
}

/// Reads a path: bytes up to a NUL, of at most PATH_MAX.
pub fn read_path(address: u64) -> Result<Vec<u8>> {
    const PATH_MAX: usize = 4096;
    let mut path = Vec::new();
    let mut at = address;
    loop {
        // Up to the end of a page, so that nothing behind the string has to exist.
        let mut chunk = [MaybeUninit::uninit(); 128];
        let length = chunk.len().min((super::paging::PAGE - at % super::paging::PAGE) as usize);
        let chunk = read_fresh(at, &mut chunk[..length])?;
        if let Some(end) = chunk.iter().position(|&byte| byte == 0) {
            path.extend_from_slice(&chunk[..end]);
            return if path.len() < PATH_MAX { Ok(path) } else { Err(Errno::ENAMETOOLONG) };
        }
        path.extend_from_slice(chunk);
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        at += length as u64;
    }
}
