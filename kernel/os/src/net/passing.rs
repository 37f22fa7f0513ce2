//! Control messages that carry descriptors (`unix(7)`).

use super::socket::control::Messages;
use super::unix::{Beside, Receiver};
use crate::errno::{Errno, Result};
use crate::fs::file;
use crate::list;
use alloc::vec::Vec;
use linux_raw_sys::net::SOL_SOCKET;

crate::register!("pack-control": fn(&[u8], &mut Beside) -> Result<()> = { SCM_RIGHTS => pack });
crate::register!("unpack-control": fn(&mut Beside, Receiver, &mut Messages) = { 20 => unpack });

const SCM_RIGHTS: u32 = 1;
/// Descriptors in a message at most (SCM_MAX_FD).
const MOST: usize = 253;

fn pack(value: &[u8], beside: &mut Beside) -> Result<()> {
    for fd in value.chunks_exact(4) {
        if beside.rights.len() >= MOST {
            return Err(Errno::EINVAL);
        }
        let fd = u32::from_le_bytes([fd[0], fd[1], fd[2], fd[3]]);
        list::push(&mut beside.rights, file::get_place(u64::from(fd))?)?;
    }
    Ok(())
}

/// What finds no room, neither in the message nor in the table of descriptors, is closed.
fn unpack(beside: &mut Beside, receiver: Receiver, messages: &mut Messages) {
    let rights = core::mem::take(&mut beside.rights);
    let count = rights.len();
    let fds: Vec<u32> = rights
        .into_iter()
        .take(messages.left() / 4)
        .map_while(|description| file::insert(description, receiver.closes_on_exec, 0).ok())
        .map(|fd| fd as u32)
        .collect();
    if !fds.is_empty() {
        let bytes: Vec<u8> = fds.iter().flat_map(|fd| fd.to_le_bytes()).collect();
        messages.add(SOL_SOCKET, SCM_RIGHTS, &bytes);
    }
    messages.is_cut |= fds.len() < count;
}
