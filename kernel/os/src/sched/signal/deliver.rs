//! Running handlers: the frame that a handler finds on its stack, and the way back (`sigreturn(2)`; Linux' `struct rt_sigframe`).

use super::{Action, DEFAULT, IGNORE, action, bit, is_harmless, is_on, set_stack, take};
use crate::abi::syscall::Args;
use crate::boot::poweroff::power_off;
use crate::errno::{Errno, Result};
use crate::memory::paging::USER_END;
use crate::memory::space::{self, Fault, Rights};
use crate::memory::user;
use crate::sched::fpu;
use crate::sched::post::Signal;
use crate::sched::thread::{self, Thread};
use crate::sched::trap::{Frame, SYSCALL};
use core::arch::asm;
use linux_raw_sys::general::*;

crate::register!("attention": fn(&mut Frame) = { 20 => attend });
crate::register!("user-fault": fn(&mut Frame, u64) -> bool = { 10 => fault });
crate::register!("auxiliary": fn() -> (u32, u64) = { 10 => least_stack });

/// The frame in words of 8 bytes; FPU state stands above it.
///
/// 0 return address · 1 `uc_flags` · 2 `uc_link` · 3 to 5 `uc_stack` · 6 to 37 `uc_mcontext` · 38 `uc_sigmask` · 39 to 54 `siginfo_t`
const WORDS: usize = 55;
const UC: u64 = 8;
const STACK: usize = 3;
const REGISTERS: usize = 6;
const FPU: usize = 29;
const MASK: usize = 38;
const INFO: usize = 39;

/// `uc_flags`: XSAVE state, and `ss` is kept.
const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

/// Marks of XSAVE state: in the bytes that FXSAVE leaves to software, and behind the state (`asm/sigcontext.h`).
const MAGIC_1: u32 = 0x4650_5853;
const MAGIC_2: u32 = 0x4650_5845;
const SOFTWARE: usize = 464;
const XSAVE_HEADER: usize = 512;

/// Flags that a handler may change: carry, parity, adjust, zero, sign, trap, direction, overflow, resume, alignment check.
const CHANGEABLE: u64 =
    1 << 0 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 16 | 1 << 18;
const TRAP: u64 = 1 << 8;
const DIRECTION: u64 = 1 << 10;
const RESUME: u64 = 1 << 16;

/// Bytes of FPU state in a frame.
fn state_size() -> u64 {
    let size = fpu::size() as u64;
    if fpu::extended().is_some() { size + 4 } else { size }
}

/// The least that a handler's stack must hold (`AT_MINSIGSTKSZ`).
fn least_stack() -> (u32, u64) {
    const AT_MINSIGSTKSZ: u32 = 51;
    (AT_MINSIGSTKSZ, state_size() + WORDS as u64 * 8 + 256)
}

/// The calls that end with EINTR after a handler whatever SA_RESTART says (`signal(7)`).
#[allow(non_upper_case_globals, reason = "the names are those of Linux' headers")]
fn is_restarted(frame: &Frame) -> bool {
    match frame.code as u32 {
        __NR_pause | __NR_rt_sigsuspend | __NR_rt_sigtimedwait | __NR_nanosleep | __NR_clock_nanosleep
        | __NR_epoll_wait | __NR_epoll_pwait | __NR_epoll_pwait2 | __NR_poll | __NR_ppoll | __NR_select
        | __NR_pselect6 | __NR_io_getevents | __NR_semop | __NR_semtimedop | __NR_msgrcv | __NR_msgsnd => {
            false
        }
        // With a time limit.
        __NR_futex => frame.r10 == 0,
        _ => true,
    }
}

