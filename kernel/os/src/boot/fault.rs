//! The kernel's own failures.

use crate::console::print::Text;
use crate::sched::trap::Frame;

// Reporters of exceptions, called with the frame and the faulting address (0 when there is none).
crate::hook!(fn reporters() -> "fault": fn(&Frame, u64));

/// Status of a machine that ended because its kernel failed.
pub const KERNEL_FAILED: u8 = 255;

pub fn panicked(info: &core::panic::PanicInfo) -> ! {
    if let Some(at) = info.location() {
        crate::println!("bespoke: kernel panicked at {}:{}:", Text(at.file()), at.line() as usize);
    }
    crate::println!("{}", info.message());
    crate::boot::poweroff::power_off(KERNEL_FAILED)
}

/// Tells about an exception that nobody could handle.
pub fn report(frame: &Frame, address: u64) {
    let reporters = reporters();
    if reporters.is_empty() {
        crate::println!(
            "bespoke: exception {} at {:#x}, address {:#x}",
            frame.vector as usize,
            frame.rip,
            address
        );
    }
    for reporter in reporters {
        (reporter.item)(frame, address);
    }
}
