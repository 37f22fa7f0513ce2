//! Keys: their names as text, and the map from keys to actions.
//!
//! The map that ships is `keys.toml`; a user's own file of the same form is laid over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::action::Action;

/// A key as it was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub struct Key {
    /// Which key.
    pub code: KeyCode,
    /// With control held.
    pub ctrl: bool,
    /// With alt held.
    pub alt: bool,
}

impl Key {
    /// A key without modifiers.
    pub const fn plain(code: KeyCode) -> Self {
        Key { code, ctrl: false, alt: false }
    }
}

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        let alt = event.modifiers.contains(KeyModifiers::ALT);
        let code = match event.code {
            KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
            code => code,
        };
        Key { code, ctrl, alt }
    }
}

const NAMED: &[(&str, KeyCode)] = &[
    ("space", KeyCode::Char(' ')),
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backtab", KeyCode::BackTab),
    ("backspace", KeyCode::Backspace),
    ("del", KeyCode::Delete),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pgup", KeyCode::PageUp),
    ("pgdn", KeyCode::PageDown),
    ("lt", KeyCode::Char('<')),
];

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match NAMED.iter().find(|(_, code)| *code == self.code) {
            Some((name, _)) => (*name).to_owned(),
            None => match self.code {
                KeyCode::Char(c) => c.to_string(),
                KeyCode::F(n) => format!("f{n}"),
                other => format!("{other:?}").to_lowercase(),
            },
        };
        match (self.ctrl, self.alt) {
            (false, false) if name.chars().count() == 1 => write!(f, "{name}"),
            (false, false) => write!(f, "<{name}>"),
            (true, false) => write!(f, "<c-{name}>"),
            (false, true) => write!(f, "<a-{name}>"),
            (true, true) => write!(f, "<c-a-{name}>"),
        }
    }
}

/// Reads keys as text: `jj<space>/tcp<enter>`.
pub fn parse_keys(text: &str) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first != '<' {
            keys.push(Key::plain(KeyCode::Char(first)));
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let Some(end) = rest.find('>') else {
            bail!("`{rest}` has a `<` without its `>` (the key `<` is written <lt>)")
        };
        keys.push(parse_named(&rest[1..end])?);
        rest = &rest[end + 1..];
    }
    Ok(keys)
}

fn parse_named(name: &str) -> Result<Key> {
    let (mut ctrl, mut alt, mut rest) = (false, false, name);
    loop {
        if let Some(after) = rest.strip_prefix("c-") {
            (ctrl, rest) = (true, after);
        } else if let Some(after) = rest.strip_prefix("a-") {
            (alt, rest) = (true, after);
        } else {
            break;
        }
    }
    let mut chars = rest.chars();
    let code = match (chars.next(), chars.next()) {
        (Some(one), None) => KeyCode::Char(one),
        (Some('f'), Some('0'..='9')) => match rest[1..].parse() {
            Ok(n @ 1..=12) => KeyCode::F(n),
            _ => bail!("no key is named <{name}>"),
        },
        _ => match NAMED.iter().find(|(n, _)| *n == rest) {
            Some((_, code)) => *code,
            None => bail!("no key is named <{name}>"),
        },
    };
    Ok(Key { code, ctrl, alt })
}

/// Which key asks for which action.
#[derive(Clone, Debug)]
pub struct Keymap {
    keys: Vec<(Key, Action)>,
}

/// The key map that ships.
pub const DEFAULT: &str = include_str!("../keys.toml");

impl Default for Keymap {
    fn default() -> Self {
        let mut map = Keymap { keys: Vec::new() };
        map.overlay(DEFAULT).expect("the key map that ships is tested");
        map
    }
}

impl Keymap {
    /// The key map that ships with the user's own laid over it, when there is one.
    pub fn load() -> Result<Self> {
        let mut map = Self::default();
        if let Some(path) = user_file() {
            map.overlay_file(&path)?;
        }
        Ok(map)
    }

