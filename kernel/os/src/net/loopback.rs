//! Packets from this machine to itself.

use super::stack::{self, Fill, Origin};
use crate::cell::KernelCell;
use crate::list;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

crate::register!("ip-loopback": fn(usize, Fill) = { 10 => output });
crate::register!("network-work": fn(u64) -> u64 = { 10 => work });

/// Packets under way at most; beyond, they are lost like on any full wire.
const MOST: usize = 1024;

static QUEUE: KernelCell<VecDeque<Vec<u8>>> = KernelCell::new(VecDeque::new());

fn output(length: usize, fill: Fill) {
    if QUEUE.borrow().len() >= MOST {
        return;
    }
    let Ok(mut packet) = list::zeroes(length) else { return };
    stack::write_whole(&mut packet, fill);
    QUEUE.borrow().push_back(packet);
    stack::at(0);
}

fn work(now: u64) -> u64 {
    // What is sent meanwhile is for the next round.
    let count = QUEUE.borrow().len();
    for _ in 0..count {
        let Some(packet) = QUEUE.borrow().pop_front() else { break };
        stack::input(&packet, Origin::Local);
    }
    if count > 0 { now } else { stack::NEVER }
}
