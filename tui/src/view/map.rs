//! The map of where the bytes go.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use crate::app::App;
use crate::app::theme::Tone;
use crate::app::treemap::squarify;
use crate::text;

/// The area of every share, in the order of the rows.
pub fn areas(app: &App, area: Rect) -> Vec<Rect> {
    let amounts: Vec<u64> = app.doc.shares().iter().map(|share| share.bytes).collect();
    squarify(&amounts, area)
}

/// Draws every share of the image as an area of its size.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let shares = app.doc.shares();
    let amounts: Vec<u64> = shares.iter().map(|share| share.bytes).collect();
    let rects = areas(app, area);
    let theme = &app.theme;
    let total: u64 = amounts.iter().sum();
    let cursor = app.scroll().cursor;
    for (n, (share, rect)) in shares.iter().zip(&rects).enumerate() {
        if rect.is_empty() {
            continue;
        }
        let here = n == cursor;
        let border = &theme.glyphs.border;
        let style = theme.style(if here { Tone::Accent } else { Tone::Quiet });
        // Each area has its right and lower edge drawn; its neighbours give it the others.
        let (right, bottom) = (rect.right() - 1, rect.bottom() - 1);
        for y in rect.top()..rect.bottom() {
            for x in rect.left()..rect.right() {
                let symbol = match (x == right && rect.width > 1, y == bottom && rect.height > 1) {
                    (true, true) => border.bottom_right,
                    (true, false) => border.vertical_right,
                    (false, true) => border.horizontal_bottom,
                    (false, false) => " ",
                };
                buffer[(x, y)].set_symbol(symbol).set_style(style);
            }
        }
        let room = usize::from(rect.width.saturating_sub(1));
        if room >= 3 {
            let base = if share.node.is_some() { theme.style(Tone::Plain) } else { theme.style(Tone::Quiet) };
            let name_style = if here { theme.style(Tone::Cursor) } else { base };
            let mut name = text::fit(&share.name, room, theme.glyphs.ellipsis);
            if text::width(&share.name) > room {
                // The last part of an id says more than its first.
                name = text::fit(bespoke_model::last_part(&share.name), room, theme.glyphs.ellipsis);
            }
            buffer.set_stringn(rect.x, rect.y, name, room, name_style.add_modifier(Modifier::BOLD));
            let size = text::bytes(share.bytes);
            if rect.height >= 3 && text::width(&size) <= room {
                buffer.set_string(rect.x, rect.y + 1, &size, theme.style(Tone::Plain));
            }
            let percent = format!("{:.1} %", share.bytes as f64 * 100.0 / total.max(1) as f64);
            if rect.height >= 4 && text::width(&percent) <= room {
                buffer.set_string(rect.x, rect.y + 2, percent, theme.style(Tone::Quiet));
            }
        } else if here {
            buffer.set_style(*rect, theme.style(Tone::Cursor));
        }
    }
}
