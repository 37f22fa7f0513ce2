//! Sessions with the real app: typed keys in, screens and files out.

mod fixture;
mod screens;
mod sessions;
mod speed;
mod views;
