//! Output and input.
pub mod input;
pub mod output;
pub mod print;
pub mod terminal;
