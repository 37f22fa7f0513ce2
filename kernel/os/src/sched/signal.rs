//! Signals (`signal(7)`): actions, masks, who gets a signal, and the calls to send and to wait for one. [`deliver`] runs handlers.

mod deliver;

use super::post::Signal;
use super::thread::{self, PROCESS_SIGNALS, Thread, bit, notify, notify_of_shared, taker};
use crate::abi::process::credentials;
use crate::abi::syscall::{Args, Handler};
use crate::boot::poweroff::power_off;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::memory::user;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_rt_sigaction => sigaction,
    __NR_rt_sigprocmask => sigprocmask,
    __NR_sigaltstack => sigaltstack,
    __NR_rt_sigreturn => deliver::sigreturn,
    __NR_kill => kill,
    __NR_tkill => tkill,
    __NR_tgkill => tgkill,
    __NR_rt_sigqueueinfo => sigqueueinfo,
    __NR_rt_tgsigqueueinfo => tgsigqueueinfo,
    __NR_rt_sigpending => sigpending,
    __NR_rt_sigsuspend => sigsuspend,
    __NR_pause => pause,
});
crate::register!("signal": fn(Option<&Rc<Thread>>, &Signal) = { 10 => take_in });
crate::register!("broken-pipe": fn() = { 10 => broken_pipe });
crate::register!("thread-exit": fn(&Thread) = { 20 => exited });

// Told of a signal that is pending now.
crate::hook!(fn watchers() -> "signal-pending": fn(u32));

const SIGNALS: usize = 64;
/// The kernel's `struct sigaction` on x86-64: handler, flags, restorer, mask.
type Action = [u64; 4];
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;
/// Most signals queued at once (`RLIMIT_SIGPENDING`).
const QUEUE_LIMIT: usize = 1024;

static ACTIONS: KernelCell<[Action; SIGNALS]> = KernelCell::new([[0; 4]; SIGNALS]);

struct Queued {
    /// The thread it was sent to; none for the process.
    tid: Option<u32>,
    signal: Signal,
}

/// What is known of pending signals, the oldest first. A pending bit without an entry: a plain signal whose details had no room.
static QUEUE: KernelCell<Vec<Queued>> = KernelCell::new(Vec::new());

/// Index of a signal number.
fn index(signal: u64) -> Result<usize> {
    match signal {
        1..=64 => Ok(signal as usize - 1),
        _ => Err(Errno::EINVAL),
    }
}

fn action(number: u32) -> Action {
    ACTIONS.borrow()[number as usize - 1]
}

/// Whether a signal without a handler leaves the program alone (`signal(7)`). There is nobody to stop it for, nor to go on.
fn is_harmless(number: u32) -> bool {
    matches!(number, SIGCHLD | SIGCONT | SIGURG | SIGWINCH | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU)
}

fn is_ignored(number: u32) -> bool {
    let [handler, ..] = action(number);
    handler == IGNORE || handler == DEFAULT && is_harmless(number)
}

fn sigaction(args: &Args) -> Result<u64> {
    let [signal, new, old, set_size, ..] = args.0;
    let index = index(signal)?;
    if set_size != 8 || new != 0 && (signal == u64::from(SIGKILL) || signal == u64::from(SIGSTOP)) {
        return Err(Errno::EINVAL);
    }
    let action = if new == 0 { None } else { Some(user::read::<Action>(new)?) };
    let previous = ACTIONS.borrow()[index];
    if let Some(mut action) = action {
        action[3] &= !(bit(SIGKILL) | bit(SIGSTOP));
        ACTIONS.borrow()[index] = action;
        if is_ignored(signal as u32) {
            forget(signal as u32);
        }
    }
    if old != 0 {
        user::write(old, &previous)?;
    }
    Ok(0)
}

/// Drops a pending signal that is ignored from now on.
fn forget(number: u32) {
    QUEUE.borrow().retain(|queued| queued.signal.number != number);
    forget_shared(number);
    thread::any(|thread| {
        thread.pending_signals.set(thread.pending_signals.get() & !bit(number));
        false
    });
}

/// A signal of the process is no longer pending.
fn forget_shared(number: u32) {
    PROCESS_SIGNALS.fetch_and(!bit(number), Ordering::Relaxed);
    thread::any(|thread| {
        thread.shared_signals.set(thread.shared_signals.get() & !bit(number));
        false
    });
}

