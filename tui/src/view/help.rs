//! The help page, made from the table of actions and the key map in force.

use ratatui::text::{Line, Span};

use super::wrap;
use crate::app::App;
use crate::app::action::Action;
use crate::app::theme::Tone;
use crate::text;

/// The lines of the help page.
pub fn lines(app: &App) -> Vec<Line<'static>> {
    let theme = &app.theme;
    let glyphs = theme.glyphs;
    let width = usize::from(super::overlay::place_of_help(app).width).saturating_sub(4);
    // Where there is little room, one key of each will do.
    let (room, most) = if width >= 60 { (22, usize::MAX) } else { (8, 1) };
    let mut lines: Vec<Line<'static>> = Vec::new();
    let row = |lines: &mut Vec<Line<'static>>, head: &str, tone: Tone, text: &str| {
        let hang = room + 2;
        for (i, line) in wrap(text, width.saturating_sub(hang)).into_iter().enumerate() {
            let head = if i == 0 { text::pad(head, room) } else { " ".repeat(room) };
            lines.push(Line::from(vec![
                Span::styled(format!(" {head} "), theme.style(tone)),
                Span::raw(line),
            ]));
        }
    };
    let mut group = "";
    for &action in Action::ALL {
        if action.group() != group {
            group = action.group();
            if !lines.is_empty() {
                lines.push(Line::default());
            }
            lines.push(Line::from(Span::styled(group, theme.style(Tone::Head))));
        }
        let keys: Vec<String> = app.keymap.keys(action).iter().take(most).map(ToString::to_string).collect();
        let keys = if keys.is_empty() { "(none)".to_owned() } else { keys.join(" ") };
        row(&mut lines, &keys, Tone::Accent, action.title());
    }
    lines.push(Line::default());
    lines.push(Line::from(Span::styled("Signs", theme.style(Tone::Head))));
    for (sign, meaning) in [
        (glyphs.on, "a part that is on"),
        (glyphs.off, "a part that is off"),
        (glyphs.core, "a part that is always on"),
        (glyphs.blocked, "a part that cannot be toggled now; try, and the reason and ways out are shown"),
        (glyphs.choice, "a choice: exactly one of its members"),
        (glyphs.chosen, "the chosen member of a choice"),
        (glyphs.param, "a parameter"),
    ] {
        row(&mut lines, sign, Tone::Plain, meaning);
    }
    lines.push(Line::default());
    let mut last =
        "Bytes beside a part that is on go with it; +bytes come with one that is off. All are exact."
            .to_owned();
    if let Some(path) = crate::app::keymap::user_file() {
        last.push_str(&format!("\nYour own keys: {}", path.display()));
    }
    lines.extend(wrap(&last, width).into_iter().map(Line::from));
    lines
}
