//! `/dev/vsock` (`vsock(7)`).

use super::Device;
use crate::errno::{Errno, Result};
use crate::fs::file::{Access, File, Stat};
use crate::fs::synthetic::Names;
use crate::memory::user;
use crate::net::vsock;
use alloc::rc::Rc;

crate::register!("device-file": fn(&mut Names) = { 10 => add });

/// A minor number of those that Linux gives out as they come.
const NUMBER: u64 = 0xa7a;
const IOCTL_VM_SOCKETS_GET_LOCAL_CID: u32 = 0x7b9;

struct Vsock;

fn add(names: &mut Names) {
    names.insert(b"vsock", Rc::new(Device { number: NUMBER, open: || Ok(Rc::new(Vsock)) }));
}

impl File for Vsock {
    fn read(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn stat(&self) -> Stat {
        Device::stat_of(NUMBER)
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        match request {
            IOCTL_VM_SOCKETS_GET_LOCAL_CID => user::write(argument, &vsock::own_cid()).map(|()| 0),
            _ => Err(Errno::ENOTTY),
        }
    }
}
