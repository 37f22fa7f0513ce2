//! What a change would do, told before it is done.

use serde::Serialize;

use crate::decision::Decision;
use crate::decisions::Decisions;
use crate::fix::Budget;
use crate::refusal::Refusal;
use crate::resolve::Resolution;
use crate::tree::{Kind, NodeId, ParamId, Tree};
use crate::value::Value;

/// The sizes of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Footprint {
    /// The whole file.
    pub image_bytes: u64,
    /// The operating system's part.
    pub os_bytes: u64,
    /// The program's part.
    pub program_bytes: u64,
    /// The other packed files.
    pub files_bytes: u64,
    /// Memory in use when the program starts.
    pub boot_memory_bytes: u64,
    /// How many system calls the program can make.
    pub syscalls: u32,
}

/// Whoever knows the sizes.
pub trait Measure {
    /// The sizes of the image that a resolution gives.
    fn footprint(&self, r: &Resolution) -> Footprint;
    /// The bytes that would leave the image if this component alone could go.
    fn component_bytes(&self, r: &Resolution, n: NodeId) -> u64;
}

/// A difference of two [`Footprint`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Delta {
    /// Of the whole file.
    pub image_bytes: i64,
    /// Of the operating system's part.
    pub os_bytes: i64,
    /// Of memory in use when the program starts.
    pub boot_memory_bytes: i64,
    /// Of the system calls that the program can make.
    pub syscalls: i64,
}

impl Footprint {
    /// What is added from `self` to `after`.
    pub fn delta(&self, after: &Footprint) -> Delta {
        let minus =
            |a: u64, b: u64| (i128::from(a) - i128::from(b)).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        Delta {
            image_bytes: minus(after.image_bytes, self.image_bytes),
            os_bytes: minus(after.os_bytes, self.os_bytes),
            boot_memory_bytes: minus(after.boot_memory_bytes, self.boot_memory_bytes),
            syscalls: i64::from(after.syscalls) - i64::from(self.syscalls),
        }
    }
}

/// A decision to make or to take back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What is decided.
    pub id: String,
    /// The user's decision; nothing to take it back.
    pub to: Option<Decision>,
}

impl Change {
    /// A decision to make, or with nothing to take back.
    pub fn new(id: impl Into<String>, to: impl Into<Option<Decision>>) -> Change {
        Change { id: id.into(), to: to.into() }
    }
}

/// A parameter whose value changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParamChange {
    /// Which.
    #[serde(skip)]
    pub param: ParamId,
    /// Its id.
    pub id: String,
    /// The value before.
    pub from: Value,
    /// The value after.
    pub to: Value,
}

/// What a change does to the full set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// Components that turn on, in preorder.
    #[serde(skip)]
    pub turned_on: Vec<NodeId>,
    /// Components that turn off, in preorder.
    #[serde(skip)]
    pub turned_off: Vec<NodeId>,
    /// Parameters whose values change.
    pub params: Vec<ParamChange>,
    /// The change in size, when a [`Measure`] was given.
    pub delta: Option<Delta>,
    /// The full set afterwards.
    #[serde(skip)]
    pub after: Resolution,
}

impl Tree {
    /// What is different between two resolutions of this tree.
    pub fn effect(&self, before: &Resolution, after: Resolution, measure: Option<&dyn Measure>) -> Effect {
        let component = |n: &NodeId| self.node(*n).kind == Kind::Component;
        let of = |n: usize| NodeId(n as u32);
        let turned_on = after.on.difference(&before.on).map(of).filter(component).collect();
        let turned_off = before.on.difference(&after.on).map(of).filter(component).collect();
        let mut touched: Vec<ParamId> = before.values.iter().chain(&after.values).map(|(p, ..)| *p).collect();
        touched.sort_unstable();
        touched.dedup();
        let params = touched
            .into_iter()
            .filter(|p| before.value(*p) != after.value(*p))
            .map(|p| ParamChange {
                param: p,
                id: self.param(p).id.clone(),
                from: before.value(p).clone(),
                to: after.value(p).clone(),
            })
            .collect();
        let delta = measure.map(|m| m.footprint(before).delta(&m.footprint(&after)));
        Effect { turned_on, turned_off, params, delta, after }
    }

    /// The change that toggling a component asks for: the opposite of what it is, as the user's decision. Members of a
    /// choice are chosen through their choice. Nothing for menus, choices, and members that are chosen already.
    pub fn toggle(&self, r: &Resolution, n: NodeId) -> Option<Change> {
        if let Some(choice) = self.choice_of(n) {
            let name = crate::last_part(&self.node(n).id).into();
            let change = Change { id: self.node(choice).id.clone(), to: Some(name) };
            return (!r.is_on(n)).then_some(change);
        }
        let component = self.node(n).kind == Kind::Component;
        component.then(|| Change { id: self.node(n).id.clone(), to: Some((!r.is_on(n)).into()) })
    }

    /// What changing decisions would do, without doing it. `before` is what `decisions` resolve to.
    ///
    /// Fixes are looked for as [`Tree::budget`] allows. In a very large tree that is a first answer, and a worker may call
    /// [`Tree::preview_within`] for the proof that there is no smaller one.
    ///
    /// # Errors
    /// When it cannot be: why, and what would help.
    pub fn preview(
        &self,
        decisions: &Decisions,
        before: &Resolution,
        changes: &[Change],
        measure: Option<&dyn Measure>,
    ) -> Result<Effect, Refusal> {
        self.preview_within(decisions, before, changes, measure, &self.budget())
    }

    /// What is spent on fixes when nobody says: everything that goes unnoticed between two keys.
    pub fn budget(&self) -> Budget<'static> {
        if self.len() > 2_000 { Budget::first_answer() } else { Budget::default() }
    }

    /// [`Tree::preview`], with a say on how much work fixes may be.
    ///
    /// # Errors
    /// When it cannot be: why, and what would help.
    pub fn preview_within(
        &self,
        decisions: &Decisions,
        before: &Resolution,
        changes: &[Change],
        measure: Option<&dyn Measure>,
        budget: &Budget<'_>,
    ) -> Result<Effect, Refusal> {
        let mut changed = decisions.clone();
        for change in changes {
            changed.set(&change.id, change.to.clone());
        }
        let stand = self.stand(&changed).map_err(|wrong| self.refuse_invalid(&wrong))?;
        match self.try_stand(&stand) {
            Ok(after) => Ok(self.effect(before, after, measure)),
            Err(proof) => Err(self.refuse(proof, &changed, &stand, Some(before), changes, budget, measure)),
        }
    }
}