    fn overlay_file(&mut self, path: &Path) -> Result<()> {
        match std::fs::read_to_string(path) {
            Ok(text) => self.overlay(&text).with_context(|| format!("in the key map {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot read the key map {}", path.display())),
        }
    }

    /// Lays `text` over the map: an action that it names gets the keys it gives, and no others.
    pub fn overlay(&mut self, text: &str) -> Result<()> {
        let table: BTreeMap<Action, Vec<String>> = toml::from_str(text).map_err(|error| {
            anyhow::anyhow!(
                "{}",
                error.to_string().trim_end().replace("unknown variant", "there is no action")
            )
        })?;
        for action in table.keys() {
            self.keys.retain(|(_, a)| a != action);
        }
        for (action, names) in &table {
            for name in names {
                let keys = parse_keys(name).with_context(|| format!("for {}", action.name()))?;
                let [key] = keys[..] else { bail!("for {}: `{name}` is not one key", action.name()) };
                self.keys.retain(|(k, _)| *k != key);
                self.keys.push((key, *action));
            }
        }
        Ok(())
    }

    /// What `key` asks for.
    pub fn action(&self, key: Key) -> Option<Action> {
        self.keys.iter().find(|(k, _)| *k == key).map(|(_, action)| *action)
    }

    /// The keys that ask for `action`, the one to show first.
    pub fn keys(&self, action: Action) -> Vec<Key> {
        self.keys.iter().filter(|(_, a)| *a == action).map(|(key, _)| *key).collect()
    }

    /// The key to show for `action`; empty when it has none.
    pub fn shown(&self, action: Action) -> String {
        self.keys(action).first().map_or_else(String::new, |key| key.to_string())
    }
}

/// Where a user's own key map is looked for.
pub fn user_file() -> Option<PathBuf> {
    let base = match std::env::var_os("XDG_CONFIG_HOME") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".config"),
    };
    Some(base.join("bespoke/keys.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_and_print_alike() {
        for text in ["j", "<space>", "<c-r>", "<a-x>", "<f1>", "<pgdn>", "G", "<lt>", "é"] {
            let keys = parse_keys(text).unwrap();
            assert_eq!(keys.len(), 1, "{text}");
            assert_eq!(keys[0].to_string(), if text == "<lt>" { "<lt>" } else { text });
        }
        assert_eq!(parse_keys("jj<space>/tcp<enter>").unwrap().len(), 8);
    }

    #[test]
    fn every_action_can_be_reached_or_is_in_the_palette() {
        let map = Keymap::default();
        assert_eq!(map.action(Key::plain(KeyCode::Char('j'))), Some(Action::Down));
        assert!(!map.keys(Action::Palette).is_empty());
        for action in Action::ALL {
            assert!(
                DEFAULT.contains(&format!("{} =", action.name())),
                "keys.toml does not mention {}",
                action.name()
            );
        }
    }

    #[test]
    fn a_users_map_replaces_and_takes_keys_away() {
        let mut map = Keymap::default();
        map.overlay("down = [\"e\"]\nup = [\"u\"]").unwrap();
        assert_eq!(map.action(Key::plain(KeyCode::Char('j'))), None);
        assert_eq!(map.action(Key::plain(KeyCode::Char('u'))), Some(Action::Up));
        assert!(!map.keys(Action::Undo).contains(&Key::plain(KeyCode::Char('u'))));
    }

    #[test]
    fn a_bad_map_is_told_plainly() {
        let mut map = Keymap::default();
        let text = |result: Result<()>| format!("{:#}", result.unwrap_err());
        assert!(text(map.overlay("downn = [\"e\"]")).contains("there is no action `downn`"));
        assert_eq!(text(map.overlay("down = [\"<spac>\"]")), "for down: no key is named <spac>");
        assert_eq!(text(map.overlay("down = [\"jj\"]")), "for down: `jj` is not one key");
    }
}
