//! The I/O APIC (82093AA data sheet): which interrupt line raises which vector.

use super::apic;
use crate::memory::paging;

/// Where every PC, and QEMU's microvm, has the first one.
const BASE: u64 = 0xfec0_0000;
const INDEX: u64 = 0x00;
const DATA: u64 = 0x10;
const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;
const LEVEL_TRIGGERED: u32 = 1 << 15;

fn access(index: u32) -> *mut u32 {
    // Mapping twice is the same mapping.
    let base = paging::map_device(BASE);
    // SAFETY: the index register, mapped.
    unsafe { ((base + INDEX) as *mut u32).write_volatile(index) };
    (base + DATA) as *mut u32
}

/// Has a level-triggered, active-high line raise a vector. False: there is no such line.
pub fn route(line: u32, vector: u64) -> bool {
    let destination = apic::enable();
    // SAFETY: registers of the I/O APIC; a missing one reads as ones and ignores writes.
    unsafe {
        let lines = (access(VERSION).read_volatile() >> 16 & 0xff) + 1;
        if line >= lines {
            return false;
        }
        access(REDIRECTION + 2 * line + 1).write_volatile(u32::from(destination) << 24);
        access(REDIRECTION + 2 * line).write_volatile(LEVEL_TRIGGERED | vector as u32);
    }
    true
}
