//! `poll(2)`, `ppoll(2)`, `select(2)`, `pselect6(2)`.

use super::syscall::{Args, Handler, limit};
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Description, Readiness};
use crate::list;
use crate::memory::user;
use crate::sched::wait::Queue;
use crate::sched::wait_many::{wait_in, with_user_mask};
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_poll => poll,
    __NR_ppoll => ppoll,
    __NR_select => select,
    __NR_pselect6 => pselect,
});

const SECOND: u64 = 1_000_000_000;

/// One file and what is waited for on it.
struct Wanted {
    file: Rc<Description>,
    events: u32,
}

/// Waits until `look` finds something among the files, or until the time is up.
fn wait(files: &[Wanted], time: Option<u64>, mut look: impl FnMut() -> u64) -> Result<u64> {
    let deadline = time.map(|time| tsc::now().saturating_add(time));
    let queues: Vec<&Queue> = list::collect(files.iter().filter_map(|wanted| wanted.file.queue()))?;
    loop {
        let found = look();
        if found > 0 || deadline.is_some_and(|deadline| deadline <= tsc::now()) {
            return Ok(found);
        }
        wait_in(&queues, deadline)?;
    }
}

/// Makes a call under a time limit, and says where that stood how much of it is left, as Linux does for all but `poll` (`select(2)`, notes).
fn with_limit(
    address: u64,
    limit: Option<u64>,
    form: impl FnOnce(u64) -> [u64; 2],
    call: impl FnOnce() -> Result<u64>,
) -> Result<u64> {
    let began = tsc::now();
    let result = call();
    if let Some(limit) = limit {
        // One that cannot be written to has done its duty.
        let _ = user::write(address, &form(limit.saturating_sub(tsc::now() - began)));
    }
    result
}

/// What is there of what was wanted; errors and hang-ups always are.
fn ready(wanted: &Wanted) -> u32 {
    let always = Readiness::ERROR | Readiness::HANG_UP;
    wanted.file.readiness().bits() & (wanted.events | always.bits())
}

fn poll_list(address: u64, count: u64, time: Option<u64>) -> Result<u64> {
    if count > file::limit() as u64 {
        return Err(Errno::EINVAL);
    }
    let size = size_of::<pollfd>() as u64;
    let mut entries: Vec<pollfd> = Vec::new();
    for index in 0..count {
        list::push(&mut entries, user::read(address + index * size)?)?;
    }
    let files: Vec<Option<Wanted>> = list::collect(entries.iter().map(|entry| {
        let file = if entry.fd < 0 { None } else { file::get(entry.fd as u64).ok() };
        file.map(|file| Wanted { file, events: u32::from(entry.events as u16) })
    }))?;
    let wanted = |wanted: &Wanted| Wanted { file: wanted.file.clone(), events: wanted.events };
    let waited: Vec<Wanted> = list::collect(files.iter().flatten().map(wanted))?;
    let found = wait(&waited, time, || {
        let mut found = 0;
        for (entry, file) in entries.iter_mut().zip(&files) {
            entry.revents = match file {
                Some(wanted) => ready(wanted) as i16,
                None if entry.fd < 0 => 0,
                None => POLLNVAL as i16,
            };
            found += u64::from(entry.revents != 0);
        }
        found
    })?;
    for (index, entry) in entries.iter().enumerate() {
        user::write(address + index as u64 * size, entry)?;
    }
    Ok(found)
}

fn poll(args: &Args) -> Result<u64> {
    let [list, count, milliseconds, ..] = args.0;
    let time = u64::try_from(milliseconds as i32).ok().map(|milliseconds| milliseconds * 1_000_000);
    poll_list(list, count, time)
}

fn ppoll(args: &Args) -> Result<u64> {
    let [list, count, address, mask, ..] = args.0;
    let time = limit(address)?;
    with_limit(
        address,
        time,
        |left| [left / SECOND, left % SECOND],
        || with_user_mask(mask, || poll_list(list, count, time)),
    )
}

/// The three sets of `select`: what makes a descriptor a member of each.
const SETS: [Readiness; 3] = [
    Readiness::READ.union(Readiness::HANG_UP).union(Readiness::ERROR),
    Readiness::WRITE.union(Readiness::ERROR),
    Readiness::URGENT,
];

fn select_sets(count: u64, addresses: [u64; 3], time: Option<u64>) -> Result<u64> {
    let count = usize::try_from(count as i32).map_err(|_| Errno::EINVAL)?.min(file::reached());
    let words = count.div_ceil(64);
    let mut sets: [Vec<u64>; 3] = Default::default();
    for (set, address) in sets.iter_mut().zip(addresses) {
        for word in 0..words {
            list::push(set, if address == 0 { 0 } else { user::read(address + word as u64 * 8)? })?;
        }
    }
    let member = |set: &[u64], fd: usize| set[fd / 64] >> (fd % 64) & 1 != 0;
    let mut files = Vec::new();
    let mut wanted = Vec::new();
    for fd in 0..count {
        if sets.iter().any(|set| member(set, fd)) {
            list::push(&mut files, Wanted { file: file::get(fd as u64)?, events: u32::MAX })?;
            list::push(&mut wanted, fd)?;
        }
    }
    let mut results: [Vec<u64>; 3] = Default::default();
    for result in &mut results {
        *result = list::collect((0..words).map(|_| 0))?;
    }
    let found = wait(&files, time, || {
        let mut found = 0;
        for (file, &fd) in files.iter().zip(&wanted) {
            let readiness = file.file.readiness();
            for ((set, result), makes) in sets.iter().zip(&mut results).zip(SETS) {
                if member(set, fd) && readiness.intersects(makes) {
                    result[fd / 64] |= 1 << (fd % 64);
                    found += 1;
                }
            }
        }
        found
    })?;
    for (result, address) in results.iter().zip(addresses) {
        for (index, word) in result.iter().enumerate().filter(|_| address != 0) {
            user::write(address + index as u64 * 8, word)?;
        }
    }
    Ok(found)
}

fn select(args: &Args) -> Result<u64> {
    let [count, read, write, except, address, _] = args.0;
    let time = match address {
        0 => None,
        address => {
            let [seconds, microseconds]: [i64; 2] = user::read(address)?;
            let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
            let microseconds = u64::try_from(microseconds).map_err(|_| Errno::EINVAL)?;
            Some(seconds.saturating_mul(SECOND).saturating_add(microseconds.saturating_mul(1000)))
        }
    };
    with_limit(
        address,
        time,
        |left| [left / SECOND, left % SECOND / 1000],
        || select_sets(count, [read, write, except], time),
    )
}

fn pselect(args: &Args) -> Result<u64> {
    let [count, read, write, except, address, mask] = args.0;
    let time = limit(address)?;
    // The sixth argument points at the address of the mask and its size.
    let mask = if mask == 0 { 0 } else { user::read::<u64>(mask)? };
    with_limit(
        address,
        time,
        |left| [left / SECOND, left % SECOND],
        || with_user_mask(mask, || select_sets(count, [read, write, except], time)),
    )
}
