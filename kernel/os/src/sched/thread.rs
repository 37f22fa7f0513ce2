//! Threads. Cooperative: a thread runs until a system call of its own waits.

use super::fpu;
use super::trap::{Frame, KERNEL_STACK_TOP, leave, leave_by};
use crate::boot::poweroff::power_off;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::hardening::isolation;
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{FsBase, GsBase};

/// Pages of a kernel stack.
const STACK_PAGES: usize = 4;

// Called when a thread ends, with the thread.
crate::hook!(fn exits() -> "thread-exit": fn(&Thread));
// Called when no thread can run: waits for something to happen. False: nothing ever will, as far as this component knows.
crate::hook!(fn idles() -> "idle": fn() -> bool);
// Called when a thread gives way, so that what waits for time is not starved by threads that are always ready.
crate::hook!(fn yields() -> "yield": fn());

/// One thread.
pub struct Thread {
    pub tid: u32,
    /// First frame of the kernel stack; none for the first thread, which stays on the boot stack.
    stack: Option<u64>,
    stack_top: u64,
    /// Kernel stack pointer while switched away.
    saved_rsp: Cell<u64>,
    fs_base: Cell<u64>,
    gs_base: Cell<u64>,
    /// Made at the first switch away.
    fpu: OnceCell<fpu::State>,
    waiting: Cell<bool>,
    /// `set_tid_address(2)`.
    pub clear_child_tid: Cell<u64>,
    /// Blocked signals, bit n-1 for signal n.
    pub blocked_signals: Cell<u64>,
    /// Signals sent to this thread or to the process with this thread to handle them, not delivered yet.
    pub pending_signals: Cell<u64>,
    /// `sigaltstack(2)`: address, size, flags.
    pub signal_stack: Cell<(u64, u64, u32)>,
}

struct Scheduler {
    current: Option<Rc<Thread>>,
    ready: VecDeque<Rc<Thread>>,
    all: Vec<Rc<Thread>>,
    /// A thread that has ended, whose stack may still be in use until the switch away from it is over.
    ended: Option<Rc<Thread>>,
    next_tid: u32,
}

static SCHEDULER: KernelCell<Scheduler> = KernelCell::new(Scheduler {
    current: None,
    ready: VecDeque::new(),
    all: Vec::new(),
    ended: None,
    next_tid: 1,
});

/// What the first thread starts with.
pub struct Start {
    pub entry: u64,
    pub stack: u64,
}

/// Becomes the program's first thread.
pub fn start_first(start: Start) -> ! {
    fpu::init();
    let (code, data) = isolation::selectors();
    let frame = Frame {
        rip: start.entry,
        cs: u64::from(code),
        ss: u64::from(data),
        rflags: 0x202,
        rsp: start.stack,
        ..Frame::default()
    };
    let top = crate::boot::pvh::boot_stack_top();
    add(None, top, 0, 0);
    let first = SCHEDULER.borrow().ready.pop_front();
    make_current(first.expect("the thread just added"));
    leave_by(&frame)
}

fn add(stack: Option<u64>, stack_top: u64, saved_rsp: u64, fs_base: u64) -> Rc<Thread> {
    let mut scheduler = SCHEDULER.borrow();
    let tid = scheduler.next_tid;
    scheduler.next_tid += 1;
    let thread = Rc::new(Thread {
        tid,
        stack,
        stack_top,
        saved_rsp: Cell::new(saved_rsp),
        fs_base: Cell::new(fs_base),
        gs_base: Cell::new(0),
        fpu: OnceCell::new(),
        waiting: Cell::new(false),
        clear_child_tid: Cell::new(0),
        blocked_signals: Cell::new(0),
        pending_signals: Cell::new(0),
        signal_stack: Cell::new((0, 0, linux_raw_sys::general::SS_DISABLE)),
    });
    scheduler.all.push(thread.clone());
    scheduler.ready.push_back(thread.clone());
    thread
}

/// Adds a thread that starts with these registers and the caller's FPU state.
pub fn spawn(frame: &Frame, fs_base: u64) -> Result<Rc<Thread>> {
    let stack = frames::allocate_run(STACK_PAGES).ok_or(Errno::EAGAIN)?;
    let top = phys_to_virt(stack) + STACK_PAGES as u64 * PAGE;
    let at = top - size_of::<Frame>() as u64;
    // Below the frame: what `switch` pops (six registers) and returns to.
    let saved = at - 7 * 8;
    // SAFETY: the fresh stack.
    let (code, data) = isolation::selectors();
    unsafe {
        *(at as *mut Frame) = Frame { cs: u64::from(code), ss: u64::from(data), ..*frame };
        *(saved as *mut [u64; 7]) = [0, 0, 0, 0, 0, 0, started as *const () as u64];
    }
    let thread = add(Some(stack), top, saved, fs_base);
    let _ = thread.fpu.set(fpu::State::current());
    thread.blocked_signals.set(current().blocked_signals.get());
    Ok(thread)
}

