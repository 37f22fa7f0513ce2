//! The help page, made from the table of actions and the key map in force.

use ratatui::text::{Line, Span};

use crate::app::App;
use crate::app::action::Action;
use crate::app::theme::Tone;
use crate::text;

/// The lines of the help page.
pub fn lines(app: &App) -> Vec<Line<'static>> {
    let theme = &app.theme;
    let glyphs = theme.glyphs;
    let mut lines = Vec::new();
    let mut group = "";
    for &action in Action::ALL {
        if action.group() != group {
            group = action.group();
            if !lines.is_empty() {
                lines.push(Line::default());
            }
            lines.push(Line::from(Span::styled(group, theme.style(Tone::Head))));
        }
        let keys: Vec<String> = app.keymap.keys(action).iter().map(ToString::to_string).collect();
        let keys = if keys.is_empty() { "(none)".to_owned() } else { keys.join(" ") };
        lines.push(Line::from(vec![
            Span::styled(format!(" {}", text::pad(&keys, 22)), theme.style(Tone::Accent)),
            Span::raw(" "),
            Span::raw(action.title()),
        ]));
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
        lines.push(Line::from(vec![
            Span::raw(format!(" {}", text::pad(sign, 22))),
            Span::raw(" "),
            Span::raw(meaning),
        ]));
    }
    lines.push(Line::default());
    lines.push(Line::from(
        "Bytes beside a part that is on go with it; +bytes come with one that is off. All are exact.",
    ));
    if let Some(path) = crate::app::keymap::user_file() {
        lines.push(Line::from(format!("Your own keys: {}", path.display())));
    }
    lines
}
