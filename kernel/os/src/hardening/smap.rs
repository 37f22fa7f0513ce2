//! Supervisor-mode execution and access prevention (Intel SDM vol. 3A, section 4.6).

use crate::boot::pvh::StartInfo;
use crate::memory::user::SMAP;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::Ordering;
use x86_64::registers::control::{Cr4, Cr4Flags};

crate::register!("init": fn(&StartInfo) = { 20 => init });

fn init(_: &StartInfo) {
    if __cpuid(0).eax < 7 {
        return;
    }
    let features = __cpuid_count(7, 0).ebx;
    let mut flags = Cr4Flags::empty();
    flags.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, features & 1 << 7 != 0);
    flags.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, features & 1 << 20 != 0);
    // SAFETY: features that the processor reports; the kernel touches the program's memory in one place, which lifts the ban.
    unsafe { Cr4::update(|cr4| *cr4 |= flags) };
    SMAP.store(flags.contains(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION), Ordering::Relaxed);
}
