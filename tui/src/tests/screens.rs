//! Pictures of the real app for the README.
//!
//! `cargo test -p bespoke -- --ignored screens` draws them anew, with the library OS as it is.

use std::fmt::Write as _;
use std::path::Path;

use bespoke_model::Config;
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::fixture::Session;
use crate::app::keymap::Keymap;
use crate::app::theme::Theme;
use crate::app::{App, Event};

const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
const PAPER: &str = "#16181d";
const INK: &str = "#d7dae0";

fn color(color: Color, otherwise: &'static str) -> &'static str {
    match color {
        Color::Red => "#f0716f",
        Color::Green => "#8cc570",
        Color::Yellow => "#e0b565",
        Color::Magenta => "#c98be0",
        Color::Cyan => "#62bccb",
        Color::Blue => "#6ea6ee",
        Color::DarkGray => "#7b828f",
        _ => otherwise,
    }
}

/// What two cells must have in common to be drawn as one piece of text.
fn look(cell: &Cell) -> (&'static str, &'static str, bool, bool) {
    let (mut ink, mut paper) = (color(cell.fg, INK), color(cell.bg, PAPER));
    if cell.modifier.contains(Modifier::REVERSED) {
        std::mem::swap(&mut ink, &mut paper);
    }
    (ink, paper, cell.modifier.contains(Modifier::BOLD), cell.modifier.contains(Modifier::UNDERLINED))
}

fn svg(buffer: &Buffer) -> String {
    let area = buffer.area;
    let (w, h) = (f64::from(area.width) * WIDTH + 24.0, f64::from(area.height) * HEIGHT + 20.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w:.0} {h:.0}\" width=\"{w:.0}\" height=\"{h:.0}\" \
         font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n"
    );
    for y in 0..area.height {
        let mut x = 0;
        while x < area.width {
            let here = look(&buffer[(x, y)]);
            let from = x;
            let mut text = String::new();
            while x < area.width && look(&buffer[(x, y)]) == here {
                text.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            let (ink, paper, bold, underlined) = here;
            let (left, top) = (12.0 + f64::from(from) * WIDTH, 10.0 + f64::from(y) * HEIGHT);
            let wide = f64::from(x - from) * WIDTH;
            if paper != PAPER {
                let _ = writeln!(
                    out,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{HEIGHT}\" fill=\"{paper}\"/>"
                );
            }
            if text.trim().is_empty() {
                continue;
            }
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let _ = writeln!(
                out,
                "<text x=\"{left:.1}\" y=\"{:.1}\" fill=\"{ink}\" textLength=\"{wide:.1}\" xml:space=\"preserve\"{}{}>{text}</text>",
                top + 13.5,
                if bold { " font-weight=\"bold\"" } else { "" },
                if underlined { " text-decoration=\"underline\"" } else { "" },
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

#[test]
#[ignore = "writes pictures"]
fn screens() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("screens");
    std::fs::create_dir_all(&dir).unwrap();
    for (name, preset, keys) in [
        ("tree", "everything", "jjjjlkkkkljjjjjjjj"),
        ("toggle", "hello", "ljjj"),
        ("refusal", "hello", "/directories<enter><space>/abi.open<enter><space>"),
        ("map", "everything", "3"),
        ("search", "everything", "/clock"),
    ] {
        let os = bespoke_kernel::Os::embedded();
        let config =
            Config::parse("redis.toml", &format!("schema = 1\nextends = \"preset:{preset}\"\n")).unwrap();
        let chain = crate::presets::chain(config, Path::new(".")).unwrap();
        let kernel = std::rc::Rc::new(crate::backend::Kernel::new());
        let doc = crate::app::doc::Doc::open(&os.tree, kernel, chain, "bespoke.toml", true).unwrap();
        let area = Rect::new(0, 0, 110, 30);
        let mut session = Session::new(area.width, area.height);
        session.app = App::new(doc, Theme::new(true, false), Keymap::default(), area);
        session.keys(keys);
        session.event(Event::Resize(area.width, area.height));
        std::fs::write(dir.join(format!("{name}.svg")), svg(&session.buffer())).unwrap();
    }
}
