//! In which ring the program runs.
pub mod ring0;
pub mod ring3;

use crate::sched::trap::Frame;
use x86_64::structures::paging::page_table::PageTableFlags;

crate::choice! {
    /// Flags of the program's pages, beside its rights.
    pub fn page_flags() -> PageTableFlags;
    /// The code and the data selector that the program runs with.
    pub fn selectors() -> (u16, u16);
    /// Restores a frame that a system call made. The frame is at the top of the thread's kernel stack.
    pub fn leave_syscall(frame: &Frame) -> !;
}
