//! The family AF_VSOCK (`vsock(7)`): streams between a machine and its host, or of a machine with itself.
//!
//! Packets are those of the virtio socket device (VIRTIO 1.2, section 5.10), also where they never leave the machine: both ends of a
//! connection of the program with itself are there, as with Linux' `vsock_loopback`.

mod connection;
mod engine;
mod options;
pub mod packet;
mod ports;
mod socket;

pub use engine::{Link, attach, is_linked, own_cid, receive, renew, resume};
