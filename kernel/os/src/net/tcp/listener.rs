//! Listening sockets, and which of them a request is for.

use super::connection::Connection;
use super::engine::{Wakes, with};
use super::segment::Key;
use crate::list;
use crate::net::{inet, stack};
use crate::sched::wait::Queue;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::SocketAddr;

/// A listening socket.
pub struct Listener {
    pub address: SocketAddr,
    /// An unspecified IPv6 address stands for IPv6 alone.
    pub only: bool,
    pub backlog: Cell<usize>,
    pub queue: Rc<Queue>,
    /// Connections that are being made, the oldest first.
    pub(super) half_open: RefCell<VecDeque<Rc<Connection>>>,
    /// Connections that are made.
    pub ready: RefCell<VecDeque<Rc<Connection>>>,
    /// When they were last as many as there may be.
    pub(super) full_since: Cell<u64>,
    /// Sizes of new connections' buffers.
    pub sizes: Cell<(usize, usize)>,
}

/// The listening sockets, by port.
pub struct Listeners {
    ports: BTreeMap<u16, Vec<Rc<Listener>>>,
}

impl Listeners {
    pub const EMPTY: Self = Self { ports: BTreeMap::new() };

    pub fn add(&mut self, listener: Rc<Listener>) {
        // Without memory nobody finds it, as if every request were lost.
        let _ = list::push(self.ports.entry(listener.address.port()).or_default(), listener);
    }

    pub fn remove(&mut self, listener: &Rc<Listener>) {
        let port = listener.address.port();
        if let Some(here) = self.ports.get_mut(&port) {
            here.retain(|other| !Rc::ptr_eq(other, listener));
            if here.is_empty() {
                self.ports.remove(&port);
            }
        }
    }

    /// The listener for a new connection: the one with the address over one with any; of equals, by the peer's port.
    pub fn find(&self, key: &Key) -> Option<&Rc<Listener>> {
        let here = self.ports.get(&key.local().port())?;
        let fits = |one: &&Rc<Listener>| inet::matches(one.address.ip(), key.local().ip(), one.only);
        let rank = |one: &Rc<Listener>| (!one.address.ip().is_unspecified(), one.address.is_ipv4());
        let best = here.iter().filter(fits).map(rank).max()?;
        let equals = || here.iter().filter(fits).filter(|one| rank(one) == best);
        equals().nth(usize::from(key.remote().port()) % equals().count())
    }
}

impl Listener {
    pub fn accept(&self) -> Option<Rc<Connection>> {
        let was_full = self.is_full();
        let connection = self.ready.borrow_mut().pop_front();
        if was_full && !self.is_full() {
            stack::at(0);
        }
        connection
    }

    /// Whether the program has to accept some before there can be more.
    pub fn is_full(&self) -> bool {
        self.ready.borrow().len() > self.backlog.get()
    }

    pub fn is_ready(&self) -> bool {
        !self.ready.borrow().is_empty()
    }

    /// Stops listening: those that nobody accepted are reset.
    pub fn close(self: &Rc<Self>) {
        with(|engine| {
            engine.listeners.remove(self);
            Wakes::default()
        });
        let waiting: Vec<_> =
            self.half_open.borrow_mut().drain(..).chain(self.ready.borrow_mut().drain(..)).collect();
        for connection in waiting {
            connection.release(true);
        }
    }
}

/// Starts to listen.
pub fn listen(
    address: SocketAddr,
    only: bool,
    backlog: usize,
    queue: Rc<Queue>,
    sizes: (usize, usize),
) -> Rc<Listener> {
    let listener = Rc::new(Listener {
        address,
        only,
        backlog: Cell::new(backlog),
        queue,
        half_open: RefCell::new(VecDeque::new()),
        ready: RefCell::new(VecDeque::new()),
        full_since: Cell::new(0),
        sizes: Cell::new(sizes),
    });
    with(|engine| {
        engine.listeners.add(listener.clone());
        Wakes::default()
    });
    listener
}
