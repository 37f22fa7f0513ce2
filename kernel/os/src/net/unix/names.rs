//! Under which names sockets are found: paths, and names that are in no file system.

use super::Unix;
use crate::abi::open::masked;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::Stat;
use crate::fs::node::{Event, Name, Wish, permit, tell};
use crate::fs::path::{self, Last};
use crate::list;
use crate::net::socket::AF_UNIX;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general::{S_IFSOCK, W_OK};

/// Bytes of a path (`struct sockaddr_un`).
const PATH: usize = 108;

/// What a socket is bound to.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// A node: its file system and its inode there.
    Node(u64, u64),
    Abstract(Vec<u8>),
}

impl Place {
    fn of(stat: &Stat) -> Self {
        Self::Node(stat.filesystem, stat.inode)
    }
}

/// Bound sockets.
static PLACES: KernelCell<Vec<(Place, Weak<Unix>)>> = KernelCell::new(Vec::new());

/// The address of a socket without a name.
pub fn nameless() -> Vec<u8> {
    AF_UNIX.to_le_bytes().to_vec()
}

/// The path or abstract name in an address; empty: none.
fn parse(name: &[u8]) -> Result<&[u8]> {
    let (family, path) = name.split_first_chunk::<2>().ok_or(Errno::EINVAL)?;
    if u16::from_le_bytes(*family) != AF_UNIX {
        return Err(Errno::EINVAL);
    }
    if path.len() > PATH {
        return Err(Errno::EINVAL);
    }
    match path.first() {
        // Abstract: every byte counts.
        None | Some(0) => Ok(path),
        _ => Ok(path.split(|&byte| byte == 0).next().unwrap_or_default()),
    }
}

/// The socket that is bound to an address.
pub fn find(name: &[u8]) -> Result<Rc<Unix>> {
    let path = parse(name)?;
    let place = match path.first() {
        None => return Err(Errno::EINVAL),
        Some(0) => Place::Abstract(path.to_vec()),
        _ => {
            let found = path::resolve(&path::working_directory(), path, true)?;
            permit(&*found.node, Wish::Use(W_OK))?;
            Place::of(&found.node.stat())
        }
    };
    let places = PLACES.borrow();
    let found = places.iter().find(|(other, _)| *other == place);
    found.and_then(|(_, socket)| socket.upgrade()).ok_or(Errno::ECONNREFUSED)
}

fn address(path: &[u8]) -> Vec<u8> {
    let mut name = nameless();
    name.extend_from_slice(path);
    if path.first().is_some_and(|&byte| byte != 0) {
        name.push(0);
    }
    name
}

/// Forgets sockets that are gone.
pub fn forget() {
    PLACES.borrow().retain(|(_, socket)| socket.strong_count() > 0);
}

impl Unix {
    /// Who tells of itself needs a name: an abstract one, if it has none (`unix(7)`, autobind).
    pub(super) fn name_itself(&self) -> Result<()> {
        let is_told = self.common.pass_credentials.get() && self.place.borrow().is_none();
        if is_told { self.bind_to(&nameless()) } else { Ok(()) }
    }

    pub(super) fn bind_to(&self, name: &[u8]) -> Result<()> {
        let path = parse(name)?;
        if self.place.borrow().is_some() {
            return Err(Errno::EINVAL);
        }
        let (place, path) = match path.first() {
            // Nothing but the family: any abstract name (`unix(7)`, autobind).
            None => {
                let mut seed = [0; 4];
                crate::abi::entropy::fill(&mut seed);
                let number = u32::from_le_bytes(seed) & 0xf_ffff;
                let digits = (0..5).map(|digit| b"0123456789abcdef"[(number >> (4 * digit) & 15) as usize]);
                let name: Vec<u8> = core::iter::once(0).chain(digits).collect();
                (Place::Abstract(name.clone()), name)
            }
            Some(0) => (Place::Abstract(path.to_vec()), path.to_vec()),
            _ => {
                let target = path::walk(&path::working_directory(), path, Last::Name)?;
                if target.found.is_some() || target.name().is_empty() {
                    return Err(Errno::EADDRINUSE);
                }
                let (directory, name) = (&target.directory, target.name());
                permit(&**directory, Wish::Use(W_OK))?;
                let node = directory.create(name, S_IFSOCK | masked(0o777), &[])?;
                tell(&Event::Created(Name { directory, name, node: &node }));
                (Place::of(&node.stat()), path.to_vec())
            }
        };
        let mut places = PLACES.borrow();
        if places.iter().any(|(other, socket)| *other == place && socket.strong_count() > 0) {
            return Err(Errno::EADDRINUSE);
        }
        list::push(&mut places, (place.clone(), self.this.clone()))?;
        *self.place.borrow_mut() = Some(place);
        *self.name.borrow_mut() = address(&path);
        Ok(())
    }
}
