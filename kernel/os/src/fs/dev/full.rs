//! `/dev/full` (`full(4)`).

use super::Device;
use crate::errno::{Errno, Result};
use crate::fs::file::{Access, File, Stat};
use crate::fs::synthetic::Names;
use crate::memory::user;
use alloc::rc::Rc;

crate::register!("device-file": fn(&mut Names) = { 10 => add });

const NUMBER: u64 = 0x107;

struct Full;

fn add(names: &mut Names) {
    names.insert(b"full", Rc::new(Device { number: NUMBER, open: || Ok(Rc::new(Full)) }));
}

impl File for Full {
    fn read(&self, to: u64, count: usize, _: Access) -> Result<usize> {
        user::fill_zeroes(to, count)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::ENOSPC)
    }

    fn stat(&self) -> Stat {
        Device::stat_of(NUMBER)
    }
}
