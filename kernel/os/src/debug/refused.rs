//! Names what was left out when the program asks for it.

use crate::cell::KernelCell;
use crate::console::print::Text;

crate::register!("refused": fn(u64) = { 10 => tell });

/// A bit for each number that was told about.
static TOLD: KernelCell<[u64; 8]> = KernelCell::new([0; 8]);

/// The component that is off and would have served a call, from the composer's table.
pub fn component(number: u64) -> Option<Text<'static>> {
    let mut table = crate::table!("refused.syscall");
    while let Some((&length, rest)) = table.split_first() {
        let (id, rest) = rest.split_at_checked(usize::from(length))?;
        let (count, rest) = rest.split_first_chunk::<2>()?;
        let (numbers, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*count)) * 2)?;
        if numbers.chunks_exact(2).any(|pair| u64::from(u16::from_le_bytes([pair[0], pair[1]])) == number) {
            // SAFETY: a component's id.
            return Some(unsafe { Text::of_composer(id) });
        }
        table = rest;
    }
    None
}

/// Calls that every libc tries and does without in silence: telling would only worry people.
pub fn is_optional(number: u64) -> bool {
    use linux_raw_sys::general::{__NR_clone3, __NR_rseq};
    [__NR_rseq, __NR_clone3].contains(&(number as u32))
}

fn tell(number: u64) {
    if is_optional(number) {
        return;
    }
    if let Some(word) = TOLD.borrow().get_mut(number as usize / 64) {
        if *word & 1 << (number % 64) != 0 {
            return;
        }
        *word |= 1 << (number % 64);
    }
    let (component, number) = (component(number), number as usize);
    match component {
        Some(id) => crate::println!("bespoke: system call {number} answered ENOSYS: {id} is off"),
        None => crate::println!("bespoke: system call {number} answered ENOSYS: no component serves it"),
    }
}
