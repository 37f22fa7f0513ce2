//! Standard input, output and error.

use super::file::{self, Access, File, Stat};
use crate::abi::process;
use crate::boot::pvh::StartInfo;
use crate::console::output;
use crate::errno::{Errno, Result};
use crate::memory::user;
use alloc::rc::Rc;
use linux_raw_sys::general::{O_RDWR, S_IFCHR};
use linux_raw_sys::ioctl::{TCGETS, TIOCGWINSZ};

crate::register!("init": fn(&StartInfo) = { 90 => init });

// What stands for the console, by key: 0 is what the program reads from, 1 the console itself. The latter alone is fine.
crate::hook!(fn consoles() -> "console": fn() -> Rc<dyn File>);

/// The console's device number: `/dev/console`.
pub const CONSOLE: u64 = 0x501;

/// A console that nothing is typed at.
struct Console;

/// The console as a file.
pub fn console() -> Rc<dyn File> {
    consoles().last().map_or_else(|| Rc::new(Console) as _, |console| (console.item)())
}

fn init(_: &StartInfo) {
    let console = console();
    let input = consoles().first().map(|input| (input.item)());
    // The first three descriptors are always free here.
    for file in [input.unwrap_or_else(|| console.clone()), console.clone(), console] {
        let _ = file::open_at(file, O_RDWR, None);
    }
}

/// Writes bytes of the program's memory with `out`.
pub fn write(from: u64, count: usize, out: fn(&[u8])) -> Result<usize> {
    let mut chunk = [0u8; 256];
    let mut done = 0;
    while done < count {
        let length = chunk.len().min(count - done);
        match user::read_bytes(from + done as u64, &mut chunk[..length]) {
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
            Ok(()) => out(&chunk[..length]),
        }
        done += length;
    }
    Ok(done)
}

/// What `stat(2)` says of the console.
pub fn stat() -> Stat {
    // It belongs to whoever is logged in.
    let user = process::credentials().users[0];
    Stat { mode: S_IFCHR | 0o620, links: 1, device: CONSOLE, user, ..Stat::default() }
}

/// The answers of a terminal that nobody sets: a serial line whose size is unknown.
pub fn control(request: u32, argument: u64) -> Result<u64> {
    match request {
        TIOCGWINSZ => user::write(argument, &[0u16; 4])?,
        TCGETS => {
            // `struct termios` of the kernel: four flag words, line discipline, 19 control characters.
            let mut termios = [0u8; 36];
            termios[..16].copy_from_slice(&[0, 5, 0, 0, 5, 0, 0, 0, 0xbd, 0x0c, 0, 0, 0x3b, 0x8a, 0, 0]);
            user::write(argument, &termios)?;
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

impl File for Console {
    fn read(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Ok(0)
    }

    fn write(&self, from: u64, count: usize, _: Access) -> Result<usize> {
        write(from, count, output::write)
    }

    fn stat(&self) -> Stat {
        stat()
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        control(request, argument)
    }
}
