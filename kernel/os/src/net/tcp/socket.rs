//! The socket interface of TCP (`tcp(7)`).

use super::connection::Connection;
use super::engine;
use super::linger;
use super::listener::{self, Listener};
use super::marks::{Urgent, urgency};
use super::options::Options;
use super::segment::Key;
use super::transfer::may_receive;
use crate::errno::{Errno, Result};
use crate::fs::file::Readiness;
use crate::net::inet;
use crate::net::socket::{self, Call, Common, Protocol, Reply};
use crate::net::stack;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use linux_raw_sys::net::*;
use smoltcp::socket::tcp::State as Phase;

crate::register!("inet-socket": fn(Common) -> Rc<dyn Protocol> = { 6 => create });

pub enum State {
    /// Neither listening nor connected.
    Idle,
    Listening(Rc<Listener>),
    Connected(Rc<Connection>),
}

pub struct Tcp {
    pub(super) common: Common,
    pub(super) options: Options,
    pub(super) state: RefCell<State>,
    /// The claim on a port, and the address.
    pub(super) bound: Cell<Option<(u64, SocketAddr)>>,
    pub(super) queue: Rc<Queue>,
    /// A connection that was asked for is being made.
    connecting: Cell<bool>,
    pub(super) shut_read: Cell<bool>,
    pub(super) shut_write: Cell<bool>,
}

fn create(common: Common) -> Rc<dyn Protocol> {
    let options = Options::new();
    Rc::new(Tcp {
        common,
        options,
        state: RefCell::new(State::Idle),
        bound: Cell::new(None),
        queue: Rc::new(Queue::new()),
        connecting: Cell::new(false),
        shut_read: Cell::new(false),
        shut_write: Cell::new(false),
    })
}

impl Tcp {
    pub(super) fn connection(&self) -> Option<Rc<Connection>> {
        match &*self.state.borrow() {
            State::Connected(connection) => Some(connection.clone()),
            _ => None,
        }
    }

    fn listener(&self) -> Option<Rc<Listener>> {
        match &*self.state.borrow() {
            State::Listening(listener) => Some(listener.clone()),
            _ => None,
        }
    }

    fn claim(&self, address: SocketAddr) -> Result<SocketAddr> {
        let claim = engine::ports(|ports| ports.claim(address, &self.common, self.options.only_v6.get()))?;
        self.bound.set(Some(claim));
        Ok(claim.1)
    }