/// Delivers what is pending before the program goes on.
fn attend(frame: &mut Frame) {
    let thread = thread::current();
    let mut interrupted = frame.vector == SYSCALL && frame.rax as i64 == -i64::from(Errno::EINTR.0);
    while let Some(signal) = take(&thread, thread.deliverable()) {
        let [handler, flags, ..] = action(signal.number);
        if handler == IGNORE || handler == DEFAULT && is_harmless(signal.number) {
            continue;
        }
        if handler == DEFAULT {
            power_off(128 + signal.number as u8);
        }
        if core::mem::take(&mut interrupted) && flags as u32 & SA_RESTART != 0 && is_restarted(frame) {
            restart(frame);
        }
        if run_handler(&thread, frame, &signal, 0).is_err() {
            // The handler's stack is no good: as on Linux, that is a SIGSEGV, and a second one ends the program.
            let fault = Signal { number: SIGSEGV, code: SI_KERNEL as i32, detail: [0; 3] };
            if signal.number == SIGSEGV || !force(frame, &fault, 0) {
                power_off(128 + SIGSEGV as u8);
            }
        }
    }
    if interrupted && is_restarted(frame) {
        restart(frame);
    }
    if let Some(mask) = thread.saved_mask.take() {
        thread.set_mask(mask);
    }
}

/// Has the program make its system call once more.
fn restart(frame: &mut Frame) {
    frame.rax = frame.code;
    frame.rip -= 2; // the length of `syscall`
    frame.restore_fully();
}

/// An exception of the program. False: no handler may run.
fn fault(frame: &mut Frame, address: u64) -> bool {
    let (number, code, address) = match frame.vector {
        0 => (SIGFPE, FPE_INTDIV as i32, frame.rip),
        1 => (SIGTRAP, TRAP_TRACE as i32, frame.rip),
        3 => (SIGTRAP, SI_KERNEL as i32, 0),
        6 => (SIGILL, ILL_ILLOPN as i32, frame.rip),
        14 if space::fault(address, Rights::READ) == Err(Fault::Beyond) => {
            (SIGBUS, BUS_ADRERR as i32, address)
        }
        14 if space::is_mapped(address) => (SIGSEGV, SEGV_ACCERR as i32, address),
        // Addresses of the kernel's half look like any that is not mapped.
        14 => (SIGSEGV, SEGV_MAPERR as i32, address),
        16 => (SIGFPE, float_code(x87_status()), frame.rip),
        17 => (SIGBUS, BUS_ADRALN as i32, 0),
        19 => (SIGFPE, float_code(sse_status()), frame.rip),
        _ => (SIGSEGV, SI_KERNEL as i32, 0),
    };
    force(frame, &Signal { number, code, detail: [address, 0, 0] }, address)
}

/// Exceptions of the x87 that are flagged and not masked.
fn x87_status() -> u32 {
    let (mut control, mut status) = (0u16, 0u16);
    // SAFETY: stores two words.
    unsafe {
        asm!("fnstcw [{}]", "fnstsw [{}]", in(reg) &raw mut control, in(reg) &raw mut status, options(nostack));
    }
    u32::from(status & !control)
}

/// Exceptions of SSE that are flagged and not masked.
fn sse_status() -> u32 {
    let mut register = 0u32;
    // SAFETY: stores a word.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut register, options(nostack)) };
    register & !(register >> 7)
}

fn float_code(status: u32) -> i32 {
    let code = match status {
        s if s & 1 != 0 => FPE_FLTINV,
        s if s & 4 != 0 => FPE_FLTDIV,
        s if s & 8 != 0 => FPE_FLTOVF,
        s if s & (16 | 2) != 0 => FPE_FLTUND,
        s if s & 32 != 0 => FPE_FLTRES,
        _ => 0,
    };
    code as i32
}

/// Runs the handler of a signal that cannot wait. False: there is none, or it is blocked or ignored, which ends the program.
fn force(frame: &mut Frame, signal: &Signal, address: u64) -> bool {
    let thread = thread::current();
    let [handler, ..] = action(signal.number);
    let can = handler > IGNORE && thread.blocked_signals.get() & bit(signal.number) == 0;
    can && run_handler(&thread, frame, signal, address).is_ok()
}

