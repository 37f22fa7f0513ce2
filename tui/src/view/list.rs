//! Rows: the tree, and every view that is a list.

use bespoke_model::{Kind, Origin};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::origin_words;
use crate::app::doc::Item;
use crate::app::rows::{Row, unfolds};
use crate::app::theme::Tone;
use crate::app::{App, View};
use crate::text;

/// Draws the rows that fit.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    if app.rows.is_empty() {
        buffer.set_stringn(
            area.x + 1,
            area.y,
            "nothing here",
            usize::from(area.width),
            app.theme.style(Tone::Quiet),
        );
        return;
    }
    let scroll = app.scroll();
    for (y, (n, row)) in (area.top()..area.bottom()).zip(app.rows.iter().enumerate().skip(scroll.offset)) {
        let line = Rect { y, height: 1, ..area };
        let at_cursor = n == scroll.cursor;
        self::row(app, row, at_cursor, line, buffer);
        if at_cursor {
            buffer.set_style(line, app.theme.style(Tone::Cursor));
        }
    }
    // How far the list is scrolled, where that is not plain to see.
    if app.rows.len() > usize::from(area.height) {
        let bar = usize::from(area.height).max(1);
        let size = (bar * bar / app.rows.len()).max(1);
        let room = app.rows.len() - bar;
        let from = (bar - size) * scroll.offset.min(room) / room.max(1);
        let panes = app.panes();
        let x = if panes.beside { panes.divider.x } else { area.right() - 1 };
        for i in from..(from + size).min(bar) {
            let cell = &mut buffer[(x, area.y + i as u16)];
            cell.set_symbol(app.theme.glyphs.bar).set_style(app.theme.style(Tone::Accent));
        }
    }
}

/// The state of an item: its glyph, its word and their tone.
pub fn state(app: &App, item: Item) -> (&'static str, String, Tone) {
    let doc = &app.doc;
    let glyphs = app.theme.glyphs;
    match item {
        Item::Param(p) => {
            let tone = if !doc.is_active(p) {
                Tone::Quiet
            } else if doc.pinned(item).is_some() {
                Tone::Notable
            } else {
                Tone::Plain
            };
            (glyphs.param, doc.value(p).to_string(), tone)
        }
        Item::Node(n) => {
            let node = doc.tree().node(n);
            let on = doc.is_on(n);
            match node.kind {
                Kind::Menu => {
                    let (on, all) = doc.inside(n);
                    ("", format!("{on} of {all} on"), Tone::Quiet)
                }
                Kind::Choice => match doc.member(n) {
                    Some(m) => (glyphs.choice, doc.tree().node(m).title.clone(), Tone::Plain),
                    None => (glyphs.choice, "off".to_owned(), Tone::Quiet),
                },
                Kind::Component if doc.tree().choice_of(n).is_some() => {
                    if on {
                        (glyphs.chosen, "chosen".to_owned(), Tone::Good)
                    } else {
                        (glyphs.unchosen, String::new(), Tone::Quiet)
                    }
                }
                Kind::Component if on && *doc.origin(item) == Origin::Core => {
                    (glyphs.core, "always on".to_owned(), Tone::Plain)
                }
                Kind::Component if on => (glyphs.on, "on".to_owned(), Tone::Good),
                Kind::Component if doc.blocked(item) => (glyphs.blocked, "blocked".to_owned(), Tone::Bad),
                Kind::Component => (glyphs.off, "off".to_owned(), Tone::Quiet),
            }
        }
    }
}

/// What is said about an item's state besides the word: who decided it.
fn who(app: &App, item: Item) -> String {
    let doc = &app.doc;
    match item {
        Item::Param(_) if doc.pinned(item).is_some() => "you".to_owned(),
        Item::Param(_) => match doc.origin(item) {
            Origin::Default => String::new(),
            _ => in_short(app, item),
        },
        Item::Node(n) => {
            let node = doc.tree().node(n);
            let on = doc.is_on(n);
            match (node.kind, doc.origin(item)) {
                (Kind::Menu, _) | (_, Origin::Core) => String::new(),
                (Kind::Component, _) if doc.tree().choice_of(n).is_some() => {
                    if on && doc.pinned(item).is_some() { "you".to_owned() } else { String::new() }
                }
                (Kind::Choice, _) => {
                    if doc.pinned(item).is_some() {
                        "you".to_owned()
                    } else {
                        String::new()
                    }
                }
                (_, Origin::Default) if !on => String::new(),
                _ => in_short(app, item),
            }
        }
    }
}

/// Why an item is as it is, in as few words as will do; the detail has them all.
fn in_short(app: &App, item: Item) -> String {
    let tree = app.doc.tree();
    match app.doc.origin(item) {
        Origin::Preset(name) if name.starts_with("preset:") => "preset".to_owned(),
        Origin::RequiredBy(n) => format!("for {}", tree.node(*n).id),
        _ => origin_words(&app.doc, item),
    }
}

/// The bytes shown in a row: what goes with a part that is on, what comes with one that is off, what the parts in a menu own.
pub fn bytes(app: &App, item: Item) -> (String, Tone) {
    let doc = &app.doc;
    if !doc.measured(item) {
        return (app.theme.glyphs.ellipsis.to_owned(), Tone::Quiet);
    }
    let Item::Node(n) = item else { return (String::new(), Tone::Quiet) };
    match doc.bytes(item) {
        None => (String::new(), Tone::Quiet),
        Some(0) if doc.tree().node(n).kind != Kind::Component => (String::new(), Tone::Quiet),
        Some(bytes) if doc.tree().node(n).kind != Kind::Component => {
            (text::bytes(bytes.unsigned_abs()), Tone::Quiet)
        }
        Some(bytes) if doc.is_on(n) => (text::bytes(bytes.unsigned_abs()), Tone::Plain),
        Some(bytes) => (text::signed_bytes(bytes, app.theme.glyphs.minus), Tone::Quiet),
    }
}

