//! `ioctl(2)` as far as terminals and descriptors go.

use super::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::memory::user;
use linux_raw_sys::general::{__NR_ioctl, O_NONBLOCK};
use linux_raw_sys::ioctl::{FIOCLEX, FIONBIO, FIONCLEX, TCGETS, TIOCGWINSZ};

crate::register!("syscall": Handler = { __NR_ioctl => ioctl });

fn ioctl(args: &Args) -> Result<u64> {
    let [fd, request, argument, ..] = args.0;
    let file = file::get(fd)?;
    match request as u32 {
        // A serial line: a terminal whose size nobody knows.
        TIOCGWINSZ if file.is_terminal() => user::write(argument, &[0u16; 4])?,
        TCGETS if file.is_terminal() => {
            // `struct termios` of the kernel: four flag words, line discipline, 19 control characters.
            let mut termios = [0u8; 36];
            termios[..16].copy_from_slice(&[0, 5, 0, 0, 5, 0, 0, 0, 0xbd, 0x0c, 0, 0, 0x3b, 0x8a, 0, 0]);
            user::write(argument, &termios)?;
        }
        FIONBIO => {
            let on = user::read::<u32>(argument)? != 0;
            let flags = file.flags.get();
            file.flags.set(if on { flags | O_NONBLOCK } else { flags & !O_NONBLOCK });
        }
        FIOCLEX | FIONCLEX => {
            file::close_on_exec(fd, Some(request as u32 == FIOCLEX))?;
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}
