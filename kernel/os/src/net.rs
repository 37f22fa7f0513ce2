//! The network, from frames to sockets.
pub mod arp;
pub mod dhcp;
pub mod ethernet;
pub mod icmp;
pub mod inet;
pub mod ipv4;
pub mod loopback;
pub mod messages;
pub mod passing;
pub mod socket;
pub mod socketpair;
pub mod stack;
pub mod tcp;
pub mod timeouts;
pub mod udp;
pub mod unix;
