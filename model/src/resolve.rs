//! From decisions to the full set.

use std::sync::Arc;

use fixedbitset::FixedBitSet;
use serde::Serialize;

use crate::decisions::{By, Decision, Decisions};
use crate::declaration::typed;
use crate::problem::Why;
use crate::refusal::{Reason, Refusal};
use crate::tree::{Kind, NodeId, ParamId, Tree};
use crate::value::Value;

/// Why a node is as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The user decided.
    User,
    /// A preset, or another file that the config extends, decided.
    Preset(Arc<str>),
    /// Fitting decided.
    Fit,
    /// Its declaration says so and nobody decided.
    Default,
    /// It cannot be left out.
    Core,
    /// A component or choice that is on requires it. There may be more of them.
    RequiredBy(NodeId),
    /// A component that is on recommends it.
    RecommendedBy(NodeId),
    /// It is the default member of an active choice; or it is off because another member was taken.
    Member,
}

impl From<&By> for Origin {
    fn from(by: &By) -> Origin {
        match by {
            By::User => Origin::User,
            By::Fit => Origin::Fit,
            By::Preset(name) => Origin::Preset(name.clone()),
        }
    }
}

impl Origin {
    /// In words: `required by net.tcp`.
    pub fn describe(&self, tree: &Tree) -> String {
        match self {
            Origin::User => "user".into(),
            Origin::Preset(name) => format!("preset {}", name.trim_start_matches("preset:")),
            Origin::Fit => "fit".into(),
            Origin::Default => "default".into(),
            Origin::Core => "core".into(),
            Origin::RequiredBy(n) => format!("required by {}", tree.node(*n).id),
            Origin::RecommendedBy(n) => format!("recommended by {}", tree.node(*n).id),
            Origin::Member => "default member".into(),
        }
    }
}

/// What a parameter's value comes from.
pub(crate) type Decided = (ParamId, Value, Origin);

/// The full set that follows from decisions.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    pub(crate) on: FixedBitSet,
    pub(crate) origins: Vec<Origin>,
    pub(crate) members: Vec<(NodeId, NodeId)>,
    pub(crate) defaults: Arc<[Value]>,
    pub(crate) values: Vec<Decided>,
}

impl Resolution {
    /// Whether a component is on, a choice is active, or a menu has something in it that is on.
    pub fn is_on(&self, n: NodeId) -> bool {
        self.on.contains(n.index())
    }

    /// Why the node is as it is.
    pub fn origin(&self, n: NodeId) -> &Origin {
        &self.origins[n.index()]
    }

    /// The member that a choice has; nothing when the choice is not active.
    pub fn member(&self, choice: NodeId) -> Option<NodeId> {
        let found = self.members.binary_search_by_key(&choice, |(c, _)| *c);
        found.ok().map(|at| self.members[at].1)
    }

    /// The value of a parameter.
    pub fn value(&self, p: ParamId) -> &Value {
        match self.values.binary_search_by_key(&p, |(id, ..)| *id) {
            Ok(at) => &self.values[at].1,
            Err(_) => &self.defaults[p.index()],
        }
    }

    /// Why a parameter has its value.
    pub fn value_origin(&self, p: ParamId) -> &Origin {
        match self.values.binary_search_by_key(&p, |(id, ..)| *id) {
            Ok(at) => &self.values[at].2,
            Err(_) => &Origin::Default,
        }
    }

    /// Everything that is on, in preorder: components, active choices, and the menus they lie in.
    pub fn on(&self) -> impl Iterator<Item = NodeId> {
        self.on.ones().map(|n| NodeId(n as u32))
    }

    /// The components that are on, in preorder.
    pub fn components<'a>(&'a self, tree: &'a Tree) -> impl Iterator<Item = NodeId> + 'a {
        self.on().filter(|n| tree.node(*n).kind == Kind::Component)
    }
}

/// A decision with its type.
pub(crate) enum Pin {
    On(NodeId),
    Off(NodeId),
    /// This member, whenever the choice is active.
    Member(NodeId, NodeId),
    Value(ParamId, Value),
}

impl Tree {
    /// What a decision for an id means; the error says what is wrong with it.
    pub(crate) fn pin(&self, id: &str, decision: &Decision) -> Result<Pin, String> {
        if let Some(n) = self.find(id) {
            let node = self.node(n);
            return match (node.kind, decision) {
                (Kind::Menu, _) => Err(format!("`{id}` is a menu: there is nothing to decide")),
                (Kind::Component, Decision::Bool(true)) => Ok(Pin::On(n)),
                (Kind::Component, Decision::Bool(false)) => Ok(Pin::Off(n)),
                (Kind::Component, other) => {
                    Err(format!("`{id}` is a component: it is `true` or `false`, not `{other}`"))
                }
                (Kind::Choice, Decision::Text(name)) => {
                    match self.find(&format!("{id}.{name}")).filter(|m| node.children.contains(m)) {
                        Some(member) => Ok(Pin::Member(n, member)),
                        None => Err(format!("choice `{id}` has no member `{name}`")),
                    }
                }
                (Kind::Choice, _) => Err(format!("`{id}` is a choice: it takes the name of a member")),
            };
        }
        if let Some(p) = self.find_param(id) {
            return typed(&decision.scalar(), &self.param(p).ty).map(|v| Pin::Value(p, v));
        }
        Err(format!("there is nothing called `{id}`"))
    }

