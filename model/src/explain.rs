//! Why something is on or off, who needs it, and what would follow from toggling it.

use std::collections::HashMap;

use petgraph::algo::astar;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use serde::Serialize;

use crate::decisions::{By, Decisions};
use crate::effect::{Change, Delta, Measure};
use crate::reason::{Reason, list};
use crate::refusal::Refusal;
use crate::resolve::{Origin, Resolution};
use crate::tree::{Kind, NodeId, Tree};

/// Everything there is to say about one component, choice, menu or parameter as things stand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// What is explained.
    pub id: String,
    /// Its title; of a parameter its name.
    pub title: String,
    /// `menu`, `component`, `choice` or `param`.
    pub kind: String,
    /// Whether it is on, active, or belongs to something that is.
    pub on: bool,
    /// Why, in a word.
    pub origin: Origin,
    /// Why, step by step: the shortest chain from a decision or a fact. For what is off: what keeps it off.
    pub because: Vec<Reason>,
    /// What is on and could not be without it.
    pub needed_by: Vec<String>,
    /// What is on because it asks for it.
    pub needs: Vec<String>,
    /// The bytes that would leave the image if this component alone could go.
    pub bytes: Option<u64>,
    /// The value of a parameter, or the member of a choice.
    pub value: Option<String>,
    /// What toggling it would do, where it can be toggled.
    pub toggle: Option<Toggle>,
    /// All of it as sentences.
    pub prose: String,
}

/// What toggling would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Toggle {
    /// It can be done.
    Possible {
        /// The decision to make.
        change: Change,
        /// What turns on.
        turned_on: Vec<String>,
        /// What turns off.
        turned_off: Vec<String>,
        /// The change in size, when a [`Measure`] was given.
        delta: Option<Delta>,
    },
    /// It cannot.
    Refused(Box<Refusal>),
}

/// What supports what: an edge from each part that is on to each part that is on because of it, and one from the root to
/// everything that is on for its own sake.
struct Support {
    graph: DiGraph<Option<NodeId>, Reason>,
    root: NodeIndex,
    at: Vec<Option<NodeIndex>>,
}

impl Tree {
    fn support(&self, decisions: &Decisions, r: &Resolution) -> Support {
        let mut graph = DiGraph::new();
        let root = graph.add_node(None);
        let mut at = vec![None; self.len()];
        let parts = || r.on().filter(|n| self.node(*n).kind != Kind::Menu);
        for n in parts() {
            at[n.index()] = Some(graph.add_node(Some(n)));
        }
        for n in parts() {
            let Some(me) = at[n.index()] else { continue };
            for reason in self.own_reasons(decisions, r, n) {
                graph.add_edge(root, me, reason);
            }
            for &clause in self.problem.demands.get(n.index()) {
                let lits = self.problem.formula.clauses.get(clause as usize);
                if self.silent(r, clause) {
                    continue;
                }
                let mut on = lits.iter().filter(|l| !l.is_off() && r.on.contains(l.var()));
                if let (Some(only), None) = (on.next(), on.next())
                    && let (Some(other), Some(reason)) =
                        (at[only.var()], self.reason(self.problem.whys[clause as usize]))
                {
                    graph.add_edge(me, other, reason);
                }
            }
            for other in self.problem.recommends.get(n.index()).iter().flatten() {
                if r.origin(*other) == &Origin::RecommendedBy(n)
                    && let Some(to) = at[other.index()]
                {
                    let (id, other) = (self.node(n).id.clone(), self.node(*other).id.clone());
                    graph.add_edge(me, to, Reason::Recommends { id, other });
                }
            }
        }
        Support { graph, root, at }
    }

    /// Whether a clause is a rule of a parameter whose value does not meet it.
    fn silent(&self, r: &Resolution, clause: u32) -> bool {
        match self.problem.whys[clause as usize] {
            crate::problem::Why::RuleRequires(p, rule, _) => {
                let param = &self.params[p as usize];
                !param.rules[rule as usize].when.holds(r.value(crate::tree::ParamId(p)))
            }
            _ => false,
        }
    }

