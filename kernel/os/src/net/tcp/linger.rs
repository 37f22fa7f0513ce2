//! Closing that waits until the peer has everything (SO_LINGER, `socket(7)`).

use super::connection::Connection;
use crate::driver::tsc;
use crate::net::stack;
use crate::sched::{thread, timer};
use smoltcp::socket::tcp::State as Phase;

const SECOND: u64 = 1_000_000_000;

/// Waits until a closed connection's peer has acknowledged all, its end included, but not longer than so many seconds; a signal ends it too. As on
/// Linux it does not matter whether the socket was one that does not wait, and what came of it is not told.
pub fn wait(connection: &Connection, seconds: u64) {
    let deadline = tsc::now().saturating_add(seconds.saturating_mul(SECOND));
    let this = thread::current();
    stack::run();
    while matches!(connection.phase(), Phase::FinWait1 | Phase::Closing | Phase::LastAck)
        && tsc::now() < deadline
    {
        connection.queue.join(&this);
        let woken = timer::wait_interruptibly_until(Some(deadline));
        connection.queue.leave(&this);
        if woken.is_err() {
            break;
        }
    }
}
