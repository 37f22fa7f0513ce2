//! Signals of files (`fcntl(2)`, "Managing signals"): SIGIO when something can be done with one, SIGURG when a peer has urgent data.
//!
//! Whoever wants signals of a file observes its queue, as an epoll instance does: files that nobody asked signals of cost nothing. Signals are
//! sent before the program goes on, and not where the event happens: there is no telling what is borrowed there, and one may end the program.

use super::file::{Description, File, Readiness};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::list;
use crate::memory::user;
use crate::sched::post::{self, Signal};
use crate::sched::thread::{self, Idle};
use crate::sched::trap::{Frame, raise_attention};
use crate::sched::wait::{Observer, Queue};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::Cell;
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::{FIOASYNC, FIOGETOWN, FIOSETOWN, SIOCGPGRP, SIOCSPGRP};

crate::register!("file-owner": fn(&Rc<Description>, u64, u32, u64) -> Result<u64> = { 10 => control });
crate::register!("ioctl": fn(&Rc<Description>, u64, u32, u64) -> Option<Result<u64>> = { 10 => request });
crate::register!("socket-urgent": fn(&Queue) = { 10 => urgent });
crate::register!("attention": fn(&mut Frame) = { 15 => |_| send_due() });
crate::register!("idle": fn() -> Idle = { 90 => idle });

/// Who gets the signals of a file: a thread (F_OWNER_TID), the process of one (F_OWNER_PID), or a group (F_OWNER_PGRP). Zero: nobody.
type Owner = (u32, u32);

/// What is known of a file.
struct Owned {
    file: Weak<Description>,
    owner: Cell<Owner>,
    /// F_SETSIG; zero: SIGIO, without details.
    signal: Cell<u32>,
    /// The descriptor by which signals were asked for.
    fd: Cell<u64>,
}

/// Files with an owner, or whose signals were asked for.
static OWNED: KernelCell<Vec<Rc<Owned>>> = KernelCell::new(Vec::new());
/// Signals that are due, and for whom.
static DUE: KernelCell<Vec<(Owner, Signal)>> = KernelCell::new(Vec::new());

/// What is known of a file, if anything.
fn known(file: &Rc<Description>) -> Option<Rc<Owned>> {
    let is_it = |owned: &&Rc<Owned>| core::ptr::eq(owned.file.as_ptr(), &raw const **file);
    OWNED.borrow().iter().find(is_it).cloned()
}

fn make(file: &Rc<Description>) -> Result<Rc<Owned>> {
    if let Some(owned) = known(file) {
        return Ok(owned);
    }
    let file = Rc::downgrade(file);
    let owned = Rc::new(Owned { file, owner: Cell::new((0, 0)), signal: Cell::new(0), fd: Cell::new(0) });
    let mut all = OWNED.borrow();
    all.retain(|owned| owned.file.strong_count() > 0);
    list::push(&mut all, owned.clone())?;
    Ok(owned)
}

