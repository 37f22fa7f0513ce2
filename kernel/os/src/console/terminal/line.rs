//! The line being typed (`termios(3)`, canonical mode).

use super::{Input, Terminal, write};
use crate::console::input::END;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

/// Bytes in a line, its end included; more are dropped, as Linux does.
const LIMIT: usize = 4096;

/// A line that is not finished.
pub struct Line {
    bytes: Vec<u8>,
    /// The next byte means itself (VLNEXT).
    is_literal: bool,
}

impl Line {
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), is_literal: false }
    }

    pub fn is_literal(&self) -> bool {
        self.is_literal
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.is_literal = false;
    }

    /// Hands the bytes on.
    pub fn finish(&mut self, input: &Input) {
        for byte in self.bytes.drain(..) {
            input.push(u16::from(byte));
        }
        self.is_literal = false;
    }
}

/// Whether a byte is shown as `^X`.
fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t' && byte != b'\n') || byte == 0x7f
}

fn show(local: u32, byte: u8) {
    if is_control(byte) && local & ECHOCTL != 0 {
        write(&[b'^', byte ^ 0x40]);
    } else {
        write(&[byte]);
    }
}

/// Shows a byte that was typed, if that is wanted.
pub fn echo(local: u32, byte: u8) {
    if local & ECHO != 0 || byte == b'\n' && local & (ECHONL | ICANON) == ECHONL | ICANON {
        show(local, byte);
    }
}

/// Takes the last character off the line, and off the screen.
fn erase(terminal: &mut Terminal) -> bool {
    let is_utf8 = terminal.input & IUTF8 != 0;
    let Some(mut byte) = terminal.line.bytes.pop() else { return false };
    while is_utf8 && byte & 0xc0 == 0x80 {
        let Some(before) = terminal.line.bytes.pop() else { break };
        byte = before;
    }
    if terminal.local & ECHO == 0 {
        return true;
    }
    if terminal.local & ECHOE == 0 {
        show(terminal.local, terminal.character(VERASE));
    } else if byte == b'\t' {
        // Where it began is known by showing the line again.
        reprint(terminal);
    } else {
        let width = if is_control(byte) && terminal.local & ECHOCTL != 0 { 2 } else { 1 };
        for _ in 0..width {
            write(b"\x08 \x08");
        }
    }
    true
}

fn reprint(terminal: &Terminal) {
    write(b"\n");
    for &byte in &terminal.line.bytes {
        show(terminal.local, byte);
    }
}

/// Erases back to the start of the last word.
fn erase_word(terminal: &mut Terminal) {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let mut seen = false;
    while let Some(&last) = terminal.line.bytes.last() {
        if seen && !is_word(last) {
            break;
        }
        seen |= is_word(last);
        erase(terminal);
    }
}

/// Erases the whole line.
fn kill(terminal: &mut Terminal) {
    if terminal.local & (ECHO | ECHOK | ECHOE | ECHOKE) != ECHO | ECHOK | ECHOE | ECHOKE {
        terminal.line.clear();
        echo(terminal.local, terminal.character(VKILL));
        if terminal.local & ECHOK != 0 && terminal.local & ECHO != 0 {
            write(b"\n");
        }
        return;
    }
    while erase(terminal) {}
}

/// Does what a byte means while a line is edited.
pub fn edit(terminal: &mut Terminal, input: &Input, byte: u8) {
    let extended = terminal.local & IEXTEN != 0;
    let local = terminal.local;
    if core::mem::take(&mut terminal.line.is_literal) {
        return add(terminal, byte);
    }
    if terminal.is(byte, VERASE) {
        erase(terminal);
    } else if terminal.is(byte, VKILL) {
        kill(terminal);
    } else if extended && terminal.is(byte, VWERASE) {
        erase_word(terminal);
    } else if extended && terminal.is(byte, VLNEXT) {
        terminal.line.is_literal = true;
        if local & ECHO != 0 && local & ECHOCTL != 0 {
            write(b"^\x08");
        }
    } else if extended && local & ECHO != 0 && terminal.is(byte, VREPRINT) {
        show(local, byte);
        reprint(terminal);
    } else if terminal.is(byte, VEOF) {
        terminal.line.finish(input);
        input.push(END);
    } else if terminal.ends_line(byte) {
        echo(local, byte);
        terminal.line.finish(input);
        input.push(u16::from(byte));
    } else {
        add(terminal, byte);
    }
}

fn add(terminal: &mut Terminal, byte: u8) {
    let bytes = &mut terminal.line.bytes;
    if bytes.len() + 1 < LIMIT && bytes.try_reserve(1).is_ok() {
        bytes.push(byte);
        echo(terminal.local, byte);
    }
}
