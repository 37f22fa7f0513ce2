//! Where text goes and comes from.
pub mod output;
pub mod print;
