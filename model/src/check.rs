//! A config against a tree: every id known, every value of its type and in its range.

use crate::config::Config;
use crate::diagnostics::{Diagnostics, did_you_mean};
use crate::tree::{Kind, Tree, last_part};

impl Tree {
    /// Everything that is wrong with a config's decisions one by one. Whether they can be kept together is for
    /// [`Tree::resolve`] to say.
    pub fn check(&self, config: &Config) -> Diagnostics {
        let mut problems = Diagnostics::new();
        let tables = [
            ("set", config.set_entries().collect::<Vec<_>>()),
            ("fit", config.fit_entries().collect::<Vec<_>>()),
        ];
        for (table, entries) in tables {
            for (id, decision) in entries {
                let Err(message) = self.pin(id, decision) else { continue };
                let known = self.find(id).is_some() || self.find_param(id).is_some();
                problems.push(
                    config.problem_at(table, id, known, message).maybe_hint(self.decision_hint(id, decision)),
                );
            }
        }
        problems
    }

    pub(crate) fn decision_hint(&self, id: &str, decision: &crate::Decision) -> Option<String> {
        let Some(n) = self.find(id) else {
            if let Some(p) = self.find_param(id) {
                return Some(format!("`{id}` is {}", self.param(p).ty.describe()));
            }
            if let Some((_, why)) = self.removed.iter().find(|(gone, _)| gone == id) {
                return Some(format!("it was removed: {why}"));
            }
            return did_you_mean(id, self.decidable_ids());
        };
        let node = self.node(n);
        match node.kind {
            Kind::Menu => Some("decide a component inside it".into()),
            Kind::Component => Some("`true`, `false`, or leave it out to let it follow".into()),
            Kind::Choice => {
                let names: Vec<&str> = node.children.iter().map(|m| last_part(&self.node(*m).id)).collect();
                let near = did_you_mean(&decision.to_string(), names.iter().copied());
                near.or(Some(format!("its members are {}", names.join(", "))))
            }
        }
    }
}
