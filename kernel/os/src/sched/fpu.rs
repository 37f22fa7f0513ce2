//! x87, SSE and AVX state (Intel SDM vol. 1, chapter 13). The kernel is compiled without them, so state moves at thread switches only.

use alloc::alloc::alloc_zeroed;
use core::alloc::Layout;
use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicU32, Ordering};
use x86_64::registers::control::{Cr4, Cr4Flags};

/// Bytes of the area that FXSAVE writes.
const LEGACY: u32 = 512;
/// Bytes of a thread's state; more than [`LEGACY`] means XSAVE.
static SIZE: AtomicU32 = AtomicU32::new(LEGACY);

/// The parts of the state that are turned on (XCR0).
static PARTS: AtomicU32 = AtomicU32::new(0b11);

/// Turns on what the processor has.
pub fn init() {
    const XSAVE: u32 = 1 << 26;
    if __cpuid(1).ecx & XSAVE == 0 {
        return;
    }
    // x87, SSE, AVX, AVX-512 (three parts).
    let states = __cpuid_count(0xd, 0).eax & 0b1110_0111;
    // SAFETY: states that the processor reports; x87 and SSE are always among them.
    unsafe {
        Cr4::update(|cr4| *cr4 |= Cr4Flags::OSXSAVE);
        asm!("xsetbv", in("ecx") 0, in("eax") states, in("edx") 0, options(nomem, nostack));
    }
    PARTS.store(states, Ordering::Relaxed);
    SIZE.store(__cpuid_count(0xd, 0).ebx.max(LEGACY + 64), Ordering::Relaxed);
}

/// Whether states are laid out by XSAVE, and the parts that it knows.
pub fn extended() -> Option<u32> {
    (SIZE.load(Ordering::Relaxed) > LEGACY).then(|| PARTS.load(Ordering::Relaxed))
}

/// One thread's registers while it does not run.
pub struct State(*mut u8);

/// Bytes of a thread's state.
pub fn size() -> usize {
    SIZE.load(Ordering::Relaxed) as usize
}

/// Sets the registers to what a program starts with.
pub fn reset() {
    let control = 0x1f80u32;
    // SAFETY: changes the program's registers only.
    unsafe { asm!("fninit", "ldmxcsr [{}]", in(reg) &raw const control, options(nostack)) };
}

fn layout() -> Layout {
    // SAFETY: 64 is a power of two and sizes are far from overflowing.
    unsafe { Layout::from_size_align_unchecked(SIZE.load(Ordering::Relaxed) as usize, 64) }
}

impl State {
    /// A copy of the registers as they are now. `None`: no memory.
    pub fn current() -> Option<Self> {
        // SAFETY: the layout is not empty.
        let area = unsafe { alloc_zeroed(layout()) };
        if area.is_null() {
            return None;
        }
        let state = Self(area);
        state.save();
        Some(state)
    }

    /// The bytes, as XSAVE or FXSAVE lays them out.
    pub fn bytes(&self) -> *mut [u8] {
        core::ptr::slice_from_raw_parts_mut(self.0, layout().size())
    }

    pub fn save(&self) {
        // SAFETY: the area is of the size that the processor asked for, 64-aligned and ours.
        unsafe {
            if layout().size() > LEGACY as usize {
                asm!("xsave64 [{}]", in(reg) self.0, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
            } else {
                asm!("fxsave64 [{}]", in(reg) self.0, options(nostack));
            }
        }
    }

    pub fn restore(&self) {
        // SAFETY: `save` filled the area.
        unsafe {
            if layout().size() > LEGACY as usize {
                asm!("xrstor64 [{}]", in(reg) self.0, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
            } else {
                asm!("fxrstor64 [{}]", in(reg) self.0, options(nostack));
            }
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `current`.
        unsafe { alloc::alloc::dealloc(self.0, layout()) }
    }
}
