//! Output and input.
pub mod discipline;
pub mod input;
pub mod output;
pub mod print;
pub mod terminal;
