//! Descriptor tables, and the way in and out of the kernel on exceptions and interrupts (Intel SDM vol. 3A, chapter 7).
//!
//! Every vector enters on one small stack (IST 1), so that the red zone of a program in ring 0 survives, and its frame moves at once:
//! to the thread's kernel stack when the program was interrupted, below the interrupted stack pointer when the kernel was.

use crate::boot::{fault, poweroff};
use crate::memory::space::{self, Fault, Rights};
use crate::memory::user;
use core::sync::atomic::{AtomicBool, Ordering};
use x86_64::instructions::port::Port;
use x86_64::registers::segmentation::{CS, SS, Segment};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, DescriptorFlags, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;
use x86_64::{PrivilegeLevel, VirtAddr};

/// Vectors with a stub: the processor's 32 and 16 for interrupts.
const VECTORS: usize = 48;
/// The first vector for interrupts.
pub const FIRST_INTERRUPT: u64 = 32;

pub const KERNEL_CODE: SegmentSelector = SegmentSelector::new(1, PrivilegeLevel::Ring0);
pub const KERNEL_DATA: SegmentSelector = SegmentSelector::new(2, PrivilegeLevel::Ring0);
pub const USER_DATA: SegmentSelector = SegmentSelector::new(3, PrivilegeLevel::Ring3);
pub const USER_CODE: SegmentSelector = SegmentSelector::new(4, PrivilegeLevel::Ring3);
const TASK_STATE: SegmentSelector = SegmentSelector::new(5, PrivilegeLevel::Ring0);

/// All of the program's registers but FPU state and segment bases, on entry by exception, interrupt or system call.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Frame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// Which vector, or [`SYSCALL`].
    pub vector: u64,
    /// The exception's error code, or the number of the system call.
    pub code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Instructions that push a [`Frame`]'s general registers, from the last field to the first.
#[macro_export]
macro_rules! push_registers {
    () => {
        "push rdi; push rsi; push rdx; push rcx; push rax; push r8; push r9; push r10; push r11; push rbx; push rbp; push r12; push r13; \
         push r14; push r15"
    };
}

/// Instructions that take a [`Frame`]'s general registers back.
#[macro_export]
macro_rules! pop_registers {
    () => {
        "pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx; pop r11; pop r10; pop r9; pop r8; pop rax; pop rcx; pop rdx; pop rsi; pop rdi"
    };
}

/// "Vector" of a frame that the `syscall` instruction made, and that may be left the short way: by `rip`, `rflags`, `rsp` and the
/// registers that a call preserves. Whoever changes more of such a frame calls [`Frame::restore_fully`].
pub const SYSCALL: u64 = 256;
/// "Vector" of a frame of a system call all of whose registers are to be restored.
pub const SYSCALL_CHANGED: u64 = 257;
const FRAME: usize = size_of::<Frame>();

impl Frame {
    /// Whether the program was interrupted, in either ring: it lives in the lower half.
    pub fn is_user(&self) -> bool {
        (self.rip as i64) >= 0
    }

    /// Makes the way back from a system call restore every register as the frame has it.
    pub fn restore_fully(&mut self) {
        if self.vector == SYSCALL {
            let (code, data) = crate::hardening::isolation::selectors();
            self.cs = u64::from(code);
            self.ss = u64::from(data);
            self.vector = SYSCALL_CHANGED;
        }
    }
}

// Called with the frame of an exception that the program caused and that is not a page to bring in. True: handled.
crate::hook!(fn user_faults() -> "user-fault": fn(&mut Frame, u64) -> bool);
// Called before the program goes on, when [`ATTENTION`] was raised: another thread's turn, signals to deliver.
crate::hook!(fn attendants() -> "attention": fn(&mut Frame));
// What serves an interrupt; the key is the vector.
crate::hook!(fn interrupts() -> "interrupt": fn());

/// Something is to be done before the program goes on.
static ATTENTION: AtomicBool = AtomicBool::new(false);

/// Has the "attention" hook called before the program goes on.
pub fn raise_attention() {
    ATTENTION.store(true, Ordering::Relaxed);
}

