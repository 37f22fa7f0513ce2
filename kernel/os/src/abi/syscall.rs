//! The `syscall` instruction (Intel SDM vol. 2B; calling convention: `syscall(2)`).

use crate::errno::{Errno, Result};
use crate::hardening::isolation;
use crate::memory::user;
use crate::sched::trap::{
    self, Frame, KERNEL_CODE, KERNEL_DATA, KERNEL_STACK_TOP, SYSCALL, USER_CODE, USER_DATA,
};
use linux_raw_sys::general::__kernel_timespec;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{LStar, SFMask, Star};
use x86_64::registers::rflags::RFlags;

/// The six arguments of a call.
pub struct Args(pub [u64; 6]);

/// Serves a call. What it returns goes to the program: a value, or an error number.
pub type Handler = fn(&Args) -> Result<u64>;

crate::hook!(fn handlers() -> "syscall": Handler);
// Told of calls that nobody serves.
crate::hook!(fn refusals() -> "refused": fn(u64));
// Stands between the program and what serves its calls; calls [`serve`].
crate::hook!(fn observers() -> "call": fn(&Frame, &Args) -> Result<u64>);

/// Above the highest number of Linux 6.x.
const CALLS: usize = 512;
/// Handlers by number; filled at boot, so that a call is one indexed load.
static mut TABLE: [Option<Handler>; CALLS] = [None; CALLS];
/// The program's stack pointer between entry and its place in the frame.
static mut USER_STACK: u64 = 0;

pub fn init() {
    for entry in handlers() {
        // SAFETY: boot, one CPU; keys below `CALLS` by the kernel headers they are taken from, checked by the index.
        unsafe { TABLE[entry.key as usize] = Some(entry.item) };
    }
    // The selectors that SYSRET derives are those of the descriptor table's layout.
    Star::write(USER_CODE, USER_DATA, KERNEL_CODE, KERNEL_DATA).expect("descriptor table order");
    LStar::write(VirtAddr::new_truncate(entry as *const () as u64));
    SFMask::write(
        RFlags::INTERRUPT_FLAG
            | RFlags::DIRECTION_FLAG
            | RFlags::TRAP_FLAG
            | RFlags::ALIGNMENT_CHECK
            | RFlags::NESTED_TASK,
    );
}

/// Saves the program's registers as a [`Frame`] on the thread's kernel stack and calls [`dispatch`].
#[unsafe(naked)]
unsafe extern "C" fn entry() {
    core::arch::naked_asm!(
        "mov [rip + {user_stack}], rsp",
        "mov rsp, [rip + {top}]",
        "push 0", // ss and cs: a system call returns without them
        "push qword ptr [rip + {user_stack}]",
        "push r11",
        "push 0",
        "push rcx",
        "push rax",
        "push {syscall}",
        crate::push_registers!(),
        "mov rdi, rsp",
        "call {dispatch}",
        "ud2",
        user_stack = sym USER_STACK,
        top = sym KERNEL_STACK_TOP,
        syscall = const SYSCALL,
        dispatch = sym dispatch,
    )
}

/// Has a call served by whoever registered for its number.
#[inline]
pub fn serve(number: u64, args: &Args) -> Result<u64> {
    // SAFETY: written at boot only.
    let table = unsafe { &*core::ptr::addr_of!(TABLE) };
    match table.get(number as usize).copied().flatten() {
        Some(handler) => handler(args),
        None => {
            for refusal in refusals() {
                (refusal.item)(number);
            }
            Err(Errno::ENOSYS)
        }
    }
}

extern "C" fn dispatch(frame: &mut Frame) -> ! {
    let args = Args([frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9]);
    let result = match observers().first() {
        None => serve(frame.code, &args),
        Some(observer) => (observer.item)(frame, &args),
    };
    frame.rax = match result {
        Ok(value) => value,
        Err(error) => -i64::from(error.0) as u64,
    };
    trap::attend(frame);
    if frame.vector == SYSCALL {
        isolation::leave_syscall(frame)
    }
    trap::leave_by(frame)
}

/// A time span in nanoseconds.
pub fn duration(time: &__kernel_timespec) -> Result<u64> {
    if time.tv_sec < 0 || !(0..1_000_000_000).contains(&time.tv_nsec) {
        return Err(Errno::EINVAL);
    }
    Ok((time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64))
}

/// How long a call may wait, in nanoseconds, by the `timespec` at an address; zero: for as long as it takes.
pub fn limit(address: u64) -> Result<Option<u64>> {
    if address == 0 { Ok(None) } else { Ok(Some(duration(&user::read(address)?)?)) }
}
