//! What tells a person what happens inside.
pub mod fault;
pub mod log;
pub mod refused;
