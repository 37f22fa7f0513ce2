//! Requests for connections in a flood: what came and what was answered, without buffers.
//!
//! The first few connections that are being made to a listener have all they need at once. Beyond those a request costs its own packet
//! and a number: the state machine is made for the answer and forgotten, and made once more, from the same number and the same packet,
//! when the peer goes on. So a flood of requests that nobody means takes no memory from the program.

use super::buffer::Buffer;
use super::connection::Connection;
use super::engine::{ACCEPT_TIME, Engine, HALF_OPEN, HALF_OPEN_TIME, RETRY, Wakes};
use super::listener::Listener;
use super::segment::{Key, PROTOCOL, Segment, parse};
use super::wire::instant;
use crate::driver::tsc;
use crate::memory::frames;
use crate::net::stack::{self, NEVER, Packet};
use crate::sched::wait::Queue;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use rand_chacha::rand_core::Rng;
use smoltcp::socket::tcp::State as Phase;

/// Requests that are noted where memory allows it, whatever a program says of its backlog: Linux' cookies have no limit at all.
const MANY: usize = 4096;
/// Packets of a peer that are kept while the backlog is full, and frames that are to be free for it.
const KEPT: usize = 3;
const PLENTY: usize = 1024;
/// The longest packet that asks for a connection: two full headers.
const LONGEST: usize = 120;

/// What is known of a peer that asked.
struct Request {
    listener: Weak<Listener>,
    /// What the sequence numbers of the answer came from.
    seed: u64,
    /// Pages of the buffers that the answer spoke of.
    pages: [usize; 2],
    /// What the peer sent.
    packet: Vec<u8>,
    until: u64,
    /// What came since while the backlog was full: it is not worth the peer's patience to have it sent again.
    came: Vec<Vec<u8>>,
}

pub struct Requests {
    known: BTreeMap<Key, Request>,
    /// Those that are known, by age.
    order: BTreeSet<(u64, Key)>,
    /// Those whose answer did not leave, for want of room on the way out.
    unanswered: VecDeque<Key>,
    /// Those that went on while the backlog was full.
    waiting: VecDeque<Key>,
}

impl Requests {
    pub const EMPTY: Self = Self {
        known: BTreeMap::new(),
        order: BTreeSet::new(),
        unanswered: VecDeque::new(),
        waiting: VecDeque::new(),
    };

    fn put(&mut self, key: Key, request: Request) {
        self.order.insert((request.until, key));
        self.known.insert(key, request);
    }

    fn take(&mut self, key: &Key) -> Option<Request> {
        let request = self.known.remove(key)?;
        self.order.remove(&(request.until, *key));
        Some(request)
    }

    /// Makes room for one more. False: there is none, for now.
    fn make_room(&mut self, most: usize, now: u64) -> bool {
        // In a burst the new one has to ask again; in a flood the oldest has had its time.
        let is_stale = |until: u64| until < now + ACCEPT_TIME - HALF_OPEN_TIME;
        while let Some(&(until, key)) = self.order.first()
            && (until <= now || self.order.len() >= most && is_stale(until))
        {
            self.take(&key);
        }
        self.order.len() < most
    }
}

impl Engine {
    /// Answers a request and keeps no more than is needed to know the peer when it goes on.
    pub fn note(&mut self, listener: &Rc<Listener>, packet: &Packet, key: Key) {
        let now = tsc::now();
        // One is less than a tenth of a frame.
        let most = listener.backlog.get().max(HALF_OPEN.get() as usize).max(frames::counts().0.min(MANY));
        let asked_before = self.requests.known.get(&key).filter(|request| {
            let number = |whole: &[u8]| whole[whole.len() - packet.payload.len()..][4..8].to_vec();
            request.packet.len() == packet.whole.len() && number(&request.packet) == number(packet.whole)
        });
        let asked_before = asked_before.map(|request| request.seed);
        let seed = match asked_before {
            Some(before) => before,
            None if packet.whole.len() > LONGEST || !self.requests.make_room(most, now) => return,
            None => self.random.next_u64(),
        };
        // Whoever asks again has just been answered again: not the one to be dropped for others.
        let until = now + ACCEPT_TIME;
        let sizes = listener.sizes.get();
        let (Some(receive), Some(send)) = (Buffer::new(sizes.0), Buffer::new(sizes.1)) else { return };
        let pages = [receive.pages(), send.pages()];
        let connection = self.make(key, Rc::new(Queue::new()), [receive, send], until, seed);
        let leaves = stack::can_send();
        if !self.replay(&connection, packet.whole, false) || connection.phase() != Phase::SynReceived {
            return;
        }
        let packet = packet.whole.to_vec();
        let listener = Rc::downgrade(listener);
        // The same addresses may have asked otherwise before.
        self.requests.take(&key);
        self.requests.put(key, Request { listener, seed, pages, packet, until, came: Vec::new() });
        if !leaves {
            self.requests.unanswered.push_back(key);
            stack::at(now + RETRY);
        }
    }

