//! Wishes: the decisions that they come down to, and what would follow.

use bespoke_model as model;
use bespoke_model::{Decision, Refusal, Resolution, Tree};

use super::{Change, Doc, FixView, Item, Outcome, Question, Refused, Want, Wanted, sentence};
use crate::text;

impl Doc {
    /// The decisions that a wish comes down to.
    pub fn decisions_for(&self, item: Item, want: &Want) -> Vec<(String, Option<Decision>)> {
        let id = self.decided_as(item).to_owned();
        let explicit = match (item, want) {
            (_, Want::Auto) => None,
            (Item::Param(_), Want::Value(value)) => {
                let decision = Decision::from(value);
                return vec![self.without_if(
                    id,
                    decision,
                    |r, this| match this {
                        Item::Param(p) => r.value(p) == value,
                        Item::Node(_) => false,
                    },
                    item,
                )];
            }
            (Item::Node(n), _) if self.tree.choice_of(n).is_some() => {
                let name = model::last_part(&self.tree.node(n).id).to_owned();
                return vec![self.without_if(id, Decision::Text(name), |r, _| r.is_on(n), item)];
            }
            (Item::Node(n), Want::Flip) => {
                let on = !self.is_on(n);
                return vec![self.without_if(id, Decision::Bool(on), |r, _| r.is_on(n) == on, item)];
            }
            (_, Want::On) => Some(Decision::ON),
            (_, Want::Off) => Some(Decision::OFF),
            _ => None,
        };
        vec![(id, explicit)]
    }

    /// Takes the user's decision back when that alone leads to what is wanted; else decides.
    pub(super) fn without_if(
        &self,
        id: String,
        decision: Decision,
        wanted: impl Fn(&Resolution, Item) -> bool,
        item: Item,
    ) -> (String, Option<Decision>) {
        if self.now.chain.config.get(&id).is_some() {
            let mut decisions = self.now.decisions.clone();
            decisions.set(&id, None);
            if self.tree.resolve(&decisions).is_ok_and(|r| wanted(&r, item)) {
                return (id, None);
            }
        }
        (id, Some(decision))
    }

    /// What a wish would do.
    pub fn preview(&self, item: Item, want: &Want) -> Outcome {
        if *want == Want::Flip
            && let Some(known) = self.caches.borrow().previews.get(&item)
        {
            return known.clone();
        }
        let outcome = self.preview_decisions(&self.decisions_for(item, want));
        if *want == Want::Flip {
            self.caches.borrow_mut().previews.insert(item, outcome.clone());
        }
        outcome
    }

    pub(super) fn preview_decisions(&self, wanted: &[(String, Option<Decision>)]) -> Outcome {
        let config = &self.now.chain.config;
        if wanted.iter().all(|(id, decision)| config.get(id) == decision.as_ref()) {
            return Outcome::Same;
        }
        let changes = changes(wanted);
        match self.tree.preview(&self.now.decisions, &self.now.resolution, &changes, None) {
            Ok(effect) => Outcome::Change(self.change_of(effect)),
            Err(refusal) => {
                let known = self.caches.borrow().proven.iter().find(|(w, _)| w == wanted).cloned();
                Outcome::Refused(known.map_or_else(|| self.refused(wanted, &refusal), |(_, known)| known))
            }
        }
    }

    /// What to ask to have the ways out of a refusal proven.
    pub fn question(&self, wanted: &Wanted) -> Question {
        Question {
            decisions: self.now.decisions.clone(),
            before: self.now.resolution.clone(),
            changes: changes(wanted),
            wanted: wanted.clone(),
            state: self.state,
        }
    }

    /// Takes the answer to a question; what it is about and the refusal, unless the config has changed meanwhile.
    pub fn proven(&mut self, question: &Question, refusal: &Refusal) -> Option<(Wanted, Refused)> {
        if question.state != self.state {
            return None;
        }
        let mut refused = self.refused(&question.wanted, refusal);
        // Whether or not there is a proof, nobody looks on.
        refused.proven = true;
        let caches = self.caches.get_mut();
        for known in caches.previews.values_mut() {
            if let Outcome::Refused(old) = known
                && old.wanted == question.wanted
            {
                *old = refused.clone();
            }
        }
        caches.proven.push((question.wanted.clone(), refused.clone()));
        Some((question.wanted.clone(), refused))
    }

    pub(super) fn change_to(&self, after: &Resolution) -> Change {
        self.change_of(self.tree.effect(&self.now.resolution, after.clone(), None))
    }

