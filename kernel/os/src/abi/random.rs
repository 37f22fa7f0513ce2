//! `getrandom(2)`.

use super::entropy;
use super::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::MOST_AT_ONCE;
use crate::memory::paging::PAGE;
use crate::memory::user;
use linux_raw_sys::general::{__NR_getrandom, GRND_INSECURE, GRND_NONBLOCK, GRND_RANDOM};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

crate::register!("syscall": Handler = { __NR_getrandom => getrandom });

static GENERATOR: KernelCell<Option<ChaCha20Rng>> = KernelCell::new(None);

/// Fills a buffer with random bytes.
fn fill(bytes: &mut [u8]) {
    let mut generator = GENERATOR.borrow();
    let generator = generator.get_or_insert_with(|| {
        let mut seed = [0u8; 32];
        entropy::fill(&mut seed);
        ChaCha20Rng::from_seed(seed)
    });
    generator.fill_bytes(bytes);
}

fn getrandom(args: &Args) -> Result<u64> {
    let [to, count, flags, ..] = args.0;
    let flags = flags as u32;
    if flags & !(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) != 0
        || flags & (GRND_RANDOM | GRND_INSECURE) == GRND_RANDOM | GRND_INSECURE
    {
        return Err(Errno::EINVAL);
    }
    write_to_user(to, count)
}

/// Fills a buffer of the program, as far as it goes.
pub fn write_to_user(to: u64, count: u64) -> Result<u64> {
    let count = count.min(MOST_AT_ONCE);
    let mut chunk = [0u8; 256];
    let mut done = 0;
    while done < count {
        // Up to the end of a page: what lies behind that may not be there.
        let page_left = PAGE - (to + done) % PAGE;
        let length = chunk.len().min((count - done).min(page_left) as usize);
        fill(&mut chunk[..length]);
        match user::write_bytes(to + done, &chunk[..length]) {
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
            Ok(()) => {}
        }
        done += length as u64;
    }
    Ok(done)
}
