//! What each action does.

use super::action::Action;
use super::doc::Want;
use super::input::Input;
use super::overlay::{Overlay, Prompt, Purpose};
use super::theme::Tone;
use super::{App, Effect, View, rows};

impl App {
    /// Does what was asked.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Up | Action::Down | Action::Left | Action::Right if self.view == View::Map => {
                self.step_on_map(action);
            }
            Action::Up => self.step(-1),
            Action::Down => self.step(1),
            Action::PageUp => self.step(-(self.page() as isize)),
            Action::PageDown => self.step(self.page() as isize),
            Action::Top => self.step(isize::MIN / 2),
            Action::Bottom => self.step(isize::MAX / 2),
            Action::Left => self.fold(),
            Action::Right => self.unfold(),
            Action::ExpandAll => {
                let tree = self.doc.tree();
                self.open = tree.nodes().filter(|n| rows::unfolds(tree, *n)).collect();
                self.rebuild();
            }
            Action::CollapseAll => {
                self.open.clear();
                self.rebuild();
            }
            Action::Search => self.find(false),
            Action::Palette => self.find(true),
            Action::Back => self.go_back(),
            Action::DetailUp => self.detail_scroll = self.detail_scroll.saturating_sub(2),
            Action::DetailDown => {
                let (lines, room) = crate::view::detail::extent(self);
                self.detail_scroll = (self.detail_scroll + 2).min(lines.saturating_sub(room));
            }
            Action::Toggle => self.toggle(),
            Action::Open => self.open_row(),
            Action::On => self.want_here(Want::On),
            Action::Off => self.want_here(Want::Off),
            Action::Auto => self.want_here(Want::Auto),
            Action::Undo => match self.doc.undo() {
                Some(label) => self.stepped("undone", &label),
                None => self.say(Tone::Plain, "nothing to undo"),
            },
            Action::Redo => match self.doc.redo() {
                Some(label) => self.stepped("redone", &label),
                None => self.say(Tone::Plain, "nothing to redo"),
            },
            Action::Budget => {
                let over = self.budget.is_some_and(|b| self.doc.footprint().image_bytes > b);
                if over {
                    self.over_budget();
                } else {
                    self.ask_budget();
                }
            }
            Action::ViewTree => self.show(View::Tree),
            Action::ViewSizes => self.show(View::Sizes),
            Action::ViewMap => self.show(View::Map),
            Action::ViewDeps => self.show_deps(),
            Action::ViewProgram => self.show(View::Program),
            Action::ViewChanges => self.show(View::Changes),
            Action::ViewConsole => self.show(View::Console),
            Action::NextView => {
                let next = View::ALL[(self.view.index() + 1) % View::ALL.len()];
                if next == View::Deps { self.show_deps() } else { self.show(next) }
            }
            Action::Compare => self.ask_compare(),
            Action::Detail => {
                self.detail_shown = !self.detail_shown;
                self.keep_visible();
            }
            Action::WidenDetail => {
                self.detail_share = (self.detail_share + 5).min(75);
                self.keep_visible();
            }
            Action::NarrowDetail => {
                self.detail_share = self.detail_share.saturating_sub(5).max(15);
                self.keep_visible();
            }
            Action::Save => self.effects.push(Effect::Save { force: false }),
            Action::SavePreset => self.overlays.push(Overlay::Prompt(Prompt {
                purpose: Purpose::SavePreset,
                title: "save a copy".to_owned(),
                text: vec![
                    "A name keeps it as a preset of your own; a path (with / or .toml) writes a file."
                        .to_owned(),
                ],
                input: Input::default(),
                error: None,
            })),
            Action::LoadPreset => self.ask_preset(),
            Action::NewProgram => self.ask_new(false),
            Action::NewImage => self.ask_new(true),
            Action::Build => {
                self.console.building = true;
                self.effects.push(Effect::Build);
            }
            Action::Boot => {
                if std::mem::take(&mut self.console.running) {
                    self.console.rule("[stopped, to start over]".to_owned());
                }
                self.console.typing = None;
                self.console.building = true;
                self.effects.push(Effect::Boot);
            }
            Action::Type if self.console.running => {
                if self.panes().console.is_empty() {
                    self.show(View::Console);
                }
                self.console.typing = Some(Input::default());
                self.console.back = 0;
            }
            Action::Type => {
                let boot = self.keymap.shown(Action::Boot);
                self.say(Tone::Plain, format!("nothing is running; {boot} boots the image"));
            }
            Action::ConsoleUp => self.console.scroll(-5),
            Action::ConsoleDown => self.console.scroll(5),
            Action::Stop if self.console.running || self.console.building => self.effects.push(Effect::Stop),
            Action::Stop if self.console.ended.take().is_some() => self.keep_visible(),
            Action::Stop => self.say(Tone::Plain, "nothing is running"),
            Action::Help => self.overlays.push(Overlay::Help(0)),
            Action::Suspend => self.effects.push(Effect::Suspend),
            Action::Redraw => self.effects.push(Effect::Redraw),
            Action::Quit => self.quit(),
        }
    }
}