    pub(super) fn change_of(&self, effect: model::Effect) -> Change {
        // A decision that only confirms what is so anyway costs nothing, and is not measured.
        let same = effect.turned_on.is_empty() && effect.turned_off.is_empty() && effect.params.is_empty();
        let footprint = if same { self.now.footprint } else { self.measure.footprint(&effect.after) };
        let delta = self.now.footprint.delta(&footprint);
        Change {
            on: effect.turned_on,
            off: effect.turned_off,
            params: effect.params.into_iter().map(|p| (p.param, p.from, p.to)).collect(),
            image: delta.image_bytes,
            memory: delta.boot_memory_bytes,
            syscalls: delta.syscalls,
        }
    }

    pub(super) fn refused(&self, wanted: &[(String, Option<Decision>)], refusal: &Refusal) -> Refused {
        let because = vec![sentence(&refusal.prose)];
        let fixes = refusal
            .fixes
            .iter()
            .map(|fix| {
                let mut decisions: Vec<(String, Option<Decision>)> = wanted
                    .iter()
                    .filter(|(id, _)| fix.changes.iter().all(|c| c.id != *id))
                    .cloned()
                    .collect();
                decisions.extend(fix.changes.iter().map(|c| (c.id.clone(), c.to.clone())));
                let title = changes_in_words(self.tree, &fix.changes);
                let footprint = self.measure.footprint(&fix.after);
                let image = Some(self.now.footprint.delta(&footprint).image_bytes);
                FixView { title, decisions, image }
            })
            .collect();
        // Without any way out there is nothing to make smaller.
        let proven = refusal.fixes.first().is_none_or(|fix| fix.minimal);
        Refused { wanted: wanted.to_vec(), because, fixes, proven }
    }

    /// Decisions in words.
    pub fn words(&self, decisions: &[(String, Option<Decision>)]) -> String {
        changes_in_words(self.tree, &changes(decisions))
    }

    /// A wish in words: `turn on net.tcp`.
    pub fn title_of(&self, item: Item, want: &Want) -> String {
        match (item, want) {
            (_, Want::Auto) => format!("let {} follow", self.decided_as(item)),
            (Item::Node(n), _) if self.tree.choice_of(n).is_some() => {
                format!("choose {} for {}", model::last_part(&self.tree.node(n).id), self.decided_as(item))
            }
            (Item::Node(n), Want::On) => format!("turn on {}", self.tree.node(n).id),
            (Item::Node(n), Want::Off) => format!("turn off {}", self.tree.node(n).id),
            (Item::Node(n), _) if self.is_on(n) => format!("turn off {}", self.tree.node(n).id),
            (Item::Node(n), _) => format!("turn on {}", self.tree.node(n).id),
            (Item::Param(p), Want::Value(value)) => format!("set {} to {value}", self.tree.param(p).id),
            (Item::Param(p), _) => self.tree.param(p).id.clone(),
        }
    }

    /// Why a wish changes nothing.
    pub fn why_same(&self, item: Item, want: &Want) -> String {
        let id = self.decided_as(item);
        match want {
            Want::Auto => format!("you decided nothing on {id}"),
            Want::Value(value) => format!("{id} is {value} already"),
            _ => format!("you decided that on {id} already"),
        }
    }
}

fn changes(wanted: &[(String, Option<Decision>)]) -> Vec<model::Change> {
    wanted.iter().map(|(id, to)| model::Change { id: id.clone(), to: to.clone() }).collect()
}

/// Changes in words, with what is to follow named in one go: `turn on net.tcp and let net.udp and net.dhcp follow`.
pub fn changes_in_words(tree: &Tree, changes: &[model::Change]) -> String {
    let (following, decided): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.to.is_none());
    let mut words: Vec<String> =
        decided.iter().map(|change| decision_words(tree, &change.id, change.to.as_ref())).collect();
    if !following.is_empty() {
        let ids: Vec<String> = following.iter().map(|change| change.id.clone()).collect();
        words.push(format!("let {} follow", text::listed(&ids)));
    }
    text::listed(&words)
}

/// A decision in words: `turn on net.tcp`.
fn decision_words(tree: &Tree, id: &str, decision: Option<&Decision>) -> String {
    match decision {
        None => format!("let {id} follow"),
        Some(Decision::Bool(true)) if tree.find(id).is_some() => format!("turn on {id}"),
        Some(Decision::Bool(false)) if tree.find(id).is_some() => format!("turn off {id}"),
        Some(Decision::Text(member)) if tree.find(id).is_some() => {
            format!("choose {member} for {id}")
        }
        Some(other) => format!("set {id} to {other}"),
    }
}
