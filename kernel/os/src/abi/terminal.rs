//! `ioctl(2)` as far as terminals and descriptors go.

use super::syscall::{Args, Handler};
use crate::errno::Result;
use crate::fs::file::{self, Description};
use crate::memory::user;
use alloc::rc::Rc;
use linux_raw_sys::general::{__NR_ioctl, O_NONBLOCK, S_IFMT, S_IFREG};
use linux_raw_sys::ioctl::{FIOCLEX, FIONBIO, FIONCLEX, FIONREAD};

crate::register!("syscall": Handler = { __NR_ioctl => ioctl });

// Serves requests on files of more than one kind; `None`: not this one.
crate::hook!(fn controllers() -> "ioctl": fn(&Rc<Description>, u64, u32, u64) -> Option<Result<u64>>);

fn ioctl(args: &Args) -> Result<u64> {
    let [fd, request, argument, ..] = args.0;
    let file = file::get(fd)?;
    match request as u32 {
        FIONBIO => {
            let on = user::read::<u32>(argument)? != 0;
            let flags = file.flags.get();
            file.flags.set(if on { flags | O_NONBLOCK } else { flags & !O_NONBLOCK });
        }
        FIOCLEX | FIONCLEX => {
            file::close_on_exec(fd, Some(request as u32 == FIOCLEX))?;
        }
        // What is left to read of a file.
        FIONREAD if file.stat().mode & S_IFMT == S_IFREG => {
            let left = file.stat().size.saturating_sub(file.position.get());
            user::write(argument, &(left as u32))?;
        }
        request => {
            let served = controllers().iter().find_map(|one| (one.item)(&file, fd, request, argument));
            return served.unwrap_or_else(|| file.control(request, argument));
        }
    }
    Ok(0)
}
