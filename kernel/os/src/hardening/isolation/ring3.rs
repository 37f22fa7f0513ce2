//! The program in user mode.

use crate::sched::trap::{Frame, USER_CODE, USER_DATA};
use x86_64::structures::paging::page_table::PageTableFlags as Flags;

crate::member! {
    fn page_flags() -> Flags {
        Flags::PRESENT | Flags::USER_ACCESSIBLE
    }

    fn selectors() -> (u16, u16) {
        (USER_CODE.0, USER_DATA.0)
    }

    /// SYSRET takes the instruction pointer from `rcx` and flags from `r11`. The program's half ends a page below the canonical
    /// boundary, so `rcx` is always canonical and the instruction cannot fault in ring 0.
    fn leave_syscall(frame: &Frame) -> ! {
        // SAFETY: the frame holds the program's registers, in this order; nothing of the kernel's stack is needed any more.
        unsafe {
            core::arch::asm!(
                "mov rsp, {}",
                crate::pop_registers!(),
                "mov rsp, [rsp + 40]",
                "sysretq",
                in(reg) frame,
                options(noreturn)
            )
        }
    }
}
