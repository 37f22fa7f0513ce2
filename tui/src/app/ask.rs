//! Questions that actions put before they are done.

use bespoke_model::Decision;

use super::action::Action;
use super::event::Wish;
use super::input::Input;
use super::overlay::{Entry, Finder, Menu, Overlay, Pick, Prompt, Purpose};
use super::theme::Tone;
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

    /// Asks what a new config is to be made from.
    pub(super) fn ask_new(&mut self, image: bool) {
        if self.doc.is_dirty() {
            let (save, undo) = (self.keymap.shown(Action::Save), self.keymap.shown(Action::Undo));
            let what = "there are unsaved changes";
            return self.say(Tone::Notable, format!("{what}: save with {save} or undo with {undo} first"));
        }
        self.prompt_new(image, "", None);
    }

    /// Asks for the program or image itself.
    fn prompt_new(&mut self, image: bool, typed: &str, error: Option<String>) {
        let (title, line) = match image {
            true => (
                "a config for a container image",
                "What `docker save` wrote, or an OCI layout: a tar file or a folder.",
            ),
            false => ("a config for a program", "Its path or name, and its arguments, as in a shell."),
        };
        self.overlays.push(Overlay::Prompt(Prompt {
            purpose: Purpose::New { image },
            title: title.to_owned(),
            text: vec![line.to_owned(), "Its code says what it needs; that takes a moment.".to_owned()],
            input: Input::new(typed),
            error,
        }));
    }

    /// Asks what is to become of a config that is there.
    pub(super) fn ask_made_before(&mut self, to: std::path::PathBuf, wish: Wish) {
        let title = format!("{} exists", to.display());
        self.ask(Menu::new(
            title,
            Vec::new(),
            vec![
                Entry::new("open it as it is", "", Pick::Open(to)).key('o'),
                Entry::new("make it anew", "what is in it is lost", Pick::New(Wish { force: true, ..wish }))
                    .key('m'),
                Entry::new("leave it", "", Pick::Nothing),
            ],
        ));
    }

    /// A config was made, or not.
    pub(super) fn made(&mut self, wish: &Wish, result: Result<std::path::PathBuf, String>) {
        self.console.building = false;
        match result {
            Ok(path) if self.doc.is_dirty() => {
                self.say(
                    Tone::Notable,
                    format!("made {}; what you changed here is not saved yet", path.display()),
                );
            }
            Ok(path) => self.effects.push(Effect::Open(path)),
            // Somebody is about something else by now.
            Err(why) if !self.overlays.is_empty() => self.say(Tone::Bad, why),
            Err(why) => {
                self.message = None;
                self.prompt_new(wish.image, &wish.from, Some(why));
            }
        }
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
