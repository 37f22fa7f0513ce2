//! One turn of a connection: a packet for it, or a look whether it has something to send, and what became of it.

use super::{ACK_DELAY, Engine, RETRY, SECOND, Wakes};
use crate::driver::tsc;
use crate::errno::Errno;
use crate::net::stack::{self, Count, NEVER, Packet};
use crate::net::tcp::connection::Connection;
use crate::net::tcp::marks::urgency;
use crate::net::tcp::segment::Segment;
use crate::net::tcp::wire::instant;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use smoltcp::iface::{PollResult, SocketSet};
use smoltcp::socket::tcp::{Socket, State as Phase};
use smoltcp::time::Instant;

/// The state machine never waits for longer than this with something to send (its longest time to send again is a minute).
const FORGOTTEN: u64 = 120 * SECOND;
/// Bytes that may stay unacknowledged for that long whatever the peer's segments hold: the least that everybody takes in one (RFC 9293,
/// section 3.7.1).
const FEW: u32 = 536;
/// The state machine's shortest time to send again.
const SHORTEST_RETRY: u64 = SECOND;

impl Engine {
    /// Feeds a packet to a connection, if there is one, sends what it wants to send, and sees what became of it.
    pub fn drive(&mut self, connection: &Rc<Connection>, arrived: Option<(&Packet, &Segment)>) -> Wakes {
        let now = tsc::now();
        let at = instant(now);
        let mut wakes = Wakes::default();
        self.turn_to(&connection.key);
        let mut sockets = connection.sockets.borrow_mut();
        let handle = connection.handle;
        let look = |sockets: &mut SocketSet| {
            let socket = sockets.get_mut::<Socket>(handle);
            let room = socket.send_queue() * 3 <= socket.send_capacity() * 2;
            (socket.state(), socket.recv_queue(), socket.send_queue(), room)
        };
        let mut before = look(&mut sockets);
        let mut after = before;
        // Whether it is known, without asking, that the state machine has nothing to send, and waits for nothing that the timers do not.
        let mut rests = false;
        let is_plain = before.0 == Phase::Established && !connection.orphan.get();
        let (again, instead);
        let packet = arrived.map(|(packet, _)| packet.whole);
        let mut wire = self.wire(&connection.key, packet);
        wire.window = Some(&connection.window);
        if let Some((packet, segment)) = arrived {
            connection.vigil.hears(now);
            if (segment.urgent || connection.window.marks.are_set())
                && let Some(urgency) = urgency()
            {
                // The state machine is asked what it holds.
                drop(sockets);
                let (is_news, is_new) = (urgency.arrives)(connection, packet.payload, segment);
                sockets = connection.sockets.borrow_mut();
                before = look(&mut sockets);
                wakes.urgent = is_new;
                wakes.connection = is_news.then(|| connection.queue.clone());
            }
            instead = match before.0 {
                Phase::SynSent if segment.syn => {
                    connection.window.answered(packet.payload, segment);
                    None
                }
                Phase::SynReceived if !segment.syn => {
                    connection.window.hears(segment);
                    None
                }
                Phase::Listen | Phase::SynSent | Phase::SynReceived => None,
                _ => connection.window.admit(packet, segment),
            };
            if let Some(instead) = &instead {
                if instead.before.is_some() {
                    wire.packet = instead.before.as_deref();
                    self.interface.poll_ingress_single(at, &mut wire, &mut sockets);
                    wire.packet = Some(packet.whole);
                }
                if instead.packet.is_some() {
                    wire.packet = instead.packet.as_deref();
                }
            }
            self.interface.poll_ingress_single(at, &mut wire, &mut sockets);
            after = look(&mut sockets);
            let ended = may_end(before.0) && has_ended(after.0);
            connection.window.took(after.1 - before.1 + usize::from(ended));
            // All that was sent is acknowledged, and what came can wait for an answer to be acknowledged with.
            rests = is_plain
                && instead.is_none()
                && after.0 == Phase::Established
                && after.2 == 0
                && connection.window.owed() <= FEW
                && sockets.get::<Socket>(handle).ack_delay().is_some();
        }
        let held = connection.corked.get() && after.0 == Phase::Established && after.2 < self.mtu;
        // TIME-WAIT ends when the program has read what is there, not by itself.
        let waits = before.0 == Phase::TimeWait && arrived.is_none();
        let mut tried = false;
        if arrived.is_none() && before.2 > 0 && !held && !waits {
            tried = true;
            // To try costs no more than to ask first, and nearly always there is something.
            self.interface.poll_egress(at, &mut wire, &mut sockets);
            // All that there was is on its way, and it is looked at again before it could be lost.
            rests = is_plain
                && connection.window.ends_with(before.2)
                && !connection.window.owes()
                && connection.scheduled.get() <= now + SHORTEST_RETRY;
        }
        let mut wanted = match rests {
            true if connection.window.owes() => Some(instant(now + ACK_DELAY)),
            true => None,
            false => self.interface.poll_at(at, &sockets),
        };
        let forgotten = |wanted: Option<Instant>, sockets: &mut SocketSet| {
            wanted.is_none_or(|at| at > instant(now + FORGOTTEN)) && {
                let (phase, _, queued, _) = look(sockets);
                queued > 0 && !matches!(phase, Phase::SynSent | Phase::SynReceived | Phase::Closed)
            }
        };
        // There is something to send, or to send again, and the state machine waits for nothing: segments were lost while the peer had no
        // room, which has it forget them. An acknowledgement that comes again makes it ask for room, a third one makes it send again.
        if arrived.is_none() && !rests && forgotten(wanted, &mut sockets) {
            tried = true;
            again = connection.window.acknowledged_again(&connection.key);
            for _ in 0..3 {
                wire.packet = again.as_deref();
                self.interface.poll_ingress_single(at, &mut wire, &mut sockets);
                wanted = self.interface.poll_at(at, &sockets);
                if !forgotten(wanted, &mut sockets) {
                    break;
                }
            }
        }
        if !held && !waits {
            while wanted.is_some_and(|wanted| wanted <= at) {
                tried = true;
                if self.interface.poll_egress(at, &mut wire, &mut sockets) == PollResult::None {
                    break;
                }
                wanted = self.interface.poll_at(at, &sockets);
            }
        }
        if connection.orphan.get() {
            let socket = sockets.get_mut::<Socket>(handle);
            if socket.recv_queue() > 0 && !connection.refused.replace(true) {
                // Nobody will ever read it: the peer is told so.
                socket.abort();
                tried = true;
                self.interface.poll_egress(at, &mut wire, &mut sockets);
                wanted = self.interface.poll_at(at, &sockets);
            }
        }
        if tried && !rests {
            after = look(&mut sockets);
        }
        let room = after.3;

        if before.0 == Phase::SynReceived && matches!(after.0, Phase::Established | Phase::CloseWait) {
            wakes.listener = established(connection);
        }
        if before.0 == Phase::SynSent && after.0 == Phase::Established {
            connection.doom.set(NEVER);
        }
        if after.0 != before.0
            || after.1 > before.1
            || (room && after.2 < before.2 && connection.starved.take())
        {
            wakes.connection = Some(connection.queue.clone());
        }
        let over = match after.0 {
            Phase::Closed => {
                if before.0 != Phase::Closed {
                    connection.error.set(reason(before.0, arrived.is_some_and(|(_, segment)| segment.reset)));
                }
                true
            }
            // A peer that was accepting took it back.
            Phase::Listen => true,
            Phase::TimeWait if connection.orphan.get() => {
                drop(sockets);
                self.time_wait.remember(connection.key, connection.last_word(), now);
                self.remove(connection);
                return wakes;
            }
            _ => false,
        };
        if over {
            drop(sockets);
            self.remove(connection);
            return wakes;
        }
        let forgotten = !rests && forgotten(wanted, &mut sockets);
        let deadline = match wanted {
            _ if waits => NEVER,
            _ if forgotten => now + SECOND,
            // Now, although it was just looked at: there was no room to send, or it is held back.
            Some(wanted) if wanted <= at => now + if held { SECOND / 5 } else { RETRY },
            Some(wanted) => wanted.total_micros() as u64 * 1000,
            None => NEVER,
        };
        let waits_to_answer =
            deadline > now + RETRY && deadline <= now + ACK_DELAY && connection.window.owes();
        let deadline = if waits_to_answer && self.owes(connection, now) { NEVER } else { deadline };
        let owes = after.2 > 0 || is_owing(after.0);
        connection.vigil.owes(owes, after.2 < before.2, now);
        self.schedule(connection, deadline.min(connection.doom.get()).min(connection.vigil.deadline()));
        wakes
    }
}

