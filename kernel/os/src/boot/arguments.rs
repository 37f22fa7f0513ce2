//! The monitor's command line as the program's arguments.
//!
//! Words are separated by blanks. Within double quotes blanks are kept; a backslash keeps the next character as it is.

use alloc::vec::Vec;

crate::register!("arguments": fn(&'static [u8], &mut Vec<Vec<u8>>) = { 10 => replace });

fn replace(line: &'static [u8], arguments: &mut Vec<Vec<u8>>) {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quoted = false;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\n' if !quoted => words.extend(word.take()),
            b'"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    if !words.is_empty() {
        arguments.truncate(1);
        arguments.extend(words);
    }
}
