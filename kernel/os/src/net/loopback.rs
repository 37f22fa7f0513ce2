//! Packets from this machine to itself.

use super::stack::{self, Fill, Origin};
use crate::cell::KernelCell;
use crate::list;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

crate::register!("ip-loopback": fn(usize, Fill) = { 10 => output });
crate::register!("local-packets": fn() -> bool = { 10 => deliver });

/// Packets under way at most; beyond, they are lost like on any full wire.
const MOST: usize = 1024;
/// Buffers kept for the next packets, and the bytes of each.
const SPARE: usize = 16;
const SMALL: usize = 2048;

/// A packet under way: the first bytes of a buffer.
struct Local {
    buffer: Vec<u8>,
    length: usize,
}

static QUEUE: KernelCell<VecDeque<Local>> = KernelCell::new(VecDeque::new());
static SPARES: KernelCell<Vec<Vec<u8>>> = KernelCell::new(Vec::new());

fn output(length: usize, fill: Fill) {
    if QUEUE.borrow().len() >= MOST {
        return;
    }
    let spare = if length <= SMALL { SPARES.borrow().pop() } else { None };
    let Some(mut buffer) = spare.or_else(|| list::zeroes(length.max(SMALL)).ok()) else { return };
    stack::write_whole(&mut buffer[..length], fill);
    QUEUE.borrow().push_back(Local { buffer, length });
    stack::local_packet();
}

/// Delivers what is under way; what is sent meanwhile is for the next time. False: there was nothing.
fn deliver() -> bool {
    let count = QUEUE.borrow().len();
    for _ in 0..count {
        let Some(Local { buffer, length }) = QUEUE.borrow().pop_front() else { break };
        stack::input(&buffer[..length], Origin::Local);
        let mut spares = SPARES.borrow();
        if buffer.len() == SMALL && spares.len() < SPARE {
            // Without memory for the list it is one buffer less.
            let _ = list::push(&mut spares, buffer);
        }
    }
    count > 0
}
