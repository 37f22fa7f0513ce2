//! Drawing: from the state to a frame, and nothing else.

pub mod detail;
pub mod help;
pub mod list;
pub mod map;
pub mod overlay;

use bespoke_model::Origin;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use crate::app::action::Action;
use crate::app::doc::{Change, Doc, Item, Outcome, Want};
use crate::app::layout::{SMALLEST, tab};
use crate::app::theme::{Theme, Tone};
use crate::app::{App, View};
use crate::text;

/// Draws the whole screen.
pub fn draw(app: &App, frame: &mut Frame) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(area, buffer);
        return;
    }
    let panes = app.panes();
    top(app, &panes.tabs, panes.top, buffer);
    totals(app, panes.totals, buffer);
    if panes.list.height > 0 {
        let width = if panes.beside { panes.list.width } else { panes.main.width };
        rule(app, Rect { height: 1, width, ..panes.main }, &list_title(app), buffer);
    }
    if !panes.divider.is_empty() {
        if panes.beside {
            let glyph = app.theme.glyphs.border.vertical_left;
            for y in panes.divider.top()..panes.divider.bottom() {
                let glyph = if y == panes.divider.top() { app.theme.glyphs.tee } else { glyph };
                buffer[(panes.divider.x, y)].set_symbol(glyph).set_style(app.theme.style(Tone::Quiet));
            }
            let head =
                Rect { x: panes.divider.x + 1, width: panes.detail.width + 1, height: 1, ..panes.main };
            rule(app, head, &detail::title(app), buffer);
        } else {
            rule(app, Rect { height: 1, ..panes.divider }, &detail::title(app), buffer);
        }
    }
    match app.view {
        View::Map => map::draw(app, panes.list, buffer),
        View::Console => console(app, panes.list, buffer),
        _ => list::draw(app, panes.list, buffer),
    }
    if !panes.detail.is_empty() {
        detail::draw(app, panes.detail, buffer);
    }
    if !panes.console.is_empty() {
        rule(app, Rect { height: 1, ..panes.console }, &console_title(app), buffer);
        let lines = Rect { y: panes.console.y + 1, height: panes.console.height - 1, ..panes.console };
        console(app, lines, buffer);
    }
    footer(app, panes.footer, buffer);
    if let Some(cursor) = overlay::draw(app, buffer) {
        frame.set_cursor_position(cursor);
    }
}

fn too_small(area: Rect, buffer: &mut Buffer) {
    let say = format!("{}x{} is too small: {}x{} is needed", area.width, area.height, SMALLEST.0, SMALLEST.1);
    for (i, line) in wrap(&say, usize::from(area.width)).iter().enumerate() {
        if (i as u16) < area.height {
            buffer.set_string(area.x, area.y + i as u16, line, Style::new());
        }
    }
}

/// A heading with a line behind it.
pub fn rule(app: &App, area: Rect, title: &str, buffer: &mut Buffer) {
    let line = app.theme.glyphs.border.horizontal_top;
    let width = usize::from(area.width);
    let quiet = app.theme.style(Tone::Quiet);
    buffer.set_string(area.x, area.y, line.repeat(width), quiet);
    if !title.is_empty() && width > 6 {
        let title = format!(" {} ", text::fit(title, width - 4, app.theme.glyphs.ellipsis));
        buffer.set_string(area.x + 1, area.y, title, app.theme.style(Tone::Head));
    }
}

fn list_title(app: &App) -> String {
    match app.view {
        View::Tree => String::new(),
        View::Sizes => "parts by size".to_owned(),
        View::Map => "where the bytes go".to_owned(),
        View::Deps => match app.deps_of {
            Some(Item::Node(n)) => format!("{} and the parts around it", app.doc.tree().node(n).id),
            Some(Item::Param(p)) => format!("{} and the parts around it", app.doc.tree().param(p).id),
            None => "needs".to_owned(),
        },
        View::Program => "the program, and the parts that serve it".to_owned(),
        View::Changes => "what is different".to_owned(),
        View::Console => console_title(app),
    }
}

