//! Write xor execute for the kernel's own pages.

use crate::boot::pvh::StartInfo;
use crate::memory::paging::{self, KERNEL_BASE, PAGE};
use x86_64::structures::paging::page_table::PageTableFlags as Flags;

crate::register!("init": fn(&StartInfo) = { 10 => init });

fn init(_: &StartInfo) {
    let text = crate::layout_symbol!("text.start")..crate::layout_symbol!("text.end");
    let data = crate::layout_symbol!("data.start")..crate::layout_symbol!("data.end");
    let end = crate::layout_symbol!("root.end") - KERNEL_BASE;
    let flags = |page: u64| match page {
        page if text.contains(&page) => Flags::PRESENT,
        page if data.contains(&page) => Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE,
        // Read-only data and the root.
        page if page >= text.start => Flags::PRESENT | Flags::NO_EXECUTE,
        // Firmware, below the image.
        _ => Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE,
    };
    if paging::replace_image_tables(flags, end.next_multiple_of(PAGE)).is_none() {
        panic!("no memory for the kernel's page tables");
    }
}