    /// The error that ended the connection, once.
    pub(super) fn failure(&self, connection: &Connection) -> Result<()> {
        match connection.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Waits until the connection is made, if it is being made.
    pub(super) fn made(&self, connection: &Connection, nonblocking: bool) -> Result<()> {
        let mut started = None;
        loop {
            self.failure(connection)?;
            if !matches!(connection.phase(), Phase::SynSent | Phase::SynReceived) {
                return Ok(());
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            socket::wait(&self.queue, self.common.send_timeout.get(), &mut started)?;
        }
    }
}

impl Protocol for Tcp {
    fn common(&self) -> &Common {
        &self.common
    }

    fn queue(&self) -> &Queue {
        &self.queue
    }

    fn bind(&self, name: &[u8]) -> Result<()> {
        let address = inet::parse_own(self.common.family, name)?;
        if self.bound.get().is_some() || !matches!(*self.state.borrow(), State::Idle) {
            return Err(Errno::EINVAL);
        }
        self.claim(address).map(drop)
    }

    fn listen(&self, backlog: u32) -> Result<()> {
        match &*self.state.borrow() {
            State::Listening(listener) => {
                listener.backlog.set(backlog as usize);
                return Ok(());
            }
            State::Connected(_) => return Err(Errno::EINVAL),
            State::Idle => {}
        }
        let (id, address) = match self.bound.get() {
            Some(bound) => bound,
            None => {
                self.claim(SocketAddr::new(inet::unspecified(self.common.family), 0))?;
                self.bound.get().ok_or(Errno::EADDRINUSE)?
            }
        };
        engine::ports(|ports| ports.listen(id))?;
        let only = self.options.only_v6.get();
        let listener = listener::listen(
            address,
            only,
            backlog as usize,
            self.queue.clone(),
            engine::sizes(&self.common),
        );
        *self.state.borrow_mut() = State::Listening(listener);
        Ok(())
    }

    fn accept(&self, nonblocking: bool) -> Result<(Rc<dyn Protocol>, Vec<u8>)> {
        let mut started = None;
        let connection = loop {
            let listener = self.listener().ok_or(Errno::EINVAL)?;
            if let Some(connection) = listener.accept() {
                break connection;
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            socket::wait(&self.queue, self.common.receive_timeout.get(), &mut started)?;
        };
        // There may be room in the backlog now, and somebody who waits for it.
        stack::run();
        let peer = inet::format(self.common.family, connection.key.remote());
        let accepted = Tcp {
            common: self.common.clone(),
            options: self.options.clone(),
            queue: connection.queue.clone(),
            bound: Cell::new(None),
            connecting: Cell::new(false),
            shut_read: Cell::new(false),
            shut_write: Cell::new(false),
            state: RefCell::new(State::Idle),
        };
        accepted.set_up(&connection);
        *accepted.state.borrow_mut() = State::Connected(connection);
        Ok((Rc::new(accepted), peer))
    }

    fn connect(&self, name: &[u8], nonblocking: bool) -> Result<()> {
        if let Some(connection) = self.connection() {
            if self.connecting.get() {
                let made = match self.made(&connection, true) {
                    // SO_ERROR has told why.
                    Ok(()) if connection.phase() == Phase::Closed => Err(Errno::ECONNABORTED),
                    made => made,
                };
                return match made {
                    Err(Errno::EAGAIN) if nonblocking => Err(Errno::EALREADY),
                    Err(Errno::EAGAIN) => self.finish(&connection),
                    // It is told once; the next call starts anew (`inet_stream_connect` of Linux).
                    other => {
                        self.connecting.set(false);
                        if other.is_err() {
                            *self.state.borrow_mut() = State::Idle;
                        }
                        other
                    }
                };
            }
            return Err(Errno::EISCONN);
        }
        if self.listener().is_some() {
            return Err(Errno::EISCONN);
        }
        let remote = inet::reachable(inet::parse(self.common.family, name)?);
        if remote.is_ipv4() && self.options.only_v6.get() {
            return Err(Errno::ENETUNREACH);
        }
        if remote.port() == 0 || remote.ip().is_multicast() {
            return Err(Errno::ECONNREFUSED);
        }
        let source = match self.bound.get() {
            Some((_, address)) if !address.ip().is_unspecified() => address.ip(),
            _ => stack::source_for(&remote.ip())?,
        };
        if source.is_ipv4() != remote.is_ipv4() {
            return Err(Errno::EINVAL);
        }
        let port = match self.bound.get() {
            Some((_, address)) => address.port(),
            None => engine::free_port(source, remote).ok_or(Errno::EADDRNOTAVAIL)?,
        };
        let key = Key::new(SocketAddr::new(source, port), remote);
        let sizes = engine::sizes(&self.common);
        let connection =
            engine::connect(key, self.queue.clone(), sizes, |connection| self.set_up(connection))?;
        *self.state.borrow_mut() = State::Connected(connection.clone());
        self.connecting.set(true);
        // As on Linux also when the answer is there already.
        if nonblocking { Err(Errno::EINPROGRESS) } else { self.finish(&connection) }
    }

    fn send(&self, call: &Call, _: Option<&[u8]>, _: &[u8]) -> Result<usize> {
        self.send_bytes(call)
    }

    fn receive(&self, call: &Call, reply: &mut Reply) -> Result<usize> {
        self.receive_bytes(call, reply)
    }

    fn shutdown(&self, how: u32) -> Result<()> {
        if let Some(listener) = self.listener() {
            if how != SHUT_WR {
                listener.close();
                *self.state.borrow_mut() = State::Idle;
                self.queue.wake_all();
            }
            return Ok(());
        }
        let connection = self.connection().ok_or(Errno::ENOTCONN)?;
        if connection.phase() == Phase::Closed {
            return Err(Errno::ENOTCONN);
        }
        if how != SHUT_WR {
            self.shut_read.set(true);
        }
        if how != SHUT_RD {
            self.shut_write.set(true);
            connection.corked.set(false);
            connection.with(|machine| machine.close());
            connection.push();
            stack::run();
        }
        self.queue.wake_all();
        Ok(())
    }

    fn name(&self) -> Result<Vec<u8>> {
        let address = match (self.connection(), self.bound.get()) {
            (Some(connection), _) => connection.key.local(),
            (None, Some((_, address))) => address,
            (None, None) => SocketAddr::new(inet::unspecified(self.common.family), 0),
        };
        Ok(inet::format(self.common.family, address))
    }

    fn peer(&self) -> Result<Vec<u8>> {
        let connection = self.connection().ok_or(Errno::ENOTCONN)?;
        match connection.phase() {
            Phase::SynSent | Phase::Closed => Err(Errno::ENOTCONN),
            _ => Ok(inet::format(self.common.family, connection.key.remote())),
        }
    }

    fn readiness(&self) -> Readiness {
        match &*self.state.borrow() {
            State::Idle => Readiness::WRITE | Readiness::HANG_UP,
            State::Listening(listener) if listener.is_ready() => Readiness::READ,
            State::Listening(_) => Readiness::empty(),
            State::Connected(connection) => self.readiness_of(connection),
        }
    }

    fn take_error(&self) -> Option<Errno> {
        self.connection()?.error.take()
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        self.set_own_option(level, name, value)
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        self.own_option(level, name)
    }

    fn pending(&self) -> (usize, usize) {
        let connection = self.connection();
        connection.map_or((0, 0), |connection| {
            let (here, there) = connection.with(|machine| (machine.recv_queue(), machine.send_queue()));
            let marked = urgency().filter(|_| connection.window.marks.are_set());
            (marked.map_or(here, |urgency| (urgency.before)(&connection)), there)
        })
    }

    fn finish(&self) {
        let (Some(connection), Some(seconds @ 1..)) = (self.connection(), self.common.linger()) else {
            return;
        };
        *self.state.borrow_mut() = State::Idle;
        connection.release(false);
        linger::wait(&connection, u64::from(seconds));
    }

    fn is_at_mark(&self) -> Result<bool> {
        let connection = self.connection().filter(|connection| connection.window.marks.are_set());
        Ok(connection.zip(urgency()).is_some_and(|(connection, urgency)| (urgency.is_next)(&connection)))
    }

    fn is_listening(&self) -> bool {
        self.listener().is_some()
    }

    fn buffers(&self) -> (usize, usize) {
        engine::sizes(&self.common)
    }
}

impl Tcp {
    fn readiness_of(&self, connection: &Connection) -> Readiness {
        let mut ready = Readiness::empty();
        let failed = connection.error.get().is_some();
        ready.set(Readiness::ERROR, failed);
        let marks = &connection.window.marks;
        let mut hidden = 0;
        if marks.are_set()
            && let Some(urgency) = urgency()
        {
            ready.set(Readiness::URGENT, matches!(marks.urgent.get(), Urgent::There(_)));
            hidden = usize::from(!marks.is_inline.get() && (urgency.is_next)(connection));
        }
        connection.with(|machine| {
            let phase = machine.state();
            if matches!(phase, Phase::SynSent | Phase::SynReceived) {
                return;
            }
            let read_over = self.shut_read.get() || !may_receive(machine);
            let write_over = self.shut_write.get() || phase == Phase::Closed;
            let room = machine.may_send() && machine.send_queue() * 3 <= machine.send_capacity() * 2;
            let low = self.common.receive_low.get().min(machine.recv_capacity() / 2);
            ready.set(Readiness::READ, machine.recv_queue() >= low + hidden || read_over || failed);
            ready.set(Readiness::WRITE, room || write_over || failed);
            ready.set(Readiness::PEER_SHUT, read_over);
            ready.set(Readiness::HANG_UP, phase == Phase::Closed || read_over && write_over);
            if !room && !write_over {
                connection.starved.set(true);
            }
        });
        ready
    }

    /// Waits for a connection that is being made.
    fn finish(&self, connection: &Rc<Connection>) -> Result<()> {
        let result = self.made(connection, false);
        match result {
            // The wait was interrupted or too long; the connection is made nevertheless.
            Err(Errno::EINTR) => return result,
            Err(Errno::EAGAIN) => return Err(Errno::EINPROGRESS),
            Err(_) => *self.state.borrow_mut() = State::Idle,
            Ok(()) => {}
        }
        self.connecting.set(false);
        result
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        match self.state.replace(State::Idle) {
            State::Idle => {}
            State::Listening(listener) => listener.close(),
            State::Connected(connection) => connection.release(self.common.linger() == Some(0)),
        }
        if let Some((id, _)) = self.bound.get() {
            engine::ports(|ports| ports.release(id));
        }
        stack::run();
    }
}
