//! The socket interface of TCP (`tcp(7)`).

use super::congestion;
use super::connection::Connection;
use super::engine;
use super::listener::{self, Listener};
use super::segment::Key;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::fs::file::Readiness;
use crate::memory::user;
use crate::net::inet;
use crate::net::socket::{self, AF_INET6, Call, Common, Protocol, Reply};
use crate::net::stack;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use linux_raw_sys::net::*;
use smoltcp::socket::tcp::{Socket as Machine, State as Phase};
use smoltcp::time::Duration;

crate::register!("inet-socket": fn(Common) -> Rc<dyn Protocol> = { 6 => create });

enum State {
    /// Neither listening nor connected.
    Idle,
    Listening(Rc<Listener>),
    Connected(Rc<Connection>),
}

/// Options of the protocol's own level.
#[derive(Clone)]
struct Options {
    only_v6: Cell<bool>,
    no_delay: Cell<bool>,
    cork: Cell<bool>,
    quick_ack: Cell<bool>,
    /// Seconds until the first probe, between probes, and how many.
    keep_idle: Cell<u32>,
    keep_interval: Cell<u32>,
    keep_count: Cell<u32>,
    user_timeout: Cell<u32>,
    defer_accept: Cell<u32>,
    hops: Cell<u8>,
}

struct Tcp {
    common: Common,
    options: Options,
    state: RefCell<State>,
    /// The claim on a port, and the address.
    bound: Cell<Option<(u64, SocketAddr)>>,
    queue: Rc<Queue>,
    /// A connection that was asked for is being made.
    connecting: Cell<bool>,
    shut_read: Cell<bool>,
    shut_write: Cell<bool>,
}

