//! The controlling terminal of the one session (`credentials(7)`, `tty_ioctl(4)`), which process 1 leads.

use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::File;
use crate::sched::post;
use alloc::rc::Rc;
use linux_raw_sys::general::{SIGCONT, SIGHUP};

crate::register!("controlling-terminal": fn() -> Option<Rc<dyn File>> = { 10 => open });

/// Opens the terminal of a device number, for `/dev/tty`.
pub type Opener = fn(u64) -> Option<Rc<dyn File>>;

static CONTROLLING: KernelCell<Option<(u64, Opener)>> = KernelCell::new(None);

/// Whether the terminal of this number controls the session.
pub fn is(number: u64) -> bool {
    CONTROLLING.borrow().is_some_and(|(other, _)| other == number)
}

/// Makes a terminal the session's. EPERM: it has another.
pub fn take(number: u64, opener: Opener) -> Result<()> {
    let (held, _) = *CONTROLLING.borrow().get_or_insert((number, opener));
    if held == number { Ok(()) } else { Err(Errno::EPERM) }
}

/// Gives up the session's terminal, of which the program is told. ENOTTY: it is not this one.
pub fn leave(number: u64) -> Result<()> {
    if !is(number) {
        return Err(Errno::ENOTTY);
    }
    *CONTROLLING.borrow() = None;
    post::send_to_process(SIGHUP);
    post::send_to_process(SIGCONT);
    Ok(())
}

fn open() -> Option<Rc<dyn File>> {
    let (number, opener) = (*CONTROLLING.borrow())?;
    opener(number)
}
