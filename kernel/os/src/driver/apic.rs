//! The local APIC as the place where device interrupts arrive (Intel SDM vol. 3A, chapter 12).

use crate::memory::paging;
use crate::sched::trap::FIRST_INTERRUPT;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::registers::model_specific::Msr;

/// Where spurious interrupts go: no handler, no end-of-interrupt.
const SPURIOUS: u64 = FIRST_INTERRUPT + 15;

const ID: u64 = 0x20;
const END_OF_INTERRUPT: u64 = 0xb0;
const SPURIOUS_VECTOR: u64 = 0xf0;

/// Where the registers are mapped; zero before the first use.
static BASE: AtomicU64 = AtomicU64::new(0);

fn register(offset: u64) -> *mut u32 {
    (BASE.load(Ordering::Relaxed) + offset) as *mut u32
}

/// Switches the APIC on and returns its id, which interrupts are addressed to.
pub fn enable() -> u8 {
    const APIC_BASE: u32 = 0x1b;
    if BASE.load(Ordering::Relaxed) == 0 {
        // SAFETY: every x86-64 processor has the register.
        let base = unsafe { Msr::new(APIC_BASE).read() } & 0x000f_ffff_ffff_f000;
        let page = paging::map_device(base & !(paging::HUGE_PAGE - 1));
        BASE.store(page + base % paging::HUGE_PAGE, Ordering::Relaxed);
        // SAFETY: a register of the local APIC, just mapped.
        unsafe { register(SPURIOUS_VECTOR).write_volatile(1 << 8 | SPURIOUS as u32) };
    }
    // SAFETY: as above.
    (unsafe { register(ID).read_volatile() } >> 24) as u8
}

/// Tells the APIC that the interrupt being served has been dealt with.
pub fn end_of_interrupt() {
    // SAFETY: interrupts come after `enable` only.
    unsafe { register(END_OF_INTERRUPT).write_volatile(0) };
}
