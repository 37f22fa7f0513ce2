//! Folders that the host shares, by 9P2000.L over virtio (VIRTIO 1.2, section 5.9, and the protocol's description in diod).
mod client;
mod message;
mod node;

use self::client::Client;
use super::mounts::Mount;
use super::node::Node;
use crate::cell::KernelCell;
use crate::driver::virtio::{self, Driver, Transport};
use crate::driver::virtio_requests::Requests;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// The device's type (section 5).
const TRANSPORT_9P: u64 = 9;
crate::register!("virtio-device": fn(Rc<dyn Transport>) -> Option<Rc<dyn Driver>> = { TRANSPORT_9P => start });
crate::register!("mount": fn(&mut Vec<Mount>) = { 30 => mount });

/// The device says by which name it wants to be mounted.
const FEATURE_TAG: u64 = 1;

struct Share {
    requests: Rc<Requests>,
    /// Where it is mounted.
    place: Vec<u8>,
}

static SHARES: KernelCell<Vec<Rc<Share>>> = KernelCell::new(Vec::new());

fn start(transport: Rc<dyn Transport>) -> Option<Rc<dyn Driver>> {
    virtio::negotiate(&*transport, FEATURE_TAG)?;
    let length = u16::from_le_bytes([transport.config(0), transport.config(1)]);
    let tag: Vec<u8> = (0..usize::from(length)).map(|index| transport.config(2 + index)).collect();
    let tag = tag.split(|&byte| byte == 0).next().unwrap_or(&[]);
    // The tag is the place; one that is not a path names a folder at the root.
    let mut place = if tag.starts_with(b"/") { Vec::new() } else { b"/".to_vec() };
    place.extend_from_slice(tag);
    // One request at a time: what is asked, and room for the answer.
    let requests = Requests::new(transport.clone(), 0, 2, 1)?;
    let share = Rc::new(Share { requests, place });
    virtio::ready(&*transport);
    SHARES.borrow().push(share.clone());
    Some(share)
}

impl Driver for Share {
    fn interrupt(&self) {
        self.requests.collect();
    }
}

fn mount(mounts: &mut Vec<Mount>) {
    /// The first number of a file system that is not a disk's.
    const FIRST: u64 = 0x100;
    let shares = SHARES.borrow().clone();
    for (index, share) in shares.iter().enumerate() {
        let attached = Client::new(share.requests.clone(), FIRST + index as u64).and_then(node::attach);
        match attached {
            Ok(root) => mounts.push(Mount { path: share.place.clone(), root: root as Rc<dyn Node> }),
            Err(error) => {
                let place = core::str::from_utf8(&share.place).unwrap_or("?");
                crate::println!("bespoke: the share {place} is not there: error {}", error.0);
            }
        }
    }
}
