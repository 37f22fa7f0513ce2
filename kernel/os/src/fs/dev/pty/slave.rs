//! The side that is a terminal.

use super::{Pair, pass};
use crate::console::discipline::Port;
use crate::console::discipline::controlling;
use crate::errno::{Errno, Result};
use crate::fs::file::{Access, File, Readiness, Stat};
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use linux_raw_sys::general::{O_ACCMODE, O_NOCTTY, O_WRONLY};
use linux_raw_sys::ioctl::*;

// What the first byte of a packet tells (linux/tty.h's uapi, `ioctl_tty(2)`).
const FLUSH_READ: u8 = 1;
const FLUSH_WRITE: u8 = 2;
const NO_STOP: u8 = 16;
const DO_STOP: u8 = 32;

pub struct Slave(Rc<Pair>);

/// Opens a pair's slave; it becomes the session's terminal if that has none and `flags` do not say otherwise. EIO: it is locked, or the master
/// is closed.
pub fn open(pair: &Rc<Pair>, flags: u32) -> Result<Rc<Slave>> {
    if pair.is_locked.get() || pair.is_hung_up() {
        return Err(Errno::EIO);
    }
    let slave = Slave::new(pair.clone());
    if flags & O_NOCTTY == 0 && flags & O_ACCMODE != O_WRONLY {
        // EPERM: it has one.
        let _ = controlling::take(pair.number(), pair.opener());
    }
    Ok(slave)
}

impl Slave {
    pub fn new(pair: Rc<Pair>) -> Rc<Self> {
        pair.count_slaves(pair.slaves.get() + 1);
        Rc::new(Self(pair))
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        self.0.count_slaves(self.0.slaves.get() - 1);
    }
}

/// `ioctl_tty(2)` of the terminal, from either side; in packet mode the master is told of what it does.
pub fn control(pair: &Rc<Pair>, request: u32, argument: u64) -> Result<u64> {
    let had_usual_flow = pair.terminal.has_usual_flow();
    let result = pair.terminal.control(&**pair, request, argument)?;
    match request {
        TCSETS | TCSETSW | TCSETSF => {
            let has_usual_flow = pair.terminal.has_usual_flow();
            if has_usual_flow != had_usual_flow {
                let what = if has_usual_flow { DO_STOP } else { NO_STOP };
                pair.tell(what, DO_STOP | NO_STOP);
            }
        }
        TCFLSH => {
            let what = [FLUSH_READ, FLUSH_WRITE, FLUSH_READ | FLUSH_WRITE];
            pair.tell(what[argument as usize], 0);
        }
        _ => {}
    }
    Ok(result)
}

impl File for Slave {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        if self.0.is_hung_up() {
            return Ok(0);
        }
        self.0.terminal.read(&*self.0, to, count, access)
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        let pair = &self.0;
        let room = || if pair.is_hung_up() { Err(Errno::EIO) } else { Ok(pair.room()) };
        pass(from, count, access, &pair.typed.queue, room, |bytes| {
            pair.show(bytes);
            pair.waiting.wake_all();
            bytes.len()
        })
    }

    fn stat(&self) -> Stat {
        self.0.stat()
    }

    fn readiness(&self) -> Readiness {
        let pair = &self.0;
        if pair.is_hung_up() {
            return Readiness::READ | Readiness::WRITE | Readiness::ERROR | Readiness::HANG_UP;
        }
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READ, pair.terminal.is_readable(&**pair));
        readiness.set(Readiness::WRITE, pair.room() > 0);
        readiness
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.0.typed.queue)
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        match request {
            TIOCSPGRP if self.0.is_hung_up() => Err(Errno::ENOTTY),
            _ if self.0.is_hung_up() => Err(Errno::EIO),
            _ => control(&self.0, request, argument),
        }
    }
}
