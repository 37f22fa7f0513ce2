//! Connections by what names them: looked up for each packet.

use super::connection::Connection;
use super::segment::Key;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::IpAddr;

/// A table whose chains run through the connections themselves, so that none is left out for want of memory once there is a table.
pub struct Table {
    /// The first connections of chains: a power of two of them.
    chains: Vec<Option<Rc<Connection>>>,
    length: usize,
    /// Random odd numbers: nobody can tell which peers share a chain, and so nobody can make one long.
    factors: [u64; 3],
}

/// Chains to begin with.
const LEAST: usize = 16;

impl Table {
    pub fn new(mut random: impl FnMut() -> u64) -> Self {
        let mut chains = Vec::new();
        chains.resize_with(LEAST, || None);
        Self { chains, length: 0, factors: [(); 3].map(|()| random() | 1) }
    }

    /// A sum of products with odd factors, of which high bits count: "multiply-shift" (Dietzfelbinger and others, 1997).
    fn chain_of(&self, key: &Key) -> usize {
        let [ports, low, high] = self.factors;
        let mut sum = (u64::from(key.local_port) << 16 | u64::from(key.remote_port)).wrapping_mul(ports);
        match key.remote {
            IpAddr::V4(address) => sum = sum.wrapping_add(u64::from(address.to_bits()).wrapping_mul(low)),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                sum = sum.wrapping_add((bits as u64).wrapping_mul(low));
                sum = sum.wrapping_add(((bits >> 64) as u64).wrapping_mul(high));
            }
        }
        (sum >> 40) as usize & (self.chains.len() - 1)
    }

    pub fn get(&self, key: &Key) -> Option<Rc<Connection>> {
        let mut at = self.chains[self.chain_of(key)].clone()?;
        while at.key != *key {
            let next = at.next.borrow().clone()?;
            at = next;
        }
        Some(at)
    }

    /// Adds a connection that is not there yet.
    pub fn insert(&mut self, connection: Rc<Connection>) {
        if self.length >= self.chains.len() {
            self.grow();
        }
        self.length += 1;
        self.put(connection);
    }

    fn put(&mut self, connection: Rc<Connection>) {
        let chain = self.chain_of(&connection.key);
        *connection.next.borrow_mut() = self.chains[chain].take();
        self.chains[chain] = Some(connection);
    }

    /// Takes out this very connection, if it is there.
    pub fn remove(&mut self, connection: &Rc<Connection>) {
        let chain = self.chain_of(&connection.key);
        let mut rest = self.chains[chain].take();
        // The chain is made anew, in the other order, of all but the one.
        while let Some(first) = rest {
            rest = first.next.take();
            if Rc::ptr_eq(&first, connection) {
                self.length -= 1;
            } else {
                *first.next.borrow_mut() = self.chains[chain].take();
                self.chains[chain] = Some(first);
            }
        }
    }

    /// All connections, in no order.
    pub fn all(&self) -> Vec<Rc<Connection>> {
        let mut all = Vec::with_capacity(self.length);
        for chain in &self.chains {
            let mut at = chain.clone();
            while let Some(connection) = at {
                at = connection.next.borrow().clone();
                all.push(connection);
            }
        }
        all
    }

    /// Twice as many chains, if there is memory for them.
    fn grow(&mut self) {
        let wanted = 2 * self.chains.len();
        let mut chains = Vec::new();
        if chains.try_reserve_exact(wanted).is_err() {
            return;
        }
        chains.resize_with(wanted, || None);
        for chain in core::mem::replace(&mut self.chains, chains) {
            let mut rest = chain;
            while let Some(first) = rest {
                rest = first.next.take();
                self.put(first);
            }
        }
    }
}
