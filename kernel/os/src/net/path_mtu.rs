//! How large packets may be on the way to somebody (RFC 1191; RFC 8201).

use super::stack;
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::list;
use alloc::vec::Vec;
use core::net::IpAddr;

crate::register!("packet-too-big": fn(&IpAddr, usize) = { 10 => learn });
crate::register!("path-mtu": fn(&IpAddr) -> usize = { 10 => known });

/// How long a route is taken to stay narrow (RFC 8201, section 4).
const VALID: u64 = 600_000_000_000;
/// Destinations to remember: a forger cannot have more memory than this.
const MOST: usize = 64;

struct Path {
    destination: IpAddr,
    mtu: usize,
    until: u64,
}

static PATHS: KernelCell<Vec<Path>> = KernelCell::new(Vec::new());

fn learn(destination: &IpAddr, mtu: usize) {
    if mtu >= stack::mtu() {
        return;
    }
    let until = tsc::now() + VALID;
    let mut paths = PATHS.borrow();
    if let Some(path) = paths.iter_mut().find(|path| path.destination == *destination) {
        // Packets only ever get smaller by such a message: one that says otherwise is late, or a lie.
        path.mtu = path.mtu.min(mtu);
        path.until = until;
        return;
    }
    if paths.len() >= MOST {
        paths.remove(0);
    }
    let _ = list::push(&mut paths, Path { destination: *destination, mtu, until });
}

fn known(destination: &IpAddr) -> usize {
    let mut paths = PATHS.borrow();
    let Some(index) = paths.iter().position(|path| path.destination == *destination) else {
        return usize::MAX;
    };
    if paths[index].until > tsc::now() {
        return paths[index].mtu;
    }
    paths.remove(index);
    usize::MAX
}
