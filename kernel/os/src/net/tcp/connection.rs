//! A connection, as the engine and its socket see it.

use super::buffer::Buffer;
use super::engine::{CLOSE_TIME, Wakes, with};
use super::listener::Listener;
use super::segment::Key;
use super::vigil::Vigil;
use super::window::Window;
use crate::driver::tsc;
use crate::errno::Errno;
use crate::net::stack::{self, Count};
use crate::sched::wait::Queue;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, State as Phase};
use smoltcp::wire::IpListenEndpoint;

/// A connection: made, being made, or ending.
pub struct Connection {
    pub key: Key,
    pub(super) sockets: RefCell<SocketSet<'static>>,
    pub(super) handle: SocketHandle,
    /// Behind the sockets, which use them: fields are dropped in order.
    pub(super) _buffers: [Buffer; 2],
    /// Whoever waits for this connection.
    pub queue: Rc<Queue>,
    /// Why it ended, for the program to be told once.
    pub error: Cell<Option<Errno>>,
    /// Where it goes when it is made.
    pub(super) listener: RefCell<Weak<Listener>>,
    /// The program is done with it.
    pub(super) orphan: Cell<bool>,
    /// A write found no room: its writer wants to know when there is some.
    pub starved: Cell<bool>,
    /// Small packets are held back.
    pub corked: Cell<bool>,
    /// The next one in its chain of the table.
    pub(super) next: RefCell<Option<Rc<Connection>>>,
    /// When the state machine wants to be looked at, as far as the timers know, and what tells it from others there.
    pub(super) scheduled: Cell<u64>,
    pub(super) number: u64,
    /// Among those that may owe their peer an acknowledgement.
    pub(super) owing: Cell<bool>,
    /// When it is given up.
    pub(super) doom: Cell<u64>,
    /// What its silence comes to.
    pub vigil: Vigil,
    /// Whether anything arrived after the program had closed it.
    pub(super) refused: Cell<bool>,
    /// What the peer may send.
    pub window: Window,
}

impl Connection {
    /// Looks at, or changes, the state machine.
    pub fn with<R>(&self, f: impl FnOnce(&mut Socket<'static>) -> R) -> R {
        f(self.sockets.borrow_mut().get_mut::<Socket>(self.handle))
    }

    /// Looks at, or changes, the state machine in the set that it is alone in.
    pub fn with_sockets<R>(&self, f: impl FnOnce(&mut SocketSet<'static>) -> R) -> R {
        f(&mut self.sockets.borrow_mut())
    }

    /// Waits for its peer's request. False: it cannot.
    pub fn listen(&self) -> bool {
        let endpoint = IpListenEndpoint { addr: Some(self.key.local.into()), port: self.key.local_port };
        self.with(|socket| socket.listen(endpoint).is_ok())
    }

    /// A listener's peer is to have it when it is made.
    pub fn made_for(self: &Rc<Self>, listener: &Rc<Listener>) {
        *self.listener.borrow_mut() = Rc::downgrade(listener);
        listener.half_open.borrow_mut().push_back(self.clone());
    }

    pub fn phase(&self) -> Phase {
        self.with(|socket| socket.state())
    }

    /// Sends what there is to send.
    pub fn push(self: &Rc<Self>) {
        with(|engine| engine.drive(self, None));
    }

    /// Asks the peer whether it is there: the byte before the next is one that it has (RFC 9293, section 3.8.4).
    pub(super) fn probe(&self) {
        self.vigil.probes(tsc::now());
        let Some(probe) = self.window.probe(&self.key) else { return };
        stack::count(Count::TcpOut, 1);
        // One that is lost is one without an answer.
        let _ = stack::send(&self.key.remote, probe.len(), &mut |packet| packet.copy_from_slice(&probe));
    }

    /// What a peer is answered that has not heard the end of it.
    pub(super) fn last_word(&self) -> Vec<u8> {
        self.window.last_word(&self.key).unwrap_or_default()
    }

    /// Ends the connection with an error; the peer, should it be there, is told by a reset.
    pub(super) fn give_up(self: &Rc<Self>, error: Errno) {
        self.error.set(Some(error));
        self.with(|socket| socket.abort());
        with(|engine| {
            engine.drive(self, None);
            engine.remove(self);
            Wakes { connection: Some(self.queue.clone()), ..Wakes::default() }
        });
    }

    /// The program is done with it: what was written still goes out, unless there is no lingering, or something was left unread.
    pub fn release(self: &Rc<Self>, abort: bool) {
        self.orphan.set(true);
        self.doom.set(tsc::now() + CLOSE_TIME);
        self.corked.set(false);
        let in_time_wait = self.with(|socket| {
            if abort || socket.recv_queue() > 0 {
                socket.abort();
            } else {
                socket.set_ack_delay(None);
                socket.close();
            }
            socket.state() == Phase::TimeWait
        });
        with(|engine| {
            if in_time_wait {
                engine.time_wait.remember(self.key, self.last_word(), tsc::now());
                engine.remove(self);
                return Wakes::default();
            }
            engine.drive(self, None)
        });
    }
}
