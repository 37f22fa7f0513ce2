//! Keys, and what they do to whatever lies on top.

use crossterm::event::KeyCode;

use super::action::Action;
use super::doc::{Item, Want};
use super::event::Wish;
use super::keymap::Key;
use super::overlay::{Overlay, Pick, Purpose, Target};
use super::theme::Tone;
use super::{App, Effect, View};
use crate::text;

impl App {
    pub(super) fn key(&mut self, key: Key) {
        self.message = None;
        match self.overlays.last() {
            Some(Overlay::Menu(_)) => self.menu_key(key),
            Some(Overlay::Prompt(_)) => self.prompt_key(key),
            Some(Overlay::Finder(_)) => self.finder_key(key),
            Some(Overlay::Help(_)) => self.help_key(key),
            None if self.typing() => self.console_key(key),
            None => match self.keymap.action(key) {
                Some(action) => self.act(action),
                None => {
                    let help = self.keymap.shown(Action::Help);
                    self.say(Tone::Quiet, format!("{key} does nothing here; {help} lists the keys"));
                }
            },
        }
    }

    /// Keys that mean the same in every overlay.
    pub(super) fn closes(&mut self, key: Key) -> bool {
        let close = key.code == KeyCode::Esc || (key.ctrl && matches!(key.code, KeyCode::Char('c' | 'g')));
        if close {
            self.overlays.pop();
        }
        close
    }

    pub(super) fn menu_key(&mut self, key: Key) {
        if self.closes(key) {
            return;
        }
        let Some(Overlay::Menu(menu)) = self.overlays.last_mut() else { return };
        let last = menu.entries.len().saturating_sub(1);
        match key.code {
            KeyCode::Char(c) if !key.ctrl && menu.entries.iter().any(|e| e.key == Some(c)) => {
                menu.cursor = menu.entries.iter().position(|e| e.key == Some(c)).unwrap_or(0);
                self.take_entry();
            }
            KeyCode::Char(c @ '1'..='9') if !key.ctrl => {
                let n = c as usize - '1' as usize;
                if n <= last {
                    menu.cursor = n;
                    self.take_entry();
                }
            }
            KeyCode::Up | KeyCode::Char('k') | KeyCode::BackTab => {
                menu.cursor = menu.cursor.saturating_sub(1)
            }
            KeyCode::Down | KeyCode::Char('j') | KeyCode::Tab => menu.cursor = (menu.cursor + 1).min(last),
            KeyCode::Home | KeyCode::Char('g') => menu.cursor = 0,
            KeyCode::End | KeyCode::Char('G') => menu.cursor = last,
            KeyCode::PageUp => menu.cursor = menu.cursor.saturating_sub(8),
            KeyCode::PageDown => menu.cursor = (menu.cursor + 8).min(last),
            KeyCode::Enter | KeyCode::Char(' ') => self.take_entry(),
            KeyCode::Char('q') => {
                self.overlays.pop();
            }
            _ => {}
        }
    }

    pub(super) fn take_entry(&mut self) {
        let Some(Overlay::Menu(menu)) = self.overlays.pop() else { return };
        let Some(entry) = menu.entries.get(menu.cursor) else { return };
        match entry.pick.clone() {
            Pick::Nothing => {}
            Pick::Decide(decisions) => self.decide(decisions),
            Pick::Drop(decisions) => {
                self.decide(decisions);
                let over = self.budget.is_some_and(|b| self.doc.footprint().image_bytes > b);
                if over && self.overlays.is_empty() {
                    self.over_budget();
                }
            }
            Pick::Budget => self.ask_budget(),
            Pick::QuitDiscard => {
                self.effects.push(Effect::DropRecovery);
                self.effects.push(Effect::Quit);
            }
            Pick::QuitSave => {
                self.quit_after_save = true;
                self.effects.push(Effect::Save { force: false });
            }
            Pick::Extend(name) => match self.doc.extend(&name) {
                Ok(change) => self.changed(&format!("extends {name}"), &change),
                Err(why) => self.say(Tone::Bad, why),
            },
            Pick::Compare(name) => match self.doc.compare_with(name.as_deref()) {
                Ok(()) => self.show(View::Changes),
                Err(why) => self.say(Tone::Bad, why),
            },
            Pick::Mend(text) => match self.doc.replace_text("mend the config", &text) {
                Ok(change) => self.changed("mended", &change),
                Err(why) => self.say(Tone::Bad, why),
            },
            Pick::Leave => self.effects.push(Effect::Quit),
            Pick::Recover(edits) => match self.doc.replace_text("take up the edits of last time", &edits) {
                Ok(change) => self.changed("took up the edits of last time", &change),
                Err(why) => self.say(Tone::Bad, why),
            },
            Pick::DropRecovery => self.effects.push(Effect::DropRecovery),
            Pick::SaveOver(path) => self.effects.push(Effect::SaveCopy { path, force: true }),
            Pick::SaveForce => self.effects.push(Effect::Save { force: true }),
            Pick::New(wish) => self.make(wish),
            Pick::Open(path) => self.effects.push(Effect::Open(path)),
        }
    }

