//! A line of text being typed.

use crossterm::event::KeyCode;
use unicode_width::UnicodeWidthChar;

use super::keymap::Key;

/// A line of text with a cursor in it.
#[derive(Clone, Debug, Default)]
pub struct Input {
    text: String,
    at: usize,
}

impl Input {
    /// A line that begins with `text`, the cursor behind it.
    pub fn new(text: &str) -> Self {
        Input { text: text.to_owned(), at: text.len() }
    }

    /// What was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Puts text in at the cursor; control characters are left out.
    pub fn insert(&mut self, text: &str) {
        let clean: String = text.chars().filter(|c| !c.is_control()).collect();
        self.text.insert_str(self.at, &clean);
        self.at += clean.len();
    }

    /// Handles a key; whether the text changed.
    pub fn key(&mut self, key: Key) -> bool {
        match (key.code, key.ctrl || key.alt) {
            (KeyCode::Char(c), false) => {
                self.text.insert(self.at, c);
                self.at += c.len_utf8();
                return true;
            }
            (KeyCode::Backspace, false) => {
                if let Some(c) = self.text[..self.at].chars().next_back() {
                    self.at -= c.len_utf8();
                    self.text.remove(self.at);
                    return true;
                }
            }
            (KeyCode::Delete, false) if self.at < self.text.len() => {
                self.text.remove(self.at);
                return true;
            }
            (KeyCode::Char('u'), true) => {
                let changed = self.at > 0;
                self.text.drain(..self.at);
                self.at = 0;
                return changed;
            }
            (KeyCode::Char('w'), true) | (KeyCode::Backspace, true) => {
                let head = self.text[..self.at].trim_end();
                let start = head.rfind(char::is_whitespace).map_or(0, |i| i + 1);
                let changed = start < self.at;
                self.text.drain(start..self.at);
                self.at = start;
                return changed;
            }
            (KeyCode::Left, _) => {
                self.at -= self.text[..self.at].chars().next_back().map_or(0, char::len_utf8);
            }
            (KeyCode::Right, _) => self.at += self.text[self.at..].chars().next().map_or(0, char::len_utf8),
            (KeyCode::Home, _) | (KeyCode::Char('a'), true) => self.at = 0,
            (KeyCode::End, _) | (KeyCode::Char('e'), true) => self.at = self.text.len(),
            _ => {}
        }
        false
    }

    /// The part of the text to show in `room` cells, and the cursor's cell in it.
    pub fn window(&self, room: usize) -> (String, usize) {
        let room = room.max(2);
        let cells: Vec<(usize, char, usize)> =
            self.text.char_indices().map(|(i, c)| (i, c, c.width().unwrap_or(0))).collect();
        let before: usize = cells.iter().filter(|(i, ..)| *i < self.at).map(|(.., w)| w).sum();
        let mut skip = 0;
        let mut start = 0;
        while before - skip >= room {
            skip += cells[start].2;
            start += 1;
        }
        let mut shown = String::new();
        let mut used = 0;
        for (_, c, w) in &cells[start..] {
            if used + w > room {
                break;
            }
            shown.push(*c);
            used += w;
        }
        (shown, before - skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::keymap::parse_keys;

    fn typed(start: &str, keys: &str) -> Input {
        let mut input = Input::new(start);
        for key in parse_keys(keys).unwrap() {
            input.key(key);
        }
        input
    }

    #[test]
    fn editing_moves_by_characters() {
        assert_eq!(typed("", "héllo<left><left><backspace>x").text(), "héxlo");
        assert_eq!(typed("one two", "<c-w>").text(), "one ");
        assert_eq!(typed("one two", "<home><del><end>!").text(), "ne two!");
        assert_eq!(typed("one two", "<left><c-u>").text(), "o");
    }

    #[test]
    fn a_long_line_scrolls_to_its_cursor() {
        let (shown, at) = typed("abcdefghij", "").window(5);
        assert_eq!((shown.as_str(), at), ("ghij", 4));
        let (shown, at) = typed("日本語", "").window(5);
        assert_eq!((shown.as_str(), at), ("本語", 4));
        assert_eq!(typed("", "").window(0), (String::new(), 0));
    }
}
