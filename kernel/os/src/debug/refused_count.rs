//! At the end: the calls that nobody served, and how often they were made.

use super::{names, refused};
use crate::cell::KernelCell;

crate::register!("refused": fn(u64) = { 20 => count });
// Before the machine goes.
crate::register!("poweroff": fn(u8) = { 1 => tell });

/// By number; those beyond count as the last.
static COUNTS: KernelCell<[u32; 512]> = KernelCell::new([0; 512]);

fn count(number: u64) {
    if refused::is_optional(number) {
        return;
    }
    let mut counts = COUNTS.borrow();
    let index = (number as usize).min(counts.len() - 1);
    counts[index] = counts[index].saturating_add(1);
}

fn tell(_status: u8) {
    let counts = core::mem::replace(&mut *COUNTS.borrow(), [0; 512]);
    if counts.iter().all(|&count| count == 0) {
        return;
    }
    crate::println!("bespoke: calls refused with ENOSYS:");
    for (number, count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
        let (name, _) = names::of(number as u64);
        let name = if name.is_empty() { "(not a call of Linux)" } else { name };
        match refused::component(number as u64) {
            Some(id) => crate::println!("  {count:6} {name} ({number}): {id} is off"),
            None => crate::println!("  {count:6} {name} ({number}): no component serves it"),
        }
    }
}
