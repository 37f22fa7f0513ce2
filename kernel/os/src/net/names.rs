//! The files that C libraries find names with (`resolv.conf(5)`, `hosts(5)`, `nsswitch.conf(5)`).
//!
//! A program may ask before the network has told of a server: opening `resolv.conf` waits for that a little.

use super::stack::NEVER;
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::fs::mounts::Mount;
use crate::fs::packed;
use crate::fs::synthetic::{Names, Text, Writer};
use crate::list;
use crate::sched::timer;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::IpAddr;

crate::param! {
    static SERVERS: &'static str = "servers"
}
crate::param! {
    static SEARCH: &'static str = "search"
}
crate::param! {
    static HOSTS: &'static str = "hosts"
}

crate::register!("mount": fn(&mut Vec<Mount>) = { 40 => mount });
crate::register!("name-server": fn(&IpAddr, u32) = { 10 => learn });

// Whether the network is about to tell of name servers.
crate::hook!(fn pending() -> "configuring": fn() -> bool);

/// Servers that a C library asks (`MAXNS`).
const MOST: usize = 3;
const SECOND: u64 = 1_000_000_000;
/// How long the network may take to tell of a server, and how often that is looked at.
const PATIENCE: u64 = 3 * SECOND;
const LOOK_EVERY: u64 = SECOND / 100;

/// Servers that the network told of, and until when they are good.
static LEARNED: KernelCell<Vec<(IpAddr, u64)>> = KernelCell::new(Vec::new());

/// Somebody told of a server, for so many seconds: all ones are for ever, zero is no longer.
fn learn(server: &IpAddr, seconds: u32) {
    let until = match seconds {
        u32::MAX => NEVER,
        seconds => tsc::now() + u64::from(seconds) * SECOND,
    };
    let mut learned = LEARNED.borrow();
    learned.retain(|(known, _)| known != server);
    if seconds > 0 && learned.len() < MOST {
        let _ = list::push(&mut learned, (*server, until));
    }
}

/// Mounts the files that are not packed: each alone, or the whole directory if there is none.
fn mount(mounts: &mut Vec<Mount>) {
    const FILES: [(&[u8], Writer); 3] =
        [(b"resolv.conf", resolver), (b"hosts", hosts), (b"nsswitch.conf", services)];
    if packed::find(b"/etc").is_none() {
        let mut names = Names(Vec::new());
        for (name, text) in FILES {
            names.insert(name, Rc::new(Text(text)));
        }
        mounts.push(Mount { path: b"/etc".to_vec(), root: names.into_directory() });
        return;
    }
    for (name, text) in FILES {
        let path = [b"/etc/", name].concat();
        if packed::find(&path).is_none() {
            mounts.push(Mount { path, root: Rc::new(Text(text)) });
        }
    }
}

fn has_servers() -> bool {
    let now = tsc::now();
    LEARNED.borrow().iter().any(|(_, until)| *until > now)
}

fn resolver(text: &mut Vec<u8>) {
    if !SEARCH.get().is_empty() {
        text.extend(format!("search {}\n", SEARCH.get()).into_bytes());
    }
    if !SERVERS.get().is_empty() {
        for server in SERVERS.get().split_ascii_whitespace() {
            text.extend(format!("nameserver {server}\n").into_bytes());
        }
        return;
    }
    let deadline = tsc::now() + PATIENCE;
    while !has_servers() && tsc::now() < deadline && pending().iter().any(|one| (one.item)()) {
        timer::wait_until(tsc::now() + LOOK_EVERY);
    }
    let now = tsc::now();
    for (server, _) in LEARNED.borrow().iter().filter(|(_, until)| *until > now) {
        text.extend(format!("nameserver {server}\n").into_bytes());
    }
}

fn hosts(text: &mut Vec<u8>) {
    text.extend(b"127.0.0.1\tlocalhost\n::1\tlocalhost\n");
    for line in HOSTS.get().split(';').map(str::trim).filter(|line| !line.is_empty()) {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
}

fn services(text: &mut Vec<u8>) {
    text.extend(b"passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n");
}
