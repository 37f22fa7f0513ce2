//! What processes share.
pub mod sysv;
