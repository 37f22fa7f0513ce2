//! Which connections are to be looked at, and when.

use super::{ACK_DELAY, ENGINE, Engine, Wakes};
use crate::errno::Errno;
use crate::net::stack::{self, NEVER};
use crate::net::tcp::connection::Connection;
use crate::net::tcp::vigil::Verdict;
use alloc::rc::Rc;

crate::register!("network-work": fn(u64) -> u64 = { 20 => work, 21 => work_off });

impl Engine {
    /// Has a connection looked at when its acknowledgement is due at the latest. False: there is no memory to remember it.
    ///
    /// What else it waits for is found when the acknowledgement leaves: that is a turn of [`Engine::drive`] too.
    pub(super) fn owes(&mut self, connection: &Rc<Connection>, now: u64) -> bool {
        if !connection.owing.get() {
            if self.owing.try_reserve(1).is_err() {
                return false;
            }
            let deadline = now + ACK_DELAY;
            self.owing.push_back((deadline, Rc::downgrade(connection)));
            connection.owing.set(true);
            stack::at(deadline);
        }
        true
    }

    /// A connection that is to be looked at now, or when there will be one.
    fn due(&mut self, now: u64) -> core::result::Result<Rc<Connection>, u64> {
        let mut later = NEVER;
        while let Some((deadline, connection)) = self.owing.front() {
            if let Some(connection) = connection.upgrade() {
                let owes = connection.window.owes();
                if owes && *deadline > now {
                    later = *deadline;
                    break;
                }
                connection.owing.set(false);
                if owes {
                    self.owing.pop_front();
                    return Ok(connection);
                }
            }
            self.owing.pop_front();
        }
        while let Some(first) = self.timers.first_entry() {
            let deadline = first.key().0;
            if deadline > now {
                return Err(deadline.min(later));
            }
            if let Some(connection) = first.remove().upgrade() {
                connection.scheduled.set(NEVER);
                return Ok(connection);
            }
        }
        Err(later)
    }

    /// Has the timers look at a connection at a time, or before.
    pub(super) fn schedule(&mut self, connection: &Rc<Connection>, deadline: u64) {
        let scheduled = connection.scheduled.get();
        if deadline < scheduled {
            if scheduled != NEVER {
                self.timers.remove(&(scheduled, connection.number));
            }
            self.timers.insert((deadline, connection.number), Rc::downgrade(connection));
            stack::at(deadline);
            connection.scheduled.set(deadline);
        }
    }
}

/// What is due, one connection at a time.
fn work(now: u64) -> u64 {
    loop {
        let due = {
            let mut engine = ENGINE.borrow();
            let Some(engine) = engine.as_mut() else { return NEVER };
            match engine.due(now) {
                Ok(connection) => connection,
                Err(later) => return later,
            }
        };
        let verdict = due.vigil.verdict(now);
        if due.doom.get() <= now || verdict == Verdict::GiveUp {
            due.give_up(Errno::ETIMEDOUT);
            continue;
        }
        if verdict == Verdict::Probe {
            due.probe();
        }
        due.push();
    }
}

/// Goes on with requests for which there was no room, on the way out or in a backlog.
fn work_off(now: u64) -> u64 {
    let (again, wakes) = match ENGINE.borrow().as_mut() {
        Some(engine) => (engine.answer(now), engine.resume()),
        None => return NEVER,
    };
    wakes.into_iter().for_each(Wakes::tell);
    again
}
