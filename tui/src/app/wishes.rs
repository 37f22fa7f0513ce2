//! Wishes: what is asked of an item, answered by a change, a question, or a refusal with ways out.

use bespoke_model::{Decision, Kind, NodeId, ParamId, ParamType, Refusal};

use super::action::Action;
use super::doc::{Change, Item, Outcome, Question, Refused, Want};
use super::input::Input;
use super::overlay::{Entry, Menu, Overlay, Pick, Prompt, Purpose};
use super::theme::Tone;
use super::{App, View, Way};
use crate::text;

/// More changes than this are listed and asked about before they are made.
const ASK_ABOVE: usize = 6;

/// Said below a first answer, while a better one is looked for.
const UNPROVEN: &str = "This is a first answer; whether less would do is being looked into.";

impl App {
    pub(super) fn toggle(&mut self) {
        let Some(item) = self.item() else { return };
        match item {
            Item::Node(n) => match self.doc.tree().node(n).kind {
                Kind::Menu => self.open_row(),
                Kind::Choice => self.ask_member(n),
                Kind::Component if self.doc.tree().choice_of(n).is_some() => self.want(item, Want::On),
                Kind::Component => self.want(item, Want::Flip),
            },
            Item::Param(p) => self.edit(p),
        }
    }

    pub(super) fn open_row(&mut self) {
        let Some(item) = self.item() else { return };
        match (self.view, item) {
            (View::Deps, item) => {
                self.remember();
                self.deps_of = Some(item);
                self.rebuild();
                self.set_cursor(0);
                self.step(0);
            }
            (View::Program | View::Changes, item) => self.jump(item),
            (_, Item::Node(n)) if self.doc.tree().node(n).kind == Kind::Menu => {
                if self.view != View::Tree {
                    return self.jump(item);
                }
                if !self.open.remove(&n) {
                    self.open.insert(n);
                }
                self.rebuild();
            }
            _ => self.toggle(),
        }
    }

    pub(super) fn want_here(&mut self, want: Want) {
        let Some(item) = self.item() else { return };
        match (item, &want) {
            (Item::Node(n), _) if self.doc.tree().node(n).kind == Kind::Menu => {
                self.say(Tone::Plain, "a menu is neither on nor off; open it and decide what is in it");
            }
            (Item::Node(n), Want::On) if self.doc.tree().node(n).kind == Kind::Choice => self.ask_member(n),
            (Item::Node(n), Want::Off) if self.doc.tree().node(n).kind == Kind::Choice => {
                self.say(Tone::Plain, "one of its members is always chosen; choose another with enter");
            }
            (Item::Node(n), Want::Off) if self.doc.tree().choice_of(n).is_some() => {
                self.say(Tone::Plain, "one of them must be chosen; go to another and choose that");
            }
            (Item::Param(p), Want::On | Want::Off) => match self.doc.tree().param(p).ty {
                ParamType::Bool => {
                    let value = bespoke_model::Value::Bool(want == Want::On);
                    self.want(item, Want::Value(value));
                }
                _ => self.say(Tone::Plain, "a parameter has a value; edit it with enter"),
            },
            _ => self.want(item, want),
        }
    }

    pub(super) fn ask_member(&mut self, choice: NodeId) {
        let tree = self.doc.tree();
        let node = tree.node(choice);
        let chosen = self.doc.member(choice);
        let members: Vec<NodeId> =
            node.children.iter().copied().filter(|m| tree.node(*m).kind == Kind::Component).collect();
        let entries: Vec<Entry> = members
            .iter()
            .map(|&m| {
                let member = tree.node(m);
                let note = if Some(m) == chosen {
                    return Entry::new(member.title.clone(), "chosen", Pick::Nothing);
                } else {
                    match self.doc.preview(Item::Node(m), &Want::On) {
                        Outcome::Change(change) => text::signed_bytes(change.image, self.theme.glyphs.minus),
                        Outcome::Same => String::new(),
                        Outcome::Refused(_) => "blocked".to_owned(),
                    }
                };
                Entry::new(
                    member.title.clone(),
                    note,
                    Pick::Decide(self.doc.decisions_for(Item::Node(m), &Want::On)),
                )
            })
            .collect();
        let cursor = members.iter().position(|m| Some(*m) == chosen).unwrap_or(0);
        let mut menu = Menu::new(node.title.clone(), vec![first_sentence(&node.help)], entries);
        menu.cursor = cursor;
        self.ask(menu);
    }

