//! `/dev/zero` (`zero(4)`).

use super::Device;
use crate::errno::Result;
use crate::fs::file::{Access, File, Stat};
use crate::fs::synthetic::Names;
use crate::memory::user;
use alloc::rc::Rc;

crate::register!("device-file": fn(&mut Names) = { 10 => add });

const NUMBER: u64 = 0x105;

struct Zero;

fn add(names: &mut Names) {
    names.insert(b"zero", Rc::new(Device { number: NUMBER, open: || Ok(Rc::new(Zero)) }));
}

impl File for Zero {
    fn read(&self, to: u64, count: usize, _: Access) -> Result<usize> {
        user::fill_zeroes(to, count)
    }

    fn write(&self, _: u64, count: usize, _: Access) -> Result<usize> {
        Ok(count)
    }

    fn stat(&self) -> Stat {
        Device::stat_of(NUMBER)
    }
}
