//! Standard input, output and error.

use super::file::{self, Access, File, Stat};
use crate::boot::pvh::StartInfo;
use crate::console::output;
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::sched::thread;
use alloc::rc::Rc;
use linux_raw_sys::general::{O_RDWR, S_IFCHR};
use linux_raw_sys::ioctl::{TCGETS, TIOCGWINSZ};

crate::register!("init": fn(&StartInfo) = { 90 => init });

struct Console;

/// The console as a file.
pub fn console() -> Rc<dyn File> {
    Rc::new(Console)
}

fn init(_: &StartInfo) {
    let console = console();
    for _ in 0..3 {
        // The first three descriptors are always free here.
        let _ = file::open(console.clone(), O_RDWR);
    }
}

impl File for Console {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        if count == 0 {
            return Ok(0);
        }
        let mut line = [0u8; 128];
        let mut length = 0;
        // At least one byte; then what is there already.
        while length < line.len().min(count) {
            match output::read() {
                Some(byte) => {
                    line[length] = byte;
                    length += 1;
                }
                None if length == 0 && access.nonblocking => return Err(Errno::EAGAIN),
                None if length == 0 => thread::give_way(),
                None => break,
            }
        }
        user::write_bytes(to, &line[..length])?;
        Ok(length)
    }

    fn write(&self, from: u64, count: usize, _: Access) -> Result<usize> {
        let mut chunk = [0u8; 256];
        let mut done = 0;
        while done < count {
            let length = chunk.len().min(count - done);
            match user::read_bytes(from + done as u64, &mut chunk[..length]) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => output::write(&chunk[..length]),
            }
            done += length;
        }
        Ok(done)
    }

    fn stat(&self) -> Stat {
        // /dev/console is device 5:1.
        Stat { mode: S_IFCHR | 0o620, links: 1, device: 0x501, ..Stat::default() }
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        match request {
            // A serial line: a terminal whose size nobody knows.
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
}
