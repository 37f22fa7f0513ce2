//! The build backend of Bespoke.
#![forbid(unsafe_code)]

mod mangled;
pub mod object;