    /// Why something is on that needs nobody else for it.
    fn own_reasons(&self, decisions: &Decisions, r: &Resolution, n: NodeId) -> Vec<Reason> {
        let node = self.node(n);
        let mut reasons = Vec::new();
        if let Some(why) = &node.core {
            reasons.push(Reason::Core { id: node.id.clone(), why: why.clone() });
        }
        if node.kind == Kind::Choice && node.within.is_none() {
            reasons.push(Reason::Always { id: node.id.clone() });
        }
        let decided = |id: &str| {
            decisions.get(id).map(|(to, by)| Reason::Decided {
                id: id.to_string(),
                to: to.clone(),
                by: by.clone(),
                asked: false,
            })
        };
        match self.choice_of(n) {
            Some(choice) => {
                let choice = &self.node(choice).id;
                reasons.extend(decided(choice));
                if r.origin(n) == &Origin::Member {
                    reasons.push(Reason::Default { id: node.id.clone() });
                }
            }
            None if node.kind == Kind::Component => {
                reasons.extend(decided(&node.id));
                if reasons.is_empty() && node.default {
                    reasons.push(Reason::Default { id: node.id.clone() });
                }
            }
            None => {}
        }
        reasons
    }

    /// The shortest chain of reasons why something is on, from a decision or a fact to it. Empty for what is off.
    pub fn why_on(&self, decisions: &Decisions, r: &Resolution, n: NodeId) -> Vec<Reason> {
        let support = self.support(decisions, r);
        let Some(goal) = support.at[n.index()] else { return Vec::new() };
        chain(&support, goal)
    }

    /// [`Tree::why_on`] for everything that is on.
    pub(crate) fn all_why_on(&self, decisions: &Decisions, r: &Resolution) -> HashMap<NodeId, Vec<Reason>> {
        let support = self.support(decisions, r);
        let parts = support.at.iter().enumerate().filter_map(|(n, at)| at.map(|at| (NodeId(n as u32), at)));
        parts.map(|(n, at)| (n, chain(&support, at))).collect()
    }

    /// What is on and requires a node, with nothing else that is on to take its place.
    pub fn needed_by(&self, r: &Resolution, n: NodeId) -> Vec<NodeId> {
        if !r.is_on(n) {
            return Vec::new();
        }
        let needs = |head: &NodeId| {
            r.is_on(*head)
                && self.problem.demands.get(head.index()).iter().any(|clause| {
                    let mut on = self.problem.formula.clauses.get(*clause as usize).iter();
                    let speaks =
                        !self.silent(r, *clause) && on.clone().any(|l| !l.is_off() && l.var() == n.index());
                    speaks && on.all(|l| l.is_off() || l.var() == n.index() || !r.on.contains(l.var()))
                })
        };
        self.asking(n).iter().copied().filter(needs).collect()
    }

