//! `/dev/null` (`null(4)`).

use super::Device;
use crate::errno::Result;
use crate::fs::file::{Access, File, Stat};
use crate::fs::synthetic::Names;
use alloc::rc::Rc;

crate::register!("device-file": fn(&mut Names) = { 10 => add });

const NUMBER: u64 = 0x103;

struct Null;

fn add(names: &mut Names) {
    names.insert(b"null", Rc::new(Device { number: NUMBER, open: || Ok(Rc::new(Null)) }));
}

impl File for Null {
    fn read(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Ok(0)
    }

    fn write(&self, _: u64, count: usize, _: Access) -> Result<usize> {
        Ok(count)
    }

    fn stat(&self) -> Stat {
        Device::stat_of(NUMBER)
    }
}
