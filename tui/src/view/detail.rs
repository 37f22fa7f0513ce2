//! The detail: everything about the row under the cursor, before any key is pressed.

use bespoke_model::{Kind, NodeId, Origin};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{grouped, origin_words, wrap};
use crate::app::action::Action;
use crate::app::doc::{Item, Outcome, Want};
use crate::app::theme::Tone;
use crate::app::{App, View};
use crate::text;

/// The heading of the detail.
pub fn title(app: &App) -> String {
    match app.item() {
        Some(Item::Node(n)) => app.doc.tree().node(n).id.clone(),
        Some(Item::Param(p)) => app.doc.tree().param(p).id.clone(),
        None => String::new(),
    }
}

/// How many lines the detail has, and how many fit.
pub fn extent(app: &App) -> (usize, usize) {
    let area = app.panes().detail;
    (lines(app, usize::from(area.width.saturating_sub(2))).len(), usize::from(area.height))
}

/// Draws the detail.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let lines = lines(app, usize::from(inner.width));
    let room = usize::from(inner.height);
    let from = app.detail_scroll.min(lines.len().saturating_sub(room));
    let more = lines.len() > from + room;
    super::paragraph(lines.into_iter().skip(from).take(room).collect(), inner, buffer);
    if more && inner.height > 0 {
        let key = app.keymap.shown(Action::DetailDown);
        let hint = format!(" {key} more ");
        let x = area.right().saturating_sub(text::width(&hint) as u16);
        buffer.set_string(x, area.bottom() - 1, hint, app.theme.style(Tone::Accent));
    }
}

struct Text<'a> {
    app: &'a App,
    width: usize,
    out: Vec<Line<'static>>,
}

impl Text<'_> {
    fn say(&mut self, tone: Tone, text: &str) {
        let style = self.app.theme.style(tone);
        for line in wrap(text, self.width) {
            self.out.push(Line::from(Span::styled(line, style)));
        }
    }

    /// A name and what belongs to it, hanging.
    fn item(&mut self, name: &str, tone: Tone, text: &str) {
        const INDENT: usize = 10;
        let theme = &self.app.theme;
        for (i, line) in wrap(text, self.width.saturating_sub(INDENT)).into_iter().enumerate() {
            let head = if i == 0 { text::pad(name, INDENT) } else { " ".repeat(INDENT) };
            self.out.push(Line::from(vec![
                Span::styled(head, theme.style(Tone::Quiet)),
                Span::styled(line, theme.style(tone)),
            ]));
        }
    }

    fn gap(&mut self) {
        if self.out.last().is_some_and(|line| line.width() > 0) {
            self.out.push(Line::default());
        }
    }
}

fn lines(app: &App, width: usize) -> Vec<Line<'static>> {
    let mut text = Text { app, width: width.max(8), out: Vec::new() };
    match app.item() {
        Some(Item::Node(n)) => node(&mut text, n),
        Some(Item::Param(p)) => {
            let param = app.doc.tree().param(p);
            let value = app.doc.value(p).to_string();
            let who = origin_words(&app.doc, Item::Param(p));
            text.item("value", Tone::Head, &format!("{value} {} {who}", app.theme.glyphs.dot));
            text.item("takes", Tone::Plain, &param.ty.describe());
            text.item("default", Tone::Plain, &param.default.to_string());
            if !app.doc.is_active(p) {
                let owner = &app.doc.tree().node(param.owner).id;
                text.say(Tone::Notable, &format!("{owner} is off: the value counts once it is on."));
            }
            text.gap();
            text.say(Tone::Plain, &flow(&param.help));
        }
        None if app.view == View::Map => {
            let shares = app.doc.shares();
            if let Some(share) = shares.get(app.scroll().cursor) {
                let all = app.doc.footprint().image_bytes.max(1);
                let percent = share.bytes as f64 * 100.0 / all as f64;
                let dot = app.theme.glyphs.dot;
                text.say(
                    Tone::Head,
                    &format!("{} {dot} {} {dot} {percent:.1} %", share.name, text::bytes(share.bytes)),
                );
                text.gap();
                text.say(Tone::Plain, share.about());
            }
        }
        None => {}
    }
    text.out
}

