//! The socket interface (`vsock(7)`).

use super::connection::{Connection, Phase};
use super::engine;
use super::options::Options;
use super::packet::{AF_VSOCK, Address, Operation, PIECE, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND};
use super::ports::{self, Listener};
use crate::errno::{Errno, Result};
use crate::fs::file::Readiness;
use crate::list;
use crate::net::socket::{self, Call, Common, Family, Protocol, Reply};
use crate::sched::wait::Queue;
use crate::sched::{thread, timer};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use linux_raw_sys::net::*;

crate::register!("socket-family": Family = { AF_VSOCK => create });

const STREAM: u32 = 1;
const DATAGRAM: u32 = 2;

enum State {
    /// Neither listening nor connected.
    Idle,
    Listening(Rc<Listener>),
    Connected(Rc<Connection>),
}

struct Vsock {
    common: Common,
    options: Options,
    state: RefCell<State>,
    bound: Cell<Option<Address>>,
    /// A connection that was asked for has not been told of.
    connecting: Cell<bool>,
    queue: Rc<Queue>,
}

fn create(kind: u32, protocol: u32) -> Result<Rc<dyn Protocol>> {
    if protocol != 0 && protocol != u32::from(AF_VSOCK) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match kind {
        STREAM => {}
        // As on Linux where no device has them.
        DATAGRAM => return Err(Errno::ENODEV),
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    }
    Ok(Rc::new(Vsock {
        common: Common::new(AF_VSOCK, kind, 0),
        options: Options::new(),
        state: RefCell::new(State::Idle),
        bound: Cell::new(None),
        connecting: Cell::new(false),
        queue: Rc::new(Queue::new()),
    }))
}

impl Vsock {
    fn connection(&self) -> Option<Rc<Connection>> {
        match &*self.state.borrow() {
            State::Connected(connection) => Some(connection.clone()),
            _ => None,
        }
    }

    /// The connection, once it was made.
    fn made(&self) -> Option<Rc<Connection>> {
        self.connection().filter(|connection| match connection.phase.get() {
            Phase::Asked => false,
            Phase::Open => true,
            Phase::Closed => connection.error.get().is_none(),
        })
    }

    fn listener(&self) -> Option<Rc<Listener>> {
        match &*self.state.borrow() {
            State::Listening(listener) => Some(listener.clone()),
            _ => None,
        }
    }

    /// What came of asking for a connection; `None`: nothing yet.
    fn outcome(&self, connection: &Connection) -> Option<Result<()>> {
        match connection.phase.get() {
            Phase::Asked => None,
            // Made, whatever became of it since.
            _ if connection.error.get().is_none() => {
                self.connecting.set(false);
                Some(Ok(()))
            }
            _ => {
                let error = connection.error.take();
                self.connecting.set(false);
                *self.state.borrow_mut() = State::Idle;
                Some(Err(error.unwrap_or(Errno::ECONNRESET)))
            }
        }
    }

    /// Waits until a connection is made, or given up.
    fn wait_made(&self, connection: &Rc<Connection>) -> Result<()> {
        let this = thread::current();
        loop {
            if let Some(outcome) = self.outcome(connection) {
                return outcome;
            }
            self.queue.join(&this);
            let woken = timer::wait_interruptibly_until(None);
            self.queue.leave(&this);
            if let Err(error) = woken {
                // As on Linux it is given up.
                connection.end(None);
                self.connecting.set(false);
                *self.state.borrow_mut() = State::Idle;
                return Err(error);
            }
        }
    }
}

impl Protocol for Vsock {
    fn common(&self) -> &Common {
        &self.common
    }

    fn queue(&self) -> &Queue {
        &self.queue
    }

    fn bind(&self, name: &[u8]) -> Result<()> {
        let address = Address::parse(name)?;
        if self.bound.get().is_some() {
            return Err(Errno::EINVAL);
        }
        self.bound.set(Some(ports::bind(address)?));
        Ok(())
    }

    fn listen(&self, backlog: u32) -> Result<()> {
        if let Some(listener) = self.listener() {
            listener.backlog.set(backlog as usize);
            return Ok(());
        }
        let address = self.bound.get().filter(|_| self.connection().is_none()).ok_or(Errno::EINVAL)?;
        let listener = Rc::new(Listener {
            address,
            backlog: Cell::new(backlog as usize),
            ready: RefCell::new(VecDeque::new()),
            queue: self.queue.clone(),
            room: Cell::new(self.options.room()),
        });
        ports::listen(listener.clone())?;
        *self.state.borrow_mut() = State::Listening(listener);
        Ok(())
    }

