//! Streams and sequences of packets: who listens, and who comes.

use super::names::find;
use super::{State, Unix, effective, join, make};
use crate::errno::{Errno, Result};
use crate::net::socket::{self, Protocol};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

impl Unix {
    pub(super) fn listen_for(&self, backlog: u32) -> Result<()> {
        if self.is_datagram() {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.place.borrow().is_none() {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.borrow_mut();
        match &mut *state {
            State::Connected(_) => return Err(Errno::EINVAL),
            State::Listening { backlog: old, .. } => *old = backlog as usize,
            State::Idle => {
                self.peer.set(effective());
                *state = State::Listening { backlog: backlog as usize, waiting: VecDeque::new() };
            }
        }
        Ok(())
    }

    pub(super) fn accept_one(&self, nonblocking: bool) -> Result<(Rc<dyn Protocol>, Vec<u8>)> {
        if self.is_datagram() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut started = None;
        loop {
            match &mut *self.state.borrow_mut() {
                State::Listening { waiting, .. } => {
                    if let Some(connection) = waiting.pop_front() {
                        connection.waits.set(false);
                        let peer = connection.peer_name.borrow().clone();
                        return Ok((connection, peer));
                    }
                }
                _ => return Err(Errno::EINVAL),
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            socket::wait(&self.queue, self.common.receive_timeout.get(), &mut started)?;
        }
    }

    pub(super) fn connect_to(&self, name: &[u8], nonblocking: bool) -> Result<()> {
        let this = self.this.upgrade().ok_or(Errno::EINVAL)?;
        if self.is_datagram() {
            if name.len() >= 2 && name[..2] == [0, 0] {
                *self.state.borrow_mut() = State::Idle;
                return Ok(());
            }
            self.name_itself()?;
            let other = find(name)?;
            if !other.is_datagram() {
                return Err(Errno::EPROTOTYPE);
            }
            *self.peer_name.borrow_mut() = other.name.borrow().clone();
            *self.state.borrow_mut() = State::Connected(Rc::downgrade(&other));
            return Ok(());
        }
        match &*self.state.borrow() {
            State::Connected(_) => return Err(Errno::EISCONN),
            State::Listening { .. } => return Err(Errno::EINVAL),
            State::Idle => {}
        }
        self.name_itself()?;
        let mut started = None;
        loop {
            let other = find(name)?;
            if other.common.kind != self.common.kind {
                return Err(Errno::EPROTOTYPE);
            }
            let room = match &*other.state.borrow() {
                State::Listening { backlog, waiting } => waiting.len() <= *backlog,
                _ => return Err(Errno::ECONNREFUSED),
            };
            if room {
                let end = make(other.common.clone());
                *end.name.borrow_mut() = other.name.borrow().clone();
                join(&this, &end);
                this.peer.set(other.peer.get());
                end.peer.set(effective());
                end.waits.set(true);
                if let State::Listening { waiting, .. } = &mut *other.state.borrow_mut() {
                    waiting.push_back(end);
                }
                other.queue.wake_all();
                return Ok(());
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            socket::wait(&other.queue, self.common.send_timeout.get(), &mut started)?;
        }
    }
}