    /// What follows from decisions.
    ///
    /// # Errors
    /// When no set keeps all rules and all decisions.
    pub fn resolve(&self, decisions: &Decisions) -> Result<Resolution, Refusal> {
        let n = self.len();
        let mut off = vec![None::<Origin>; n];
        let mut resolution = Resolution {
            on: FixedBitSet::with_capacity(n),
            origins: vec![Origin::Default; n],
            members: Vec::new(),
            defaults: self.defaults.clone(),
            values: Vec::new(),
        };
        let mut queue: Vec<(NodeId, Origin)> = Vec::new();
        let mut members = std::collections::HashMap::new();
        for always in &self.problem.always {
            queue.push((*always, Origin::Core));
        }
        for (id, decision, by) in decisions.iter() {
            let origin = Origin::from(by);
            match self.pin(id, decision) {
                Ok(Pin::On(n)) => queue.push((n, origin)),
                Ok(Pin::Off(n)) => off[n.index()] = Some(origin),
                Ok(Pin::Member(choice, m)) => {
                    members.insert(choice, (m, origin));
                }
                Ok(Pin::Value(p, value)) => resolution.values.push((p, value, origin)),
                Err(message) => return Err(Refusal::invalid(id, message)),
            }
        }
        resolution.values.sort_by_key(|(p, ..)| *p);
        let pinned = queue.len();
        queue.extend(
            self.nodes()
                .filter(|n| self.node(*n).default && self.node(*n).within.is_none())
                .map(|n| (n, Origin::Default)),
        );
        let mut at = 0;
        while at < queue.len() {
            let (n, origin) = queue[at].clone();
            at += 1;
            if resolution.is_on(n) {
                continue;
            }
            let soft = at > pinned && matches!(origin, Origin::Default | Origin::RecommendedBy(_));
            let enemy = self.problem.conflicts[n.index()].iter().find(|c| resolution.is_on(**c));
            if off[n.index()].is_some() || enemy.is_some() {
                if soft {
                    continue;
                }
                return Err(Refusal::plain(Reason::Blocked {
                    id: self.node(n).id.clone(),
                    text: match enemy {
                        Some(e) => format!("{} conflicts with {}", self.node(n).id, self.node(*e).id),
                        None => format!("{} is off and is {}", self.node(n).id, origin.describe(self)),
                    },
                }));
            }
            resolution.on.insert(n.index());
            resolution.origins[n.index()] = origin;
            for demand in &self.problem.demands[n.index()] {
                let alternatives = &demand.alternatives;
                if alternatives.iter().any(|a| resolution.is_on(*a)) {
                    continue;
                }
                let pick = match demand.why {
                    Why::Member(c) => match members.get(&c) {
                        Some((m, by)) => Some((*m, by.clone())),
                        None => self.node(c).default_member.map(|m| (m, Origin::Member)),
                    },
                    _ => alternatives
                        .iter()
                        .find(|a| off[a.index()].is_none())
                        .or(alternatives.first())
                        .map(|a| (*a, Origin::RequiredBy(n))),
                };
                queue.extend(pick);
            }
            for inner in self.nodes().filter(|i| self.node(*i).within == Some(n) && self.node(*i).default) {
                queue.push((inner, Origin::Default));
            }
            for r in &self.problem.recommends[n.index()] {
                queue.push((*r, Origin::RecommendedBy(n)));
            }
        }
        for (n, origin) in off.into_iter().enumerate() {
            if let Some(origin) = origin {
                resolution.origins[n] = origin;
            }
        }
        for n in (0..n).rev() {
            if resolution.on.contains(n)
                && let Some(parent) = self.nodes[n].parent
                && self.node(parent).kind == Kind::Menu
            {
                resolution.on.insert(parent.index());
            }
        }
        resolution.members = self
            .nodes()
            .filter(|n| self.node(*n).kind == Kind::Choice)
            .filter_map(|c| Some((c, *self.node(c).children.iter().find(|m| resolution.is_on(**m))?)))
            .collect();
        Ok(resolution)
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(match self {
            Origin::User => "user",
            Origin::Preset(_) => "preset",
            Origin::Fit => "fit",
            Origin::Default => "default",
            Origin::Core => "core",
            Origin::RequiredBy(_) => "required",
            Origin::RecommendedBy(_) => "recommended",
            Origin::Member => "member",
        })
    }
}
