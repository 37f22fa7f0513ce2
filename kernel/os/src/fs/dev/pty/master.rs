//! The side that plays keys and screen.

use super::slave;
use super::{Pair, pass};
use crate::console::discipline::Port;
use crate::console::discipline::controlling;
use crate::errno::{Errno, Result};
use crate::fs::dev::Device;
use crate::fs::file::{self, Access, File, Readiness, Stat};
use crate::memory::user;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use linux_raw_sys::general::{O_ACCMODE, O_CLOEXEC, O_NONBLOCK};
use linux_raw_sys::ioctl::*;

/// The device number of `/dev/ptmx`.
pub const NUMBER: u64 = 5 << 8 | 2;
/// What a read in packet mode begins with where nothing happened but bytes (`TIOCPKT_DATA`).
const DATA: u8 = 0;

pub struct Master(Rc<Pair>);

impl Master {
    /// The master of a new pair.
    pub fn open() -> Result<Rc<Self>> {
        Ok(Rc::new(Self(Pair::make()?)))
    }

    /// `TIOCGPTPEER`: opens the slave whatever is mounted at its path.
    fn open_peer(&self, flags: u32) -> Result<u64> {
        let slave = slave::open(&self.0, flags)?;
        file::open_at(
            slave,
            flags & (O_ACCMODE | O_NONBLOCK | O_CLOEXEC),
            Some(super::names::location(&self.0)),
        )
    }
}

impl File for Master {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        let pair = &self.0;
        if count == 0 {
            return Ok(0);
        }
        while pair.shown.borrow().is_empty() && !(pair.packets.get() && pair.happened.get() != 0) {
            if pair.is_left.get() {
                return Err(Errno::EIO);
            }
            if access.nonblocking {
                return Err(Errno::EAGAIN);
            }
            pair.waiting.wait()?;
        }
        let mut done = 0;
        if pair.packets.get() {
            let happened = pair.happened.take();
            user::write(to, &happened)?;
            if happened != DATA {
                return Ok(1);
            }
            done = 1;
        }
        let mut chunk = [0u8; 256];
        while done < count && !pair.shown.borrow().is_empty() {
            let taken = {
                let mut shown = pair.shown.borrow_mut();
                let taken = chunk.len().min(count - done).min(shown.len());
                for (to, from) in chunk.iter_mut().zip(shown.drain(..taken)) {
                    *to = from;
                }
                taken
            };
            user::write_bytes(to + done as u64, &chunk[..taken])?;
            done += taken;
        }
        // There is room for the slave's next bytes.
        pair.typed.queue.wake_all();
        Ok(done)
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        let pair = &self.0;
        let room = || Ok(if pair.typed.has_room() { usize::MAX } else { 0 });
        pass(from, count, access, &pair.waiting, room, |bytes| {
            let mut taken = 0;
            for &byte in bytes {
                // A line takes the room of all its bytes when it ends.
                if !pair.typed.has_room() {
                    break;
                }
                pair.terminal.receive(&**pair, byte);
                taken += 1;
            }
            pair.typed.queue.wake_all();
            // What was echoed.
            pair.waiting.wake_all();
            taken
        })
    }

    fn stat(&self) -> Stat {
        Device::stat_of(NUMBER)
    }

    fn readiness(&self) -> Readiness {
        let pair = &self.0;
        let mut readiness = Readiness::empty();
        let happened = pair.packets.get() && pair.happened.get() != 0;
        readiness.set(Readiness::READ, happened || !pair.shown.borrow().is_empty());
        readiness.set(Readiness::URGENT, happened);
        readiness.set(Readiness::WRITE, pair.typed.has_room());
        readiness.set(Readiness::HANG_UP, pair.is_left.get());
        readiness
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.0.waiting)
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        let pair = &self.0;
        match request {
            TIOCGPTN => user::write(argument, &(pair.index as u32))?,
            TIOCSPTLCK => pair.is_locked.set(user::read::<u32>(argument)? != 0),
            TIOCGPTLCK => user::write(argument, &u32::from(pair.is_locked.get()))?,
            TIOCPKT => {
                let on = user::read::<u32>(argument)? != 0;
                if on && !pair.packets.get() {
                    pair.happened.set(DATA);
                }
                pair.packets.set(on);
            }
            TIOCGPKT => user::write(argument, &u32::from(pair.packets.get()))?,
            TIOCGPTPEER => return self.open_peer(argument as u32),
            FIONREAD => user::write(argument, &(pair.shown.borrow().len() as u32))?,
            // Nobody's terminal is asked for its group: there is none.
            TIOCGPGRP if !controlling::is(pair.number()) => user::write(argument, &0u32)?,
            // The master itself is never the session's terminal.
            TIOCNOTTY => return Err(Errno::ENOTTY),
            TCFLSH if argument > 2 => return Err(Errno::EINVAL),
            TCFLSH => {
                if argument != 1 {
                    pair.shown.borrow_mut().clear();
                    pair.typed.queue.wake_all();
                }
            }
            // All else is the slave's.
            _ => return slave::control(pair, request, argument),
        }
        Ok(0)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let pair = &self.0;
        pair.typed.has_ended.set(true);
        pair.typed.queue.wake_all();
        // ENOTTY: it is not the session's terminal, and nobody is told.
        let _ = controlling::leave(pair.number());
    }
}
