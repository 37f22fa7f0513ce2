//! Files in memory.

mod data;
mod file;
mod memory;

use self::data::Data;
use self::memory::{Content, Memory};
use super::mounts::Mount;
use super::node::Node;
use super::packed;
use crate::abi::clock::time_of_day;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

crate::register!("mount": fn(&mut Vec<Mount>) = { 10 => mount });

crate::param! {
    /// Mount points.
    static AT: &'static str = "at"
}
crate::param! {
    /// Bytes in a file.
    static LIMIT: u64 = "limit"
}

fn mount(mounts: &mut Vec<Mount>) {
    for path in AT.get().split_ascii_whitespace() {
        let path = path.trim_end_matches('/').as_bytes();
        // What is packed there shows through.
        let root = match packed::find(path) {
            Some(entry) if entry.is_directory() => over(entry),
            _ => Memory::new(S_IFDIR | 0o1777, Content::Directory(Vec::new()), time_of_day()),
        };
        mounts.push(Mount { path: path.to_vec(), root });
    }
}

/// A file without a name; `seals` as `F_GET_SEALS` tells them.
pub fn anonymous(seals: u32) -> Rc<dyn Node> {
    let data = Data::Pages { frames: Vec::new(), size: 0 };
    let node = Memory::new(S_IFREG | 0o777, Content::File(data), time_of_day());
    node.links.set(0);
    node.seals.set(seals);
    node
}

/// A writable directory that starts with what a packed one holds.
pub fn over(entry: &'static packed::Entry) -> Rc<dyn Node> {
    Memory::from_packed(entry)
}