/// Where a new thread arrives from its first switch.
#[unsafe(naked)]
unsafe extern "C" fn started() -> ! {
    core::arch::naked_asm!("call {after}", "jmp {leave}", after = sym after_switch, leave = sym leave)
}

/// Saves the callee's registers on this stack and goes on with another.
#[unsafe(naked)]
unsafe extern "C" fn switch(save: *mut u64, to: u64) {
    core::arch::naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

extern "C" fn after_switch() {
    let ended = SCHEDULER.borrow().ended.take();
    if let Some(stack) = ended.and_then(|thread| thread.stack) {
        frames::free_run(stack, STACK_PAGES);
    }
}

/// The thread that runs.
pub fn current() -> Rc<Thread> {
    SCHEDULER.borrow().current.clone().expect("a thread runs")
}

/// How many threads there are.
pub fn count() -> usize {
    SCHEDULER.borrow().all.len()
}

/// The thread with an id.
pub fn find(tid: u32) -> Option<Rc<Thread>> {
    SCHEDULER.borrow().all.iter().find(|thread| thread.tid == tid).cloned()
}

/// The program's registers as the current thread entered the kernel with them.
pub fn entry_frame() -> &'static mut Frame {
    // SAFETY: every entry from the program leaves its frame at the top of the thread's kernel stack; one thread runs.
    unsafe { &mut *((KERNEL_STACK_TOP - size_of::<Frame>() as u64) as *mut Frame) }
}

pub fn set_fs_base(base: u64) {
    FsBase::write(VirtAddr::new_truncate(base));
}

pub fn fs_base() -> u64 {
    FsBase::read().as_u64()
}

pub fn set_gs_base(base: u64) {
    GsBase::write(VirtAddr::new_truncate(base));
}

pub fn gs_base() -> u64 {
    GsBase::read().as_u64()
}

fn make_current(thread: Rc<Thread>) {
    // SAFETY: one CPU, interrupts off.
    unsafe { KERNEL_STACK_TOP = thread.stack_top };
    set_fs_base(thread.fs_base.get());
    set_gs_base(thread.gs_base.get());
    SCHEDULER.borrow().current = Some(thread);
}

/// Lets `next` run; returns when the caller's turn has come again.
fn switch_to(next: Rc<Thread>) {
    let old = current();
    if old.tid == next.tid {
        return;
    }
    old.fs_base.set(fs_base());
    old.gs_base.set(gs_base());
    old.fpu.get_or_init(fpu::State::current).save();
    let (save, to) = (old.saved_rsp.as_ptr(), next.saved_rsp.get());
    if let Some(state) = next.fpu.get() {
        state.restore();
    }
    make_current(next);
    // The list of all threads, or `ended`, keeps the old one alive.
    drop(old);
    // SAFETY: `to` was saved by a switch away, or prepared by `spawn`.
    unsafe { switch(save, to) };
    after_switch();
}

fn next_ready() -> Rc<Thread> {
    loop {
        if let Some(next) = SCHEDULER.borrow().ready.pop_front() {
            return next;
        }
        let mut hope = false;
        for idle in idles() {
            hope |= (idle.item)();
        }
        if !hope && SCHEDULER.borrow().ready.is_empty() {
            crate::println!("bespoke: every thread waits for ever");
            power_off(crate::boot::fault::KERNEL_FAILED);
        }
    }
}

/// Waits until somebody calls [`wake`] for the current thread.
pub fn wait() {
    current().waiting.set(true);
    switch_to(next_ready());
}

/// As [`wait`], but a signal that is not blocked ends the wait, or keeps it from starting, with EINTR.
pub fn wait_interruptibly() -> Result<()> {
    let this = current();
    if !this.has_signal() {
        wait();
    }
    if this.has_signal() { Err(Errno::EINTR) } else { Ok(()) }
}

impl Thread {
    /// Whether a signal waits to be delivered.
    pub fn has_signal(&self) -> bool {
        self.pending_signals.get() & !self.blocked_signals.get() != 0
    }
}

/// Ends a thread's [`wait`]. False: it was not waiting.
pub fn wake(thread: &Rc<Thread>) -> bool {
    let waited = thread.waiting.replace(false);
    if waited {
        SCHEDULER.borrow().ready.push_back(thread.clone());
    }
    waited
}

/// Lets the others run first.
pub fn give_way() {
    for hook in yields() {
        (hook.item)();
    }
    let this = current();
    let next = {
        let mut scheduler = SCHEDULER.borrow();
        scheduler.ready.push_back(this);
        scheduler.ready.pop_front()
    };
    switch_to(next.expect("the caller itself is ready"));
}

/// Ends the current thread; with the last one the program ends, with this status.
pub fn exit(status: u8) -> ! {
    let this = current();
    for hook in exits() {
        (hook.item)(&this);
    }
    let last = {
        let mut scheduler = SCHEDULER.borrow();
        scheduler.all.retain(|thread| thread.tid != this.tid);
        scheduler.all.is_empty()
    };
    if last {
        power_off(status);
    }
    let next = next_ready();
    SCHEDULER.borrow().ended = Some(this);
    switch_to(next);
    unreachable!("an ended thread runs")
}
