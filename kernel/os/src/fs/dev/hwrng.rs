//! `/dev/hwrng`: the bytes of the machine's entropy device.

use super::Device;
use crate::driver::virtio_rng;
use crate::errno::{Errno, Result};
use crate::fs::file::{Access, File, Stat};
use crate::fs::synthetic::Names;
use crate::memory::user;
use alloc::rc::Rc;

crate::register!("device-file": fn(&mut Names) = { 10 => add });

const NUMBER: u64 = 10 << 8 | 183;

struct Generator;

fn add(names: &mut Names) {
    if virtio_rng::is_there() {
        names.insert(b"hwrng", Rc::new(Device { number: NUMBER, open: || Ok(Rc::new(Generator)) }));
    }
}

impl File for Generator {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        let mut chunk = [0; 64];
        let mut done = 0;
        while done < count {
            let wanted = chunk.len().min(count - done);
            match virtio_rng::read(&mut chunk[..wanted], !access.nonblocking) {
                Ok(got) => {
                    user::write_bytes(to + done as u64, &chunk[..got])?;
                    done += got;
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn stat(&self) -> Stat {
        Device::stat_of(NUMBER)
    }
}
