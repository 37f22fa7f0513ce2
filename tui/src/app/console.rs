//! What the program says, and whether it runs.

use std::collections::VecDeque;

/// What the program said, and whether it still runs.
#[derive(Debug, Default)]
pub struct Console {
    /// The lines, oldest first.
    pub lines: VecDeque<String>,
    /// Whether a line is still being written.
    open: bool,
    /// Whether a program runs.
    pub running: bool,
    /// Whether a build is under way.
    pub building: bool,
    /// How the last run ended.
    pub ended: Option<(String, bool)>,
    /// How many lines it is scrolled back.
    pub back: usize,
}

/// How many console lines are kept.
const CONSOLE_LINES: usize = 10_000;

impl Console {
    /// Adds what the program wrote. Escape sequences are taken out: they would draw over the configurator.
    pub fn write(&mut self, chunk: &str) {
        let clean = strip_escapes(chunk);
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
        }
        while self.lines.len() > CONSOLE_LINES {
            self.lines.pop_front();
        }
        self.back = self.back.min(self.lines.len().saturating_sub(1));
    }

    pub(super) fn rule(&mut self, line: String) {
        self.open = false;
        self.lines.push_back(line);
    }
}

fn strip_escapes(chunk: &str) -> String {
    let mut out = String::with_capacity(chunk.len());
    let mut chars = chunk.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']') => while chars.next().is_some_and(|c| c != '\x07' && c != '\x1b') {},
                _ => {}
            },
            '\n' => out.push('\n'),
            '\t' => out.push_str("    "),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
