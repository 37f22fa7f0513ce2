//! Questions that actions put before they are done.

use bespoke_model::Decision;

use super::input::Input;
use super::overlay::{Entry, Finder, Menu, Overlay, Pick, Prompt, Purpose};
use super::{App, Effect};
use crate::text;

impl App {
    pub(super) fn quit(&mut self) {
        if !self.doc.is_dirty() {
            self.effects.push(Effect::Quit);
            return;
        }
        let file = self.doc.file();
        let mut lines = self.doc.summary(8);
        if lines.is_empty() {
            lines.push("The text of the config differs from the file.".to_owned());
        }
        self.ask(Menu::new(
            "quit with unsaved changes?",
            lines,
            vec![
                Entry::new("save and quit", file, Pick::QuitSave).key('s'),
                Entry::new("quit, lose the changes", "", Pick::QuitDiscard).key('d'),
                Entry::new("stay", "", Pick::Nothing),
            ],
        ));
    }

    pub(super) fn find(&mut self, palette: bool) {
        let finder = Finder { palette, input: Input::default(), hits: Vec::new(), cursor: 0 };
        self.overlays.push(Overlay::Finder(finder));
        self.typed();
    }

    pub(super) fn ask_budget(&mut self) {
        let current = self.budget.map_or_else(String::new, |b| bespoke_model::Value::Size(b).to_string());
        self.overlays.push(Overlay::Prompt(Prompt {
            purpose: Purpose::Budget,
            title: "size budget".to_owned(),
            text: vec![
                format!("The image has {} now.", text::bytes(self.doc.footprint().image_bytes)),
                "A size such as 64KiB; nothing for no budget.".to_owned(),
            ],
            input: Input::new(&current),
            error: None,
        }));
    }

    /// Says what could go to get back under the budget.
    pub(super) fn over_budget(&mut self) {
        let Some(budget) = self.budget else { return };
        let over = self.doc.footprint().image_bytes.saturating_sub(budget);
        let mut entries: Vec<Entry> = self
            .doc
            .removable(9)
            .into_iter()
            .map(|(node, bytes)| {
                let id = self.doc.tree().node(node).id.clone();
                let note = text::signed_bytes(-(bytes as i64), self.theme.glyphs.minus);
                Entry::new(format!("turn off {id}"), note, Pick::Drop(vec![(id, Some(Decision::OFF))]))
            })
            .collect();
        let now = self.doc.footprint();
        let fixed = now.program_bytes + now.files_bytes;
        let mut lines = Vec::new();
        if fixed > budget {
            let fixed = text::bytes(fixed);
            lines
                .push(format!("The program and its files alone have {fixed}: no choice of parts is enough."));
        }
        lines.push(match entries.is_empty() {
            true => "Every part is there because somebody asked for it.".to_owned(),
            false => "The largest parts that nobody asked for:".to_owned(),
        });
        entries.push(Entry::new("another budget", text::bytes(budget), Pick::Budget).key('b'));
        entries.push(Entry::new("leave it", "", Pick::Nothing));
        self.ask(Menu::new(format!("over the budget by {}", text::bytes(over)), lines, entries));
    }

    pub(super) fn ask_preset(&mut self) {
        let now = self.doc.extends();
        let entries: Vec<Entry> = crate::presets::names()
            .into_iter()
            .map(|name| {
                let name = format!("preset:{name}");
                let note = if now.as_deref() == Some(&name) {
                    return Entry::new(name, "extended now", Pick::Nothing);
                } else {
                    match self.doc.preview_extend(&name) {
                        Ok(change) => crate::view::change_line(&self.theme, &change),
                        Err(why) => why,
                    }
                };
                Entry::new(name.clone(), note, Pick::Extend(name))
            })
            .collect();
        self.ask(Menu::new(
            "load a preset",
            vec!["Your own decisions stay, and lie over the preset's.".to_owned()],
            entries,
        ));
    }

    pub(super) fn ask_compare(&mut self) {
        let mut entries = vec![Entry::new("the file", self.doc.file(), Pick::Compare(None))];
        entries.extend(crate::presets::names().into_iter().map(|name| {
            let name = format!("preset:{name}");
            Entry::new(name.clone(), "", Pick::Compare(Some(name)))
        }));
        self.ask(Menu::new("compare with", Vec::new(), entries));
    }
}
