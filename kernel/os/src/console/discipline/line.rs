//! The line being typed (`termios(3)`, canonical mode).

use super::{Port, State};
use crate::typed::{END, Typed};
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
    pub fn finish(&mut self, typed: &Typed) {
        for byte in self.bytes.drain(..) {
            typed.push(u16::from(byte));
        }
        self.is_literal = false;
    }
}

/// Whether a byte is shown as `^X`.
fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t' && byte != b'\n') || byte == 0x7f
}

fn show(port: &dyn Port, local: u32, byte: u8) {
    if is_control(byte) && local & ECHOCTL != 0 {
        port.echo(&[b'^', byte ^ 0x40]);
    } else {
        port.echo(&[byte]);
    }
}

/// Shows a byte that was typed, if that is wanted.
pub fn echo(port: &dyn Port, local: u32, byte: u8) {
    if local & ECHO != 0 || byte == b'\n' && local & (ECHONL | ICANON) == ECHONL | ICANON {
        show(port, local, byte);
    }
}

/// Takes the last character off the line, and off the screen.
fn erase(state: &mut State, port: &dyn Port) -> bool {
    let is_utf8 = state.input & IUTF8 != 0;
    let Some(mut byte) = state.line.bytes.pop() else { return false };
    while is_utf8 && byte & 0xc0 == 0x80 {
        let Some(before) = state.line.bytes.pop() else { break };
        byte = before;
    }
    if state.local & ECHO == 0 {
        return true;
    }
    if state.local & ECHOE == 0 {
        show(port, state.local, state.character(VERASE));
    } else if byte == b'\t' {
        // Where it began is known by showing the line again.
        reprint(state, port);
    } else {
        let width = if is_control(byte) && state.local & ECHOCTL != 0 { 2 } else { 1 };
        for _ in 0..width {
            port.echo(b"\x08 \x08");
        }
    }
    true
}

fn reprint(state: &State, port: &dyn Port) {
    port.echo(b"\n");
    for &byte in &state.line.bytes {
        show(port, state.local, byte);
    }
}

/// Erases back to the start of the last word.
fn erase_word(state: &mut State, port: &dyn Port) {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let mut seen = false;
    while let Some(&last) = state.line.bytes.last() {
        if seen && !is_word(last) {
            break;
        }
        seen |= is_word(last);
        erase(state, port);
    }
}

/// Erases the whole line.
fn kill(state: &mut State, port: &dyn Port) {
    if state.local & (ECHO | ECHOK | ECHOE | ECHOKE) != ECHO | ECHOK | ECHOE | ECHOKE {
        state.line.clear();
        echo(port, state.local, state.character(VKILL));
        if state.local & ECHOK != 0 && state.local & ECHO != 0 {
            port.echo(b"\n");
        }
        return;
    }
    while erase(state, port) {}
}

/// Does what a byte means while a line is edited.
pub fn edit(state: &mut State, port: &dyn Port, byte: u8) {
    let extended = state.local & IEXTEN != 0;
    let local = state.local;
    if core::mem::take(&mut state.line.is_literal) {
        return add(state, port, byte);
    }
    if state.is(byte, VERASE) {
        erase(state, port);
    } else if state.is(byte, VKILL) {
        kill(state, port);
    } else if extended && state.is(byte, VWERASE) {
        erase_word(state, port);
    } else if extended && state.is(byte, VLNEXT) {
        state.line.is_literal = true;
        if local & ECHO != 0 && local & ECHOCTL != 0 {
            port.echo(b"^\x08");
        }
    } else if extended && local & ECHO != 0 && state.is(byte, VREPRINT) {
        show(port, local, byte);
        reprint(state, port);
    } else if state.is(byte, VEOF) {
        state.line.finish(port.typed());
        port.typed().push(END);
    } else if state.ends_line(byte) {
        echo(port, local, byte);
        state.line.finish(port.typed());
        port.typed().push(u16::from(byte));
    } else {
        add(state, port, byte);
    }
}

fn add(state: &mut State, port: &dyn Port, byte: u8) {
    let bytes = &mut state.line.bytes;
    if bytes.len() + 1 < LIMIT && bytes.try_reserve(1).is_ok() {
        bytes.push(byte);
        echo(port, state.local, byte);
    }
}
