//! Configs that were written for an earlier tree.

use serde::Serialize;

use crate::config::Config;
use crate::decision::Decision;
use crate::tree::{Kind, Tree, last_part};

/// One thing that was changed in a config so that it fits this tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Migration {
    /// A decision was moved to the new id.
    Renamed {
        /// The former id.
        from: String,
        /// The id now.
        to: String,
    },
    /// A member of a choice has a new name.
    Member {
        /// The choice.
        id: String,
        /// The former name.
        from: String,
        /// The name now.
        to: String,
    },
    /// A decision was dropped, for the thing is gone.
    Removed {
        /// The former id.
        id: String,
        /// Why it is gone, and what to use.
        why: String,
    },
}

impl std::fmt::Display for Migration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Migration::Renamed { from, to } => write!(f, "{from} is called {to} now"),
            Migration::Member { id, from, to } => write!(f, "member {from} of {id} is called {to} now"),
            Migration::Removed { id, why } => write!(f, "{id} is gone: {why}"),
        }
    }
}

impl Tree {
    /// Brings the decisions of a config up to this tree: renames what was renamed and drops what was removed. Returns what
    /// was done, in the order of ids; the text keeps its comments.
    pub fn migrate(&self, config: &mut Config) -> Vec<Migration> {
        let mut done = Vec::new();
        for table in ["set", "fit"] {
            let entries: Vec<(String, Decision)> = match table {
                "set" => config.set_entries().map(|(id, d)| (id.to_string(), d.clone())).collect(),
                _ => config.fit_entries().map(|(id, d)| (id.to_string(), d.clone())).collect(),
            };
            for (id, decision) in entries {
                let known = self.find(&id).is_some() || self.find_param(&id).is_some();
                if !known && let Some(to) = self.now_called(&id) {
                    config.rename(table, &id, &to);
                    done.push(Migration::Renamed { from: id, to });
                } else if !known && let Some((_, why)) = self.removed.iter().find(|(gone, _)| *gone == id) {
                    config.change(table, &id, None);
                    done.push(Migration::Removed { id, why: why.clone() });
                } else if let (Some(n), Decision::Text(member)) = (self.find(&id), &decision)
                    && self.node(n).kind == Kind::Choice
                    && self.find(&format!("{id}.{member}")).is_none()
                    && let Some(to) = self.now_called(&format!("{id}.{member}"))
                    && let Some(m) = self.find(&to)
                    && self.choice_of(m) == Some(n)
                {
                    let to = last_part(&to).to_string();
                    config.change(table, &id, Some(to.as_str().into()));
                    done.push(Migration::Member { id, from: member.clone(), to });
                }
            }
        }
        done
    }

    /// The id that something has now which had another one before. Parameters and members move with their owners.
    fn now_called(&self, id: &str) -> Option<String> {
        let named = |was: &[String]| was.iter().any(|w| w == id);
        if let Some(node) = self.nodes.iter().find(|n| named(&n.was)) {
            return Some(node.id.clone());
        }
        if let Some(param) = self.params.iter().find(|p| named(&p.was)) {
            return Some(param.id.clone());
        }
        let (owner, last) = id.rsplit_once('.')?;
        let moved = format!("{}.{last}", self.now_called(owner)?);
        (self.find(&moved).is_some() || self.find_param(&moved).is_some()).then_some(moved)
    }
}
