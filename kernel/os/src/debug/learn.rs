//! What the program uses, told to the runner as it happens, through a port that QEMU writes to a file.
//!
//! Lines of text, each about one thing; a later line about the same thing replaces the earlier. The first line on a thing is written
//! when it happens, further ones when its count has doubled and at the end, so that little is lost of a machine that is stopped.
//!
//! - `c NUMBER COUNT FAILED ERRNO`: a system call, how often it was made and failed, and the first error;
//! - `a ID NUMBER ARGUMENT…(6) PATH`: a call with arguments that matter (others are 0) and the path that it names, in hexadecimal, or `-`;
//! - `n ID COUNT FAILED ERRNO`: how often that was made;
//! - `end`: the program has ended; `lost COUNT`: so many different calls had no room.

use crate::abi::syscall::{self, Args};
use crate::cell::KernelCell;
use crate::errno::Result;
use crate::memory::user;
use crate::sched::trap::Frame;
use alloc::vec::Vec;
use core::fmt::Write;
use linux_raw_sys::general::*;
use x86_64::instructions::port::Port;

// Before debug.trace: one of them observes.
crate::register!("call": fn(&Frame, &Args) -> Result<u64> = { 5 => observe });
// Before the machine goes.
crate::register!("poweroff": fn(u8) = { 1 => end });

const PORT: u16 = 0x506;
const CALLS: usize = 512;
/// Different calls with arguments that are told apart.
const MOST: usize = 8192;
const LONGEST_PATH: usize = 512;

/// Calls whose arguments matter: number, a bit for each of them, and which one is a path (6: none).
const TOLD: &[(u32, u8, u8)] = &[
    (__NR_socket, 0b11, 6),
    (__NR_socketpair, 0b11, 6),
    (__NR_setsockopt, 0b110, 6),
    (__NR_getsockopt, 0b110, 6),
    (__NR_ioctl, 0b10, 6),
    (__NR_fcntl, 0b10, 6),
    (__NR_prctl, 0b1, 6),
    (__NR_clone, 0b1, 6),
    (__NR_clone3, 0, 6),
    (__NR_fork, 0, 6),
    (__NR_vfork, 0, 6),
    (__NR_execve, 0, 0),
    (__NR_execveat, 0, 1),
    (__NR_clock_gettime, 0, 6),
    (__NR_gettimeofday, 0, 6),
    (__NR_time, 0, 6),
    (__NR_getcpu, 0, 6),
    (__NR_open, 0b10, 0),
    (__NR_openat, 0b100, 1),
    (__NR_creat, 0, 0),
    (__NR_stat, 0, 0),
    (__NR_lstat, 0, 0),
    (__NR_newfstatat, 0, 1),
    (__NR_statx, 0, 1),
    (__NR_access, 0, 0),
    (__NR_faccessat, 0, 1),
    (__NR_faccessat2, 0, 1),
    (__NR_readlink, 0, 0),
    (__NR_readlinkat, 0, 1),
    (__NR_chdir, 0, 0),
    (__NR_statfs, 0, 0),
    (__NR_truncate, 0, 0),
    (__NR_mkdir, 0, 0),
    (__NR_mkdirat, 0, 1),
    (__NR_rmdir, 0, 0),
    (__NR_unlink, 0, 0),
    (__NR_unlinkat, 0, 1),
    (__NR_rename, 0, 0),
    (__NR_renameat, 0, 1),
    (__NR_renameat2, 0, 1),
    (__NR_link, 0, 0),
    (__NR_linkat, 0, 3),
    (__NR_symlink, 0, 0),
    (__NR_symlinkat, 0, 2),
    (__NR_mknod, 0, 0),
    (__NR_mknodat, 0, 1),
    (__NR_chmod, 0, 0),
    (__NR_fchmodat, 0, 1),
    (__NR_chown, 0, 0),
    (__NR_lchown, 0, 0),
    (__NR_fchownat, 0, 1),
];

#[derive(Clone, Copy)]
struct Count {
    made: u32,
    failed: u32,
    error: u16,
}

impl Count {
    const NONE: Self = Self { made: 0, failed: 0, error: 0 };

    /// Counts a call; answers whether it is time to tell.
    fn add(&mut self) -> bool {
        self.made = self.made.saturating_add(1);
        self.made.is_power_of_two()
    }

    /// Counts a failure; answers the same.
    fn fail(&mut self, error: u16) -> bool {
        self.failed = self.failed.saturating_add(1);
        if self.error == 0 {
            self.error = error;
        }
        self.failed.is_power_of_two()
    }
}

