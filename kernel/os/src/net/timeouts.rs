//! Waiting for a socket no longer than its timeouts say.

use crate::driver::tsc;
use crate::errno::Result;
use crate::sched::wait::Queue;
use crate::sched::wait_many::wait_in;

crate::register!("wait-until": fn(&Queue, u64) -> Result<()> = { 10 => wait });
crate::register!("timeout-clock": fn() -> u64 = { 10 => tsc::now });

fn wait(queue: &Queue, deadline: u64) -> Result<()> {
    wait_in(&[queue], Some(deadline))
}
