//! Standard input, output and error.

use super::file::{self, File, Stat};
use crate::boot::pvh::StartInfo;
use crate::console::output;
use crate::errno::Result;
use crate::memory::user;
use crate::sched::thread;
use alloc::rc::Rc;
use linux_raw_sys::general::{O_RDWR, S_IFCHR};

crate::register!("init": fn(&StartInfo) = { 90 => init });

struct Console;

fn init(_: &StartInfo) {
    let console: Rc<dyn File> = Rc::new(Console);
    for _ in 0..3 {
        // The first three descriptors are always free here.
        let _ = file::open(console.clone(), O_RDWR);
    }
}

impl File for Console {
    fn read(&self, to: u64, count: usize, _: u64) -> Result<usize> {
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
                None if length == 0 => thread::give_way(),
                None => break,
            }
        }
        user::write_bytes(to, &line[..length])?;
        Ok(length)
    }

    fn write(&self, from: u64, count: usize) -> Result<usize> {
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

    fn is_terminal(&self) -> bool {
        true
    }
}