/// Makes the program go on in a signal's handler.
fn run_handler(thread: &Thread, frame: &mut Frame, signal: &Signal, address: u64) -> Result<()> {
    let [handler, flags, restorer, mask]: Action = action(signal.number);
    let flags = flags as u32;
    if flags & SA_RESTORER == 0 || handler >= USER_END {
        return Err(Errno::EFAULT);
    }
    let stack = thread.signal_stack.get();
    let (start, size, stack_flags) = stack;
    // Below the red zone.
    let mut at = frame.rsp.wrapping_sub(128);
    let switches = flags & SA_ONSTACK != 0 && stack_flags & SS_DISABLE == 0 && !is_on(stack, frame.rsp);
    if switches {
        at = start.wrapping_add(size);
    }
    at = at.wrapping_sub(state_size()) & !63;
    let state = at;
    at = (at.wrapping_sub(WORDS as u64 * 8) & !15).wrapping_sub(8);
    if is_on(stack, frame.rsp) && !is_on(stack, at) || switches && at < start {
        return Err(Errno::EFAULT); // the alternate stack has run over
    }
    let has_xsave = write_state(thread, state)?;

    let mut words = [0u64; WORDS];
    words[0] = restorer;
    words[1] = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | if has_xsave { UC_FP_XSTATE } else { 0 };
    words[STACK..STACK + 3].copy_from_slice(&[start, u64::from(stack_flags), size]);
    let f = &*frame;
    let error = if f.vector < 32 { [f.code, f.vector] } else { [0, 0] };
    words[REGISTERS..FPU].copy_from_slice(&[
        f.r8,
        f.r9,
        f.r10,
        f.r11,
        f.r12,
        f.r13,
        f.r14,
        f.r15,
        f.rdi,
        f.rsi,
        f.rbp,
        f.rbx,
        f.rdx,
        f.rax,
        f.rcx,
        f.rsp,
        f.rip,
        f.rflags,
        segments(),
        error[0],
        error[1],
        0,
        address,
    ]);
    words[FPU] = state;
    let blocked = thread.blocked_signals.get();
    words[MASK] = thread.saved_mask.get().unwrap_or(blocked);
    words[INFO] = u64::from(signal.number);
    words[INFO + 1] = u64::from(signal.code as u32);
    words[INFO + 2..INFO + 5].copy_from_slice(&signal.detail);
    user::write(at, &words)?;

    // Nothing can fail from here on.
    thread.saved_mask.set(None);
    if stack_flags & SS_AUTODISARM != 0 {
        thread.signal_stack.set((0, 0, SS_DISABLE));
    }
    if flags & SA_RESETHAND != 0 {
        super::ACTIONS.borrow()[signal.number as usize - 1][0] = DEFAULT;
    }
    let own = if flags & SA_NODEFER == 0 { bit(signal.number) } else { 0 };
    thread.set_mask(blocked | mask | own);
    // An exception that is still flagged must not be raised again by the handler's first instruction.
    fpu::reset();
    frame.restore_fully();
    frame.rip = handler;
    frame.rsp = at;
    frame.rdi = u64::from(signal.number);
    frame.rsi = at + INFO as u64 * 8;
    frame.rdx = at + UC;
    frame.rax = 0;
    frame.rflags &= !(DIRECTION | RESUME | TRAP);
    Ok(())
}

/// `cs`, `gs`, `fs` and `ss` in one word.
fn segments() -> u64 {
    let (code, data) = crate::hardening::isolation::selectors();
    u64::from(code) | u64::from(data) << 48
}

