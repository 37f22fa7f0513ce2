//! Threads: who runs, who is ready, who waits. When a thread's turn ends against its will is up to [`policy`].

mod idle;
mod mask;
mod stack;
mod usage;

pub use idle::{Idle, wait_until};
pub use mask::{PROCESS_SIGNALS, bit, notify, notify_of_shared, taker, with_mask};
pub use usage::{all_cycles, cycles_of, own_cycles};

use idle::next_ready;
use stack::{KernelStack, stack_mappers};
use usage::charge;

use super::trap::{Frame, KERNEL_STACK_TOP, leave, leave_by, raise_attention};
use super::{fpu, policy};
use crate::abi::process;
use crate::boot::poweroff::power_off;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::hardening::isolation;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{FsBase, GsBase};

// Called when a thread ends, with the thread.
crate::hook!(fn exits() -> "thread-exit": fn(&Thread));
// Called when a thread gives way, so that what waits for time is not starved by threads that are always ready.
crate::hook!(fn yields() -> "yield": fn());
// Called when another thread's turn begins.
crate::hook!(fn turns() -> "turn": fn());

/// How a thread waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    No,
    /// For an event, whatever else happens.
    Firmly,
    /// For an event or a signal.
    Interruptibly,
}

/// One thread.
pub struct Thread {
    pub tid: u32,
    /// The kernel stack; none for a first thread that stays on the boot stack.
    stack: Option<KernelStack>,
    stack_top: u64,
    /// Kernel stack pointer while switched away.
    saved_rsp: Cell<u64>,
    fs_base: Cell<u64>,
    gs_base: Cell<u64>,
    /// The FPU's registers while switched away; free for other use while the thread runs.
    pub fpu: fpu::State,
    waiting: Cell<Waiting>,
    /// A signal ended the last wait.
    interrupted: Cell<bool>,
    /// Cycles that it has run.
    cycles: Cell<u64>,
    /// `set_tid_address(2)`.
    pub clear_child_tid: Cell<u64>,
    /// Blocked signals, bit n-1 for signal n.
    pub blocked_signals: Cell<u64>,
    /// Signals sent to this thread, not delivered yet; [`PROCESS_SIGNALS`] has those that any thread may take.
    pub pending_signals: Cell<u64>,
    /// Signals of the process that this thread was told of, and none that is no longer pending.
    pub shared_signals: Cell<u64>,
    /// The mask to go back to after a call that waits with another (`rt_sigsuspend(2)`, `ppoll(2)`).
    pub saved_mask: Cell<Option<u64>>,
    /// Blocked signals that the thread waits for (`rt_sigtimedwait(2)`).
    pub awaited_signals: Cell<u64>,
    /// `set_robust_list(2)`.
    pub robust_list: Cell<u64>,
    /// `PR_SET_NAME`, NUL-padded.
    pub name: Cell<[u8; 16]>,
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
    let (code, data) = isolation::selectors();
    let frame = Frame {
        rip: start.entry,
        cs: u64::from(code),
        ss: u64::from(data),
        rflags: 0x202,
        rsp: start.stack,
        ..Frame::default()
    };
    // Guarded like any other where stacks are guarded; otherwise the boot stack serves on.
    let stack = if stack_mappers().is_empty() { None } else { KernelStack::new() };
    let top = stack.map_or_else(crate::boot::pvh::boot_stack_top, KernelStack::top);
    let Some(state) = fpu::State::current() else { panic!("no memory for the first thread") };
    add(stack, top, 0, 0, state).name.set(process::thread_name());
    let first = SCHEDULER.borrow().ready.pop_front();
    make_current(ready(first));
    leave_by(&frame)
}

fn add(
    stack: Option<KernelStack>,
    stack_top: u64,
    saved_rsp: u64,
    fs_base: u64,
    fpu: fpu::State,
) -> Rc<Thread> {
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
        fpu,
        waiting: Cell::new(Waiting::No),
        interrupted: Cell::new(false),
        cycles: Cell::new(0),
        clear_child_tid: Cell::new(0),
        blocked_signals: Cell::new(0),
        pending_signals: Cell::new(0),
        shared_signals: Cell::new(0),
        saved_mask: Cell::new(None),
        awaited_signals: Cell::new(0),
        robust_list: Cell::new(0),
        name: Cell::new([0; 16]),
        signal_stack: Cell::new((0, 0, linux_raw_sys::general::SS_DISABLE)),
    });
    scheduler.all.push(thread.clone());
    scheduler.ready.push_back(thread.clone());
    thread
}

