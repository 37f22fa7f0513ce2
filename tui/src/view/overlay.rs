//! What lies over the views: menus, lines to type, finders, help.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::{help, wrap};
use crate::app::App;
use crate::app::doc::Item;
use crate::app::overlay::{Finder, Hit, Menu, Overlay, Prompt, Target};
use crate::app::theme::Tone;
use crate::text;

/// Draws the topmost overlay; where the text cursor is, when something is typed.
pub fn draw(app: &App, buffer: &mut Buffer) -> Option<Position> {
    let overlay = app.overlays.last()?;
    let area = place(app);
    Clear.render(area, buffer);
    buffer.set_style(area, Style::reset());
    match overlay {
        Overlay::Menu(menu) => {
            frame(app, area, &menu.title, buffer);
            draw_menu(app, menu, inside(area), buffer);
            None
        }
        Overlay::Prompt(prompt) => {
            frame(app, area, &prompt.title, buffer);
            Some(draw_prompt(app, prompt, inside(area), buffer))
        }
        Overlay::Finder(finder) => {
            frame(app, area, if finder.palette { "commands" } else { "search" }, buffer);
            Some(draw_finder(app, finder, inside(area), buffer))
        }
        Overlay::Help(at) => {
            frame(app, area, "keys", buffer);
            let inner = inside(area);
            let lines = help::lines(app);
            let more = lines.len().saturating_sub(at + usize::from(inner.height));
            super::paragraph(
                lines.into_iter().skip(*at).take(usize::from(inner.height)).collect(),
                inner,
                buffer,
            );
            let hint = if more > 0 { " space more, esc closes " } else { " esc closes " };
            let x = area.right().saturating_sub(hint.len() as u16 + 2);
            buffer.set_string(x, area.bottom() - 1, hint, app.theme.style(Tone::Quiet));
            None
        }
    }
}

fn wide(screen: Rect, want: u16) -> u16 {
    want.min(screen.width.saturating_sub(if screen.width > 60 { 6 } else { 0 }))
}

/// Where the help is, when it is shown.
pub fn place_of_help(app: &App) -> Rect {
    let width = wide(app.area, 84);
    let height = app.area.height.saturating_sub(2);
    Rect { x: (app.area.width - width) / 2, y: 1, width, height }
}

/// Where the topmost overlay is.
pub fn place(app: &App) -> Rect {
    let screen = app.area;
    let wide = |want: u16| wide(screen, want);
    let centred = |width: u16, height: u16| {
        let height = height.min(screen.height.saturating_sub(2));
        Rect { x: (screen.width - width) / 2, y: (screen.height - height) / 2, width, height }
    };
    match app.overlays.last() {
        Some(Overlay::Menu(menu)) => {
            let width = wide(78);
            let text: usize = menu_text(menu, usize::from(width.saturating_sub(4))).len();
            let gap = usize::from(text > 0);
            centred(width, (text + gap + menu.entries.len() + 2) as u16)
        }
        Some(Overlay::Prompt(prompt)) => {
            let width = wide(70);
            let text: usize =
                prompt.text.iter().map(|t| wrap(t, usize::from(width.saturating_sub(4))).len()).sum();
            centred(width, text as u16 + 6)
        }
        Some(Overlay::Finder(_)) => {
            let width = wide(90);
            let height = (screen.height * 3 / 4).clamp(8, 30).min(screen.height - 1);
            Rect { x: (screen.width - width) / 2, y: 1, width, height }
        }
        Some(Overlay::Help(_)) => place_of_help(app),
        None => Rect::default(),
    }
}

/// Which entry is at a place.
pub fn entry_at(app: &App, at: Position) -> Option<usize> {
    let inner = inside(place(app));
    if !inner.contains(at) {
        return None;
    }
    let y = usize::from(at.y - inner.y);
    match app.overlays.last()? {
        Overlay::Menu(menu) => {
            let (shown, room) = menu_room(menu, inner);
            let head = shown.len() + usize::from(!shown.is_empty());
            Some(y.checked_sub(head)? + offset(menu.cursor, room))
        }
        Overlay::Finder(finder) => Some(
            y.checked_sub(2)?
                + offset(
                    finder.cursor,
                    usize::from(inner.height.saturating_sub(if finder.palette || inner.height < 9 {
                        2
                    } else {
                        4
                    })),
                ),
        ),
        Overlay::Prompt(_) | Overlay::Help(_) => None,
    }
}

fn offset(cursor: usize, room: usize) -> usize {
    (cursor + 1).saturating_sub(room.max(1))
}

