//! The lines at the top and at the bottom: the file and its tabs, the totals, the budget, what was said.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::consequence_line;
use crate::app::action::Action;
use crate::app::layout::tab;
use crate::app::theme::Tone;
use crate::app::{App, View};
use crate::text;

pub(super) fn top(app: &App, tabs: &[(View, Rect)], area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let glyphs = theme.glyphs;
    let room = tabs.first().map_or(area.right(), |(_, rect)| rect.x).saturating_sub(area.x + 2);
    let state = match (app.doc.is_new(), app.doc.is_dirty()) {
        (_, true) => format!("{} unsaved", glyphs.unsaved),
        (true, false) => "new".to_owned(),
        (false, false) => String::new(),
    };
    let view = if tabs.is_empty() { tab(app.view) } else { String::new() };
    let brand = if room >= 34 { " bespoke " } else { " " };
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

pub(super) fn totals(app: &App, area: Rect, buffer: &mut Buffer) {
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

pub(super) fn footer(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    let room = usize::from(area.width).saturating_sub(2);
    if let Some(message) = &app.message {
        let line = text::fit(&message.text.replace('\n', " "), room, theme.glyphs.ellipsis);
        buffer.set_string(area.x + 1, area.y, line, theme.style(message.tone));
        return;
    }
    if app.typing() {
        let say = "enter sends the line, up and down bring earlier ones back, pgup scrolls, esc leaves";
        let say = text::fit(say, room, theme.glyphs.ellipsis);
        buffer.set_string(area.x + 1, area.y, say, theme.style(Tone::Notable));
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
        let (mut line, tone) = consequence_line(app, item);
        if text::width(&line) > room
            && let Some((wish, rest)) = line.split_once(&format!(" {} ", theme.glyphs.dot))
            && let Some(verb) = ["turn on", "turn off"].iter().find(|verb| wish.starts_with(**verb))
        {
            // The row has the name already.
            line = format!("{verb}: {rest}");
        }
        if !line.is_empty() {
            let line = text::fit(&line, room, theme.glyphs.ellipsis);
            buffer.set_string(area.x + 1, area.y, line, theme.style(tone));
            return;
        }
    }
    let hints: &[(Action, &str)] = match app.view {
        View::Console => &[
            (Action::Boot, "boot"),
            (Action::Type, "type to it"),
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