/// A number by which somebody can be named: a thread's, which the process' is too.
fn check(number: u32) -> Result<()> {
    if number == 0 || thread::find(number).is_some() || number == 1 { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Commands of `fcntl(2)` on an open file; F_SETFL: O_ASYNC is to be as the argument has it, ENOTTY where a file has no signals.
fn control(file: &Rc<Description>, fd: u64, command: u32, argument: u64) -> Result<u64> {
    let (owner, signal) = known(file).map_or_else(Default::default, |it| (it.owner.get(), it.signal.get()));
    match command {
        F_SETOWN => {
            let number = argument as i32;
            if number == i32::MIN {
                return Err(Errno::EINVAL);
            }
            check(number.unsigned_abs())?;
            let kind = if number < 0 { F_OWNER_PGRP } else { F_OWNER_PID };
            make(file)?.owner.set((kind, number.unsigned_abs()));
            Ok(0)
        }
        F_GETOWN => {
            let number = i64::from(owner.1);
            Ok(if owner.0 == F_OWNER_PGRP { -number } else { number } as u64)
        }
        F_SETOWN_EX => {
            let [kind, number]: [u32; 2] = user::read(argument)?;
            if kind > F_OWNER_PGRP {
                return Err(Errno::EINVAL);
            }
            check(number)?;
            make(file)?.owner.set((kind, number));
            Ok(0)
        }
        F_GETOWN_EX => user::write(argument, &[owner.0, owner.1]).map(|()| 0),
        F_SETSIG if argument > 64 => Err(Errno::EINVAL),
        F_SETSIG => {
            make(file)?.signal.set(argument as u32);
            Ok(0)
        }
        F_GETSIG => Ok(u64::from(signal)),
        F_SETFL => set(file, fd, argument as u32 & FASYNC != 0).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// Requests of `ioctl(2)` to the same end.
fn request(file: &Rc<Description>, fd: u64, request: u32, argument: u64) -> Option<Result<u64>> {
    let is_socket = || file.stat().mode & S_IFMT == S_IFSOCK;
    Some(match request {
        FIOASYNC => user::read::<u32>(argument).and_then(|on| {
            let (on, is_on) = (on != 0, file.flags.get() & FASYNC != 0);
            if on == is_on { Ok(0) } else { set(file, fd, on).map(|()| 0) }
        }),
        FIOSETOWN | SIOCSPGRP if is_socket() => {
            user::read::<i32>(argument).and_then(|owner| control(file, fd, F_SETOWN, owner as u64))
        }
        FIOGETOWN | SIOCGPGRP if is_socket() => control(file, fd, F_GETOWN, 0)
            .and_then(|owner| user::write(argument, &(owner as u32)).map(|()| 0)),
        _ => return None,
    })
}

/// Turns a file's signals on or off.
fn set(file: &Rc<Description>, fd: u64, on: bool) -> Result<()> {
    let kind = file.stat().mode & S_IFMT;
    let queue = file.file.queue().filter(|_| matches!(kind, S_IFSOCK | S_IFIFO | S_IFCHR));
    let queue = queue.ok_or(Errno::ENOTTY)?;
    let owned = make(file)?;
    let observer: Weak<dyn Observer> = Rc::downgrade(&owned) as _;
    queue.forget(&observer);
    let flags = file.flags.get();
    if !on {
        file.flags.set(flags & !FASYNC);
        return Ok(());
    }
    if kind == S_IFCHR && owned.owner.get().1 == 0 {
        // A terminal's is its foreground.
        owned.owner.set((F_OWNER_PGRP, 1));
    }
    owned.fd.set(fd);
    queue.observe(observer);
    file.flags.set(flags | FASYNC);
    Ok(())
}

/// Why there is a signal (`si_code`), and the same in the words of `poll(2)`.
fn reason(file: &dyn File) -> Option<(u32, u32)> {
    let ready = file.readiness();
    let kind = file.stat().mode & S_IFMT;
    let (read, write) = ((POLL_IN, Readiness::READ.bits()), (POLL_OUT, Readiness::WRITE.bits() | POLLWRBAND));
    let end = Readiness::HANG_UP | Readiness::ERROR;
    Some(match kind {
        // The ends of a pipe are never both.
        S_IFIFO if ready.contains(Readiness::WRITE) || ready.contains(Readiness::ERROR) => write,
        S_IFIFO => read,
        _ if ready.contains(Readiness::HANG_UP) => (POLL_HUP, POLLHUP | POLLERR),
        _ if ready.contains(Readiness::READ) => read,
        _ if ready.contains(Readiness::URGENT) => (POLL_PRI, POLLPRI | POLLRDBAND),
        S_IFSOCK if ready.intersects(end) => (POLL_ERR, POLLERR),
        S_IFSOCK if ready.contains(Readiness::WRITE) => write,
        _ => return None,
    })
}

/// Has a signal sent soon.
fn post(owner: Owner, signal: Signal) {
    let mut due = DUE.borrow();
    let is_it = |(other, known): &(Owner, Signal)| *other == owner && known.number == signal.number;
    let is_pending = signal.number < SIGRTMIN && due.iter().any(is_it);
    if owner.1 != 0 && !is_pending && list::push(&mut due, (owner, signal)).is_ok() {
        raise_attention();
    }
}

fn plain(number: u32) -> Signal {
    Signal { number, code: SI_KERNEL as i32, detail: [0; 3] }
}

impl Observer for Owned {
    fn notify(&self) {
        let Some(file) = self.file.upgrade() else { return };
        let Some((code, band)) = reason(&*file.file) else { return };
        post(
            self.owner.get(),
            match self.signal.get() {
                0 => plain(SIGIO),
                number => Signal {
                    number,
                    code: code as i32,
                    detail: [u64::from(band), self.fd.get() & 0xffff_ffff, 0],
                },
            },
        );
    }
}

/// A socket's peer has urgent data.
fn urgent(queue: &Queue) {
    let is_it = |owned: &&Rc<Owned>| {
        let file = owned.file.upgrade();
        file.is_some_and(|file| file.file.queue().is_some_and(|other| core::ptr::eq(other, queue)))
    };
    let owner = OWNED.borrow().iter().find(is_it).map(|owned| owned.owner.get());
    if let Some(owner) = owner {
        post(owner, plain(SIGURG));
    }
}

fn send_due() {
    let due = core::mem::take(&mut *DUE.borrow());
    for ((kind, number), signal) in due {
        let thread = thread::find(number).filter(|_| kind == F_OWNER_TID);
        if kind != F_OWNER_TID || thread.is_some() {
            post::send(thread.as_ref(), &signal);
        }
    }
}

/// What happened while nobody ran may have somebody run.
fn idle() -> Idle {
    send_due();
    Idle::Never
}