fn top(app: &App, tabs: &[(View, Rect)], area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let glyphs = theme.glyphs;
    let room = tabs.first().map_or(area.right(), |(_, rect)| rect.x).saturating_sub(area.x + 2);
    let state = match (app.doc.is_new(), app.doc.is_dirty()) {
        (_, true) => format!("{} unsaved", glyphs.unsaved),
        (true, false) => "new".to_owned(),
        (false, false) => String::new(),
    };
    let view = if tabs.is_empty() { tab(app.view) } else { String::new() };
    let brand = if area.width >= 60 { " bespoke " } else { " " };
    let fixed = brand.len() + text::width(&state) + text::width(&view) + 3;
    let name =
        text::fit_path(app.doc.file(), usize::from(room).saturating_sub(fixed).max(8), glyphs.ellipsis);
    let mut spans = vec![
        Span::styled(brand, theme.style(Tone::Accent).add_modifier(Modifier::BOLD)),
        Span::styled(name, theme.style(Tone::Head)),
        Span::raw(" "),
        Span::styled(state, theme.style(Tone::Notable)),
    ];
    if !view.is_empty() {
        let used: usize = spans.iter().map(|s| s.width()).sum();
        let gap = usize::from(area.width).saturating_sub(used + text::width(&view) + 1);
        spans.push(Span::raw(" ".repeat(gap)));
        spans.push(Span::styled(view, theme.style(Tone::Quiet)));
    }
    Line::from(spans).render(area, buffer);
    for (view, rect) in tabs {
        let style = if *view == app.view {
            theme.style(Tone::Accent).add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        } else {
            theme.style(Tone::Quiet)
        };
        buffer.set_stringn(rect.x, rect.y, tab(*view), usize::from(rect.width), style);
    }
}

