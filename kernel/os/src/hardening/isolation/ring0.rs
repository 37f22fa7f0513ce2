//! The program in kernel mode.

use crate::sched::trap::{Frame, KERNEL_CODE, KERNEL_DATA};
use x86_64::structures::paging::page_table::PageTableFlags as Flags;

crate::member! {
    fn page_flags() -> Flags {
        Flags::PRESENT
    }

    fn selectors() -> (u16, u16) {
        (KERNEL_CODE.0, KERNEL_DATA.0)
    }

    /// Flags first, on the kernel's stack: the program's red zone must stay as it is. An interrupt in between has a stack of its own.
    fn leave_syscall(frame: &Frame) -> ! {
        // SAFETY: the frame holds the program's registers, in this order; nothing of the kernel's stack is needed any more.
        unsafe {
            core::arch::asm!(
                "mov rsp, {}",
                crate::pop_registers!(),
                // vector, number, rip, cs | rflags, rsp
                "add rsp, 32",
                "popfq",
                "pop rsp",
                "jmp rcx",
                in(reg) frame,
                options(noreturn)
            )
        }
    }
}