fn create(common: Common) -> Rc<dyn Protocol> {
    let options = Options {
        only_v6: Cell::new(false),
        no_delay: Cell::new(false),
        cork: Cell::new(false),
        quick_ack: Cell::new(false),
        // `tcp(7)`
        keep_idle: Cell::new(7200),
        keep_interval: Cell::new(75),
        keep_count: Cell::new(9),
        user_timeout: Cell::new(0),
        defer_accept: Cell::new(0),
        hops: Cell::new(64),
    };
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
    fn connection(&self) -> Option<Rc<Connection>> {
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

    /// Applies the options to a state machine.
    fn set_up(&self, machine: &mut Machine<'static>) {
        let options = &self.options;
        machine.set_nagle_enabled(!options.no_delay.get());
        machine.set_hop_limit(Some(options.hops.get().max(1)));
        machine.set_ack_delay((!options.quick_ack.get()).then_some(Duration::from_millis(10)));
        if self.common.keep_alive.get() {
            let seconds = |count: u32| Duration::from_secs(u64::from(count));
            let (idle, interval) = (options.keep_idle.get(), options.keep_interval.get());
            let patience = interval.saturating_mul(options.keep_count.get());
            machine.set_keep_alive(Some(seconds(idle)));
            machine.set_timeout(Some(seconds(idle.saturating_add(patience))));
        } else {
            machine.set_keep_alive(None);
            machine.set_timeout(None);
        }
        // What the program says of the peer's silence comes before what probes would find (`tcp(7)`).
        if options.user_timeout.get() != 0 {
            machine.set_timeout(Some(Duration::from_millis(u64::from(options.user_timeout.get()))));
        }
    }

    /// Has changed options take effect.
    fn apply(&self) {
        if let Some(connection) = self.connection() {
            connection.corked.set(self.options.cork.get());
            connection.with(|machine| self.set_up(machine));
            connection.push();
            stack::run();
        }
    }

    fn claim(&self, address: SocketAddr) -> Result<SocketAddr> {
        let claim = engine::ports(|ports| ports.claim(address, &self.common, self.options.only_v6.get()))?;
        self.bound.set(Some(claim));
        Ok(claim.1)
    }

    /// The error that ended the connection, once.
    fn failure(&self, connection: &Connection) -> Result<()> {
        match connection.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Waits until the connection is made, if it is being made.
    fn made(&self, connection: &Connection, nonblocking: bool) -> Result<()> {
        let started = socket::now();
        loop {
            self.failure(connection)?;
            if !matches!(connection.phase(), Phase::SynSent | Phase::SynReceived) {
                return Ok(());
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            socket::wait(&self.queue, self.common.send_timeout.get(), started)?;
        }
    }
}

/// How much of a stretch of the program's memory is moved at once.
fn move_out(connection: &Connection, call: &Call, at: usize, peek_at: Option<usize>) -> Result<usize> {
    let part = call.parts.iter().scan(0, |start, part| {
        let here = (*start, *part);
        *start += part.length;
        Some(here)
    });
    let Some((start, part)) = part.into_iter().find(|(start, part)| at < start + part.length) else {
        return Ok(0);
    };
    let (offset, room) = (at - start, part.length - (at - start));
    // The bytes stay where they are until they are taken, whatever arrives meanwhile: nothing is borrowed while they are copied.
    let (from, length) = connection.with(|machine| match peek_at {
        Some(skip) => {
            let bytes = machine.peek(skip.saturating_add(room)).unwrap_or_default();
            let bytes = bytes.get(skip..).unwrap_or_default();
            (bytes.as_ptr(), bytes.len())
        }
        None => {
            let bytes = machine.peek(room).unwrap_or_default();
            (bytes.as_ptr(), bytes.len())
        }
    });
    if length == 0 {
        return Ok(0);
    }
    if call.flags & MSG_TRUNC == 0 {
        // SAFETY: within the connection's buffer, which lives as long as the connection.
        let bytes = unsafe { core::slice::from_raw_parts(from, length) };
        user::write_bytes(part.address + offset as u64, bytes)?;
    }
    if peek_at.is_none() {
        connection.with(|machine| machine.recv(|bytes| (length.min(bytes.len()), ()))).ok();
    }
    Ok(length)
}

/// Moves bytes of one stretch of the program's memory into the connection's buffer.
fn move_in(connection: &Connection, address: u64, count: usize) -> Result<usize> {
    let room = connection.with(|machine| {
        machine.send(|bytes| (0, (bytes.as_mut_ptr(), bytes.len()))).map_err(|_| Errno::EPIPE)
    });
    let (to, room) = room?;
    let length = count.min(room);
    if length == 0 {
        return Ok(0);
    }
    // SAFETY: free room of the connection's buffer, which lives as long as the connection; only this call fills it.
    let bytes = unsafe { core::slice::from_raw_parts_mut(to, length) };
    user::read_bytes(address, bytes)?;
    connection
        .with(|machine| machine.send(|bytes| (length.min(bytes.len()), ())))
        .map_err(|_| Errno::EPIPE)?;
    Ok(length)
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
        let started = socket::now();
        let connection = loop {
            let listener = self.listener().ok_or(Errno::EINVAL)?;
            if let Some(connection) = listener.accept() {
                break connection;
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            socket::wait(&self.queue, self.common.receive_timeout.get(), started)?;
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
        connection.with(|machine| accepted.set_up(machine));
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
        let connection = engine::connect(key, self.queue.clone(), sizes, |machine| self.set_up(machine))?;
        *self.state.borrow_mut() = State::Connected(connection.clone());
        self.connecting.set(true);
        // As on Linux also when the answer is there already.
        if nonblocking { Err(Errno::EINPROGRESS) } else { self.finish(&connection) }
    }

    fn send(&self, call: &Call, to: Option<&[u8]>, _: &[u8]) -> Result<usize> {
        if call.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let connection = match (self.connection(), to) {
            (Some(connection), _) => connection,
            (None, _) => return Err(Errno::EPIPE),
        };
        self.made(&connection, call.nonblocking)?;
        let started = socket::now();
        let mut done = 0;
        let corked = self.options.cork.get() || call.flags & MSG_MORE != 0;
        connection.corked.set(corked);
        for part in call.parts {
            let mut at = 0;
            while at < part.length {
                let failed = match self.failure(&connection) {
                    Err(error) => Some(error),
                    Ok(()) if self.shut_write.get() => Some(Errno::EPIPE),
                    Ok(()) => None,
                };
                if let Some(error) = failed {
                    connection.push();
                    stack::run();
                    return if done > 0 { Ok(done) } else { Err(error) };
                }
                let moved = match move_in(&connection, part.address + at as u64, part.length - at) {
                    Ok(moved) => moved,
                    Err(_) if done > 0 => break,
                    Err(error) => return Err(error),
                };
                at += moved;
                done += moved;
                if moved > 0 {
                    continue;
                }
                // Full: what is there goes out, and may make room at once when the peer is this very machine.
                connection.push();
                stack::run();
                if connection.with(|machine| machine.can_send()) {
                    continue;
                }
                connection.starved.set(true);
                if call.nonblocking {
                    return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN) };
                }
                if let Err(error) = socket::wait(&self.queue, self.common.send_timeout.get(), started) {
                    return if done > 0 { Ok(done) } else { Err(error) };
                }
            }
        }
        connection.push();
        stack::run();
        Ok(done)
    }

    fn receive(&self, call: &Call, reply: &mut Reply) -> Result<usize> {
        if call.flags & MSG_OOB != 0 {
            return Err(Errno::EINVAL);
        }
        if call.flags & MSG_ERRQUEUE != 0 {
            return Err(Errno::EAGAIN);
        }
        let connection = self.connection().ok_or(Errno::ENOTCONN)?;
        let wanted = call.length();
        if wanted == 0 {
            return Ok(0);
        }
        let started = socket::now();
        let peek = call.flags & MSG_PEEK != 0;
        let mut done = 0;
        loop {
            loop {
                let filled = connection.with(|machine| machine.recv_queue() * 2 >= machine.recv_capacity());
                let moved = match move_out(&connection, call, done, peek.then_some(done)) {
                    Ok(moved) => moved,
                    Err(_) if done > 0 => break,
                    Err(error) => return Err(error),
                };
                if moved == 0 {
                    break;
                }
                done += moved;
                if filled && !peek {
                    // The window opens by much: the peer ought to know.
                    connection.push();
                    stack::run();
                }
                if done == wanted {
                    break;
                }
            }
            let enough = if call.flags & MSG_WAITALL != 0 && !peek { done == wanted } else { done > 0 };
            if enough {
                break;
            }
            if let Err(error) = self.failure(&connection) {
                return if done > 0 { Ok(done) } else { Err(error) };
            }
            if self.shut_read.get() || !connection.with(|machine| may_receive(machine)) {
                break;
            }
            if call.nonblocking {
                return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN) };
            }
            if let Err(error) = socket::wait(&self.queue, self.common.receive_timeout.get(), started) {
                return if done > 0 { Ok(done) } else { Err(error) };
            }
        }
        reply.flags = 0;
        Ok(done)
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
        let connection = match &*self.state.borrow() {
            State::Idle => return Readiness::WRITE | Readiness::HANG_UP,
            State::Listening(listener) => {
                return if listener.is_ready() { Readiness::READ } else { Readiness::empty() };
            }
            State::Connected(connection) => connection.clone(),
        };
        let mut ready = Readiness::empty();
        let failed = connection.error.get().is_some();
        ready.set(Readiness::ERROR, failed);
        connection.with(|machine| {
            let phase = machine.state();
            if matches!(phase, Phase::SynSent | Phase::SynReceived) {
                return;
            }
            let read_over = self.shut_read.get() || !may_receive(machine);
            let write_over = self.shut_write.get() || phase == Phase::Closed;
            let room = machine.may_send() && machine.send_queue() * 3 <= machine.send_capacity() * 2;
            ready.set(Readiness::READ, machine.recv_queue() > 0 || read_over || failed);
            ready.set(Readiness::WRITE, room || write_over || failed);
            ready.set(Readiness::PEER_SHUT, read_over);
            ready.set(Readiness::HANG_UP, phase == Phase::Closed || read_over && write_over);
            if !room && !write_over {
                connection.starved.set(true);
            }
        });
        ready
    }

    fn take_error(&self) -> Option<Errno> {
        self.connection()?.error.take()
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        /// Names that the headers give as an enumeration.
        const SOL_TCP_LEVEL: u32 = SOL_TCP;
        let options = &self.options;
        match (level, name) {
            (SOL_SOCKET, SO_KEEPALIVE) => {}
            (SOL_TCP_LEVEL, TCP_CONGESTION) => {
                let name = value.split(|&byte| byte == 0).next().unwrap_or_default();
                return if name == congestion::name().as_bytes() { Ok(()) } else { Err(Errno::ENOENT) };
            }
            (SOL_TCP_LEVEL, _) => {
                let number = socket::number(value)?;
                match name {
                    TCP_NODELAY => options.no_delay.set(number != 0),
                    TCP_CORK => options.cork.set(number != 0),
                    TCP_QUICKACK => options.quick_ack.set(number != 0),
                    TCP_KEEPIDLE | TCP_KEEPINTVL if !(1..=32767).contains(&number) => {
                        return Err(Errno::EINVAL);
                    }
                    TCP_KEEPIDLE => options.keep_idle.set(number),
                    TCP_KEEPINTVL => options.keep_interval.set(number),
                    TCP_KEEPCNT if !(1..=127).contains(&number) => return Err(Errno::EINVAL),
                    TCP_KEEPCNT => options.keep_count.set(number),
                    TCP_USER_TIMEOUT => options.user_timeout.set(number),
                    TCP_DEFER_ACCEPT => options.defer_accept.set(number),
                    // Taken, and without effect: sizes and counts that the state machine has its own idea of.
                    TCP_MAXSEG
                    | TCP_SYNCNT
                    | TCP_LINGER2
                    | TCP_WINDOW_CLAMP
                    | TCP_FASTOPEN
                    | TCP_NOTSENT_LOWAT
                    | TCP_THIN_LINEAR_TIMEOUTS
                    | TCP_THIN_DUPACK => return Ok(()),
                    _ => return Err(Errno::ENOPROTOOPT),
                }
            }
            (inet::SOL_IP, IP_TTL) => match socket::number(value)? {
                hops @ 1..=255 => options.hops.set(hops as u8),
                _ => return Err(Errno::EINVAL),
            },
            (inet::SOL_IPV6, IPV6_V6ONLY) if self.common.family == AF_INET6 => {
                if self.bound.get().is_some() {
                    return Err(Errno::EINVAL);
                }
                options.only_v6.set(socket::number(value)? != 0);
            }
            (level, name) if inet::is_ip_hint(level, name) => return Ok(()),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        self.apply();
        Ok(())
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        let options = &self.options;
        let number = match (level, name) {
            (SOL_TCP, TCP_NODELAY) => u32::from(options.no_delay.get()),
            (SOL_TCP, TCP_CORK) => u32::from(options.cork.get()),
            (SOL_TCP, TCP_QUICKACK) => u32::from(options.quick_ack.get()),
            (SOL_TCP, TCP_KEEPIDLE) => options.keep_idle.get(),
            (SOL_TCP, TCP_KEEPINTVL) => options.keep_interval.get(),
            (SOL_TCP, TCP_KEEPCNT) => options.keep_count.get(),
            (SOL_TCP, TCP_USER_TIMEOUT) => options.user_timeout.get(),
            (SOL_TCP, TCP_DEFER_ACCEPT) => options.defer_accept.get(),
            (SOL_TCP, TCP_MAXSEG) => stack::mtu() as u32 - 40,
            (SOL_TCP, TCP_CONGESTION) => {
                // TCP_CA_NAME_MAX
                let mut name = congestion::name().as_bytes().to_vec();
                name.resize(16, 0);
                return Ok(name);
            }
            (SOL_TCP, TCP_INFO) => {
                return Ok(self.info());
            }
            (inet::SOL_IP, IP_TTL) => u32::from(options.hops.get()),
            (inet::SOL_IPV6, IPV6_V6ONLY) => u32::from(options.only_v6.get()),
            (level, name) if inet::is_ip_hint(level, name) => 0,
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_le_bytes().to_vec())
    }

    fn pending(&self) -> (usize, usize) {
        let connection = self.connection();
        connection.map_or((0, 0), |connection| {
            connection.with(|machine| (machine.recv_queue(), machine.send_queue()))
        })
    }

    fn is_listening(&self) -> bool {
        self.listener().is_some()
    }

    fn buffers(&self) -> (usize, usize) {
        engine::sizes(&self.common)
    }
}

/// Whether more can come from the peer.
fn may_receive(machine: &Machine) -> bool {
    matches!(
        machine.state(),
        Phase::SynSent | Phase::SynReceived | Phase::Established | Phase::FinWait1 | Phase::FinWait2
    )
}

impl Tcp {
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

    /// `struct tcp_info`; what the state machine does not tell is zero.
    fn info(&self) -> Vec<u8> {
        let mut info = alloc::vec![0; 104];
        info[0] = self.phase_number();
        let Some(connection) = self.connection() else { return info };
        let mtu = stack::mtu_to(&connection.key.remote().ip()) as u32;
        let header = stack::header_length(&connection.key.remote().ip()) as u32 + 20;
        let segment = mtu - header;
        let (unacknowledged, window) = connection.with(|machine| {
            (machine.send_queue() as u32, (machine.recv_capacity() - machine.recv_queue()) as u32)
        });
        let silence = (tsc::now().saturating_sub(connection.heard.get()) / 1_000_000) as u32;
        // snd_mss, rcv_mss, unacked, last_data_recv, last_ack_recv, pmtu, advmss, rcv_space
        let fields = [
            (16, segment),
            (20, segment),
            (24, unacknowledged.div_ceil(segment)),
            (52, silence),
            (56, silence),
            (60, mtu),
            (84, segment),
            (96, window),
        ];
        for (at, value) in fields {
            info[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        info
    }

    /// The state as Linux numbers it.
    fn phase_number(&self) -> u8 {
        match &*self.state.borrow() {
            State::Idle => 7,
            State::Listening(_) => 10,
            State::Connected(connection) => match connection.phase() {
                Phase::Established => 1,
                Phase::SynSent => 2,
                Phase::SynReceived => 3,
                Phase::FinWait1 => 4,
                Phase::FinWait2 => 5,
                Phase::TimeWait => 6,
                Phase::Closed => 7,
                Phase::CloseWait => 8,
                Phase::LastAck => 9,
                Phase::Listen => 10,
                Phase::Closing => 11,
            },
        }
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        match self.state.replace(State::Idle) {
            State::Idle => {}
            State::Listening(listener) => listener.close(),
            State::Connected(connection) => connection.release(self.common.linger.get() == Some(0)),
        }
        if let Some((id, _)) = self.bound.get() {
            engine::ports(|ports| ports.release(id));
        }
        stack::run();
    }
}
