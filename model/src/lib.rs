//! The component tree of Bespoke, configs, and everything that follows from them.
//!
//! Text goes in, values come out: this crate knows no terminal, no ELF and no file system.
//!
//! - [`Tree::load`] puts declarations together; [`Tree::lint`] says what is legal and still looks wrong.
//! - [`Config::parse`] reads a config and keeps its text as it was written; [`Tree::check`] holds it against a tree,
//!   [`Tree::migrate`] brings it up to one. [`Config::diff`] and [`Config::merge`] compare and combine.
//! - [`Decisions::from_config`] lays a config over what it extends.
//! - [`Tree::resolve`] gives the full set, or a [`Refusal`] that says why there is none and what would help.
//! - [`Tree::preview`] tells what a change would do, [`Tree::explain`] why something is as it is, [`Tree::listing`] all of it.
//! - [`Evidence`] keeps what is known of a program's needs.
//! - [`History`] undoes and redoes; [`Tree::random`] draws configs; [`Tree::json_schema`] tells editors what may be written.
//!
//! # What a set must keep
//!
//! Every component that is on has, of each of its `requires`, at least one alternative on, and nothing on that it conflicts
//! with. It is on only within the component or choice around it. An active choice has exactly one member; a choice is active
//! whenever the component around it is on, and always when there is none. What is core is on. A parameter's rule holds while
//! its owner is on and its value is one the rule speaks of:
//!
//! ```toml
//! [[params.level.rules]]
//! when = "debug"                    # or { not = … }, { above = … }, { below = … }
//! requires = ["debug.symbols"]
//! conflicts = ["log.quiet"]
//! ```
//!
//! Decisions, whoever made them, are kept or the answer is a refusal. By id, the user goes before fitting, and both before
//! what the config extends. A member decided for a choice that is not active waits for it.
//!
//! # Which set it is
//!
//! Of all sets that keep this, the one that follows these preferences, in this order, each as far as it is possible:
//! components that are on by default (one inside a component only when that is on, so a default never turns on what it lies
//! in), default members and recommendations of what is on; then, of several alternatives, one that is on anyway, one that is
//! on by default, the first. Nothing is on that nobody asks for, so what was pulled in leaves with the last that needed it.
//!
//! # Ids of earlier versions
//!
//! `was = ["old.id"]` in a component or parameter, and `removed = { "old.id" = "why, and what to use" }` in any declaration,
//! let [`Tree::migrate`] bring configs up to date.

mod check;
mod compare;
mod config;
mod decision;
mod decisions;
mod declaration;
mod diagnostics;
mod document;
mod effect;
mod evidence;
mod explain;
mod fix;
mod history;
mod link;
mod lint;
mod listing;
mod migrate;
mod problem;
mod random;
mod reader;
mod reason;
mod refusal;
mod resolve;
mod schema;
mod solver;
mod source;
mod tree;
mod value;

pub use compare::{Conflict, Difference, Merge};
pub use config::{Config, Program, SCHEMA};
pub use decision::Decision;
pub use decisions::{By, Decisions};
pub use declaration::Condition;
pub use diagnostics::{Diagnostic, Diagnostics, Location, Severity, closest, did_you_mean};
pub use effect::{Change, Delta, Effect, Footprint, Measure, ParamChange};
pub use evidence::{Evidence, Witness};
pub use explain::{Explanation, Toggle};
pub use fix::{Budget, Fix};
pub use history::History;
pub use listing::{Listed, Listing};
pub use migrate::Migration;
pub use reason::{Place, Reason};
pub use refusal::Refusal;
pub use resolve::{Origin, Resolution};
pub use source::ImageSource;
pub use tree::{
    CapabilityId, Clause, Kind, Link, Node, NodeId, Param, ParamId, Rule, Source, Term, Tree, last_part,
};
pub use value::{ParamType, Value};
