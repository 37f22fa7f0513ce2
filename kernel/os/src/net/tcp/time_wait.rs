//! Connections that ended, of which packets may still be on their way (TIME-WAIT).

use super::segment::{Key, Segment};
use crate::net::stack;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// How many to remember, and for how long.
const REMEMBERED: usize = 4096;
const REMEMBER_TIME: u64 = 60_000_000_000;

/// An ended connection that old packets may still come for.
struct Remembered {
    until: u64,
    reply: Vec<u8>,
}

pub struct TimeWait {
    known: BTreeMap<Key, Remembered>,
    /// In order of their ends.
    order: VecDeque<(u64, Key)>,
}

impl TimeWait {
    pub const EMPTY: Self = Self { known: BTreeMap::new(), order: VecDeque::new() };

    pub fn holds(&self, key: &Key) -> bool {
        self.known.contains_key(key)
    }

    /// The addresses are used again.
    pub fn end(&mut self, key: &Key) {
        self.known.remove(key);
    }

    /// Keeps what an ended connection would answer to packets of the past.
    pub fn remember(&mut self, key: Key, reply: Vec<u8>, now: u64) {
        self.forget(now);
        while self.known.len() >= REMEMBERED {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            self.known.remove(&oldest);
        }
        let until = now + REMEMBER_TIME;
        self.known.insert(key, Remembered { until, reply });
        self.order.push_back((until, key));
    }

    fn forget(&mut self, now: u64) {
        while let Some(&(until, key)) = self.order.front()
            && until <= now
        {
            self.order.pop_front();
            // The same addresses may have been remembered anew.
            if self.known.get(&key).is_some_and(|remembered| remembered.until == until) {
                self.known.remove(&key);
            }
        }
    }

    /// A packet for a connection that ended. True: it is answered.
    pub fn recall(&mut self, segment: &Segment) -> bool {
        let Some(remembered) = self.known.get(&segment.key) else { return false };
        if segment.syn && !segment.ack || segment.reset {
            // A new connection may take the place; a reset ends the waiting.
            self.known.remove(&segment.key);
            return segment.reset;
        }
        if segment.fin && !remembered.reply.is_empty() {
            let reply = &remembered.reply;
            let _ =
                stack::send(&segment.key.remote, reply.len(), &mut |packet| packet.copy_from_slice(reply));
        }
        true
    }
}
