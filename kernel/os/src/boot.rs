//! From the first instruction to the program's, and back to power-off.
pub mod arguments;
pub mod fault;
pub mod poweroff;
pub mod pvh;
pub mod start;
pub mod unikraft;
