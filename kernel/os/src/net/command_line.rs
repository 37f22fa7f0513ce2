//! This machine's address from the monitor's command line, as Unikraft has it: `netdev.ip=ADDRESS/PREFIX[:GATEWAY[:SERVER[:SERVER…]]]`.
//!
//! Any field may be empty. Without a valid address all of it is ignored.

use super::ipv4;
use crate::boot::pvh::StartInfo;
use core::net::{IpAddr, Ipv4Addr};

// Behind the address that is configured.
crate::register!("init": fn(&StartInfo) = { 61 => init });

// Told of name servers that the network has, and for how many seconds.
crate::hook!(fn name_servers() -> "name-server": fn(&IpAddr, u32));

fn init(info: &StartInfo) {
    let mut words = info.command_line().split(|&byte| byte == b' ');
    if let Some(text) = words.find_map(|word| core::str::from_utf8(word.strip_prefix(b"netdev.ip=")?).ok()) {
        configure(text);
    }
}

fn configure(text: &str) -> Option<()> {
    let mut fields = text.split(':');
    let network = fields.next()?;
    let (address, prefix) = network.split_once('/').unwrap_or((network, "32"));
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
    let gateway = fields.next().and_then(|gateway| gateway.parse().ok());
    ipv4::configure(address.parse().ok()?, prefix, gateway.unwrap_or(Ipv4Addr::UNSPECIFIED));
    for server in fields.take(2).filter_map(|server| server.parse::<Ipv4Addr>().ok()) {
        for entry in name_servers() {
            (entry.item)(&server.into(), u32::MAX);
        }
    }
    Some(())
}
