//! Files.
pub mod file;
pub mod null;
pub mod root;
pub mod stdio;