    /// What is on to serve the requirements of a node.
    pub fn needs(&self, r: &Resolution, n: NodeId) -> Vec<NodeId> {
        let mut out: Vec<NodeId> = Vec::new();
        for clause in self.problem.demands.get(n.index()) {
            if !self.silent(r, *clause) {
                let lits = self.problem.formula.clauses.get(*clause as usize);
                out.extend(lits.iter().filter(|l| !l.is_off()).map(|l| NodeId(l.var() as u32)));
            }
        }
        out.retain(|m| r.is_on(*m));
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Explains an id as things stand. `r` is what `decisions` resolve to. Nothing for an id that the tree does not have.
    pub fn explain(
        &self,
        decisions: &Decisions,
        r: &Resolution,
        id: &str,
        measure: Option<&dyn Measure>,
    ) -> Option<Explanation> {
        match self.find(id) {
            Some(n) => Some(self.explain_node(decisions, r, n, measure)),
            None => self.find_param(id).map(|p| {
                let param = self.param(p);
                let owner = &self.node(param.owner).id;
                let on = r.is_on(param.owner);
                let origin = r.value_origin(p).clone();
                let value = r.value(p).to_string();
                let mut prose = match (&origin, decisions.get(id)) {
                    (Origin::Default, _) | (_, None) => format!("{id} is {value}, as declared."),
                    (_, Some((_, by))) => {
                        format!("{id} is {value}; {}. Declared is {}.", decided_by(by), param.default)
                    }
                };
                prose += &format!(" It takes {}.", param.ty.describe());
                if !on {
                    prose += &format!(" It has no effect while {owner} is off.");
                }
                let because = decisions
                    .get(id)
                    .map(|(to, by)| Reason::Decided {
                        id: id.into(),
                        to: to.clone(),
                        by: by.clone(),
                        asked: false,
                    })
                    .into_iter()
                    .collect();
                Explanation {
                    id: id.to_string(),
                    title: param.name.clone(),
                    kind: "param".into(),
                    on,
                    origin,
                    because,
                    needed_by: Vec::new(),
                    needs: Vec::new(),
                    bytes: None,
                    value: Some(value),
                    toggle: None,
                    prose,
                }
            }),
        }
    }

    fn explain_node(
        &self,
        decisions: &Decisions,
        r: &Resolution,
        n: NodeId,
        measure: Option<&dyn Measure>,
    ) -> Explanation {
        let node = self.node(n);
        let on = r.is_on(n);
        let ids = |nodes: &[NodeId]| nodes.iter().map(|n| self.node(*n).id.clone()).collect::<Vec<_>>();
        let toggle = self.toggle(r, n).map(|change| {
            match self.preview(decisions, r, std::slice::from_ref(&change), measure) {
                Ok(effect) => Toggle::Possible {
                    change,
                    turned_on: ids(&effect.turned_on),
                    turned_off: ids(&effect.turned_off),
                    delta: effect.delta,
                },
                Err(refusal) => Toggle::Refused(Box::new(refusal)),
            }
        });
        let because =
            if on { self.why_on(decisions, r, n) } else { self.why_off(decisions, r, n, toggle.as_ref()) };
        let needed_by = ids(&self.needed_by(r, n));
        let needs = ids(&self.needs(r, n));
        let bytes = measure.filter(|_| on && node.kind == Kind::Component).map(|m| m.component_bytes(r, n));
        let value = r.member(n).map(|m| crate::last_part(&self.node(m).id).to_string());

        let state = match (node.kind, on) {
            (Kind::Menu, true) => "has parts that are on",
            (Kind::Menu, false) => "has nothing that is on",
            (Kind::Choice, true) => "is active",
            (Kind::Choice, false) => "is not active",
            (Kind::Component, true) => "is on",
            (Kind::Component, false) => "is off",
        };
        let mut prose = match (because.as_slice(), on, node.kind) {
            (_, _, Kind::Menu) => format!("{} {state}.", node.id),
            ([], false, _) => format!("{} {state}: nothing that is on asks for it.", node.id),
            ([], true, _) => format!("{} {state}.", node.id),
            // "x is on because x is on by default" says it twice.
            ([only @ (Reason::Core { id, .. } | Reason::Default { id })], true, _) if *id == node.id => {
                format!("{only}.")
            }
            (steps, ..) => {
                let steps: Vec<String> = steps.iter().map(Reason::to_string).collect();
                format!("{} {state} because {}.", node.id, list(&steps, "and"))
            }
        };
        if let (Some(m), Some(value)) = (r.member(n), &value) {
            prose += &format!(" Its member is {value} ({}).", r.origin(m).describe(self));
        }
        if !needed_by.is_empty() && node.kind == Kind::Component {
            prose += &format!(
                " {} {} it.",
                list(&needed_by, "and"),
                if needed_by.len() == 1 { "needs" } else { "need" }
            );
        }
        if let Some(bytes) = bytes {
            prose += &format!(" By itself it takes {bytes} bytes.");
        }
        let verb = if on { "off" } else { "on" };
        match &toggle {
            Some(Toggle::Possible { turned_on, turned_off, delta, .. }) => {
                let others =
                    |all: &[String]| all.iter().filter(|id| **id != node.id).cloned().collect::<Vec<_>>();
                let mut parts = Vec::new();
                for (all, word) in [(others(turned_on), "on"), (others(turned_off), "off")] {
                    if !all.is_empty() {
                        parts.push(format!("turn {word} {}", list(&all, "and")));
                    }
                }
                if let Some(delta) = delta {
                    parts.push(format!("change the image by {:+} bytes", delta.image_bytes));
                }
                if !parts.is_empty() {
                    prose += &format!(" Turning it {verb} would {}.", list(&parts, "and"));
                }
            }
            Some(Toggle::Refused(_)) if node.core.is_some() => {}
            Some(Toggle::Refused(refusal)) => {
                prose += &format!(" It cannot be turned {verb}. {}", refusal.prose);
                if let Some(fix) = refusal.fixes.first() {
                    prose += &format!(" What would help: {}.", fix.describe());
                }
            }
            None => {}
        }
        Explanation {
            id: node.id.clone(),
            title: node.title.clone(),
            kind: node.kind.name().into(),
            on,
            origin: r.origin(n).clone(),
            because,
            needed_by,
            needs,
            bytes,
            value,
            toggle,
            prose,
        }
    }

    fn why_off(
        &self,
        decisions: &Decisions,
        r: &Resolution,
        n: NodeId,
        toggle: Option<&Toggle>,
    ) -> Vec<Reason> {
        let node = self.node(n);
        if let Some(choice) = self.choice_of(n)
            && let Some(member) = r.member(choice)
        {
            let mut because = self.why_on(decisions, r, member);
            let id = |n: NodeId| self.node(n).id.clone();
            because.push(Reason::OneOf { id: id(choice), members: [id(member), id(n)] });
            return because;
        }
        if let (Some((to, by)), Kind::Component) = (decisions.get(&node.id), node.kind) {
            return vec![Reason::Decided {
                id: node.id.clone(),
                to: to.clone(),
                by: by.clone(),
                asked: false,
            }];
        }
        if let (Origin::Blocked, Some(Toggle::Refused(refusal))) = (r.origin(n), toggle) {
            let steps = refusal.because.iter().filter(|r| !matches!(r, Reason::Decided { asked: true, .. }));
            return steps.cloned().collect();
        }
        match node.within {
            Some(around) if !r.is_on(around) => {
                vec![Reason::Within { id: node.id.clone(), around: self.node(around).id.clone() }]
            }
            _ => Vec::new(),
        }
    }

    /// The requirements that are certain: an edge from each component and choice to each one it cannot be on without.
    pub fn requirement_graph(&self) -> DiGraph<NodeId, ()> {
        let mut graph = DiGraph::with_capacity(self.len(), self.len() * 2);
        let at: Vec<NodeIndex> = self.nodes().map(|n| graph.add_node(n)).collect();
        for n in self.nodes() {
            for clause in self.problem.demands.get(n.index()) {
                let lits = self.problem.formula.clauses.get(*clause as usize);
                if let [head, only] = lits
                    && head.is_off()
                    && !only.is_off()
                {
                    graph.update_edge(at[head.var()], at[only.var()], ());
                }
            }
        }
        graph
    }
}

fn decided_by(by: &By) -> String {
    match by {
        By::User => "you decided so".into(),
        By::Fit => "fitting decided so".into(),
        By::Preset(name) => format!(
            "{} decided so",
            name.strip_prefix("preset:").map_or(name.to_string(), |n| format!("preset {n}"))
        ),
    }
}

fn chain(support: &Support, goal: NodeIndex) -> Vec<Reason> {
    let path = astar(&support.graph, support.root, |n| n == goal, |_| 1u32, |_| 0);
    let Some((_, path)) = path else { return Vec::new() };
    // Of several reasons for one step the first declared is told.
    path.windows(2)
        .filter_map(|step| {
            let edges = support.graph.edges_connecting(step[0], step[1]);
            edges.min_by_key(|e| e.id()).map(|e| e.weight().clone())
        })
        .collect()
}
