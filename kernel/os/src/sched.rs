//! Threads and time.
pub mod affinity;
pub mod clone;
pub mod fpu;
pub mod futex;
pub mod policy;
pub mod post;
pub mod signal;
pub mod signal_wait;
pub mod sleep;
pub mod thread;
pub mod timer;
pub mod trap;
pub mod wait;
pub mod wait_many;
pub mod yielding;
