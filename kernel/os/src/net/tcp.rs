//! TCP (RFC 9293): smoltcp's state machine for each connection, below the socket interface.
//!
//! smoltcp finds the socket for a packet by asking each. Here every connection is a socket set of its own, found in a table by its addresses
//! and driven alone, so that the cost of a packet does not grow with the number of connections. A listener is no smoltcp socket at all:
//! one is made when a SYN comes. Of a connection that waits for stray packets of the past (TIME-WAIT), the last packet is kept, and no
//! buffer.
//!
//! What cannot be separated: smoltcp's TCP speaks both versions of IP.

mod buffer;
pub mod congestion;
pub mod connection;
pub mod engine;
mod farewell;
mod linger;
pub mod listener;
pub mod marks;
mod options;
mod requests;
pub mod segment;
mod socket;
mod table;
mod time_wait;
mod transfer;
pub mod urgent;
mod vigil;
mod window;
mod wire;