fn sigprocmask(args: &Args) -> Result<u64> {
    let [how, new, old, set_size, ..] = args.0;
    if set_size != 8 {
        return Err(Errno::EINVAL);
    }
    let thread = thread::current();
    let blocked = thread.blocked_signals.get();
    if new != 0 {
        let set: u64 = user::read(new)?;
        let mask = match how as u32 {
            SIG_BLOCK => blocked | set,
            SIG_UNBLOCK => blocked & !set,
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        thread.set_mask(mask);
    }
    if old != 0 {
        user::write(old, &blocked)?;
    }
    Ok(0)
}

/// Whether an address is on an alternate stack.
fn is_on(stack: (u64, u64, u32), address: u64) -> bool {
    let (start, size, flags) = stack;
    flags & SS_DISABLE == 0 && flags & SS_AUTODISARM == 0 && address > start && address - start <= size
}

fn sigaltstack(args: &Args) -> Result<u64> {
    /// `stack_t`: address, flags (and padding), size.
    type Stack = [u64; 3];
    let [new, old, ..] = args.0;
    let thread = thread::current();
    let stack = thread.signal_stack.get();
    let on_it = is_on(stack, thread::entry_frame().rsp);
    if new != 0 {
        let [address, flags, size]: Stack = user::read(new)?;
        set_stack(&thread, on_it, address, flags as u32, size)?;
    }
    if old != 0 {
        let (address, size, flags) = stack;
        let flags = flags | if on_it { SS_ONSTACK } else { 0 };
        user::write(old, &[address, u64::from(flags), size])?;
    }
    Ok(0)
}

fn set_stack(thread: &Thread, on_it: bool, address: u64, flags: u32, size: u64) -> Result<()> {
    if on_it {
        return Err(Errno::EPERM);
    }
    if !matches!(flags & !SS_AUTODISARM, 0 | SS_ONSTACK | SS_DISABLE) {
        return Err(Errno::EINVAL);
    }
    let stack = if flags & SS_DISABLE != 0 {
        (0, 0, SS_DISABLE)
    } else if size < u64::from(MINSIGSTKSZ) {
        return Err(Errno::ENOMEM);
    } else {
        (address, size, flags & SS_AUTODISARM)
    };
    thread.signal_stack.set(stack);
    Ok(())
}

fn take_in(thread: Option<&Rc<Thread>>, signal: &Signal) {
    // A kernel's signal that finds no room is as good as pending already.
    let _ = send(thread, signal);
}

/// The current thread wrote where nobody reads.
fn broken_pipe() {
    super::post::send_to_current(SIGPIPE);
}

/// Sends a signal to a thread, or to the process.
fn send(target: Option<&Rc<Thread>>, signal: &Signal) -> Result<()> {
    let number = signal.number;
    let taker = match target {
        Some(thread) => Some(thread.clone()),
        None => taker(number),
    };
    let takes = taker.as_ref().is_some_and(|thread| thread.blocked_signals.get() & bit(number) == 0);
    if takes && is_ignored(number) {
        return Ok(());
    }
    if number == SIGKILL || takes && action(number)[0] == DEFAULT {
        power_off(128 + number as u8);
    }
    let pending = match target {
        Some(thread) => thread.pending_signals.get(),
        None => PROCESS_SIGNALS.load(Ordering::Relaxed),
    };
    let is_plain = number < SIGRTMIN;
    if pending & bit(number) == 0 || !is_plain {
        let mut queue = QUEUE.borrow();
        if queue.len() < QUEUE_LIMIT && queue.try_reserve(1).is_ok() {
            queue.push(Queued { tid: target.map(|thread| thread.tid), signal: *signal });
        } else if !is_plain {
            return Err(Errno::EAGAIN);
        }
    }
    match target {
        Some(thread) => thread.pending_signals.set(pending | bit(number)),
        None => PROCESS_SIGNALS.store(pending | bit(number), Ordering::Relaxed),
    }
    match (target, taker) {
        (Some(thread), _) => notify(thread, number),
        (None, Some(taker)) => notify_of_shared(&taker, number),
        (None, None) => {}
    }
    for watcher in watchers() {
        (watcher.item)(number);
    }
    Ok(())
}

/// Takes the next pending signal of a set for a thread: exceptions first, then by number; its own before the process'.
pub fn take(thread: &Thread, set: u64) -> Option<Signal> {
    const EXCEPTIONS: u64 = 1 << (SIGSEGV - 1)
        | 1 << (SIGBUS - 1)
        | 1 << (SIGILL - 1)
        | 1 << (SIGTRAP - 1)
        | 1 << (SIGFPE - 1)
        | 1 << (SIGSYS - 1);
    let ready = thread.signals() & set;
    let first = if ready & EXCEPTIONS != 0 { ready & EXCEPTIONS } else { ready };
    if first == 0 {
        return None;
    }
    let number = first.trailing_zeros() + 1;
    let own = thread.pending_signals.get() & bit(number) != 0;
    let tid = own.then_some(thread.tid);
    let mut queue = QUEUE.borrow();
    let is_it = |queued: &Queued| queued.tid == tid && queued.signal.number == number;
    let signal = match queue.iter().position(is_it) {
        Some(index) => queue.remove(index).signal,
        None => Signal { number, code: SI_USER as i32, detail: [0; 3] },
    };
    if !queue.iter().any(is_it) {
        if own {
            thread.pending_signals.set(thread.pending_signals.get() & !bit(number));
        } else {
            forget_shared(number);
        }
    }
    Some(signal)
}

/// What was sent to a thread ends with it; what it might have taken for the process goes to another.
fn exited(thread: &Thread) {
    QUEUE.borrow().retain(|queued| queued.tid != Some(thread.tid));
    thread.set_mask(u64::MAX);
}

/// A signal by one of the calls of the program's own.
fn own(number: u64, code: i32) -> Result<Option<Signal>> {
    if number == 0 {
        return Ok(None); // asks whether there is somebody
    }
    index(number)?;
    // The sender: process 1, and its user.
    let sender = 1 | u64::from(credentials().users[0]) << 32;
    Ok(Some(Signal { number: number as u32, code, detail: [sender, 0, 0] }))
}

fn send_own(target: Option<&Rc<Thread>>, number: u64, code: i32) -> Result<u64> {
    match own(number, code)? {
        Some(signal) => send(target, &signal).map(|()| 0),
        None => Ok(0),
    }
}

/// The process is number 1, alone in its group; -1 means all others.
fn kill(args: &Args) -> Result<u64> {
    match args.0[0] as i32 {
        0 | 1 => send_own(None, args.0[1], SI_USER as i32),
        _ => Err(Errno::ESRCH),
    }
}

fn tkill(args: &Args) -> Result<u64> {
    let [tid, signal, ..] = args.0;
    if tid as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    let thread = thread::find(tid as u32).ok_or(Errno::ESRCH)?;
    send_own(Some(&thread), signal, SI_TKILL)
}

fn tgkill(args: &Args) -> Result<u64> {
    let [group, tid, signal, ..] = args.0;
    let thread = member(group, tid)?;
    send_own(Some(&thread), signal, SI_TKILL)
}

/// A thread by its group and number.
fn member(group: u64, tid: u64) -> Result<Rc<Thread>> {
    if group as i32 <= 0 || tid as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    if group as u32 != 1 {
        return Err(Errno::ESRCH);
    }
    thread::find(tid as u32).ok_or(Errno::ESRCH)
}

fn queue_own(target: Option<&Rc<Thread>>, number: u64, address: u64) -> Result<u64> {
    let info: [u64; 5] = user::read(address)?;
    if number == 0 {
        return Ok(0);
    }
    index(number)?;
    let detail = [info[2], info[3], info[4]];
    send(target, &Signal { number: number as u32, code: info[1] as i32, detail }).map(|()| 0)
}

fn sigqueueinfo(args: &Args) -> Result<u64> {
    let [process, signal, info, ..] = args.0;
    if process as u32 != 1 {
        return Err(Errno::ESRCH);
    }
    queue_own(None, signal, info)
}

fn tgsigqueueinfo(args: &Args) -> Result<u64> {
    let [group, tid, signal, info, ..] = args.0;
    let thread = member(group, tid)?;
    queue_own(Some(&thread), signal, info)
}

fn sigpending(args: &Args) -> Result<u64> {
    let [to, set_size, ..] = args.0;
    if set_size > 8 {
        return Err(Errno::EINVAL);
    }
    let thread = thread::current();
    user::write(to, &(thread.signals() & thread.blocked_signals.get())).map(|()| 0)
}

fn sigsuspend(args: &Args) -> Result<u64> {
    let [mask, set_size, ..] = args.0;
    if set_size != 8 {
        return Err(Errno::EINVAL);
    }
    let mask = user::read(mask)?;
    thread::with_mask(mask, wait_for_any)
}

fn pause(_: &Args) -> Result<u64> {
    wait_for_any()
}

fn wait_for_any() -> Result<u64> {
    loop {
        thread::wait_interruptibly()?;
    }
}