/// A connection is made: on to those that wait to be accepted.
fn established(connection: &Rc<Connection>) -> Option<Rc<Queue>> {
    connection.doom.set(NEVER);
    stack::count(Count::TcpPassive, 1);
    let listener = connection.listener.take().upgrade()?;
    listener.half_open.borrow_mut().retain(|other| !Rc::ptr_eq(other, connection));
    listener.ready.borrow_mut().push_back(connection.clone());
    if listener.is_full() {
        listener.full_since.set(tsc::now());
    }
    Some(listener.queue.clone())
}

/// Whether the peer's end can come in a phase, and whether it has.
fn may_end(phase: Phase) -> bool {
    matches!(phase, Phase::SynReceived | Phase::Established | Phase::FinWait1 | Phase::FinWait2)
}

/// Whether what the peer has not acknowledged is our request or our end.
fn is_owing(phase: Phase) -> bool {
    matches!(phase, Phase::SynSent | Phase::FinWait1 | Phase::Closing | Phase::LastAck)
}

fn has_ended(phase: Phase) -> bool {
    matches!(phase, Phase::CloseWait | Phase::Closing | Phase::TimeWait)
}

/// Why a connection in a phase is closed.
fn reason(before: Phase, reset: bool) -> Option<Errno> {
    match before {
        Phase::SynSent if reset => Some(Errno::ECONNREFUSED),
        Phase::CloseWait if reset => Some(Errno::EPIPE),
        _ if reset => Some(Errno::ECONNRESET),
        Phase::LastAck | Phase::TimeWait | Phase::Closing => None,
        _ => Some(Errno::ETIMEDOUT),
    }
}
