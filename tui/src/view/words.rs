//! Words that views share.

use bespoke_model::Origin;

use crate::app::App;
use crate::app::doc::{Change, Doc, Item, Outcome, Want};
use crate::app::theme::{Theme, Tone};
use crate::text;

/// What toggling an item would do, in one line.
pub fn consequence_line(app: &App, item: Item) -> (String, Tone) {
    let doc = &app.doc;
    if !matches!(item, Item::Node(n) if doc.tree().node(n).kind == bespoke_model::Kind::Component) {
        return (String::new(), Tone::Plain);
    }
    if let Item::Node(n) = item
        && let Some(why) = &doc.tree().node(n).core
    {
        return (format!("always on: {why}"), Tone::Quiet);
    }
    match doc.preview(item, &Want::Flip) {
        Outcome::Same => (String::new(), Tone::Plain),
        Outcome::Refused(refused) => (refused.because.join(" "), Tone::Bad),
        Outcome::Change(change) => {
            let title = doc.title_of(item, &Want::Flip);
            let line = change_line(&app.theme, &change);
            (format!("{title} {} {line}", app.theme.glyphs.dot), Tone::Quiet)
        }
    }
}

/// A change in one line: `+12,345 B, +4 syscalls, 3 parts on, 1 part off`.
pub fn change_line(theme: &Theme, change: &Change) -> String {
    let minus = theme.glyphs.minus;
    let mut words = Vec::new();
    let parts = change.on.len() + change.off.len();
    if change.image != 0 || parts > 0 {
        words.push(text::signed_bytes(change.image, minus));
    }
    if change.syscalls != 0 {
        words.push(format!("{} syscalls", text::signed(change.syscalls, minus)));
    }
    // Of a single part that turns, the bytes and the wish itself say everything.
    if parts > 1 && !change.on.is_empty() {
        words.push(format!("{} on", text::count(change.on.len(), "part")));
    }
    if parts > 1 && !change.off.is_empty() {
        words.push(format!("{} off", text::count(change.off.len(), "part")));
    }
    words.join(", ")
}

/// A change's parts, grouped by the menu they lie in.
pub fn grouped(doc: &Doc, theme: &Theme, change: &Change) -> Vec<String> {
    let mut lines = Vec::new();
    for (word, nodes) in [("on", &change.on), ("off", &change.off)] {
        for (menu, names) in doc.by_menu(nodes) {
            let inside = if menu.is_empty() { String::new() } else { format!("{menu}: ") };
            lines.push(format!(
                "{} {word}  {inside}{}",
                if word == "on" { theme.glyphs.on } else { theme.glyphs.off },
                names.join(", ")
            ));
        }
    }
    lines
}

/// Why an item is as it is, in a few words.
pub fn origin_words(doc: &Doc, item: Item) -> String {
    let tree = doc.tree();
    match doc.origin(item) {
        Origin::User => "you".to_owned(),
        Origin::Preset(name) => {
            if name.starts_with("preset:") {
                name.replacen(':', " ", 1)
            } else {
                name.to_string()
            }
        }
        Origin::Fit => "fit".to_owned(),
        Origin::Default => "default".to_owned(),
        Origin::Core => "always".to_owned(),
        Origin::RequiredBy(n) => format!("needed by {}", tree.node(*n).id),
        Origin::RecommendedBy(n) => format!("with {}", tree.node(*n).id),
        Origin::Member => "default".to_owned(),
        Origin::Blocked => "in the way of another".to_owned(),
    }
}

/// The words of a text; a number and its unit are one.
fn words(text: &str) -> Vec<&str> {
    let mut words: Vec<&str> = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(' ').chain([(text.len(), "")]) {
        let (word, next) = (&text[from..at], text[at..].trim_start());
        let unit = next.split([' ', ',', '.', ')']).next().unwrap_or_default();
        let number = word.ends_with(|c: char| c.is_ascii_digit()) && !word.contains(' ');
        if number && matches!(unit, "syscalls" | "B" | "KiB" | "MiB" | "GiB" | "ms" | "%") {
            continue;
        }
        words.extend(Some(word.trim()).filter(|word| !word.is_empty()));
        from = (at + 1).min(text.len());
    }
    words
}

/// Breaks text at spaces into lines of at most `width` cells; a word longer than that is broken inside.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    use unicode_width::UnicodeWidthChar;
    let width = width.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        let mut used = 0;
        for word in words(paragraph) {
            let w = text::width(word);
            if used > 0 && used + 1 + w > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            for c in word.chars() {
                let cell = c.width().unwrap_or(0);
                if used + cell > width {
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                line.push(c);
                used += cell;
            }
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn text_is_wrapped_at_words_and_numbers_keep_their_unit() {
        assert_eq!(wrap("a bc  def", 4), ["a bc", "def"]);
        assert_eq!(wrap("it is -8,120 B, and more", 12), ["it is", "-8,120 B,", "and more"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("one\n\ntwo", 9), ["one", "", "two"]);
        assert_eq!(wrap("日本語 日本", 5), ["日本", "語", "日本"]);
        assert_eq!(wrap("", 0), [""]);
        assert_eq!(wrap("image 5", 9), ["image 5"]);
    }
}
