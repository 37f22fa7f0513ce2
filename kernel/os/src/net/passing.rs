//! Control messages that carry descriptors (`cmsg(3)`, `unix(7)`).

use crate::errno::{Errno, Result};
use crate::fs::file::{self, Description};
use crate::list;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::net::SOL_SOCKET;

crate::register!("pack-rights": fn(&[u8]) -> Result<Vec<Rc<Description>>> = { 10 => pack });
crate::register!("unpack-rights": fn(Vec<Rc<Description>>, usize, bool, &mut Vec<u8>) -> bool = { 10 => unpack });

/// `struct cmsghdr`: length with the header (8 bytes), level, type.
const HEADER: usize = 16;
const SCM_RIGHTS: u32 = 1;
/// Descriptors in a message at most (SCM_MAX_FD).
const MOST: usize = 253;

fn pack(mut control: &[u8]) -> Result<Vec<Rc<Description>>> {
    let mut rights = Vec::new();
    while let Some((header, _)) = control.split_first_chunk::<HEADER>() {
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = word(0) as usize;
        if length < HEADER || length > control.len() || word(4) != 0 {
            return Err(Errno::EINVAL);
        }
        if (word(8), word(12)) == (SOL_SOCKET, SCM_RIGHTS) {
            for fd in control[HEADER..length].chunks_exact(4) {
                if rights.len() >= MOST {
                    return Err(Errno::EINVAL);
                }
                let fd = u32::from_le_bytes([fd[0], fd[1], fd[2], fd[3]]);
                list::push(&mut rights, file::get(u64::from(fd))?)?;
            }
        }
        control = control.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(rights)
}

fn unpack(rights: Vec<Rc<Description>>, room: usize, close_on_exec: bool, control: &mut Vec<u8>) -> bool {
    let fitting = room.saturating_sub(HEADER) / 4;
    let count = rights.len();
    let fds: Vec<u32> = rights
        .into_iter()
        .take(fitting)
        .map_while(|description| file::insert(description, close_on_exec, 0).ok())
        .map(|fd| fd as u32)
        .collect();
    if !fds.is_empty() {
        control.extend(((HEADER + 4 * fds.len()) as u64).to_le_bytes());
        control.extend(SOL_SOCKET.to_le_bytes());
        control.extend(SCM_RIGHTS.to_le_bytes());
        control.extend(fds.iter().flat_map(|fd| fd.to_le_bytes()));
        while !control.len().is_multiple_of(8) && control.len() < room {
            control.extend([0]);
        }
    }
    fds.len() == count
}
