//! Whether the program may be promised more memory than there is.
pub mod always;
pub mod heuristic;
pub mod strict;

crate::choice! {
    /// Whether to grant this many more bytes that the program may write to. Not `reserves`: it has said that it will not use them all.
    pub fn allows(bytes: u64, reserves: bool) -> bool;
}
