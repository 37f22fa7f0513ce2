//! Signals: actions, masks, alternate stacks; signals sent by the program to itself.

use super::thread;
use crate::abi::syscall::{Args, Handler};
use crate::boot::poweroff::power_off;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::memory::user;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_rt_sigaction => sigaction,
    __NR_rt_sigprocmask => sigprocmask,
    __NR_sigaltstack => sigaltstack,
    __NR_kill => kill,
    __NR_tkill => tkill,
    __NR_tgkill => tgkill,
});

const SIGNALS: usize = 64;
/// The kernel's `struct sigaction` on x86-64: handler, flags, restorer, mask.
type Action = [u64; 4];
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;

static ACTIONS: KernelCell<[Action; SIGNALS]> = KernelCell::new([[0; 4]; SIGNALS]);

/// Index of a signal number.
fn index(signal: u64) -> Result<usize> {
    match signal {
        1..=64 => Ok(signal as usize - 1),
        _ => Err(Errno::EINVAL),
    }
}

fn sigaction(args: &Args) -> Result<u64> {
    let [signal, new, old, set_size, ..] = args.0;
    let index = index(signal)?;
    if set_size != 8 || new != 0 && (signal == u64::from(SIGKILL) || signal == u64::from(SIGSTOP)) {
        return Err(Errno::EINVAL);
    }
    let action = if new == 0 { None } else { Some(user::read::<Action>(new)?) };
    let previous = ACTIONS.borrow()[index];
    if old != 0 {
        user::write(old, &previous)?;
    }
    if let Some(action) = action {
        ACTIONS.borrow()[index] = action;
    }
    Ok(0)
}

fn sigprocmask(args: &Args) -> Result<u64> {
    const UNBLOCKABLE: u64 = 1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1);
    let [how, new, old, set_size, ..] = args.0;
    if set_size != 8 {
        return Err(Errno::EINVAL);
    }
    let thread = thread::current();
    let blocked = thread.blocked_signals.get();
    if new != 0 {
        let set: u64 = user::read(new)?;
        let blocked = match how as u32 {
            SIG_BLOCK => blocked | set,
            SIG_UNBLOCK => blocked & !set,
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        thread.blocked_signals.set(blocked & !UNBLOCKABLE);
    }
    if old != 0 {
        user::write(old, &blocked)?;
    }
    Ok(0)
}

fn sigaltstack(args: &Args) -> Result<u64> {
    /// `stack_t`: address, flags (and padding), size.
    type Stack = [u64; 3];
    let [new, old, ..] = args.0;
    let thread = thread::current();
    let (address, size, flags) = thread.signal_stack.get();
    if new != 0 {
        let [address, flags, size]: Stack = user::read(new)?;
        let flags = flags as u32;
        if flags & !(SS_DISABLE | SS_AUTODISARM) != 0 {
            return Err(Errno::EINVAL);
        }
        if flags & SS_DISABLE == 0 && size < u64::from(MINSIGSTKSZ) {
            return Err(Errno::ENOMEM);
        }
        thread.signal_stack.set(if flags & SS_DISABLE != 0 {
            (0, 0, SS_DISABLE)
        } else {
            (address, size, flags)
        });
    }
    if old != 0 {
        user::write(old, &[address, u64::from(flags), size])?;
    }
    Ok(0)
}

/// Whether a signal without a handler leaves the program alone (`signal(7)`).
fn is_harmless(signal: u64) -> bool {
    matches!(signal as u32, SIGCHLD | SIGCONT | SIGURG | SIGWINCH | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU)
}

fn send(signal: u64) -> Result<u64> {
    if signal == 0 {
        return Ok(0);
    }
    let [handler, ..] = ACTIONS.borrow()[index(signal)?];
    if handler == IGNORE || is_harmless(signal) {
        return Ok(0);
    }
    if handler != DEFAULT {
        // A handler that the program relies on cannot be run: better an error than silence.
        return Err(Errno::ENOSYS);
    }
    power_off(128 + signal as u8)
}

/// The process is number 1, alone in its group.
fn kill(args: &Args) -> Result<u64> {
    match args.0[0] as i32 {
        -1..=1 => send(args.0[1]),
        _ => Err(Errno::ESRCH),
    }
}

fn tkill(args: &Args) -> Result<u64> {
    thread::find(args.0[0] as u32).ok_or(Errno::ESRCH)?;
    send(args.0[1])
}

fn tgkill(args: &Args) -> Result<u64> {
    let [group, tid, signal, ..] = args.0;
    if group as u32 != 1 {
        return Err(Errno::ESRCH);
    }
    thread::find(tid as u32).ok_or(Errno::ESRCH)?;
    send(signal)
}
