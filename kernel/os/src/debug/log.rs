//! Boot messages.

use crate::boot::pvh::StartInfo;
use crate::memory::frames;
use crate::memory::paging::KERNEL_BASE;

crate::register!("init": fn(&StartInfo) = { 100 => tell });

fn tell(info: &StartInfo) {
    for range in info.memory_map() {
        let kind = if range.is_ram() { "memory" } else { "reserved" };
        crate::println!("bespoke: {:#012x} to {:#012x} {kind}", range.start, range.start + range.size);
    }
    let (free, total) = frames::counts();
    let end = crate::layout_symbol!("root.end") - KERNEL_BASE;
    crate::println!("bespoke: image ends at {end:#x}; {} of {} KiB free", free * 4, total * 4);
}
