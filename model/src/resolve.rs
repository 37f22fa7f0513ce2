//! From decisions to the full set.

use std::collections::VecDeque;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use serde::Serialize;

use crate::decision::Decision;
use crate::decisions::{By, Decisions};
use crate::declaration::typed;
use crate::problem::{Lit, Why};
use crate::refusal::Refusal;
use crate::solver::{Guide, Solver, Unsat};
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
    /// It would be on by default, and something that is on speaks against it.
    Blocked,
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
            Origin::Member => "choice".into(),
            Origin::Blocked => "blocked".into(),
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
#[derive(Clone, Debug)]
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

    /// The decisions with their types and the literals they stand for.
    pub(crate) fn stand(&self, decisions: &Decisions) -> Result<Stand, Vec<(String, String)>> {
        let mut stand = Stand::default();
        let mut wrong = Vec::new();
        for (id, decision, by) in decisions.iter() {
            match self.pin(id, decision) {
                Ok(pin) => stand.pins.push(Pinned { pin, by: by.clone() }),
                Err(message) => wrong.push((id.to_string(), message)),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        // A rule speaks while its parameter's value meets it, whether somebody decided the value or not.
        let mut decided: Vec<(ParamId, usize)> = stand
            .pins
            .iter()
            .enumerate()
            .filter_map(|(at, p)| if let Pin::Value(id, _) = &p.pin { Some((*id, at)) } else { None })
            .collect();
        decided.sort_unstable();
        for &p in &self.ruled {
            let selectors = self.problem.rules.get(p.index());
            let pin = decided.binary_search_by_key(&p, |(id, _)| *id).ok().map(|at| decided[at].1);
            let param = self.param(p);
            let value = match pin.map(|at| &stand.pins[at].pin) {
                Some(Pin::Value(_, v)) => v,
                _ => &param.default,
            };
            // A rule that does not speak is left open: nothing asks for its selector, so nothing follows.
            let spoken = param.rules.iter().zip(selectors).filter(|(rule, _)| rule.when.holds(value));
            stand.assumed.extend(spoken.map(|(_, s)| (Lit::on(*s), pin.map(|at| at as u32))));
        }
        for (at, pinned) in stand.pins.iter().enumerate() {
            let lit = match &pinned.pin {
                Pin::On(n) => Lit::on(n.0),
                Pin::Off(n) => Lit::off(n.0),
                Pin::Member(_, m) => Lit::on(self.problem.picked[m.index()].expect("members have selectors")),
                Pin::Value(..) => continue,
            };
            stand.assumed.push((lit, Some(at as u32)));
        }
        Ok(stand)
    }

    /// What follows from decisions.
    ///
    /// # Errors
    /// When no set keeps all rules and all decisions. The refusal says why and what would help.
    pub fn resolve(&self, decisions: &Decisions) -> Result<Resolution, Refusal> {
        let stand = self.stand(decisions).map_err(|wrong| self.refuse_invalid(&wrong))?;
        self.try_stand(&stand)
            .map_err(|proof| self.refuse(proof, decisions, &stand, None, &[], &self.budget(), None))
    }

    /// The preferred set, or nothing when there is none.
    pub(crate) fn resolve_stand(&self, stand: &Stand) -> Option<Resolution> {
        self.try_stand(stand).ok()
    }

    /// The preferred set, or why there is none, with the solver that found out.
    #[allow(clippy::result_large_err)] // it is used up at once by whoever asked
    pub(crate) fn try_stand(&self, stand: &Stand) -> Result<Resolution, (Solver<'_>, Unsat)> {
        let mut solver = Solver::new(&self.problem.formula, &self.problem.start);
        let assumptions: Vec<Lit> = stand.assumed.iter().map(|(lit, _)| *lit).collect();
        match solver.solve(&assumptions, Guide::Preferences(&self.problem), &|| false) {
            Ok(()) => Ok(self.found(stand, &solver)),
            Err(unsat) => Err((solver, unsat.unwrap_or_default())),
        }
    }

    /// The set that a solver found, without what nobody asks for, and with the origin of everything.
    fn found(&self, stand: &Stand, solver: &Solver<'_>) -> Resolution {
        let mut model = FixedBitSet::with_capacity(self.len());
        for lit in solver.trail() {
            if !lit.is_off() && self.problem.is_node(*lit) {
                model.insert(lit.var());
            }
        }
        let mut closure = Closure::new(self, stand, &model);
        closure.run(solver);
        // Where one of several was picked, a smaller set may leave only one to pick from; then nothing was picked for nothing.
        while closure.picked && closure.on != model {
            model = std::mem::take(&mut closure.on);
            closure = Closure::new(self, stand, &model);
            closure.run(solver);
        }
        let Closure { mut on, mut origins, .. } = closure;
        let mut members = Vec::new();
        for &choice in &self.choices {
            if on.contains(choice.index()) {
                for m in &self.node(choice).children {
                    match on.contains(m.index()) {
                        true => members.push((choice, *m)),
                        false => origins[m.index()] = Origin::Member,
                    }
                }
            }
        }
        let around = |n: NodeId| self.node(n).within.is_none_or(|w| on.contains(w.index()));
        for &n in &self.on_by_default {
            if !on.contains(n.index()) && around(n) {
                origins[n.index()] = Origin::Blocked;
            }
        }
        let mut values = Vec::new();
        for pinned in &stand.pins {
            match &pinned.pin {
                Pin::Off(n) => origins[n.index()] = Origin::from(&pinned.by),
                Pin::Value(p, v) => values.push((*p, v.clone(), Origin::from(&pinned.by))),
                Pin::On(_) | Pin::Member(..) => {}
            }
        }
        values.sort_by_key(|(p, ..)| *p);
        for &menu in self.menus.iter().rev() {
            if self.node(menu).children.iter().any(|c| on.contains(c.index())) {
                on.insert(menu.index());
            }
        }
        Resolution { on, origins, members, defaults: self.defaults.clone(), values }
    }
}

/// Decisions with their types, and the literals that stand for them.
#[derive(Clone, Default)]
pub(crate) struct Stand {
    pub pins: Vec<Pinned>,
    /// Each with the decision it stands for; a parameter that nobody decided has none.
    pub assumed: Vec<(Lit, Option<u32>)>,
}

#[derive(Clone)]
pub(crate) struct Pinned {
    pub pin: Pin,
    pub by: By,
}

/// Walks from what is on for its own sake to what that needs, within a set that is known to keep all rules. What it does not
/// reach, nobody asks for. The order of the walk gives the origins: what is decided first, then what that requires, then
/// defaults and recommendations, then picks among several.
struct Closure<'a> {
    tree: &'a Tree,
    model: &'a FixedBitSet,
    stand: &'a Stand,
    on: FixedBitSet,
    origins: Vec<Origin>,
    queue: VecDeque<NodeId>,
    soft: VecDeque<(NodeId, Soft)>,
    open: VecDeque<(NodeId, u32)>,
    picked: bool,
}

