//! The answer when a decision cannot be.

use std::fmt;

use serde::Serialize;

use crate::decisions::Decision;
use crate::effect::Effect;

/// One step of the argument why something cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// A decision that means nothing.
    Invalid {
        /// What was decided.
        id: String,
        /// What is wrong.
        text: String,
    },
    /// Something that must be on cannot be.
    Blocked {
        /// What.
        id: String,
        /// Why.
        text: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Invalid { text, .. } | Reason::Blocked { text, .. } => f.write_str(text),
        }
    }
}

/// A decision to change, as part of a [`Fix`]. `to: None` takes the decision back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What is decided.
    pub id: String,
    /// The decision; nothing to take it back.
    pub to: Option<Decision>,
}

/// A set of changes that makes the refused decision possible.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fix {
    /// What to change besides.
    pub changes: Vec<Change>,
    /// What follows, the refused decision included.
    pub effect: Effect,
    /// Whether it is proven that nothing smaller would do.
    pub minimal: bool,
}

/// Why decisions cannot be kept together, and what would help.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusal {
    /// The argument, step by step.
    pub because: Vec<Reason>,
    /// The argument as a sentence.
    pub prose: String,
    /// Up to three ways out, the least change first.
    pub fixes: Vec<Fix>,
}

impl Refusal {
    pub(crate) fn plain(reason: Reason) -> Refusal {
        Refusal { prose: reason.to_string(), because: vec![reason], fixes: Vec::new() }
    }

    pub(crate) fn invalid(id: &str, text: String) -> Refusal {
        Refusal::plain(Reason::Invalid { id: id.to_string(), text })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prose)
    }
}

impl std::error::Error for Refusal {}
