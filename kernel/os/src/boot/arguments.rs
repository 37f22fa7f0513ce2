//! The program's arguments from the monitor's command line.
//!
//! Each word `arg=VALUE` is one argument; other words are for others (QEMU adds its own) and ignored. Blanks separate words; within single
//! quotes every byte means itself; a backslash outside of quotes takes the next byte as it is.

use alloc::vec::Vec;

crate::register!("arguments": fn(&'static [u8], &mut Vec<Vec<u8>>) = { 10 => replace });

fn replace(line: &'static [u8], arguments: &mut Vec<Vec<u8>>) {
    let mut given = Vec::new();
    let mut word = Vec::new();
    let mut bytes = line.iter().copied();
    loop {
        let byte = bytes.next();
        match byte {
            None | Some(b' ' | b'\t' | b'\n') => {
                if let Some(value) = word.strip_prefix(b"arg=") {
                    given.push(value.to_vec());
                }
                word.clear();
                if byte.is_none() {
                    break;
                }
            }
            Some(b'\'') => word.extend(bytes.by_ref().take_while(|&byte| byte != b'\'')),
            Some(b'\\') => word.extend(bytes.next()),
            Some(byte) => word.push(byte),
        }
    }
    if !given.is_empty() {
        arguments.truncate(1);
        arguments.extend(given);
    }
}
