//! What tells a person what happens inside.
pub mod fault;
pub mod learn;
pub mod log;
pub mod metrics;
pub mod names;
pub mod refused;
pub mod refused_count;
pub mod trace;