    /// Sends the answers that had to wait. Returns when to try again.
    pub fn answer(&mut self, now: u64) -> u64 {
        while let Some(&key) = self.requests.unanswered.front() {
            if !stack::can_send() {
                return now + RETRY;
            }
            self.requests.unanswered.pop_front();
            let Some(request) = self.requests.take(&key) else { continue };
            if let Some((receive, send)) = Buffer::of(request.pages[0]).zip(Buffer::of(request.pages[1])) {
                let buffers = [receive, send];
                let connection = self.make(key, Rc::new(Queue::new()), buffers, request.until, request.seed);
                self.replay(&connection, &request.packet, false);
            }
            self.requests.put(key, request);
        }
        NEVER
    }

    /// Has a fresh connection listen and take a request. `muted`: the answer was sent before.
    fn replay(&mut self, connection: &Rc<Connection>, packet: &[u8], muted: bool) -> bool {
        if !connection.listen() {
            return false;
        }
        self.turn_to(&connection.key);
        connection.with_sockets(|sockets| {
            let mut wire = self.wire(&connection.key, Some(packet));
            wire.muted = muted;
            wire.window = Some(&connection.window);
            let now = instant(tsc::now());
            self.interface.poll_ingress_single(now, &mut wire, sockets);
            self.interface.poll_egress(now, &mut wire, sockets);
        });
        true
    }

    /// A packet from a peer whose request was noted. `None`: there was no such request.
    pub fn go_on(&mut self, packet: &Packet, segment: &Segment) -> Option<Wakes> {
        let mut request = self.requests.take(&segment.key)?;
        let listener = request.listener.upgrade()?;
        if segment.reset || segment.syn {
            return Some(Wakes::default());
        }
        let full = listener.is_full();
        let buffers =
            if full { None } else { Buffer::of(request.pages[0]).zip(Buffer::of(request.pages[1])) };
        let Some((receive, send)) = buffers else {
            // Later, when there is room or when the peer sends it again.
            if full && request.came.len() < KEPT && frames::counts().0 > PLENTY {
                if request.came.is_empty() {
                    self.requests.waiting.push_back(segment.key);
                }
                request.came.push(packet.whole.to_vec());
            }
            self.requests.put(segment.key, request);
            return Some(Wakes::default());
        };
        let doom = tsc::now() + ACCEPT_TIME;
        let connection = self.make(segment.key, Rc::new(Queue::new()), [receive, send], doom, request.seed);
        self.replay(&connection, &request.packet, true);
        connection.made_for(&listener);
        self.connections.insert(connection.clone());
        let wakes = self.drive(&connection, Some((packet, segment)));
        if connection.phase() == Phase::SynReceived {
            // Not what was waited for.
            self.remove(&connection);
            self.requests.put(segment.key, request);
        }
        Some(wakes)
    }

    /// Goes on with those for whom the backlog had no room, as far as it has now.
    pub fn resume(&mut self) -> Vec<Wakes> {
        let mut wakes = Vec::new();
        for _ in 0..self.requests.waiting.len() {
            let Some(key) = self.requests.waiting.pop_front() else { break };
            let Some(request) = self.requests.known.get_mut(&key) else { continue };
            let Some(listener) = request.listener.upgrade() else { continue };
            if listener.is_full() {
                self.requests.waiting.push_back(key);
                continue;
            }
            for whole in core::mem::take(&mut request.came) {
                let (local, remote) = (key.local(), key.remote());
                let header = if remote.is_ipv4() { usize::from(whole[0] & 0xf) * 4 } else { 40 };
                let packet = Packet {
                    source: remote.ip(),
                    destination: local.ip(),
                    protocol: PROTOCOL,
                    whole: &whole,
                    payload: &whole[header..],
                    unicast: true,
                    vouched: true,
                };
                if let Some(segment) = parse(&packet) {
                    wakes.push(self.receive(&packet, &segment));
                }
            }
        }
        wakes
    }
}
