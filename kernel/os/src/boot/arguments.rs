//! The program's arguments from the monitor's command line.
//!
//! Each word `arg=VALUE` is one argument; other words are for others (QEMU adds its own) and ignored. Blanks separate words; within single
//! quotes every byte means itself; a backslash outside of quotes takes the next byte as it is.

use crate::abi::process::Process;
use alloc::vec::Vec;

crate::register!("arguments": fn(&'static [u8], &mut Process) = { 10 => replace });

fn replace(line: &'static [u8], process: &mut Process) {
    let (mut given, mut word) = (Vec::new(), Vec::new());
    let (mut quoted, mut escaped) = (false, false);
    for index in 0..=line.len() {
        match line.get(index).copied() {
            Some(b'\'') if !escaped => quoted = !quoted,
            Some(b'\\') if !escaped && !quoted => escaped = true,
            Some(byte) if escaped || quoted || !matches!(byte, b' ' | b'\t' | b'\n') => {
                word.push(byte);
                escaped = false;
            }
            // The end of a word, or of all.
            _ => {
                if let Some(value) = word.strip_prefix(b"arg=") {
                    given.push(value.to_vec());
                }
                word.clear();
            }
        }
    }
    if !given.is_empty() {
        process.arguments.truncate(1);
        process.arguments.append(&mut given);
    }
}