    pub(super) fn edit(&mut self, p: ParamId) {
        let param = self.doc.tree().param(p);
        let value = self.doc.value(p);
        if !self.doc.is_active(p) {
            let owner = &self.doc.tree().node(param.owner).id;
            self.say(Tone::Plain, format!("{owner} is off; its parameters count once it is on"));
            return;
        }
        match &param.ty {
            ParamType::Bool => {
                let flipped = bespoke_model::Value::Bool(value != &bespoke_model::Value::Bool(true));
                self.want(Item::Param(p), Want::Value(flipped));
            }
            ParamType::Enum { values } => {
                let now = value.to_string();
                let entries: Vec<Entry> = values
                    .iter()
                    .map(|v| {
                        let note = match (*v == now, *v == param.default.to_string()) {
                            (true, true) => "now; the default",
                            (true, false) => "now",
                            (false, true) => "the default",
                            (false, false) => "",
                        };
                        let want = Want::Value(bespoke_model::Value::Enum(v.clone()));
                        Entry::new(
                            v.clone(),
                            note,
                            Pick::Decide(self.doc.decisions_for(Item::Param(p), &want)),
                        )
                    })
                    .collect();
                let cursor = values.iter().position(|v| *v == now).unwrap_or(0);
                let mut menu = Menu::new(param.id.clone(), vec![param.help.clone()], entries);
                menu.cursor = cursor;
                self.ask(menu);
            }
            ty => {
                let prompt = Prompt {
                    purpose: Purpose::Value(p),
                    title: param.id.clone(),
                    text: vec![param.help.clone(), format!("{}; default {}", ty.describe(), param.default)],
                    input: Input::new(&value.to_string()),
                    error: None,
                };
                self.overlays.push(Overlay::Prompt(prompt));
            }
        }
    }

    /// Tries to have it so: at once, after a question when much would change, or not, with the reason and what would help.
    pub(super) fn want(&mut self, item: Item, want: Want) {
        match self.doc.preview(item, &want) {
            Outcome::Same => {
                let line = self.doc.why_same(item, &want);
                self.say(Tone::Plain, line);
            }
            Outcome::Refused(refused) => self.refuse(&self.doc.title_of(item, &want), &refused),
            Outcome::Change(change) => {
                let title = self.doc.title_of(item, &want);
                let decisions = self.doc.decisions_for(item, &want);
                if change.others(item) > ASK_ABOVE {
                    let lines = crate::view::grouped(&self.doc, &self.theme, &change);
                    let note = crate::view::change_line(&self.theme, &change);
                    self.ask(Menu::new(
                        format!("{title}: {} follow", text::count(change.others(item), "change")),
                        lines,
                        vec![
                            Entry::new(title, note, Pick::Decide(decisions)).key('y'),
                            Entry::new("leave it as it is", "", Pick::Nothing).key('n'),
                        ],
                    ));
                } else {
                    self.decide(decisions);
                }
            }
        }
    }

    pub(super) fn refuse(&mut self, title: &str, refused: &Refused) {
        let mut menu = Menu::new(format!("cannot {title}"), self.reasons(refused), self.ways_out(refused));
        menu.refused = Some(refused.wanted.clone());
        self.ask(menu);
    }

    fn reasons(&self, refused: &Refused) -> Vec<String> {
        let mut lines = refused.because.clone();
        if !refused.proven {
            lines.push(UNPROVEN.to_owned());
        }
        lines
    }

    fn ways_out(&self, refused: &Refused) -> Vec<Entry> {
        let mut entries: Vec<Entry> = refused
            .fixes
            .iter()
            .map(|fix| {
                let note =
                    fix.image.map_or_else(String::new, |b| text::signed_bytes(b, self.theme.glyphs.minus));
                Entry::new(fix.title.clone(), note, Pick::Decide(fix.decisions.clone()))
            })
            .collect();
        entries.push(Entry::new("leave it as it is", "", Pick::Nothing));
        entries
    }

