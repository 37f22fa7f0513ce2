//! Who sent what (SCM_CREDENTIALS, SO_PASSCRED; `unix(7)`).

use super::{Beside, Receiver, Sender};
use crate::abi::process::credentials;
use crate::errno::{Errno, Result};
use crate::net::socket::control::Messages;
use linux_raw_sys::net::SOL_SOCKET;

crate::register!("pack-control": fn(&[u8], &mut Beside) -> Result<()> = { SCM_CREDENTIALS => pack });
crate::register!("unpack-control": fn(&mut Beside, Receiver, &mut Messages) = { 10 => unpack });

const SCM_CREDENTIALS: u32 = 2;
/// Of whom nothing is known: no process, and the ids that stand for those without one (`/proc/sys/kernel/overflowuid`).
const NOBODY: Sender = [0, 65534, 65534];

/// A program may say of itself what is true, real, effective or saved; root may say anything of processes that there are.
fn pack(value: &[u8], beside: &mut Beside) -> Result<()> {
    let words: &[u8; 12] = value.try_into().map_err(|_| Errno::EINVAL)?;
    let word = |at: usize| u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
    let [process, user, group] = [word(0), word(4), word(8)];
    let who = credentials();
    if user == u32::MAX || group == u32::MAX {
        return Err(Errno::EINVAL);
    }
    let may = process == 1 && who.users.contains(&user) && who.groups.contains(&group);
    if !may && !who.is_root() {
        return Err(Errno::EPERM);
    }
    if process != 1 {
        return Err(Errno::ESRCH);
    }
    beside.sender = Some([process, user, group]);
    Ok(())
}

fn unpack(beside: &mut Beside, receiver: Receiver, messages: &mut Messages) {
    if receiver.wants_sender {
        let mut value = [0; 12];
        for (bytes, word) in value.chunks_exact_mut(4).zip(beside.sender.unwrap_or(NOBODY)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        messages.add(SOL_SOCKET, SCM_CREDENTIALS, &value);
    }
}
