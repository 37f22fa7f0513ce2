//! Options of IP that are remembered as Linux remembers them (`ip(7)`, `ipv6(7)`). Datagrams are sent with some of them; the others change nothing
//! here.

use super::{SOL_IP, SOL_IPV6, STREAM, byte};
use crate::errno::{Errno, Result};
use crate::net::socket::{self, Common};
use linux_raw_sys::net::*;

/// What an option is before anybody sets it; `None`: it is none of these.
fn first(level: u32, name: u32) -> Option<i32> {
    match (level, name) {
        (SOL_IP, IP_TOS | IP_RECVERR | IP_BIND_ADDRESS_NO_PORT | IP_FREEBIND | IP_TRANSPARENT) => Some(0),
        (SOL_IPV6, IPV6_RECVERR | IPV6_TCLASS) => Some(0),
        (SOL_IP, IP_MTU_DISCOVER) | (SOL_IPV6, IPV6_MTU_DISCOVER) => Some(1),
        (SOL_IPV6, IPV6_UNICAST_HOPS) => Some(64),
        _ => None,
    }
}

/// Sets an option. `None`: it is none of these.
pub fn set(common: &Common, level: u32, name: u32, value: &[u8]) -> Option<Result<()>> {
    let first = first(level, name)?;
    let number = if level == SOL_IP { byte(value) } else { socket::number(value) };
    let value = match number {
        Ok(number) => number as i32,
        Err(error) => return Some(Err(error)),
    };
    // Two bits are TCP's own, for what it tells of congestion.
    let reserved = if common.kind == STREAM { 3 } else { 0 };
    let kept = match (level, name) {
        (SOL_IP, IP_TOS) => value & 0xff & !reserved,
        (SOL_IPV6, IPV6_TCLASS) if value == -1 => first,
        (SOL_IPV6, IPV6_TCLASS) if (0..=255).contains(&value) => value & !reserved,
        (SOL_IPV6, IPV6_UNICAST_HOPS) if value == -1 => first,
        (SOL_IPV6, IPV6_UNICAST_HOPS) if (0..=255).contains(&value) => value,
        (SOL_IP, IP_MTU_DISCOVER) | (SOL_IPV6, IPV6_MTU_DISCOVER) if (0..=5).contains(&value) => value,
        (SOL_IPV6, IPV6_TCLASS | IPV6_UNICAST_HOPS | IPV6_MTU_DISCOVER) | (SOL_IP, IP_MTU_DISCOVER) => {
            return Some(Err(Errno::EINVAL));
        }
        _ => i32::from(value != 0),
    };
    Some(common.remember(level, name, kept))
}

/// What an option is. `None`: it is none of these.
pub fn get(common: &Common, level: u32, name: u32) -> Option<u32> {
    let first = first(level, name)?;
    Some(common.remembered(level, name).unwrap_or(first) as u32)
}