fn inside(area: Rect) -> Rect {
    Rect {
        x: area.x + 2,
        y: area.y + 1,
        width: area.width.saturating_sub(4),
        height: area.height.saturating_sub(2),
    }
}

fn frame(app: &App, area: Rect, title: &str, buffer: &mut Buffer) {
    let border = &app.theme.glyphs.border;
    let style = app.theme.style(Tone::Accent);
    if area.width < 4 || area.height < 2 {
        return;
    }
    let (right, bottom) = (area.right() - 1, area.bottom() - 1);
    for x in area.x..=right {
        buffer[(x, area.y)].set_symbol(border.horizontal_top).set_style(style);
        buffer[(x, bottom)].set_symbol(border.horizontal_bottom).set_style(style);
    }
    for y in area.y..=bottom {
        buffer[(area.x, y)].set_symbol(border.vertical_left).set_style(style);
        buffer[(right, y)].set_symbol(border.vertical_right).set_style(style);
    }
    for (x, y, symbol) in [
        (area.x, area.y, border.top_left),
        (right, area.y, border.top_right),
        (area.x, bottom, border.bottom_left),
        (right, bottom, border.bottom_right),
    ] {
        buffer[(x, y)].set_symbol(symbol).set_style(style);
    }
    let title = text::fit(title, usize::from(area.width) - 4, app.theme.glyphs.ellipsis);
    let style = style.add_modifier(Modifier::BOLD);
    buffer.set_string(area.x + 1, area.y, format!(" {title} "), style);
}

fn menu_text(menu: &Menu, width: usize) -> Vec<String> {
    menu.text.iter().flat_map(|paragraph| wrap(paragraph, width)).collect()
}

/// The text that fits above the entries, and the room for entries: half of it at least, for answers matter most.
fn menu_room(menu: &Menu, inner: Rect) -> (Vec<String>, usize) {
    let height = usize::from(inner.height);
    let mut text = menu_text(menu, usize::from(inner.width));
    let entries = menu.entries.len().min((height / 2).max(1));
    let room = height.saturating_sub(entries + 1);
    if text.len() > room {
        text.truncate(room);
        if let Some(last) = text.last_mut() {
            last.push_str(" …");
        }
    }
    let left = height - text.len() - usize::from(!text.is_empty());
    (text, left)
}

fn draw_menu(app: &App, menu: &Menu, inner: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let (shown, room) = menu_room(menu, inner);
    let mut y = inner.y;
    for line in &shown {
        buffer.set_stringn(inner.x, y, line, usize::from(inner.width), theme.style(Tone::Plain));
        y += 1;
    }
    if !shown.is_empty() {
        y += 1;
    }
    let from = offset(menu.cursor, room);
    for (n, entry) in menu.entries.iter().enumerate().skip(from).take(room) {
        let line = Rect { y, height: 1, ..inner };
        let key = match entry.key {
            Some(key) => key.to_string(),
            None if n < 9 => (n + 1).to_string(),
            None => " ".to_owned(),
        };
        let width = usize::from(inner.width);
        let note_room = (width / 2).max(width.saturating_sub(text::width(&entry.title) + 6));
        let note = text::fit(&entry.note, note_room, theme.glyphs.ellipsis);
        let title_room = width.saturating_sub(text::width(&note) + 5);
        let title = text::fit(&entry.title, title_room, theme.glyphs.ellipsis);
        Line::from(vec![
            Span::styled(format!(" {key} "), theme.style(Tone::Accent)),
            Span::raw(text::pad(&title, title_room)),
            Span::raw(" "),
            Span::styled(note, theme.style(Tone::Quiet)),
        ])
        .render(line, buffer);
        if n == menu.cursor {
            selected(app, line, buffer);
        }
        y += 1;
    }
}

fn selected(app: &App, line: Rect, buffer: &mut Buffer) {
    for x in line.left()..line.right() {
        let cell = &mut buffer[(x, line.y)];
        cell.fg = ratatui::style::Color::Reset;
        cell.set_style(app.theme.style(Tone::Cursor));
    }
}

/// Draws a line that is being typed; where its cursor is.
pub(super) fn draw_input(
    app: &App,
    before: &str,
    input: &crate::app::input::Input,
    line: Rect,
    buffer: &mut Buffer,
) -> Position {
    let head = text::width(before) as u16;
    let (shown, at) = input.window(usize::from(line.width.saturating_sub(head + 1)));
    buffer.set_string(line.x, line.y, before, app.theme.style(Tone::Accent));
    buffer.set_string(line.x + head, line.y, shown, app.theme.style(Tone::Head));
    Position::new(line.x + head + at as u16, line.y)
}