fn row(app: &App, row: &Row, at_cursor: bool, area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let Some(item) = row.item else {
        let (tone, indent) = if row.heading { (Tone::Head, 1) } else { (Tone::Plain, 1 + row.depth * 2) };
        let room = usize::from(area.width).saturating_sub(indent + 1);
        let text = text::fit(&row.text, room, theme.glyphs.ellipsis);
        buffer.set_string(area.x + indent as u16, area.y, text, theme.style(tone));
        return;
    };
    let width = usize::from(area.width);
    let (glyph, mut word, tone) = state(app, item);
    let (bytes, bytes_tone) = bytes(app, item);
    let roomy = width >= 56;
    let bytes_room = if roomy { 12 } else { 10 };
    let word_room = if roomy { (width * 2 / 7).clamp(17, 34) } else { 8 };
    let name_room = width.saturating_sub(bytes_room + word_room + 3);

    let tree = app.doc.tree();
    let in_tree = app.view == View::Tree;
    let fold = match item {
        Item::Node(n) if in_tree && unfolds(tree, n) => {
            if app.is_open(n) {
                theme.glyphs.unfolded
            } else {
                theme.glyphs.folded
            }
        }
        _ => " ",
    };
    let step = if roomy { 2 } else { 1 };
    if !roomy {
        // The one word that says it; menus keep their numbers.
        word = word.trim_end_matches(" on").to_owned();
    }
    let mut spans: Vec<Span> = vec![Span::raw(" ".repeat(1 + row.depth * step))];
    if in_tree {
        spans.push(Span::styled(fold, theme.style(Tone::Quiet)));
        spans.push(Span::raw(" "));
    }
    if !row.text.is_empty() && app.view == View::Deps {
        spans.push(Span::styled(format!("{:<7}", row.text), theme.style(Tone::Quiet)));
    }
    if !glyph.is_empty() {
        spans.push(Span::styled(glyph, theme.style(tone)));
        spans.push(Span::raw(" "));
    }
    let used: usize = spans.iter().map(|s| s.width()).sum();
    let room = name_room.saturating_sub(used);
    let pinned = app.doc.pinned(item).is_some();
    let (name, aside) = match item {
        Item::Node(n) if in_tree => {
            let node = tree.node(n);
            (node.title.clone(), bespoke_model::last_part(&node.id).to_owned())
        }
        Item::Node(n) => (tree.node(n).id.clone(), tree.node(n).title.clone()),
        Item::Param(p) if in_tree => (tree.param(p).name.clone(), String::new()),
        Item::Param(p) => (tree.param(p).id.clone(), String::new()),
    };
    let dark = matches!(item, Item::Node(n) if tree.node(n).kind == Kind::Component && !app.doc.is_on(n));
    let mut name_style = match item {
        Item::Node(n) if tree.node(n).kind == Kind::Menu => theme.style(Tone::Head),
        _ if pinned => theme.style(Tone::Head),
        Item::Param(p) if !app.doc.is_active(p) => theme.style(Tone::Quiet),
        _ => Style::new(),
    };
    if dark && !pinned && !theme.color {
        name_style = name_style.add_modifier(Modifier::DIM);
    }
    let name = text::fit(&name, room, theme.glyphs.ellipsis);
    let left = room - text::width(&name);
    spans.push(Span::styled(name.clone(), name_style));
    let similar = aside.eq_ignore_ascii_case(&name);
    if roomy && !similar && left > text::width(&aside) + 2 && !aside.is_empty() {
        spans.push(Span::styled(format!("  {aside}"), theme.style(Tone::Quiet)));
    }
    let used: usize = spans.iter().map(|s| s.width()).sum();
    spans.push(Span::raw(" ".repeat((name_room + 1).saturating_sub(used))));
    // In the view of changes, what was decided stands where elsewhere the state does.
    let (word, who) = match (app.view, row.text.is_empty()) {
        (View::Changes, false) => (row.text.clone(), String::new()),
        _ => (word, if roomy { who(app, item) } else { String::new() }),
    };
    let word_shown = text::fit(&word, word_room, theme.glyphs.ellipsis);
    let who_room = word_room.saturating_sub(text::width(&word_shown) + 3);
    let mut right = vec![Span::styled(word_shown.clone(), theme.style(tone))];
    let mut right_used = text::width(&word_shown);
    if !who.is_empty() && who_room >= 3 {
        let who_tone = if who == "you" { Tone::Notable } else { Tone::Quiet };
        let who = text::fit(&who, who_room, theme.glyphs.ellipsis);
        right.push(Span::styled(format!(" {} ", theme.glyphs.dot), theme.style(Tone::Quiet)));
        right_used += 3 + text::width(&who);
        right.push(Span::styled(who, theme.style(who_tone)));
    }
    spans.extend(right);
    spans.push(Span::raw(" ".repeat(word_room.saturating_sub(right_used))));
    spans.push(Span::styled(text::pad_left(&bytes, bytes_room), theme.style(bytes_tone)));
    if at_cursor {
        // Reversed, grey on the background's colour would be hard to read.
        for span in &mut spans {
            if theme.color {
                span.style.fg = None;
            }
        }
    }
    Line::from(spans).render(area, buffer);
}
