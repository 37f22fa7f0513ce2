//! Sessions with the real app: typed keys in, screens and files out.

mod fixture;
mod sessions;
mod speed;
mod views;
