//! `prctl(2)`, as far as it makes sense for one process.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::sched::thread;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::__NR_prctl;
use linux_raw_sys::prctl::*;

crate::register!("syscall": Handler = { __NR_prctl => prctl });

static NO_NEW_PRIVILEGES: AtomicU64 = AtomicU64::new(0);
static DUMPABLE: AtomicU64 = AtomicU64::new(1);
static PARENT_DEATH_SIGNAL: AtomicU64 = AtomicU64::new(0);
static TIMER_SLACK: AtomicU64 = AtomicU64::new(50_000);
static KEEP_CAPABILITIES: AtomicU64 = AtomicU64::new(0);
static SUBREAPER: AtomicU64 = AtomicU64::new(0);
/// The capabilities of Linux 6.1.
const LAST_CAPABILITY: u64 = 40;

fn set(what: &AtomicU64, value: u64, most: u64) -> Result<u64> {
    if value > most {
        return Err(Errno::EINVAL);
    }
    what.store(value, Ordering::Relaxed);
    Ok(0)
}

fn set_name(address: u64) -> Result<u64> {
    let mut name = [0u8; 16];
    for (at, to) in name[..15].iter_mut().enumerate() {
        *to = user::read(address + at as u64)?;
        if *to == 0 {
            break;
        }
    }
    thread::current().name.set(name);
    Ok(0)
}

fn prctl(args: &Args) -> Result<u64> {
    let [option, value, ..] = args.0;
    match option as u32 {
        PR_SET_NAME => set_name(value),
        PR_GET_NAME => user::write(value, &thread::current().name.get()).map(|()| 0),
        PR_SET_PDEATHSIG => set(&PARENT_DEATH_SIGNAL, value, 64),
        PR_GET_PDEATHSIG => {
            user::write(value, &(PARENT_DEATH_SIGNAL.load(Ordering::Relaxed) as u32)).map(|()| 0)
        }
        PR_SET_DUMPABLE => set(&DUMPABLE, value, 1),
        PR_GET_DUMPABLE => Ok(DUMPABLE.load(Ordering::Relaxed)),
        PR_SET_KEEPCAPS => set(&KEEP_CAPABILITIES, value, 1),
        PR_GET_KEEPCAPS => Ok(KEEP_CAPABILITIES.load(Ordering::Relaxed)),
        // It cannot be taken back.
        PR_SET_NO_NEW_PRIVS if value == 1 => set(&NO_NEW_PRIVILEGES, value, 1),
        PR_GET_NO_NEW_PRIVS => Ok(NO_NEW_PRIVILEGES.load(Ordering::Relaxed)),
        PR_SET_TIMERSLACK => {
            TIMER_SLACK.store(if value == 0 { 50_000 } else { value }, Ordering::Relaxed);
            Ok(0)
        }
        PR_GET_TIMERSLACK => Ok(TIMER_SLACK.load(Ordering::Relaxed)),
        PR_SET_CHILD_SUBREAPER => set(&SUBREAPER, u64::from(value != 0), 1),
        PR_GET_CHILD_SUBREAPER => user::write(value, &(SUBREAPER.load(Ordering::Relaxed) as u32)).map(|()| 0),
        PR_CAPBSET_READ if value <= LAST_CAPABILITY => Ok(1),
        PR_CAPBSET_DROP if value <= LAST_CAPABILITY => Ok(0),
        PR_SET_THP_DISABLE => Ok(0),
        PR_GET_THP_DISABLE => Ok(1),
        // Names for mappings, seen in /proc on Linux built with them only; and whatever else is not known.
        _ => Err(Errno::EINVAL),
    }
}
