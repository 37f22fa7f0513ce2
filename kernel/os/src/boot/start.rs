//! The start-up sequence.

use crate::boot::pvh::StartInfo;
use crate::{abi, memory, sched};

crate::hook!(fn inits() -> "init": fn(&StartInfo));

pub fn start(info: &'static StartInfo) -> ! {
    memory::frames::init(info.memory_map());
    memory::paging::init(info.memory_map());
    sched::trap::init();
    sched::fpu::init();
    abi::syscall::init();
    for init in inits() {
        (init.item)(info);
    }
    let process = abi::process::from_image(info.command_line());
    match abi::exec::load(&process) {
        Ok(image) => {
            abi::process::started(process);
            sched::thread::start_first(image)
        }
        Err(error) => {
            crate::println!("bespoke: cannot start {}: error {}", process.path(), error.0 as usize);
            crate::boot::poweroff::power_off(126)
        }
    }
}