enum Soft {
    Default,
    Recommended(usize),
}

impl<'a> Closure<'a> {
    fn new(tree: &'a Tree, stand: &'a Stand, model: &'a FixedBitSet) -> Closure<'a> {
        Closure {
            tree,
            model,
            stand,
            on: FixedBitSet::with_capacity(tree.len()),
            origins: vec![Origin::Default; tree.len()],
            queue: VecDeque::new(),
            soft: VecDeque::new(),
            open: VecDeque::new(),
            picked: false,
        }
    }

    fn add(&mut self, n: NodeId, origin: Origin) {
        if !self.on.put(n.index()) {
            self.origins[n.index()] = origin;
            self.queue.push_back(n);
        }
    }

    fn run(&mut self, solver: &Solver<'_>) {
        let problem = &self.tree.problem;
        for &n in &self.tree.always {
            self.add(n, Origin::Core);
        }
        let mut picks: Vec<(NodeId, usize)> = Vec::new();
        for (at, pinned) in self.stand.pins.iter().enumerate() {
            match &pinned.pin {
                Pin::On(n) => self.add(*n, Origin::from(&pinned.by)),
                Pin::Member(choice, _) => picks.push((*choice, at)),
                Pin::Off(_) | Pin::Value(..) => {}
            }
        }
        picks.sort_unstable();
        let defaults = problem.defaults.iter().filter(|n| self.model.contains(n.index()));
        self.soft.extend(defaults.map(|n| (*n, Soft::Default)));
        loop {
            if let Some(n) = self.queue.pop_front() {
                self.visit(n, &picks, solver);
            } else if let Some((n, soft)) = self.soft.pop_front() {
                match soft {
                    Soft::Default => {
                        let member = self.tree.choice_of(n).is_some();
                        self.add(n, if member { Origin::Member } else { Origin::Default });
                    }
                    Soft::Recommended(at) => {
                        let group = &problem.recommends.get(n.index())[at];
                        if !group.iter().any(|a| self.on.contains(a.index()))
                            && let Some(a) = group.iter().find(|a| self.model.contains(a.index()))
                        {
                            self.add(*a, Origin::RecommendedBy(n));
                        }
                    }
                }
            } else if let Some((n, clause)) = self.open.pop_front() {
                let lits = problem.formula.clauses.get(clause as usize);
                let mut asked = lits.iter().filter(|l| !l.is_off() && self.model.contains(l.var()));
                if !asked.clone().any(|l| self.on.contains(l.var())) {
                    let preferred = asked.clone().find(|l| problem.preferred[l.var()]);
                    if let Some(lit) = preferred.or_else(|| asked.next()) {
                        self.picked = true;
                        self.add(NodeId(lit.var() as u32), Origin::RequiredBy(n));
                    }
                }
            } else {
                return;
            }
        }
    }

    fn visit(&mut self, n: NodeId, picks: &[(NodeId, usize)], solver: &Solver<'_>) {
        let problem = &self.tree.problem;
        for &clause in problem.demands.get(n.index()) {
            let lits = problem.formula.clauses.get(clause as usize);
            // Nearly all are plain: if this, then that.
            if let [_, only] = lits
                && !only.is_off()
                && !matches!(problem.whys[clause as usize], Why::Member(_))
            {
                self.add(NodeId(only.var() as u32), Origin::RequiredBy(n));
                continue;
            }
            // A rule of a parameter speaks only while its selector is on.
            if lits.iter().any(|l| l.is_off() && !problem.is_node(*l) && !solver.is_false(*l)) {
                continue;
            }
            let mut asked = lits.iter().filter(|l| !l.is_off() && self.model.contains(l.var()));
            match (asked.next(), asked.next()) {
                (Some(one), None) => {
                    let target = NodeId(one.var() as u32);
                    let origin = match problem.whys[clause as usize] {
                        Why::Member(choice) => self.member_origin(choice, target, picks),
                        _ => Origin::RequiredBy(n),
                    };
                    match origin {
                        // Somebody may require the default member as well; that says more.
                        Origin::Member => self.soft.push_back((target, Soft::Default)),
                        origin => self.add(target, origin),
                    }
                }
                (Some(_), Some(_)) => self.open.push_back((n, clause)),
                _ => debug_assert!(false, "the solver left a demand open"),
            }
        }
        if self.tree.node(n).kind == Kind::Choice {
            return; // its inner default is its member, which the demand above has met
        }
        for inner in problem.inner.get(n.index()) {
            if self.model.contains(inner.index()) {
                self.soft.push_back((*inner, Soft::Default));
            }
        }
        for at in 0..problem.recommends.get(n.index()).len() {
            self.soft.push_back((n, Soft::Recommended(at)));
        }
    }

    fn member_origin(&self, choice: NodeId, member: NodeId, picks: &[(NodeId, usize)]) -> Origin {
        if let Ok(at) = picks.binary_search_by_key(&choice, |(c, _)| *c) {
            return Origin::from(&self.stand.pins[picks[at].1].by);
        }
        if self.tree.node(choice).default_member == Some(member) {
            return Origin::Member;
        }
        // Not the default: somebody requires it, or the default is impossible.
        let requires = |r: &&NodeId| self.on.contains(r.index());
        self.tree.asking(member).iter().find(requires).map_or(Origin::Member, |r| Origin::RequiredBy(*r))
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
            Origin::Blocked => "blocked",
        })
    }
}
