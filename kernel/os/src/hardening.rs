//! What makes mistakes harder to exploit.
pub mod aslr;
pub mod guard_pages;
pub mod isolation;
pub mod smap;
pub mod wx;
