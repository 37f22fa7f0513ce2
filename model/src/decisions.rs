//! What was decided, by whom, and what lies beneath it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use smallvec::SmallVec;

use crate::config::Config;
use crate::decision::Decision;

/// Who decided. The earlier is the stronger.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum By {
    /// The user: `[set]` of the config itself.
    User,
    /// Fitting: `[fit]` of the config itself.
    Fit,
    /// What the config extends; the name is as `extends` has it.
    Preset(Arc<str>),
}

impl By {
    pub(crate) fn rank(&self) -> u8 {
        match self {
            By::User => 0,
            By::Fit => 1,
            By::Preset(_) => 2,
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::User => f.write_str("user"),
            By::Fit => f.write_str("fit"),
            By::Preset(name) => f.write_str(name),
        }
    }
}

impl Serialize for By {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Decisions by id, each with the layers beneath it, so that taking one back shows what it hid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Nearly every id has one layer, and decisions are copied for every change that is tried.
    layers: BTreeMap<Arc<str>, SmallVec<[(Decision, By); 1]>>,
}

impl Decisions {
    /// Nothing decided.
    pub fn new() -> Decisions {
        Decisions::default()
    }

    /// The decisions of a config and of what it extends. `below` are the extended configs with the names to show for them,
    /// the nearest first; the caller follows [`Config::extends`] and loads the texts.
    pub fn from_config(config: &Config, below: &[(&str, &Config)]) -> Decisions {
        let mut decisions = Decisions::new();
        // Within a file `[set]` goes over `[fit]`; a file goes over what it extends.
        for (id, decision) in config.set_entries() {
            decisions.push_below(id, decision.clone(), By::User);
        }
        for (id, decision) in config.fit_entries() {
            decisions.push_below(id, decision.clone(), By::Fit);
        }
        for (name, layer) in below {
            let by = By::Preset(Arc::from(*name));
            for (id, decision) in layer.set_entries().chain(layer.fit_entries()) {
                decisions.push_below(id, decision.clone(), by.clone());
            }
        }
        decisions
    }

    fn push_below(&mut self, id: &str, decision: Decision, by: By) {
        self.layers.entry(Arc::from(id)).or_default().push((decision, by));
    }

    /// The decision that counts for an id.
    pub fn get(&self, id: &str) -> Option<(&Decision, &By)> {
        self.layers.get(id).and_then(|stack| stack.first()).map(|(decision, by)| (decision, by))
    }

    /// Every layer's decision for an id, the strongest first.
    pub fn layers(&self, id: &str) -> &[(Decision, By)] {
        self.layers.get(id).map_or(&[], |stack| stack)
    }

    /// Makes the user's decision for an id, or takes it back; then what lies beneath counts again.
    pub fn set(&mut self, id: &str, decision: Option<Decision>) {
        self.insert(id, By::User, decision);
    }

    /// Forgets what every layer says about an id.
    pub(crate) fn forget(&mut self, id: &str) {
        self.layers.remove(id);
    }

    /// Makes a layer's decision for an id, or takes it back.
    pub fn insert(&mut self, id: &str, by: By, decision: Option<Decision>) {
        let stack = self.layers.entry(Arc::from(id)).or_default();
        stack.retain(|(_, other)| *other != by);
        if let Some(decision) = decision {
            let at = stack.iter().position(|(_, other)| other.rank() > by.rank());
            stack.insert(at.unwrap_or(stack.len()), (decision, by));
        }
        if stack.is_empty() {
            self.layers.remove(id);
        }
    }

    /// The decisions that count, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Decision, &By)> {
        self.layers.iter().map(|(id, stack)| (&**id, &stack[0].0, &stack[0].1))
    }

    /// How many ids are decided.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether nothing is decided.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}
