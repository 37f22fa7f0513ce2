//! What the program says, and whether it runs.

use std::collections::VecDeque;

use crossterm::event::KeyCode;

use super::action::Action;
use super::input::Input;
use super::keymap::Key;
use super::{App, Effect};

/// What the program said, and whether it still runs.
#[derive(Debug, Default)]
pub struct Console {
    /// The lines, oldest first.
    pub lines: VecDeque<String>,
    /// Whether a line is still being written.
    open: bool,
    /// Of what was written last.
    escape: Escape,
    /// Whether a program runs.
    pub running: bool,
    /// Whether a build is under way.
    pub building: bool,
    /// How the last run ended.
    pub ended: Option<(String, bool)>,
    /// How many lines it is scrolled back.
    pub back: usize,
    /// The parts that were off when the program asked for them, by what the system said.
    pub missed: Vec<String>,
    /// The line that is being typed to the program, while keys go there.
    pub typing: Option<Input>,
    /// The lines that were typed, oldest first, and the one that is looked at again.
    typed: Vec<String>,
    recalled: Option<usize>,
}

/// How many console lines are kept.
const CONSOLE_LINES: usize = 10_000;

impl Console {
    /// Adds what the program wrote. Escape sequences are taken out: they would draw over the configurator.
    pub fn write(&mut self, chunk: &str) {
        let clean = self.escape.strip(chunk);
        for piece in clean.split_inclusive('\n') {
            let (line, ends) = match piece.strip_suffix('\n') {
                Some(line) => (line, true),
                None => (piece, false),
            };
            let line = line.trim_end_matches('\r');
            if self.open {
                if let Some(last) = self.lines.back_mut() {
                    last.push_str(line);
                }
            } else {
                self.lines.push_back(line.to_owned());
                if self.back > 0 {
                    self.back += 1;
                }
            }
            self.open = !ends;
            if ends && let Some(id) = self.lines.back().and_then(|line| missing(line)) {
                let id = id.to_owned();
                if !self.missed.contains(&id) {
                    self.missed.push(id);
                }
            }
        }
        while self.lines.len() > CONSOLE_LINES {
            self.lines.pop_front();
        }
        self.back = self.back.min(self.lines.len().saturating_sub(1));
    }

    /// Scrolls; up is back in time.
    pub fn scroll(&mut self, by: isize) {
        let last = self.lines.len().saturating_sub(1);
        self.back = self.back.saturating_add_signed(by.saturating_neg()).min(last);
    }

    /// Takes a line that was typed before, an older one or a newer one.
    fn recall(&mut self, older: bool) {
        let at = self.recalled.unwrap_or(self.typed.len());
        let to = if older { at.saturating_sub(1) } else { (at + 1).min(self.typed.len()) };
        self.recalled = Some(to);
        let line = self.typed.get(to).map_or("", String::as_str);
        self.typing = Some(Input::new(line));
    }

    pub(super) fn rule(&mut self, line: String) {
        (self.open, self.escape) = (false, Escape::None);
        self.lines.push_back(line);
    }
}

/// The part that a message of the system says is off.
fn missing(line: &str) -> Option<&str> {
    let at = line.find("bespoke: ")?;
    line[at..].strip_suffix(" is off")?.rsplit(' ').next()
}

/// How far an escape sequence has come (ECMA-48). One may arrive in parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    /// There is none.
    #[default]
    None,
    /// Its first byte.
    Start,
    /// A control sequence, until its final byte.
    Control,
    /// A string for the terminal, until BEL or the start of its end.
    Text,
}

impl Escape {
    /// What remains of a text without escape sequences and control characters.
    fn strip(&mut self, chunk: &str) -> String {
        let mut out = String::with_capacity(chunk.len());
        for c in chunk.chars() {
            let next = match (*self, c) {
                (_, '\x1b') => Escape::Start,
                (Escape::Start, '[') => Escape::Control,
                (Escape::Start, ']') => Escape::Text,
                (Escape::Start, _) => Escape::None,
                (Escape::Control, '@'..='~') => Escape::None,
                (Escape::Text, '\x07') => Escape::None,
                (state @ (Escape::Control | Escape::Text), _) => state,
                (Escape::None, c) => {
                    match c {
                        '\n' => out.push('\n'),
                        '\t' => out.push_str("    "),
                        c if c.is_control() => {}
                        c => out.push(c),
                    }
                    Escape::None
                }
            };
            *self = next;
        }
        out
    }
}

/// How many lines a key scrolls.
const PAGE: isize = 10;

impl App {
    /// A key while keys go to the program. The guest has no line editing of its own: a line is edited here and sent whole.
    pub(super) fn console_key(&mut self, key: Key) {
        // The guest knows no jobs: this is for the shell that the configurator runs in.
        if key.ctrl && self.keymap.action(key) == Some(Action::Suspend) {
            return self.act(Action::Suspend);
        }
        let Some(input) = self.console.typing.as_mut() else { return };
        match (key.code, key.ctrl) {
            (KeyCode::Esc, _) => self.console.typing = None,
            (KeyCode::Enter, _) => {
                let line = std::mem::take(input).text().to_owned();
                self.send_line(&line);
            }
            // What a terminal would send for them.
            (KeyCode::Char(c @ ('c' | 'd')), true) => {
                let byte = (c as u8) & 0x1f;
                self.effects.push(Effect::Type(vec![byte]));
            }
            (KeyCode::Up, _) => self.console.recall(true),
            (KeyCode::Down, _) => self.console.recall(false),
            (KeyCode::PageUp, _) => self.console.scroll(-PAGE),
            (KeyCode::PageDown, _) => self.console.scroll(PAGE),
            (KeyCode::Tab, _) => input.insert("    "),
            _ => {
                input.key(key);
            }
        }
    }

    /// Text was pasted while keys go to the program: whole lines are sent, the rest is left to be edited.
    pub(super) fn console_paste(&mut self, pasted: &str) {
        let mut lines = pasted.split(['\n', '\r']).peekable();
        while let Some(line) = lines.next() {
            let Some(input) = self.console.typing.as_mut() else { return };
            input.insert(line);
            if lines.peek().is_some() {
                let line = std::mem::take(input).text().to_owned();
                self.send_line(&line);
            }
        }
    }

    fn send_line(&mut self, line: &str) {
        // Nobody else shows it: the guest does not echo.
        self.console.write(&format!("{line}\n"));
        self.console.back = 0;
        self.console.recalled = None;
        if !line.is_empty() && self.console.typed.last().map(String::as_str) != Some(line) {
            self.console.typed.push(line.to_owned());
        }
        self.effects.push(Effect::Type(format!("{line}\n").into_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_go_in_however_many_parts_they_come() {
        let whole = "\x1b[0;39m2\x1b[0m\n\x1b]0;title\x1b\\a\x1b]0;title\x07b\x1b=c\n";
        for size in 1..whole.len() {
            let mut console = Console::default();
            for part in whole.as_bytes().chunks(size) {
                console.write(std::str::from_utf8(part).unwrap());
            }
            assert_eq!(console.lines, ["2", "abc"], "in parts of {size}");
        }
    }
}
