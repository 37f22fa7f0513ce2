//! What the silence of a peer comes to: questions whether it is still there, and an end.
//!
//! smoltcp has one interval for probes and one limit for any silence, which ends connections that are merely idle. Here they are what
//! `tcp(7)` says they are.

use crate::driver::tsc;
use crate::net::stack::NEVER;
use core::cell::Cell;

crate::param! {
    /// How long a peer may leave bytes unacknowledged.
    static GIVE_UP: u64 = "give-up"
}

/// When to ask a silent peer (TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT).
#[derive(Clone, Copy)]
pub struct Probing {
    /// Nanoseconds of silence before the first probe, and between probes.
    pub idle: u64,
    pub interval: u64,
    /// Probes without an answer that end the connection.
    pub count: u32,
}

/// What is to be done about a peer.
#[derive(PartialEq, Eq)]
pub enum Verdict {
    Wait,
    Probe,
    GiveUp,
}

/// The watch over one connection's peer. Times are in nanoseconds since boot.
pub struct Vigil {
    probing: Cell<Option<Probing>>,
    /// How long something may wait for its acknowledgement (TCP_USER_TIMEOUT); zero: as long as for everybody.
    limit: Cell<u64>,
    heard: Cell<u64>,
    /// Since when none of what waits for an acknowledgement has got it; [`NEVER`]: nothing waits.
    owing: Cell<u64>,
    /// Probes since the peer was heard, and when the last one was sent.
    probes: Cell<u32>,
    probed: Cell<u64>,
}

impl Vigil {
    pub fn new() -> Self {
        Self {
            probing: Cell::new(None),
            limit: Cell::new(0),
            heard: Cell::new(tsc::now()),
            owing: Cell::new(NEVER),
            probes: Cell::new(0),
            probed: Cell::new(0),
        }
    }

    /// What the program wants. `limit`: nanoseconds, zero for none.
    pub fn set(&self, probing: Option<Probing>, limit: u64) {
        self.probing.set(probing);
        self.limit.set(limit);
    }

    /// When the peer was last heard.
    pub fn heard(&self) -> u64 {
        self.heard.get()
    }

    /// The peer is heard.
    pub fn hears(&self, now: u64) {
        self.heard.set(now);
        self.probes.set(0);
    }

    /// Whether something waits for an acknowledgement, and whether some of it just came.
    pub fn owes(&self, something: bool, some_came: bool, now: u64) {
        if !something {
            self.owing.set(NEVER);
        } else if some_came || self.owing.get() == NEVER {
            self.owing.set(now);
        }
    }

    /// When what waits for an acknowledgement is given up.
    fn end(&self) -> u64 {
        match (self.owing.get(), self.limit.get()) {
            (NEVER, _) => NEVER,
            // A peer that has no room, and says so, is not silent (`tcp_probe_timer` of Linux).
            (owing, 0) => owing.max(self.heard.get()).saturating_add(GIVE_UP.get()),
            (owing, limit) => owing.saturating_add(limit),
        }
    }

    /// When the next probe is due, or would be.
    fn probe_at(&self) -> u64 {
        match self.probing.get() {
            // What was sent is a probe itself.
            Some(probing) if self.owing.get() == NEVER => match self.probes.get() {
                0 => self.heard.get().saturating_add(probing.idle),
                _ => self.probed.get().saturating_add(probing.interval),
            },
            _ => NEVER,
        }
    }

    /// When to ask for a [`Vigil::verdict`].
    pub fn deadline(&self) -> u64 {
        self.end().min(self.probe_at())
    }

    pub fn verdict(&self, now: u64) -> Verdict {
        if self.end() <= now {
            return Verdict::GiveUp;
        }
        let Some(probing) = self.probing.get().filter(|_| self.probe_at() <= now) else {
            return Verdict::Wait;
        };
        // As `tcp_keepalive_timer` of Linux has it.
        let over = match self.limit.get() {
            0 => self.probes.get() >= probing.count,
            limit => self.probes.get() > 0 && self.heard.get().saturating_add(limit) <= now,
        };
        if over { Verdict::GiveUp } else { Verdict::Probe }
    }

    /// A probe is sent.
    pub fn probes(&self, now: u64) {
        self.probes.set(self.probes.get() + 1);
        self.probed.set(now);
    }
}
