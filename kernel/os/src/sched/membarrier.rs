//! `membarrier(2)`: with one CPU, every thread switch is the barrier.

use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use linux_raw_sys::general::{__NR_membarrier, membarrier_cmd};

crate::register!("syscall": Handler = { __NR_membarrier => membarrier });

fn membarrier(args: &Args) -> Result<u64> {
    use membarrier_cmd::*;
    const KNOWN: u32 = MEMBARRIER_CMD_GLOBAL as u32
        | MEMBARRIER_CMD_GLOBAL_EXPEDITED as u32
        | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED as u32
        | MEMBARRIER_CMD_PRIVATE_EXPEDITED as u32
        | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED as u32
        | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE as u32
        | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE as u32;
    let [command, flags, ..] = args.0;
    match command as u32 {
        0 => Ok(u64::from(KNOWN)),
        command if command.is_power_of_two() && command & KNOWN != 0 && flags == 0 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
