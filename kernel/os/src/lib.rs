//! The library OS: one program, one address space, the parts it needs.
//!
//! Everything here is compiled once, into one relocatable object with a section per function and per datum; a build links
//! what the chosen components register and what is reachable from there. So no `cfg` selects a component, and a module
//! under this crate is a component with its declaration (`.toml`) beside it. [`compose`] holds the few macros that speak to the composer.
//!
//! One CPU, interrupts off in kernel code: a component's state lives in a [`cell::KernelCell`].
#![no_std]

extern crate alloc;

pub mod abi;
pub mod boot;
pub mod cell;
pub mod compose;
pub mod console;
pub mod debug;
pub mod driver;
pub mod errno;
pub mod fs;
pub mod hardening;
pub mod ipc;
pub mod list;
pub mod memory;
pub mod net;
pub mod sched;
pub mod typed;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    boot::fault::panicked(info)
}
