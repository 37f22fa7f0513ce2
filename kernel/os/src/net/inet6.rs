//! The family AF_INET6 (`ipv6(7)`). Names and ports are [`super::inet`]'s.

use super::inet;
use super::socket::{AF_INET6, Family, Protocol};
use crate::errno::Result;
use alloc::rc::Rc;

crate::register!("socket-family": Family = { AF_INET6 => create });

fn create(kind: u32, protocol: u32) -> Result<Rc<dyn Protocol>> {
    inet::create_in(AF_INET6, kind, protocol)
}