/// Does what has to be done before the program goes on.
#[inline]
pub fn attend(frame: &mut Frame) {
    while ATTENTION.load(Ordering::Relaxed) {
        ATTENTION.store(false, Ordering::Relaxed);
        for attendant in attendants() {
            (attendant.item)(frame);
        }
    }
}

/// Top of the running thread's kernel stack.
pub static mut KERNEL_STACK_TOP: u64 = 0;

#[repr(align(16))]
struct EntryStack {
    _bytes: [u8; 512],
}
static mut ENTRY_STACK: EntryStack = EntryStack { _bytes: [0; _] };

#[repr(C)]
#[derive(Clone, Copy)]
struct Gate {
    low: u64,
    high: u64,
}

static mut GATES: [Gate; VECTORS] = [Gate { low: 0, high: 0 }; _];
static mut TASK: TaskStateSegment = TaskStateSegment::new();
/// By selector; the last two are the task state's, filled in at boot.
static mut GDT: [u64; 7] = [
    0,
    DescriptorFlags::KERNEL_CODE64.bits(),
    DescriptorFlags::KERNEL_DATA.bits(),
    DescriptorFlags::USER_DATA.bits(),
    DescriptorFlags::USER_CODE64.bits(),
    0,
    0,
];

/// Loads descriptor tables and masks the legacy interrupt controller.
pub fn init() {
    let stub = stubs as *const () as u64;
    // SAFETY: called once at boot, before anything can be interrupted; the tables live in statics.
    unsafe {
        let gates = &raw mut GATES;
        for vector in 0..VECTORS {
            let address = stub + 16 * vector as u64;
            // Present interrupt gate, IST 1, open to int3 and into from ring 3.
            let level = if vector == 3 || vector == 4 { 3 } else { 0 };
            let low = address & 0xffff
                | u64::from(KERNEL_CODE.0) << 16
                | 1 << 32
                | (0x8e | level << 5) << 40
                | (address >> 16 & 0xffff) << 48;
            (*gates)[vector] = Gate { low, high: address >> 32 };
        }
        x86_64::instructions::tables::lidt(&DescriptorTablePointer {
            limit: (size_of::<[Gate; VECTORS]>() - 1) as u16,
            base: VirtAddr::new_truncate(gates as u64),
        });

        let task = &raw mut TASK;
        let task = &mut *task;
        task.interrupt_stack_table[0] =
            VirtAddr::new_truncate(&raw const ENTRY_STACK as u64 + size_of::<EntryStack>() as u64);
        let gdt = &raw mut GDT;
        if let Descriptor::SystemSegment(low, high) = Descriptor::tss_segment(task) {
            (*gdt)[5] = low;
            (*gdt)[6] = high;
        }
        x86_64::instructions::tables::lgdt(&DescriptorTablePointer {
            limit: (size_of::<[u64; 7]>() - 1) as u16,
            base: VirtAddr::new_truncate(gdt as u64),
        });
        CS::set_reg(KERNEL_CODE);
        SS::set_reg(KERNEL_DATA);
        x86_64::instructions::tables::load_tss(TASK_STATE);

        // The 8259s would use the exceptions' vectors.
        Port::<u8>::new(0x21).write(0xff);
        Port::<u8>::new(0xa1).write(0xff);
    }
}

/// One stub of 16 bytes for each vector: brings the frame to one shape.
#[unsafe(naked)]
unsafe extern "C" fn stubs() {
    core::arch::naked_asm!(
        ".balign 16",
        ".set vector, 0",
        ".rept {vectors}",
        ".balign 16",
        // Vectors with an error code: 8, 10 to 14, 17, 21, 29, 30.
        ".if (0x60227d00 >> vector) & 1 == 0",
        "push 0",
        ".endif",
        "push vector",
        "jmp {common}",
        ".set vector, vector + 1",
        ".endr",
        vectors = const VECTORS,
        common = sym common,
    )
}

