//! Drawing: from the state to a frame, and nothing else.

mod bars;
mod console;
pub mod detail;
pub mod help;
pub mod list;
pub mod map;
pub mod overlay;
mod words;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Widget};

use crate::app::doc::Item;
use crate::app::layout::SMALLEST;
use crate::app::theme::Tone;
use crate::app::{App, View};
use crate::text;

pub use words::{change_line, consequence_line, grouped, origin_words, wrap};

/// Draws the whole screen.
pub fn draw(app: &App, frame: &mut Frame) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(area, buffer);
        return;
    }
    let panes = app.panes();
    bars::top(app, &panes.tabs, panes.top, buffer);
    bars::totals(app, panes.totals, buffer);
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
    let mut cursor = None;
    match app.view {
        View::Map => map::draw(app, panes.list, buffer),
        View::Console => cursor = console::draw(app, panes.list, buffer),
        _ => list::draw(app, panes.list, buffer),
    }
    if !panes.detail.is_empty() {
        detail::draw(app, panes.detail, buffer);
    }
    if !panes.console.is_empty() {
        rule(app, Rect { height: 1, ..panes.console }, &console::title(app), buffer);
        let lines = Rect { y: panes.console.y + 1, height: panes.console.height - 1, ..panes.console };
        cursor = console::draw(app, lines, buffer);
    }
    bars::footer(app, panes.footer, buffer);
    if !app.overlays.is_empty() {
        cursor = overlay::draw(app, buffer);
    }
    if let Some(cursor) = cursor {
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
        View::Map if app.doc.program_overwhelms() => {
            let now = app.doc.footprint();
            let left_out = text::bytes(now.program_bytes + now.files_bytes);
            format!("where the system's bytes go; the program's {left_out} are not drawn")
        }
        View::Map => "where the bytes go".to_owned(),
        View::Deps => match app.deps_of {
            Some(Item::Node(n)) => format!("{} and the parts around it", app.doc.tree().node(n).id),
            Some(Item::Param(p)) => format!("{} and the parts around it", app.doc.tree().param(p).id),
            None => "needs".to_owned(),
        },
        View::Program => "the program, and the parts that serve it".to_owned(),
        View::Changes => "what is different".to_owned(),
        View::Console => console::title(app),
    }
}

/// Draws lines, as many as fit.
pub fn paragraph(lines: Vec<Line<'_>>, area: Rect, buffer: &mut Buffer) {
    Paragraph::new(lines).render(area, buffer);
}