fn draw_prompt(app: &App, prompt: &Prompt, inner: Rect, buffer: &mut Buffer) -> Position {
    let theme = &app.theme;
    let mut lines: Vec<String> = prompt.text.iter().flat_map(|t| wrap(t, usize::from(inner.width))).collect();
    lines.truncate(usize::from(inner.height.saturating_sub(4)));
    let mut y = inner.y;
    for line in &lines {
        buffer.set_stringn(inner.x, y, line, usize::from(inner.width), theme.style(Tone::Quiet));
        y += 1;
    }
    let cursor = draw_input(app, "> ", &prompt.input, Rect { y: y + 1, height: 1, ..inner }, buffer);
    let (say, tone) = match &prompt.error {
        Some(error) => (error.as_str(), Tone::Bad),
        None => ("enter takes it, esc leaves it as it is", Tone::Quiet),
    };
    for (line, y) in wrap(say, usize::from(inner.width)).iter().take(2).zip(y + 2..) {
        buffer.set_string(inner.x, y, line, theme.style(tone));
    }
    cursor
}

fn draw_finder(app: &App, finder: &Finder, inner: Rect, buffer: &mut Buffer) -> Position {
    let theme = &app.theme;
    let cursor = draw_input(app, "/ ", &finder.input, Rect { height: 1, ..inner }, buffer);
    let about = u16::from(!finder.palette && inner.height >= 9) * 2;
    let list = Rect { y: inner.y + 2, height: inner.height.saturating_sub(2 + about), ..inner };
    if about > 0
        && let Some(Target::Item(item)) = finder.hits.get(finder.cursor).map(|hit| hit.to)
    {
        // Why the row under the cursor is as it is, or what stands in its way.
        let (line, tone) = about_line(app, item);
        let line = text::fit(&line, usize::from(inner.width), theme.glyphs.ellipsis);
        buffer.set_string(inner.x, inner.bottom() - 1, line, theme.style(tone));
    }
    if finder.hits.is_empty() {
        let say = if finder.input.text().trim().is_empty() {
            "names, titles, parameters, or words of the help"
        } else {
            "nothing matches"
        };
        buffer.set_stringn(list.x, list.y, say, usize::from(list.width), theme.style(Tone::Quiet));
        return cursor;
    }
    let from = offset(finder.cursor, usize::from(list.height));
    for (i, (n, hit)) in finder.hits.iter().enumerate().skip(from).take(usize::from(list.height)).enumerate()
    {
        let line = Rect { y: list.y + i as u16, height: 1, ..list };
        draw_hit(app, hit, line, buffer);
        if n == finder.cursor {
            selected(app, line, buffer);
        }
    }
    cursor
}

fn about_line(app: &App, item: Item) -> (String, Tone) {
    let (line, tone) = super::consequence_line(app, item);
    if tone == Tone::Bad {
        return (line, tone);
    }
    let (_, word, _) = super::list::state(app, item);
    let who = super::origin_words(&app.doc, item);
    let dot = app.theme.glyphs.dot;
    match (word.as_str(), who.as_str()) {
        ("off", "default") => (line, Tone::Quiet),
        _ if line.is_empty() => (format!("{word} {dot} {who}"), Tone::Quiet),
        _ => (format!("{word} {dot} {who} {dot} {line}"), Tone::Quiet),
    }
}

fn draw_hit(app: &App, hit: &Hit, line: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let width = usize::from(line.width);
    let mut spans = vec![Span::raw(" ")];
    let mut right = String::new();
    if let Target::Item(item) = hit.to {
        let (glyph, word, tone) = super::list::state(app, item);
        spans.push(Span::styled(text::pad(if glyph.is_empty() { " " } else { glyph }, 2), theme.style(tone)));
        right = word;
    }
    for (i, c) in hit.title.chars().enumerate() {
        let style = if hit.marks.contains(&i) { theme.style(Tone::Match) } else { Style::new() };
        spans.push(Span::styled(c.to_string(), style));
    }
    let used: usize = spans.iter().map(|s| s.width()).sum();
    let right = text::fit(&right, 16, theme.glyphs.ellipsis);
    let note_room = width.saturating_sub(used + text::width(&right) + 4);
    let note = text::fit(&hit.note, note_room, theme.glyphs.ellipsis);
    spans.push(Span::styled(format!("  {note}"), theme.style(Tone::Quiet)));
    let used: usize = spans.iter().map(|s| s.width()).sum();
    spans.push(Span::raw(" ".repeat(width.saturating_sub(used + text::width(&right) + 1))));
    spans.push(Span::styled(right, theme.style(Tone::Quiet)));
    Line::from(spans).render(line, buffer);
}
