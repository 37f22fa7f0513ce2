//! The build backend of Bespoke.
#![forbid(unsafe_code)]

mod image;
mod mangled;
pub mod object;
pub mod program;
pub mod run;
