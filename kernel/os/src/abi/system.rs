//! `uname(2)`, `sysinfo(2)`.

use super::process;
use super::syscall::{Args, Handler};
use crate::errno::Result;
use crate::memory::paging::PAGE;
use crate::memory::{frames, user};
use crate::sched::thread;
use linux_raw_sys::general::{__NR_sysinfo, __NR_uname};
use linux_raw_sys::system::{new_utsname, sysinfo};

crate::register!("syscall": Handler = { __NR_uname => uname, __NR_sysinfo => system_information });

// Nanoseconds since the start, from whatever keeps them.
crate::hook!(fn uptimes() -> "uptime": fn() -> u64);

fn uname(args: &Args) -> Result<u64> {
    fn field(text: &[u8]) -> [i8; 65] {
        let mut field = [0; 65];
        for (to, from) in field[..64].iter_mut().zip(text) {
            *to = *from as i8;
        }
        field
    }
    // The release is that of the Linux whose interface the calls follow; libraries refuse to run on much older ones.
    let name = new_utsname {
        sysname: field(b"Linux"),
        nodename: field(process::hostname()),
        release: field(b"6.1.0-bespoke"),
        version: field(b"#1 Bespoke"),
        machine: field(b"x86_64"),
        domainname: field(b"(none)"),
    };
    user::write(args.0[0], &name).map(|()| 0)
}

fn system_information(args: &Args) -> Result<u64> {
    let (free, total) = frames::counts();
    // SAFETY: integers, for which zero is a value.
    let mut info: sysinfo = unsafe { core::mem::zeroed() };
    info.totalram = total as u64 * PAGE;
    info.freeram = free as u64 * PAGE;
    info.uptime = uptimes().first().map_or(0, |uptime| (uptime.item)() / 1_000_000_000) as _;
    info.procs = thread::count() as u16;
    info.mem_unit = 1;
    user::write(args.0[0], &info).map(|()| 0)
}