/// Adds a thread that starts with these registers and the caller's FPU state.
pub fn spawn(frame: &Frame, fs_base: u64) -> Result<Rc<Thread>> {
    let state = fpu::State::current().ok_or(Errno::EAGAIN)?;
    make_room().ok_or(Errno::EAGAIN)?;
    let stack = KernelStack::new().ok_or(Errno::EAGAIN)?;
    let top = stack.top();
    let at = top - size_of::<Frame>() as u64;
    // Below the frame: what `switch` pops (six registers) and returns to.
    let saved = at - 7 * 8;
    // SAFETY: the fresh stack.
    let (code, data) = isolation::selectors();
    unsafe {
        *(at as *mut Frame) = Frame { cs: u64::from(code), ss: u64::from(data), ..*frame };
        *(saved as *mut [u64; 7]) = [0, 0, 0, 0, 0, 0, started as *const () as u64];
    }
    let thread = add(Some(stack), top, saved, fs_base, state);
    let this = current();
    thread.blocked_signals.set(this.blocked_signals.get());
    thread.name.set(this.name.get());
    if SCHEDULER.borrow().ready.len() == 1 {
        policy::contended();
    }
    Ok(thread)
}

/// Room in the lists for one more thread: being ready must never need memory.
fn make_room() -> Option<()> {
    let mut scheduler = SCHEDULER.borrow();
    scheduler.all.try_reserve(1).ok()?;
    let most = scheduler.all.len() + 1 - scheduler.ready.len();
    scheduler.ready.try_reserve(most).ok()
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
        stack.free();
    }
}

/// The thread that runs.
pub fn current() -> Rc<Thread> {
    ready(SCHEDULER.borrow().current.clone())
}

/// Whether a thread runs already: none does at boot.
pub fn is_running() -> bool {
    SCHEDULER.borrow().current.is_some()
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

/// Any other thread is ready.
pub fn is_contended() -> bool {
    !SCHEDULER.borrow().ready.is_empty()
}

/// Calls `act` with each thread, the oldest first, until it says true.
pub fn any(mut act: impl FnMut(&Rc<Thread>) -> bool) -> bool {
    let mut index = 0;
    loop {
        let Some(thread) = SCHEDULER.borrow().all.get(index).cloned() else { return false };
        if act(&thread) {
            return true;
        }
        index += 1;
    }
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

/// A thread that must be there: one runs once the program has started, and who has just been made ready is.
fn ready(thread: Option<Rc<Thread>>) -> Rc<Thread> {
    match thread {
        Some(thread) => thread,
        None => panic!("no thread"),
    }
}

fn make_current(thread: Rc<Thread>) {
    // SAFETY: one CPU, interrupts off.
    unsafe { KERNEL_STACK_TOP = thread.stack_top };
    set_fs_base(thread.fs_base.get());
    set_gs_base(thread.gs_base.get());
    if thread.has_signal() {
        raise_attention();
    }
    SCHEDULER.borrow().current = Some(thread);
    for hook in turns() {
        (hook.item)();
    }
    if is_contended() {
        policy::contended();
    }
}

/// Lets `next` run; returns when the caller's turn has come again.
fn switch_to(next: Rc<Thread>) {
    let old = current();
    if old.tid == next.tid {
        return;
    }
    old.fs_base.set(fs_base());
    old.gs_base.set(gs_base());
    old.fpu.save();
    charge(&old);
    let (save, to) = (old.saved_rsp.as_ptr(), next.saved_rsp.get());
    next.fpu.restore();
    make_current(next);
    // The list of all threads, or `ended`, keeps the old one alive.
    drop(old);
    // SAFETY: `to` was saved by a switch away, or prepared by `spawn`.
    unsafe { switch(save, to) };
    after_switch();
}

/// Waits until somebody calls [`wake`] for the current thread.
pub fn wait() {
    current().waiting.set(Waiting::Firmly);
    switch_to(next_ready());
}

/// As [`wait`], but a signal that is not blocked ends the wait, or keeps it from starting, with EINTR. `Ok` is a reason to look again, no more.
pub fn wait_interruptibly() -> Result<()> {
    let this = current();
    if this.has_signal() {
        return Err(Errno::EINTR);
    }
    this.waiting.set(Waiting::Interruptibly);
    switch_to(next_ready());
    // Another thread may have taken the signal meanwhile.
    if this.interrupted.replace(false) && this.has_signal() { Err(Errno::EINTR) } else { Ok(()) }
}

fn make_ready(thread: &Rc<Thread>) {
    let first = {
        let mut scheduler = SCHEDULER.borrow();
        scheduler.ready.push_back(thread.clone());
        scheduler.ready.len() == 1
    };
    // Otherwise the running thread's turn is limited already.
    if first {
        policy::contended();
    }
}

/// Ends a thread's wait. False: it was not waiting.
pub fn wake(thread: &Rc<Thread>) -> bool {
    let waited = thread.waiting.replace(Waiting::No) != Waiting::No;
    if waited {
        make_ready(thread);
    }
    waited
}

/// Ends a thread's [`wait_interruptibly`] for a signal.
pub fn interrupt(thread: &Rc<Thread>) {
    if thread.waiting.get() == Waiting::Interruptibly {
        thread.waiting.set(Waiting::No);
        thread.interrupted.set(true);
        make_ready(thread);
    }
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
    switch_to(ready(next));
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
    usage::charge_last(&this);
    let next = next_ready();
    SCHEDULER.borrow().ended = Some(this);
    switch_to(next);
    panic!("an ended thread runs")
}
