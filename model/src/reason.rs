//! The steps of an argument, as data and as clauses of a sentence.

use std::fmt;

use serde::Serialize;

use crate::decision::Decision;
use crate::decisions::By;

/// Where in a declaration a rule stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The declaration's file.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
    /// Counted from 1.
    pub column: u32,
}

/// One step of the argument why something is so or cannot be. `Display` gives it as a clause of a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// A decision that means nothing to the tree.
    Invalid {
        /// What was decided.
        id: String,
        /// What is wrong with it.
        text: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A decision.
    Decided {
        /// What was decided.
        id: String,
        /// What it should be.
        to: Decision,
        /// Who decided.
        by: By,
        /// Whether it is the very decision that is being asked for.
        asked: bool,
    },
    /// A parameter that nobody decided has its declared value.
    Standard {
        /// The parameter.
        id: String,
        /// Its value.
        value: String,
    },
    /// A component that is always on.
    Core {
        /// The component.
        id: String,
        /// Why.
        why: String,
    },
    /// A choice that is always active.
    Always {
        /// The choice.
        id: String,
    },
    /// A component or choice is on only within another.
    Within {
        /// The inner.
        id: String,
        /// The outer.
        around: String,
    },
    /// A choice is active whenever the component around it is on.
    Active {
        /// The choice.
        id: String,
        /// The component.
        around: String,
    },
    /// An active choice has a member.
    Member {
        /// The choice.
        id: String,
        /// All its members.
        members: Vec<String>,
    },
    /// A choice has no two members.
    OneOf {
        /// The choice.
        id: String,
        /// The two in question.
        members: [String; 2],
    },
    /// A requirement.
    Requires {
        /// Who requires.
        id: String,
        /// What, as written: `net.ipv4`, `any of a, b`, `cap:clock`.
        what: String,
        /// The components that would satisfy it.
        any: Vec<String>,
        /// Where it is declared.
        place: Place,
    },
    /// A conflict.
    Conflicts {
        /// Who declares it.
        id: String,
        /// The other.
        other: String,
        /// Where it is declared.
        place: Place,
    },
    /// A parameter's value requires something.
    RuleRequires {
        /// The parameter.
        id: String,
        /// Which values.
        when: String,
        /// What, as written.
        what: String,
        /// The components that would satisfy it.
        any: Vec<String>,
        /// Where it is declared.
        place: Place,
    },
    /// A parameter's value excludes something.
    RuleConflicts {
        /// The parameter.
        id: String,
        /// Which values.
        when: String,
        /// What.
        other: String,
        /// Where it is declared.
        place: Place,
    },
    /// A recommendation.
    Recommends {
        /// Who recommends.
        id: String,
        /// What.
        other: String,
    },
    /// A declared default.
    Default {
        /// Of what.
        id: String,
    },
}

impl Reason {
    /// Where the rule is declared, when it is one that somebody wrote.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Reason::Requires { place, .. }
            | Reason::Conflicts { place, .. }
            | Reason::RuleRequires { place, .. }
            | Reason::RuleConflicts { place, .. } => Some(place),
            _ => None,
        }
    }
}

pub(crate) fn wish(id: &str, to: &Decision) -> String {
    match to {
        Decision::Bool(true) => format!("{id} on"),
        Decision::Bool(false) => format!("{id} off"),
        other => format!("{id} = {other}"),
    }
}

/// What a requirement names, with the providers when it is a capability.
fn named(what: &str, any: &[String]) -> String {
    match (what.contains("cap:"), any) {
        (true, []) => format!("{what}, which nothing provides"),
        (true, [one]) => format!("{what}, which only {one} provides"),
        (true, many) => format!("{what}, which {} provide", list(many, "and")),
        (false, _) => what.to_string(),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Invalid { text, .. } => f.write_str(text),
            Reason::Decided { id, to, by, asked } => {
                let verb = match (by, asked, to) {
                    (_, true, _) => "you ask for",
                    (By::User, _, Decision::Bool(_)) => "you turned",
                    (By::User, ..) => "you set",
                    (By::Fit, _, Decision::Bool(_)) => "fitting turned",
                    (By::Fit, ..) => "fitting set",
                    (By::Preset(name), _, Decision::Bool(_)) => {
                        return write!(f, "{} turns {}", by.noun(name), wish(id, to));
                    }
                    (By::Preset(name), ..) => return write!(f, "{} sets {}", by.noun(name), wish(id, to)),
                };
                write!(f, "{verb} {}", wish(id, to))
            }
            Reason::Standard { id, value } => write!(f, "{id} is {value} when nobody says otherwise"),
            Reason::Core { id, why } => write!(f, "{id} is always on ({why})"),
            Reason::Always { id } => write!(f, "{id} always has a member"),
            Reason::Within { id, around } => write!(f, "{id} is part of {around}"),
            Reason::Active { id, around } => write!(f, "{around} needs a member of {id}"),
            Reason::Member { id, members } => write!(f, "{id} is one of {}", list(members, "or")),
            Reason::OneOf { id, members: [a, b] } => write!(f, "{id} cannot be both {a} and {b}"),
            Reason::Requires { id, what, any, .. } => write!(f, "{id} requires {}", named(what, any)),
            Reason::Conflicts { id, other, .. } => write!(f, "{id} conflicts with {other}"),
            Reason::RuleRequires { id, when, what, any, .. } => {
                write!(f, "{id} requires {} when it is {when}", named(what, any))
            }
            Reason::RuleConflicts { id, when, other, .. } => {
                write!(f, "{id} excludes {other} when it is {when}")
            }
            Reason::Recommends { id, other } => write!(f, "{id} recommends {other}"),
            Reason::Default { id } => write!(f, "{id} is on by default"),
        }
    }
}

impl By {
    fn noun(&self, name: &str) -> String {
        match name.strip_prefix("preset:") {
            Some(name) => format!("preset {name}"),
            None => name.to_string(),
        }
    }
}

pub(crate) fn list(items: &[String], word: &str) -> String {
    match items {
        [] => "nothing".into(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} {word} {last}", init.join(", ")),
    }
}
