//! What was written is sent, also when the program has ended: Linux' kernel outlives the programs, this one ends with its only one.

use super::connection::Connection;
use super::engine;
use crate::boot::fault;
use crate::driver::tsc;
use crate::net::stack;
use crate::sched::thread::wait_until;
use alloc::rc::Rc;
use smoltcp::socket::tcp::State as Phase;

crate::param! {
    static FAREWELL: u64 = "farewell"
}

crate::register!("poweroff": fn(u8) = { 3 => end });

/// Closes all connections, as the end of a process does, and waits until their peers have everything.
fn end(status: u8) {
    // A kernel that failed is in the middle of something.
    if status == fault::KERNEL_FAILED {
        return;
    }
    for connection in engine::connections().iter().filter(|connection| is_made(connection)) {
        connection.release(false);
    }
    let deadline = tsc::now().saturating_add(FAREWELL.get());
    wait_until(|| {
        stack::at(deadline);
        stack::run();
        tsc::now() >= deadline || !engine::connections().iter().any(owes)
    });
}

/// Made, and not yet closed by the program.
fn is_made(connection: &Rc<Connection>) -> bool {
    matches!(connection.phase(), Phase::Established | Phase::CloseWait)
}

/// Whether a peer elsewhere has not acknowledged all there is for it, our end included.
fn owes(connection: &Rc<Connection>) -> bool {
    matches!(connection.phase(), Phase::FinWait1 | Phase::Closing | Phase::LastAck)
        && !stack::is_own(&connection.key.remote)
}
