//! `/dev/random` and `/dev/urandom` (`random(4)`).

use super::Device;
use crate::abi::random;
use crate::errno::Result;
use crate::fs::file::{Access, File, Stat};
use crate::fs::synthetic::Names;
use alloc::rc::Rc;

crate::register!("device-file": fn(&mut Names) = { 10 => add });

/// By device number.
struct Random(u64);

fn add(names: &mut Names) {
    names.insert(b"random", Rc::new(Device { number: 0x108, open: || Ok(Rc::new(Random(0x108))) }));
    names.insert(b"urandom", Rc::new(Device { number: 0x109, open: || Ok(Rc::new(Random(0x109))) }));
}

impl File for Random {
    fn read(&self, to: u64, count: usize, _: Access) -> Result<usize> {
        random::write_to_user(to, count as u64).map(|done| done as usize)
    }

    /// What is written stirs the pool on Linux; here it is thanked for and dropped.
    fn write(&self, _: u64, count: usize, _: Access) -> Result<usize> {
        Ok(count)
    }

    fn stat(&self) -> Stat {
        Device::stat_of(self.0)
    }
}
