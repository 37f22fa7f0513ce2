//! What is talked about: items, wishes, and their answers.

use bespoke_model as model;
use bespoke_model::{Decision, Decisions, NodeId, ParamId, Resolution, Value};

/// What a row can stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A menu, component or choice.
    Node(NodeId),
    /// A parameter.
    Param(ParamId),
}

/// What a user can want of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// On (a member: chosen), whatever else is decided.
    On,
    /// Off, whatever else is decided.
    Off,
    /// Other than it is, with as few decisions as will do.
    Flip,
    /// As it follows from everything else.
    Auto,
    /// A value.
    Value(Value),
}

/// What a change does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Parts that turn on.
    pub on: Vec<NodeId>,
    /// Parts that turn off.
    pub off: Vec<NodeId>,
    /// Parameters that change, with both values.
    pub params: Vec<(ParamId, Value, Value)>,
    /// Bytes of the image.
    pub image: i64,
    /// Bytes in use at boot.
    pub memory: i64,
    /// System calls exposed.
    pub syscalls: i64,
}

impl Change {
    /// How many things other than the item itself change.
    pub fn others(&self, item: Item) -> usize {
        let same = |n: &&NodeId| Item::Node(**n) != item;
        self.on.iter().filter(same).count() + self.off.iter().filter(same).count()
    }
}

/// A way out of a refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct FixView {
    /// What it changes, in words.
    pub title: String,
    /// All decisions of it, the refused one included.
    pub decisions: Vec<(String, Option<Decision>)>,
    /// What it costs.
    pub image: Option<i64>,
}

/// Why something cannot be, and what would help.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// What was wished for.
    pub wanted: Wanted,
    /// The reasons, each a sentence.
    pub because: Vec<String>,
    /// What would help.
    pub fixes: Vec<FixView>,
    /// Whether nothing is known to change less than the first of them.
    pub proven: bool,
}

/// Decisions that are wished for.
pub type Wanted = Vec<(String, Option<Decision>)>;

/// A wish that was refused, with all that it takes to look for the ways out that change the least.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is decided.
    pub decisions: Decisions,
    /// What follows from that.
    pub before: Resolution,
    /// What is wished for.
    pub changes: Vec<model::Change>,
    pub(super) wanted: Wanted,
    /// Which state of the config it is about.
    pub(super) state: u64,
}

impl Question {
    /// Whether another question is the same.
    pub fn is(&self, other: &Question) -> bool {
        self.state == other.state && self.wanted == other.wanted
    }
}

/// The answer to a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nothing would change.
    Same,
    /// This would change.
    Change(Change),
    /// It cannot be.
    Refused(Refused),
}

/// A part of the image, for the map.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The part, when it is one.
    pub node: Option<NodeId>,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

impl Share {
    /// What a share is that is no part's.
    pub fn about(&self) -> &'static str {
        match self.name.as_str() {
            SHARED => "What belongs to no one part: library code that several use, registrations and tables.",
            PROGRAM => "The program as it is packed, with its arguments.",
            FILES => "The other files that are packed, and the folders they lie in.",
            REST => "The image's own headers, tables and the paddings between its regions.",
            _ => "",
        }
    }
}

pub(super) const SHARED: &str = "shared code";
pub(super) const PROGRAM: &str = "your program";
pub(super) const FILES: &str = "your files";
pub(super) const REST: &str = "headers and tables";
