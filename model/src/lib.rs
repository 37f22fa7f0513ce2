//! The component tree of Bespoke, configs, and everything that follows from them.
//!
//! Text goes in, values come out: this crate knows no terminal, no ELF and no file system.

mod check;
mod compare;
mod config;
mod decisions;
mod declaration;
mod diagnostics;
mod effect;
mod explain;
mod fix;
mod history;
mod lint;
mod listing;
mod migrate;
mod problem;
mod random;
mod reader;
mod refusal;
mod resolve;
mod schema;
mod solver;
mod tree;
mod value;

pub use compare::{Conflict, Difference, Merge};
pub use config::{Config, Program, SCHEMA};
pub use decisions::{By, Decision, DecisionValue, Decisions};
pub use declaration::Condition;
pub use diagnostics::{Diagnostic, Diagnostics, Location, Severity, closest, did_you_mean};
pub use effect::{Change, Delta, Effect, Footprint, Measure, ParamChange};
pub use explain::{Explanation, Toggle};
pub use fix::{Budget, Fix};
pub use history::History;
pub use listing::{Listed, Listing};
pub use migrate::Migration;
pub use refusal::{Place, Reason, Refusal};
pub use resolve::{Origin, Resolution};
pub use tree::{
    CapabilityId, Clause, Kind, Link, Node, NodeId, Param, ParamId, Rule, Source, Term, Tree, last_part,
};
pub use value::{ParamType, Value};