    fn accept(&self, nonblocking: bool) -> Result<(Rc<dyn Protocol>, Vec<u8>)> {
        let mut started = None;
        let connection = loop {
            let listener = self.listener().ok_or(Errno::EINVAL)?;
            let next = listener.ready.borrow_mut().pop_front();
            if let Some(connection) = next {
                break connection;
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            socket::wait(&self.queue, self.common.receive_timeout.get(), &mut started)?;
        };
        let peer = connection.key.remote.name();
        let accepted = Vsock {
            common: self.common.clone(),
            options: self.options.clone(),
            bound: Cell::new(None),
            connecting: Cell::new(false),
            queue: connection.queue.clone(),
            state: RefCell::new(State::Connected(connection)),
        };
        Ok((Rc::new(accepted), peer))
    }

    fn connect(&self, name: &[u8], nonblocking: bool) -> Result<()> {
        if let Some(connection) = self.connection() {
            if !self.connecting.get() {
                return Err(Errno::EISCONN);
            }
            return match self.outcome(&connection) {
                Some(outcome) => outcome,
                None if nonblocking => Err(Errno::EALREADY),
                None => self.wait_made(&connection),
            };
        }
        let remote = Address::parse(name)?;
        if self.listener().is_some() {
            return Err(Errno::EINVAL);
        }
        let own = match self.bound.get() {
            Some(address) => address,
            None => {
                let address = ports::bind(Address::UNBOUND)?;
                self.bound.set(Some(address));
                address
            }
        };
        let (room, time) = (self.options.room(), self.options.connect_timeout());
        let connection = engine::connect(own.port, remote, room, time, self.queue.clone())?;
        *self.state.borrow_mut() = State::Connected(connection.clone());
        self.connecting.set(true);
        // As on Linux also when the answer is there already.
        if nonblocking { Err(Errno::EINPROGRESS) } else { self.wait_made(&connection) }
    }

    fn send(&self, call: &Call, to: Option<&[u8]>, _: &[u8]) -> Result<usize> {
        if call.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let connection = self.made();
        if to.is_some() {
            return Err(if connection.is_some() { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        let connection = connection.ok_or(Errno::ENOTCONN)?;
        let (length, mut started) = (call.length(), None);
        let mut done = 0;
        while done < length {
            if connection.phase.get() != Phase::Open
                || connection.shut.get() & SHUT_SEND != 0
                || connection.peer_shut.get() & SHUT_RECEIVE != 0
            {
                return if done > 0 { Ok(done) } else { Err(Errno::EPIPE) };
            }
            let piece = (length - done).min(PIECE);
            // Copied first: the program's memory may take its time, and the room may go meanwhile.
            let mut bytes =
                list::zeroes(piece.min(connection.credit().max(1))).map_err(|_| Errno::ENOBUFS)?;
            match call.read(done, &mut bytes) {
                Ok(()) => {}
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
            bytes.truncate(connection.credit());
            if !bytes.is_empty() && engine::has_room() {
                done += bytes.len();
                connection.say(Operation::Data, 0, bytes);
                continue;
            }
            connection.ask_for_room();
            connection.starved.set(true);
            if connection.credit() > 0 && engine::has_room() {
                continue;
            }
            if let Err(error) = call.wait(&self.queue, self.common.send_timeout.get(), &mut started) {
                return if done > 0 { Ok(done) } else { Err(error) };
            }
        }
        Ok(done)
    }

    fn receive(&self, call: &Call, _: &mut Reply) -> Result<usize> {
        if call.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let connection = self.made().ok_or(Errno::ENOTCONN)?;
        let (wanted, mut started) = (call.length(), None);
        let peek = call.flags & MSG_PEEK != 0;
        let mut done = 0;
        while done < wanted {
            let got = connection.read(wanted - done, peek, |at, bytes| call.write(done + at, bytes));
            match got {
                Ok(count) => done += count,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            if done > 0 && (peek || call.flags & MSG_WAITALL == 0) {
                break;
            }
            let over = connection.is_over() || connection.shut.get() & SHUT_RECEIVE != 0;
            if done == wanted || over && connection.held() == 0 {
                break;
            }
            if connection.held() > 0 {
                continue;
            }
            if let Err(error) = call.wait(&self.queue, self.common.receive_timeout.get(), &mut started) {
                return if done > 0 { Ok(done) } else { Err(error) };
            }
        }
        Ok(done)
    }

    fn shutdown(&self, how: u32) -> Result<()> {
        let connection = self.made().filter(|connection| connection.phase.get() == Phase::Open);
        let connection = connection.ok_or(Errno::ENOTCONN)?;
        connection.shut(match how {
            SHUT_RD => SHUT_RECEIVE,
            SHUT_WR => SHUT_SEND,
            _ => SHUT_BOTH,
        });
        Ok(())
    }

    fn name(&self) -> Result<Vec<u8>> {
        let address = match (self.bound.get(), self.connection()) {
            (Some(address), _) => address,
            (None, Some(connection)) => connection.key.local,
            (None, None) => Address::UNBOUND,
        };
        Ok(address.name())
    }

    fn peer(&self) -> Result<Vec<u8>> {
        let connection = self.made().filter(|connection| connection.phase.get() == Phase::Open);
        Ok(connection.ok_or(Errno::ENOTCONN)?.key.remote.name())
    }

    fn readiness(&self) -> Readiness {
        let mut ready = Readiness::empty();
        let connection = match &*self.state.borrow() {
            State::Idle => return Readiness::WRITE,
            State::Listening(listener) => {
                ready.set(Readiness::READ, !listener.ready.borrow().is_empty());
                return ready;
            }
            State::Connected(connection) => connection.clone(),
        };
        if connection.phase.get() == Phase::Asked {
            return ready;
        }
        let (shut, peer_shut) = (connection.shut.get(), connection.peer_shut.get());
        let failed = connection.error.get().is_some();
        let read_over = !failed && (shut & SHUT_RECEIVE != 0 || connection.is_over());
        let room = connection.phase.get() != Phase::Open || connection.credit() > 0 && engine::has_room();
        ready.set(Readiness::ERROR, failed);
        ready.set(Readiness::READ, connection.held() > 0 || read_over);
        ready.set(Readiness::PEER_SHUT, read_over);
        ready.set(Readiness::WRITE, shut & SHUT_SEND == 0 && room);
        let both = shut == SHUT_BOTH || shut & SHUT_SEND != 0 && peer_shut & SHUT_SEND != 0;
        ready.set(Readiness::HANG_UP, both);
        if !room {
            connection.ask_for_room();
            connection.starved.set(true);
        }
        ready
    }

    fn take_error(&self) -> Option<Errno> {
        let error = self.connection()?.error.take()?;
        // A connection that came to nothing leaves the socket as it was.
        if self.connecting.replace(false) {
            *self.state.borrow_mut() = State::Idle;
        }
        Some(error)
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        if level != u32::from(AF_VSOCK) {
            return Err(Errno::ENOPROTOOPT);
        }
        self.options.set(name, value)?;
        // For connections that come from now on.
        if let Some(listener) = self.listener() {
            listener.room.set(self.options.room());
        }
        if let Some(connection) = self.connection() {
            connection.room.set(self.options.room());
        }
        Ok(())
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        if level == u32::from(AF_VSOCK) { self.options.get(name) } else { Err(Errno::ENOPROTOOPT) }
    }

    fn pending(&self) -> (usize, usize) {
        self.connection().map_or((0, 0), |connection| (connection.held(), 0))
    }

    fn is_listening(&self) -> bool {
        self.listener().is_some()
    }

    fn buffers(&self) -> (usize, usize) {
        (self.options.room() as usize, self.options.room() as usize)
    }
}

impl Drop for Vsock {
    fn drop(&mut self) {
        match self.state.replace(State::Idle) {
            State::Idle => {}
            State::Listening(listener) => {
                ports::stop(&listener);
                let waiting: Vec<_> = listener.ready.borrow_mut().drain(..).collect();
                waiting.iter().for_each(|connection| connection.release());
            }
            State::Connected(connection) => connection.release(),
        }
        if let Some(address) = self.bound.get() {
            ports::release(address);
        }
    }
}