struct Told {
    number: u64,
    arguments: [u64; 6],
    path: Vec<u8>,
    count: Count,
}

static CALLS_MADE: KernelCell<[Count; CALLS]> = KernelCell::new([Count::NONE; CALLS]);
static ARGUMENTS: KernelCell<Vec<Told>> = KernelCell::new(Vec::new());
static LOST: KernelCell<u32> = KernelCell::new(0);

/// The file that the runner reads.
struct Report;

impl Write for Report {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            // SAFETY: a port that nothing else uses; where nobody listens the writes go nowhere.
            unsafe { Port::new(PORT).write(byte) };
        }
        Ok(())
    }
}

/// Writes a line. Writing to a port does not fail.
macro_rules! tell {
    ($($what:tt)*) => {{
        let _ = writeln!(Report, $($what)*);
    }};
}

/// A path that the program names, as far as it can be read.
fn path(address: u64) -> Vec<u8> {
    let mut path = Vec::new();
    if path.try_reserve_exact(LONGEST_PATH).is_err() {
        return path;
    }
    for at in 0..LONGEST_PATH as u64 {
        match address.checked_add(at).map(user::read::<u8>) {
            Some(Ok(0)) | None => break,
            Some(Ok(byte)) => path.push(byte),
            Some(Err(_)) => return Vec::new(),
        }
    }
    path
}

fn observe(frame: &Frame, args: &Args) -> Result<u64> {
    let number = frame.code;
    // Before it is served: some calls do not come back, and some wait for longer than the machine runs.
    let told = begin(number, args);
    let result = syscall::serve(number, args);
    if let Err(error) = &result {
        failed(number, told, error.0);
    }
    result
}

/// Counts a call, and tells of it when it is time to; its place among those with arguments that matter.
fn begin(number: u64, args: &Args) -> Option<usize> {
    if let Some(call) = CALLS_MADE.borrow().get_mut(number as usize)
        && call.add()
    {
        tell!("c {number} {} {} {}", call.made, call.failed, call.error);
    }
    let &(_, bits, at) = TOLD.iter().find(|(told, ..)| u64::from(*told) == number)?;
    let mut arguments = args.0;
    for (index, argument) in arguments.iter_mut().enumerate() {
        if bits & 1 << index == 0 {
            *argument = 0;
        }
    }
    let path = if at < 6 { path(args.0[usize::from(at)]) } else { Vec::new() };
    let mut list = ARGUMENTS.borrow();
    let is_it = |told: &Told| told.number == number && told.arguments == arguments && told.path == path;
    match list.iter().position(is_it) {
        Some(id) => {
            let count = &mut list[id].count;
            if count.add() {
                tell!("n {id} {} {} {}", count.made, count.failed, count.error);
            }
            Some(id)
        }
        None if list.len() >= MOST || list.try_reserve(1).is_err() => {
            let mut lost = LOST.borrow();
            *lost = lost.saturating_add(1);
            if lost.is_power_of_two() {
                tell!("lost {lost}");
            }
            None
        }
        None => {
            let id = list.len();
            let [a, b, c, d, e, f] = arguments;
            let _ = write!(Report, "a {id} {number} {a} {b} {c} {d} {e} {f} ");
            for byte in &path {
                let _ = write!(Report, "{byte:02x}");
            }
            tell!("{}", if path.is_empty() { "-" } else { "" });
            let mut count = Count::NONE;
            count.add();
            tell!("n {id} {} {} {}", count.made, count.failed, count.error);
            list.push(Told { number, arguments, path, count });
            Some(id)
        }
    }
}

/// Counts a failure of a call that was counted.
fn failed(number: u64, told: Option<usize>, error: u16) {
    if let Some(call) = CALLS_MADE.borrow().get_mut(number as usize)
        && call.fail(error)
    {
        tell!("c {number} {} {} {}", call.made, call.failed, call.error);
    }
    if let Some(id) = told
        && let Some(told) = ARGUMENTS.borrow().get_mut(id)
        && told.count.fail(error)
    {
        tell!("n {id} {} {} {}", told.count.made, told.count.failed, told.count.error);
    }
}

fn end(_status: u8) {
    let calls = *CALLS_MADE.borrow();
    for (number, call) in calls.iter().enumerate().filter(|(_, call)| call.made > 0) {
        tell!("c {number} {} {} {}", call.made, call.failed, call.error);
    }
    for (id, told) in ARGUMENTS.borrow().iter().enumerate() {
        tell!("n {id} {} {} {}", told.count.made, told.count.failed, told.count.error);
    }
    tell!("end");
}
