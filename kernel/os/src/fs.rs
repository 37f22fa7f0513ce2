//! Files.
pub mod dev;
pub mod epoll;
pub mod eventfd;
pub mod fifo;
pub mod file;
pub mod memfd;
pub mod node;
pub mod packed;
pub mod path;
pub mod permissions;
pub mod pipe;
pub mod proc;
pub mod root;
pub mod stdio;
pub mod synthetic;
pub mod tmpfs;