/// Writes the FPU's registers as they are now. True: in XSAVE's layout.
fn write_state(thread: &Thread, to: u64) -> Result<bool> {
    thread.fpu.save();
    // SAFETY: the running thread's area is used by nobody else.
    let bytes = unsafe { &mut *thread.fpu.bytes() };
    let parts = fpu::extended();
    if let Some(parts) = parts {
        let size = bytes.len() as u32;
        let software = [MAGIC_1, size + 4, parts, 0, size, 0, 0, 0, 0, 0, 0, 0];
        for (to, word) in bytes[SOFTWARE..XSAVE_HEADER].chunks_exact_mut(4).zip(software) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        user::write(to.wrapping_add(u64::from(size)), &MAGIC_2)?;
    }
    user::write_bytes(to, bytes)?;
    Ok(parts.is_some())
}

/// Loads FPU registers from a frame. What the processor would refuse is made harmless.
fn read_state(thread: &Thread, from: u64) -> Result<()> {
    // SAFETY: the running thread's area is used by nobody else.
    let bytes = unsafe { &mut *thread.fpu.bytes() };
    thread.fpu.save();
    // The bits that MXCSR has; zero stands for the oldest processors' set.
    let known = match u32::from_le_bytes([bytes[28], bytes[29], bytes[30], bytes[31]]) {
        0 => 0xffbf,
        known => known,
    };
    user::read_bytes(from, &mut bytes[..XSAVE_HEADER])?;
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    if let Some(parts) = fpu::extended() {
        let size = bytes.len();
        let whole = word(bytes, SOFTWARE) == MAGIC_1
            && word(bytes, SOFTWARE + 16) as usize == size
            && user::read::<u32>(from.wrapping_add(size as u64)) == Ok(MAGIC_2);
        let mut present = 0b11u32;
        if whole {
            user::read_bytes(from.wrapping_add(XSAVE_HEADER as u64), &mut bytes[XSAVE_HEADER..])?;
            present = word(bytes, XSAVE_HEADER) & parts;
        }
        bytes[XSAVE_HEADER..XSAVE_HEADER + 64].fill(0);
        bytes[XSAVE_HEADER..XSAVE_HEADER + 4].copy_from_slice(&present.to_le_bytes());
    }
    let control = word(bytes, 24) & known;
    bytes[24..28].copy_from_slice(&control.to_le_bytes());
    thread.fpu.restore();
    Ok(())
}

/// Goes back to where a handler interrupted the program.
pub fn sigreturn(_: &Args) -> Result<u64> {
    let frame = thread::entry_frame();
    let thread = thread::current();
    if restore(&thread, frame).is_err() {
        power_off(128 + SIGSEGV as u8);
    }
    // What the call "returns" is the interrupted code's register.
    Ok(frame.rax)
}

fn restore(thread: &Thread, frame: &mut Frame) -> Result<()> {
    // The handler's return took the first word.
    let words: [u64; WORDS] = user::read(frame.rsp.wrapping_sub(8))?;
    let [r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags, ..] =
        words[REGISTERS..]
    else {
        return Err(Errno::EFAULT);
    };
    if rip >= USER_END {
        return Err(Errno::EFAULT);
    }
    thread.set_mask(words[MASK]);
    match words[FPU] {
        // As on Linux: no state means the initial one.
        0 => fpu::reset(),
        state => read_state(thread, state)?,
    }
    let rflags = frame.rflags & !CHANGEABLE | rflags & CHANGEABLE;
    frame.restore_fully();
    let (cs, ss, vector, code) = (frame.cs, frame.ss, frame.vector, frame.code);
    *frame = Frame {
        r15,
        r14,
        r13,
        r12,
        rbp,
        rbx,
        r11,
        r10,
        r9,
        r8,
        rax,
        rcx,
        rdx,
        rsi,
        rdi,
        vector,
        code,
        rip,
        cs,
        rflags,
        rsp,
        ss,
    };
    let [address, flags, size] = [words[STACK], words[STACK + 1], words[STACK + 2]];
    // As on Linux, a stack that cannot be set is left as it is.
    let _ = set_stack(thread, is_on(thread.signal_stack.get(), rsp), address, flags as u32, size);
    Ok(())
}
