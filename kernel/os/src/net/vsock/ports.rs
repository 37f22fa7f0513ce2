//! The ports that sockets are bound to, and those that listen.

use super::connection::Connection;
use super::engine::{is_linked, own_cid};
use super::packet::{ANY, Address, LOCAL};
use crate::abi::entropy;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::list;
use crate::sched::wait::Queue;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// The first port that is given to those who ask for none in particular (`LAST_RESERVED_PORT` of Linux).
const FIRST_FREE: u32 = 1024;

/// A listening socket.
pub struct Listener {
    pub address: Address,
    pub backlog: Cell<usize>,
    /// Connections that are made, the oldest first.
    pub ready: RefCell<VecDeque<Rc<Connection>>>,
    pub queue: Rc<Queue>,
    /// Bytes that its connections have room for.
    pub room: Cell<u32>,
}

struct Ports {
    bound: Vec<Address>,
    listeners: Vec<Rc<Listener>>,
}

static PORTS: KernelCell<Ports> = KernelCell::new(Ports { bound: Vec::new(), listeners: Vec::new() });

/// Whether what is sent to `to` is for a socket at `own`.
fn matches(own: Address, to: Address) -> bool {
    own.port == to.port && (own.cid == to.cid || own.cid == ANY)
}

/// Takes an address for a socket; any port is one that is free.
pub fn bind(mut address: Address) -> Result<Address> {
    if address.cid != ANY && address.cid != LOCAL && !(is_linked() && address.cid == own_cid()) {
        return Err(Errno::EADDRNOTAVAIL);
    }
    let mut ports = PORTS.borrow();
    let is_taken = |address: Address| {
        ports.bound.iter().any(|other| matches(*other, address) || matches(address, *other))
    };
    if address.port == ANY {
        let mut seed = [0; 4];
        entropy::fill(&mut seed);
        let start = u32::from_le_bytes(seed);
        let span = ANY - FIRST_FREE;
        // More are tried than can be taken.
        let tries = ports.bound.len() as u32 + 1;
        let port = (0..tries).map(|step| FIRST_FREE + (start % span + step) % span);
        let free = |port: &u32| !is_taken(Address { port: *port, ..address });
        address.port = port.into_iter().find(free).ok_or(Errno::EADDRNOTAVAIL)?;
    } else if is_taken(address) {
        return Err(Errno::EADDRINUSE);
    }
    list::push(&mut ports.bound, address)?;
    Ok(address)
}

/// Gives an address back.
pub fn release(address: Address) {
    let bound = &mut PORTS.borrow().bound;
    if let Some(index) = bound.iter().position(|other| *other == address) {
        bound.swap_remove(index);
    }
}

pub fn listen(listener: Rc<Listener>) -> Result<()> {
    list::push(&mut PORTS.borrow().listeners, listener)
}

pub fn stop(listener: &Rc<Listener>) {
    PORTS.borrow().listeners.retain(|other| !Rc::ptr_eq(other, listener));
}

/// Who listens at an address.
pub fn listener(to: Address) -> Option<Rc<Listener>> {
    PORTS.borrow().listeners.iter().find(|listener| matches(listener.address, to)).cloned()
}
