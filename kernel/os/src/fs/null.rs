//! `/dev/null`.

use super::file::{Access, File, Stat};
use crate::errno::Result;
use alloc::rc::Rc;
use linux_raw_sys::general::S_IFCHR;

crate::register!("device-file": fn(&[u8]) -> Option<Rc<dyn File>> = { 10 => open });

struct Null;

fn open(path: &[u8]) -> Option<Rc<dyn File>> {
    (path == b"/dev/null").then(|| Rc::new(Null) as Rc<dyn File>)
}

impl File for Null {
    fn read(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Ok(0)
    }
    fn write(&self, _: u64, count: usize, _: Access) -> Result<usize> {
        Ok(count)
    }
    fn stat(&self) -> Stat {
        Stat { mode: S_IFCHR | 0o666, links: 1, device: 0x103, ..Stat::default() }
    }
}