/// Help texts are wrapped where they stand in files; here they flow, paragraph by paragraph.
fn flow(help: &str) -> String {
    help.trim()
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn node(text: &mut Text, n: NodeId) {
    let app = text.app;
    let doc = &app.doc;
    let tree = doc.tree();
    let node = tree.node(n);
    let item = Item::Node(n);
    let (_, word, tone) = super::list::state(app, item);
    let dot = app.theme.glyphs.dot;
    match node.kind {
        Kind::Menu => text.say(Tone::Head, &format!("{} {dot} {word}", node.title)),
        Kind::Choice => {
            let members: Vec<String> = node
                .children
                .iter()
                .filter(|m| tree.node(**m).kind == Kind::Component)
                .map(|m| tree.node(*m).title.clone())
                .collect();
            text.say(Tone::Head, &format!("{} {dot} {word}", node.title));
            text.item("one of", Tone::Plain, &members.join(", "));
        }
        Kind::Component => {
            let who = match doc.origin(item) {
                Origin::Core => String::new(),
                _ if word.is_empty() => String::new(),
                Origin::Default if !doc.is_on(n) => String::new(),
                _ => format!(" {dot} {}", origin_words(doc, item)),
            };
            let word = if word.is_empty() { "not chosen".to_owned() } else { word };
            text.say(
                if tone == Tone::Quiet { Tone::Plain } else { tone },
                &format!("{} {dot} {word}{who}", node.title),
            );
        }
    }
    if let Some(why) = &node.core {
        text.item("always on", Tone::Plain, &super::super::app::doc::sentence(why));
    }
    if node.kind == Kind::Component && node.core.is_none() {
        consequences(text, item);
    }
    text.gap();
    text.say(Tone::Plain, &flow(&node.help));
    let relations = [
        ("needs", node.requires.iter().map(|c| c.text.clone()).collect::<Vec<_>>()),
        ("not with", node.conflicts.iter().map(|l| l.text.clone()).collect()),
        ("gives", node.provides.iter().map(|l| l.text.clone()).collect()),
        ("suggests", node.recommends.iter().map(|l| l.text.clone()).collect()),
    ];
    if relations.iter().any(|(_, list)| !list.is_empty()) {
        text.gap();
        for (name, list) in relations {
            if !list.is_empty() {
                text.item(name, Tone::Plain, &list.join(", "));
            }
        }
    }
}

fn consequences(text: &mut Text, item: Item) {
    let app = text.app;
    let doc = &app.doc;
    let minus = app.theme.glyphs.minus;
    let key = app.keymap.shown(Action::Toggle);
    match doc.preview(item, &Want::Flip) {
        Outcome::Same => {}
        Outcome::Refused(refused) => {
            text.item(&key, Tone::Bad, &format!("cannot {}", doc.title_of(item, &Want::Flip)));
            let because = refused.because.join(" ");
            text.item("because", Tone::Plain, because.strip_prefix("Because ").unwrap_or(&because));
            for (i, fix) in refused.fixes.iter().enumerate() {
                let cost =
                    fix.image.map_or_else(String::new, |b| format!(" ({})", text::signed_bytes(b, minus)));
                text.item(
                    if i == 0 { "you could" } else { "or" },
                    Tone::Plain,
                    &format!("{}{cost}", fix.title),
                );
            }
            if !refused.proven {
                text.item("", Tone::Quiet, "a first answer; looking for a smaller one");
            }
        }
        Outcome::Change(change) => {
            let mut cost = vec![text::signed_bytes(change.image, minus)];
            if change.memory != 0 {
                let human = text::human(change.memory.unsigned_abs());
                let sign = if change.memory < 0 { minus } else { "+" };
                cost.push(format!("{sign}{human} memory"));
            }
            if change.syscalls != 0 {
                cost.push(format!("{} syscalls", text::signed(change.syscalls, minus)));
            }
            let title = doc.title_of(item, &Want::Flip);
            text.item(&key, Tone::Notable, &format!("{title}: {}", cost.join(", ")));
            let others = change.others(item);
            if others > 0 {
                let mut rest = change.clone();
                rest.on.retain(|n| Item::Node(*n) != item);
                rest.off.retain(|n| Item::Node(*n) != item);
                for (i, line) in grouped(doc, &app.theme, &rest).into_iter().enumerate() {
                    text.item(if i == 0 { "with it" } else { "" }, Tone::Plain, &line);
                }
            }
        }
    }
}