    pub(super) fn prompt_key(&mut self, key: Key) {
        if self.closes(key) {
            return;
        }
        let Some(Overlay::Prompt(prompt)) = self.overlays.last_mut() else { return };
        if key.code == KeyCode::Enter {
            self.take_prompt();
        } else {
            prompt.input.key(key);
            self.typed();
        }
    }

    /// Something was typed: check it, or search for it.
    pub(super) fn typed(&mut self) {
        match self.overlays.last_mut() {
            Some(Overlay::Prompt(prompt)) => {
                let typed = prompt.input.text();
                prompt.error = match prompt.purpose {
                    Purpose::Value(param) => self.doc.tree().param(param).ty.parse(typed).err(),
                    Purpose::Budget if typed.trim().is_empty() => None,
                    Purpose::Budget if text::parse_size(typed).is_none() => {
                        Some("a size, such as 64KiB or 2MiB".to_owned())
                    }
                    Purpose::Budget | Purpose::SavePreset | Purpose::New { .. } => None,
                };
            }
            Some(Overlay::Finder(finder)) => {
                finder.cursor = 0;
                finder.hits = if finder.palette {
                    self.index.actions(finder.input.text(), &self.keymap)
                } else {
                    self.index.rows(finder.input.text())
                };
            }
            _ => {}
        }
    }

    pub(super) fn take_prompt(&mut self) {
        self.typed();
        let Some(Overlay::Prompt(prompt)) = self.overlays.last() else { return };
        if prompt.error.is_some() {
            return;
        }
        let Some(Overlay::Prompt(prompt)) = self.overlays.pop() else { return };
        let typed = prompt.input.text().trim().to_owned();
        match prompt.purpose {
            Purpose::Value(param) => {
                if let Ok(value) = self.doc.tree().param(param).ty.parse(prompt.input.text()) {
                    self.want(Item::Param(param), Want::Value(value));
                }
            }
            Purpose::Budget => {
                self.budget = text::parse_size(&typed);
                self.effects.push(Effect::KeepBudget);
                match self.budget {
                    Some(budget) if self.doc.footprint().image_bytes > budget => self.over_budget(),
                    Some(budget) => self.say(Tone::Good, format!("the budget is {}", text::bytes(budget))),
                    None => self.say(Tone::Plain, "no budget"),
                }
                self.keep_visible();
            }
            Purpose::SavePreset | Purpose::New { .. } if typed.is_empty() => {}
            Purpose::New { image } => self.make(Wish { from: typed, image, force: false }),
            Purpose::SavePreset => match crate::presets::place(&typed) {
                Ok(path) => self.effects.push(Effect::SaveCopy { path, force: false }),
                Err(why) => self.say(Tone::Bad, why),
            },
        }
    }

    fn make(&mut self, wish: Wish) {
        self.say(Tone::Plain, format!("looking at {} …", wish.from));
        self.console.building = true;
        self.effects.push(Effect::New(wish));
    }

    pub(super) fn finder_key(&mut self, key: Key) {
        if self.closes(key) {
            return;
        }
        let Some(Overlay::Finder(finder)) = self.overlays.last_mut() else { return };
        let last = finder.hits.len().saturating_sub(1);
        match (key.code, key.ctrl) {
            (KeyCode::Up, _) | (KeyCode::Char('p' | 'k'), true) | (KeyCode::BackTab, _) => {
                finder.cursor = finder.cursor.saturating_sub(1);
            }
            (KeyCode::Down, _) | (KeyCode::Char('n' | 'j'), true) | (KeyCode::Tab, _) => {
                finder.cursor = (finder.cursor + 1).min(last);
            }
            (KeyCode::PageUp, _) => finder.cursor = finder.cursor.saturating_sub(8),
            (KeyCode::PageDown, _) => finder.cursor = (finder.cursor + 8).min(last),
            (KeyCode::Enter, _) => {
                let Some(Overlay::Finder(finder)) = self.overlays.pop() else { return };
                match finder.hits.get(finder.cursor).map(|hit| hit.to) {
                    Some(Target::Item(item)) => self.jump(item),
                    Some(Target::Action(action)) => self.act(action),
                    None => {}
                }
            }
            _ => {
                if finder.input.key(key) {
                    self.typed();
                }
            }
        }
    }

    pub(super) fn help_key(&mut self, key: Key) {
        let page = usize::from(self.area.height.saturating_sub(6)).max(1);
        let last = crate::view::help::lines(self).len().saturating_sub(page);
        let Some(Overlay::Help(at)) = self.overlays.last_mut() else { return };
        match self.keymap.action(key) {
            Some(Action::Up) => *at = at.saturating_sub(1),
            Some(Action::Down) => *at = (*at + 1).min(last),
            Some(Action::PageUp) => *at = at.saturating_sub(page),
            Some(Action::PageDown | Action::Toggle) => *at = (*at + page).min(last),
            Some(Action::Top) => *at = 0,
            Some(Action::Bottom) => *at = last,
            _ => {
                self.overlays.pop();
            }
        }
    }
}
