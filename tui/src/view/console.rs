//! The program's console.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::app::action::Action;
use crate::app::theme::Tone;
use crate::app::{App, View};
use crate::text;

/// What the rule above the console says.
pub(super) fn title(app: &App) -> String {
    let back = match app.console.back {
        0 => String::new(),
        n => format!(", {} back", text::count(n, "line")),
    };
    if app.console.typing.is_some() {
        format!("console: keys go to the program, enter sends the line, esc leaves{back}")
    } else if app.console.running {
        let key = |action| app.keymap.shown(action);
        format!("console: running, {} types to it, {} stops it{back}", key(Action::Type), key(Action::Stop))
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

/// Draws the last lines, and the line that is being typed below them; where the text cursor is, when one is.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let Some(input) = app.console.typing.as_ref().filter(|_| area.height > 0) else {
        lines(app, area, buffer);
        return None;
    };
    let room = area.height - 1;
    let used = app.console.lines.len().min(usize::from(room)) as u16;
    lines(app, Rect { height: room, ..area }, buffer);
    let line = Rect { x: area.x + 1, y: area.y + used, width: area.width.saturating_sub(2), height: 1 };
    Some(super::overlay::draw_input(app, "> ", input, line, buffer))
}

fn lines(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.theme;
    if app.console.lines.is_empty() {
        let say = if app.console.typing.is_some() {
            return;
        } else if app.console.running {
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