    /// The question whose answer is on the screen and not proven yet.
    pub fn unproven(&self) -> Option<Question> {
        let open = |outcome: Outcome| match outcome {
            Outcome::Refused(refused) if !refused.proven => Some(self.doc.question(&refused.wanted)),
            _ => None,
        };
        match self.overlays.last() {
            Some(Overlay::Menu(menu)) => {
                let wanted = menu.refused.as_ref()?;
                let told = menu.text.last().is_some_and(|line| line == UNPROVEN);
                told.then(|| self.doc.question(wanted))
            }
            Some(_) => None,
            None => match self.item()? {
                item @ Item::Node(n) if self.doc.tree().node(n).kind == Kind::Component => {
                    open(self.doc.preview(item, &Want::Flip))
                }
                _ => None,
            },
        }
    }

    /// What stands against a wish is known now with the ways out that change the least.
    pub(super) fn proven(&mut self, question: &Question, refusal: &Refusal) {
        let Some((wanted, refused)) = self.doc.proven(question, refusal) else { return };
        let (lines, entries) = (self.reasons(&refused), self.ways_out(&refused));
        if let Some(Overlay::Menu(menu)) = self.overlays.last_mut()
            && menu.refused.as_ref() == Some(&wanted)
        {
            // The cursor stays on its answer, should that still be one.
            let at = menu.entries.get(menu.cursor).map(|entry| entry.title.clone());
            menu.cursor = entries.iter().position(|e| Some(&e.title) == at.as_ref()).unwrap_or(0);
            menu.text = lines;
            menu.entries = entries;
        }
    }

    pub(super) fn decide(&mut self, decisions: Vec<(String, Option<Decision>)>) {
        let title = self.doc.words(&decisions);
        match self.doc.decide(&title, decisions) {
            Ok(change) => self.changed(&title, &change),
            Err(refused) => self.refuse(&title, &refused),
        }
    }

    pub(super) fn changed(&mut self, title: &str, change: &Change) {
        let over_before =
            self.budget.is_some_and(|b| (self.doc.footprint().image_bytes as i64 - change.image) as u64 > b);
        self.rebuild();
        let line = crate::view::change_line(&self.theme, change);
        let dot = self.theme.glyphs.dot;
        let text = if line.is_empty() { title.to_owned() } else { format!("{title} {dot} {line}") };
        self.say(Tone::Good, text);
        if self.budget.is_some_and(|b| self.doc.footprint().image_bytes > b) && !over_before {
            let key = self.keymap.shown(Action::Budget);
            self.say(Tone::Bad, format!("{title} {dot} over the budget now; {key} says what could go"));
        }
    }

    pub(super) fn stepped(&mut self, how: &str, label: &str) {
        self.rebuild();
        self.say(Tone::Plain, format!("{how}: {label}"));
    }

    /// Asks what to make of a config that cannot be as it is. The first way is taken already, and not saved.
    pub fn offer_ways(&mut self, because: Vec<String>, ways: Vec<Way>) {
        let mut entries: Vec<Entry> = ways
            .into_iter()
            .enumerate()
            .map(|(n, way)| match n {
                0 => Entry::new(way.title, "as shown behind", Pick::Nothing),
                _ => Entry::new(way.title, "", Pick::Mend(way.text)),
            })
            .collect();
        entries.push(Entry::new("quit, and leave the file as it is", "", Pick::Leave).key('q'));
        let title = format!("{} cannot be as it is", self.doc.file());
        let save = self.keymap.shown(Action::Save);
        let mut lines = because;
        lines.push(format!("Nothing is written before you save with {save}."));
        self.ask(Menu::new(title, lines, entries));
    }

    /// Offers edits that an earlier session left behind.
    pub fn offer_recovery(&mut self, edits: String) {
        self.recovery = Some(edits.clone());
        self.ask(Menu::new(
            "unsaved changes from last time",
            vec!["An earlier session ended before they were saved.".to_owned()],
            vec![
                Entry::new("take them up", "they stay unsaved until you save", Pick::Recover(edits)).key('t'),
                Entry::new("throw them away", "", Pick::DropRecovery).key('d'),
                Entry::new(
                    "decide later",
                    "they stay where they are until you change something",
                    Pick::Nothing,
                ),
            ],
        ));
    }
}

/// The first sentence of a help text.
pub fn first_sentence(help: &str) -> String {
    let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.find(". ") {
        Some(end) => flat[..=end].to_owned(),
        None => flat,
    }
}
