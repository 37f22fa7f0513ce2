//! Arguments and variables from a command line as the tools of Unikraft write it, and urunc for Unikraft's guests.
//!
//! Words of the guest's own come first, then `--`, then the program's arguments. `env.vars=[ NAME=VALUE … ]` among the former are variables.
//! Where there is no `--` all words are arguments. Blanks separate words; quotes of both kinds hold words together, and a backslash outside of
//! quotes takes the next byte as it is. Who passes on what the image says itself writes it without quotes: then the image's own arguments stay.

use crate::abi::process::Process;
use alloc::vec::Vec;

crate::register!("arguments": fn(&'static [u8], &mut Process) = { 20 => replace });

/// Beginnings of words that only other monitors write.
const OTHERS: [&[u8]; 2] = [b"terminal=", b"virtio_mmio.device="];

fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let (mut words, mut word) = (Vec::new(), Vec::new());
    let (mut quote, mut escaped, mut begun) = (None, false, false);
    for byte in line.iter().copied().chain([b' ']) {
        if !escaped && quote.is_none() && matches!(byte, b' ' | b'\t' | b'\n') {
            if begun {
                words.push(core::mem::take(&mut word));
            }
            begun = false;
            continue;
        }
        begun = true;
        if !escaped && quote.is_none() && matches!(byte, b'\'' | b'"') {
            quote = Some(byte);
        } else if !escaped && quote == Some(byte) {
            quote = None;
        } else if !escaped && quote.is_none() && byte == b'\\' {
            escaped = true;
        } else {
            word.push(byte);
            escaped = false;
        }
    }
    words
}

fn replace(line: &'static [u8], process: &mut Process) {
    let given = words(line);
    let (own, mut given) = match given.iter().position(|word| word == b"--") {
        Some(at) => (&given[..at], &given[at + 1..]),
        None if given.iter().any(|word| OTHERS.iter().any(|other| word.starts_with(other))) => return,
        None => (&[][..], &given[..]),
    };
    variables(own, &mut process.environment);
    let Some((name, packed)) = process.arguments.split_first() else { return };
    if let Some((first, rest)) = given.split_first()
        && (first == name || first == process.path_bytes())
    {
        given = rest;
    }
    if !given.is_empty() && given != words(&packed.join(&b' ')) {
        process.arguments.truncate(1);
        process.arguments.extend_from_slice(given);
    }
}

fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Sets the variables that stand in brackets.
fn variables(words: &[Vec<u8>], environment: &mut Vec<Vec<u8>>) {
    let Some(start) = words.iter().position(|word| word == b"env.vars=[") else { return };
    // The one that a word without a name of its own belongs to: nobody quotes blanks in values.
    let mut last = None;
    for word in words[start + 1..].iter().take_while(|word| *word != b"]") {
        let equals = word.iter().position(|&byte| byte == b'=').filter(|&at| is_name(&word[..at]));
        match (equals, last) {
            (Some(equals), _) => {
                let same = |known: &Vec<u8>| known.starts_with(&word[..=equals]);
                let at = environment.iter().position(same).unwrap_or(environment.len());
                match environment.get_mut(at) {
                    Some(known) => *known = word.clone(),
                    None => environment.push(word.clone()),
                }
                last = Some(at);
            }
            (None, Some(at)) => {
                environment[at].push(b' ');
                environment[at].extend_from_slice(word);
            }
            (None, None) => {}
        }
    }
}