fn totals(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let now = app.doc.footprint();
    let delta = app.doc.opened().delta(now);
    let (parts, parts_before) = app.doc.parts();
    let change = |n: i64| -> Option<(String, Tone)> {
        let tone = if n < 0 { Tone::Good } else { Tone::Notable };
        (n != 0).then(|| (text::signed(n, theme.glyphs.minus), tone))
    };
    let minus = |a: u64, b: u64| a as i64 - b as i64;
    // In the order in which they are shown, and the order in which they may go when there is no room.
    type Cell = (&'static str, String, Option<(String, Tone)>, u8);
    let cells: Vec<Cell> = vec![
        ("image", text::bytes(now.image_bytes), change(delta.image_bytes), 0),
        ("os", text::bytes(now.os_bytes), change(delta.os_bytes), 4),
        (
            "program",
            text::bytes(now.program_bytes + now.files_bytes),
            change(minus(
                now.program_bytes + now.files_bytes,
                app.doc.opened().program_bytes + app.doc.opened().files_bytes,
            )),
            5,
        ),
        (
            "memory",
            text::human(now.boot_memory_bytes),
            change(delta.boot_memory_bytes).map(|(_, tone)| {
                let sign = if delta.boot_memory_bytes < 0 { theme.glyphs.minus } else { "+" };
                (format!("{sign}{}", text::human(delta.boot_memory_bytes.unsigned_abs())), tone)
            }),
            3,
        ),
        ("syscalls", now.syscalls.to_string(), change(delta.syscalls), 2),
        ("parts", parts.to_string(), change(minus(parts as u64, parts_before as u64)), 1),
    ];
    let mut dropped = 6;
    let (mut spans, mut used);
    loop {
        spans = vec![Span::raw(" ")];
        used = 1;
        for (name, value, change, rank) in &cells {
            if *rank >= dropped {
                continue;
            }
            if used > 1 {
                spans.push(Span::raw("   "));
                used += 3;
            }
            spans.push(Span::styled(format!("{name} "), theme.style(Tone::Quiet)));
            spans.push(Span::styled(value.clone(), theme.style(Tone::Head)));
            used += name.len() + 1 + text::width(value);
            if let Some((change, tone)) = change {
                spans.push(Span::styled(format!(" {change}"), theme.style(*tone)));
                used += 1 + text::width(change);
            }
        }
        if used <= usize::from(area.width) || dropped <= 1 {
            break;
        }
        dropped -= 1;
    }
    Line::from(spans).render(Rect { height: 1, ..area }, buffer);
    if let (Some(budget), 2..) = (app.budget, area.height) {
        gauge(app, budget, Rect { y: area.y + 1, height: 1, ..area }, buffer);
    }
}

fn gauge(app: &App, budget: u64, area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let image = app.doc.footprint().image_bytes;
    let over = image > budget;
    let words = if over {
        format!(
            "over by {} {} {} says what could go",
            text::bytes(image - budget),
            theme.glyphs.dot,
            app.keymap.shown(Action::Budget)
        )
    } else {
        format!("{} left", text::bytes(budget - image))
    };
    let tone = if over { Tone::Bad } else { Tone::Good };
    let head = format!(" budget {} ", text::bytes(budget));
    let room =
        usize::from(area.width).saturating_sub(text::width(&head) + text::width(&words) + 3).clamp(4, 32);
    let full = (image as u128 * room as u128 / u128::from(budget.max(1))).min(room as u128) as usize;
    Line::from(vec![
        Span::styled(head, theme.style(Tone::Quiet)),
        Span::styled(theme.glyphs.full.repeat(full), theme.style(tone)),
        Span::styled(theme.glyphs.empty.repeat(room - full), theme.style(Tone::Quiet)),
        Span::raw(" "),
        Span::styled(words, theme.style(tone)),
    ])
    .render(area, buffer);
}

fn footer(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let room = usize::from(area.width).saturating_sub(2);
    if let Some(message) = &app.message {
        let line = text::fit(&message.text.replace('\n', " "), room, theme.glyphs.ellipsis);
        buffer.set_string(area.x + 1, area.y, line, theme.style(message.tone));
        return;
    }
    if app.console.building {
        buffer.set_string(area.x + 1, area.y, "building", theme.style(Tone::Notable));
        return;
    }
    // Where there is no room for the detail, its most important line stands here.
    if app.panes().detail.is_empty()
        && app.view != View::Console
        && let Some(item) = app.item()
    {
        let (line, tone) = consequence_line(app, item);
        if !line.is_empty() {
            let line = text::fit(&line, room, theme.glyphs.ellipsis);
            buffer.set_string(area.x + 1, area.y, line, theme.style(tone));
            return;
        }
    }
    let hints: &[(Action, &str)] = match app.view {
        View::Console => &[
            (Action::Boot, "boot"),
            (Action::Stop, "stop"),
            (Action::Up, "scroll"),
            (Action::Back, "back"),
            (Action::Help, "keys"),
        ],
        _ => &[
            (Action::Toggle, "toggle"),
            (Action::Search, "search"),
            (Action::Undo, "undo"),
            (Action::Save, "save"),
            (Action::Build, "build"),
            (Action::Boot, "boot"),
            (Action::Palette, "commands"),
            (Action::Open, "open"),
            (Action::Help, "keys"),
            (Action::Quit, "quit"),
        ],
    };
    let mut spans = vec![Span::raw(" ")];
    let mut used = 1;
    // The last two, help and quit, always stay.
    let tail: usize = hints.iter().rev().take(2).map(|(a, w)| hint_width(app, *a, w)).sum();
    for (i, (action, word)) in hints.iter().enumerate() {
        let width = hint_width(app, *action, word);
        let reserve = if i + 2 < hints.len() { tail } else { 0 };
        if used + width + reserve > usize::from(area.width) {
            continue;
        }
        used += width;
        spans.push(Span::styled(app.keymap.shown(*action), theme.style(Tone::Accent)));
        spans.push(Span::styled(format!(" {word}  "), theme.style(Tone::Quiet)));
    }
    Line::from(spans).render(area, buffer);
}

fn hint_width(app: &App, action: Action, word: &str) -> usize {
    text::width(&app.keymap.shown(action)) + text::width(word) + 3
}

fn console_title(app: &App) -> String {
    let back = match app.console.back {
        0 => String::new(),
        n => format!(", {} back", text::count(n, "line")),
    };
    if app.console.running {
        let stop = app.keymap.shown(Action::Stop);
        format!("console: running, {stop} stops it{back}")
    } else if app.console.building {
        format!("console: building{back}")
    } else if let Some((how, _)) = &app.console.ended {
        let close = app.keymap.shown(Action::Stop);
        let close = if app.view == View::Console { String::new() } else { format!(", {close} closes") };
        format!("console: {how}{back}{close}")
    } else {
        "console".to_owned()
    }
}

fn console(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    if app.console.lines.is_empty() {
        let say = if app.console.running {
            "nothing was said yet".to_owned()
        } else {
            format!("{} builds the image and boots it here", app.keymap.shown(Action::Boot))
        };
        buffer.set_stringn(area.x + 1, area.y, say, usize::from(area.width), theme.style(Tone::Quiet));
        return;
    }
    let last = app.console.lines.len().saturating_sub(app.console.back);
    let from = last.saturating_sub(usize::from(area.height));
    for (y, line) in (area.top()..area.bottom()).zip(app.console.lines.range(from..last)) {
        let line = text::fit(line, usize::from(area.width).saturating_sub(2), theme.glyphs.ellipsis);
        let tone = if line.starts_with('[') { Tone::Quiet } else { Tone::Plain };
        buffer.set_string(area.x + 1, y, line, theme.style(tone));
    }
}

// ---- words shared by views ----

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
        if number && matches!(unit, "B" | "KiB" | "MiB" | "GiB" | "ms" | "%") {
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

/// Draws lines, as many as fit.
pub fn paragraph(lines: Vec<Line<'_>>, area: Rect, buffer: &mut Buffer) {
    Paragraph::new(lines).render(area, buffer);
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