/// Saves the registers, moves the frame off the entry stack and calls [`trap`].
#[unsafe(naked)]
unsafe extern "C" fn common() {
    core::arch::naked_asm!(
        crate::push_registers!(),
        "cld",
        "mov rdi, [rip + {top}]",
        "mov rsi, rsp",
        "mov rax, [rsp + {rip_at}]",
        "test rax, rax",
        "jns 2f",
        "mov rdi, [rsp + {rsp_at}]",
        "and rdi, -16",
        // A page fault next to the kernel's own stack pointer: the stack has run over, so the frame goes elsewhere.
        "cmp qword ptr [rsp + {vector_at}], {page_fault}",
        "jne 2f",
        "mov rax, cr2",
        "sub rax, rdi",
        "add rax, 4096",
        "cmp rax, 8192",
        "ja 2f",
        "lea rdi, [rip + {boot_stack} + {boot_stack_size}]",
        "2:",
        "sub rdi, {frame}",
        "mov rdx, rdi",
        "mov ecx, {frame} / 8",
        "rep movsq",
        "mov rsp, rdx",
        "mov rdi, rdx",
        "call {trap}",
        "jmp {leave}",
        top = sym KERNEL_STACK_TOP,
        boot_stack = sym crate::boot::pvh::BOOT_STACK,
        boot_stack_size = const crate::boot::pvh::STACK,
        vector_at = const core::mem::offset_of!(Frame, vector),
        page_fault = const PAGE_FAULT,
        rip_at = const core::mem::offset_of!(Frame, rip),
        rsp_at = const core::mem::offset_of!(Frame, rsp),
        frame = const FRAME,
        trap = sym trap,
        leave = sym leave,
    )
}

/// Restores the frame that `rsp` points at.
///
/// # Safety
/// Jumped to, never called.
#[unsafe(naked)]
pub unsafe extern "C" fn leave() -> ! {
    core::arch::naked_asm!(crate::pop_registers!(), "add rsp, 16", "iretq",)
}

/// Restores a frame, wherever it is on the thread's kernel stack.
pub fn leave_by(frame: &Frame) -> ! {
    // SAFETY: the frame holds the program's registers; nothing of the kernel's stack is needed any more.
    unsafe { core::arch::asm!("mov rsp, {}", "jmp {}", in(reg) frame, sym leave, options(noreturn)) }
}

const PAGE_FAULT: u64 = 14;

extern "C" fn trap(frame: &mut Frame) {
    handle(frame);
    if frame.is_user() {
        attend(frame);
    }
}

fn handle(frame: &mut Frame) {
    let address = if frame.vector == PAGE_FAULT { x86_64::registers::control::Cr2::read_raw() } else { 0 };
    if frame.vector >= FIRST_INTERRUPT {
        for interrupt in interrupts().iter().filter(|entry| entry.key == frame.vector) {
            (interrupt.item)();
        }
        return;
    }
    if frame.vector == PAGE_FAULT {
        let access = match frame.code {
            code if code & 1 << 4 != 0 => Rights::EXECUTE,
            code if code & 1 << 1 != 0 => Rights::WRITE,
            _ => Rights::READ,
        };
        // The kernel brings in the program's pages for its own copying only.
        let resume = if frame.is_user() { None } else { user::resume_after_fault(frame.rip) };
        if frame.is_user() || resume.is_some() {
            match space::fault(address, access) {
                Ok(()) => return,
                Err(error) => {
                    if let Some(resume) = resume {
                        frame.rip = resume;
                        return;
                    }
                    if error == Fault::OutOfMemory {
                        crate::println!(
                            "bespoke: out of memory at {:#x}: give the machine more (-m)",
                            frame.rip
                        );
                        poweroff::power_off(128 + linux_raw_sys::general::SIGKILL as u8);
                    }
                }
            }
        }
    }
    if !frame.is_user() {
        fault::report(frame, address);
        poweroff::power_off(fault::KERNEL_FAILED);
    }
    for handler in user_faults() {
        if (handler.item)(frame, address) {
            return;
        }
    }
    fault::report(frame, address);
    poweroff::power_off(128 + signal_of(frame.vector) as u8);
}

/// The signal that Linux sends for an exception.
pub fn signal_of(vector: u64) -> u32 {
    use linux_raw_sys::general::*;
    match vector {
        0 | 16 | 19 => SIGFPE,
        1 | 3 => SIGTRAP,
        6 => SIGILL,
        17 => SIGBUS,
        _ => SIGSEGV,
    }
}
