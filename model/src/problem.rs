//! The tree's rules as clauses over booleans, with the reason for each kept.
//!
//! Every component and choice is a variable of the same number as its node. Beyond them are *selectors*: a variable for each
//! member of a choice ("this member was picked") and for each rule of a parameter ("the value is one the rule speaks of").
//! They let decisions that are not plainly on or off be assumed and taken back like the others.

use crate::solver::Start;
use crate::tree::{Capability, Kind, Node, NodeId, Param, Rule, Term};

/// A variable or its negation: twice the variable, plus one when negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Lit(pub u32);

impl Lit {
    pub fn on(var: u32) -> Lit {
        Lit(var << 1)
    }
    pub fn off(var: u32) -> Lit {
        Lit(var << 1 | 1)
    }
    pub fn var(self) -> usize {
        (self.0 >> 1) as usize
    }
    pub fn is_off(self) -> bool {
        self.0 & 1 == 1
    }
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl std::ops::Not for Lit {
    type Output = Lit;
    fn not(self) -> Lit {
        Lit(self.0 ^ 1)
    }
}

/// Where a clause comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Why {
    /// The node is core.
    Core(NodeId),
    /// A choice that lies in no component is always active.
    Always(NodeId),
    /// The node is on only within the component or choice around it.
    Within(NodeId),
    /// A choice is active whenever the component around it is on.
    Active(NodeId),
    /// An active choice has a member.
    Member(NodeId),
    /// A choice has no two members.
    OneOf(NodeId, NodeId, NodeId),
    /// The picked member of a choice is on whenever the choice is active.
    Picked(NodeId, NodeId),
    /// The node's `requires`, by position.
    Requires(NodeId, u32),
    /// The node's `conflicts`, by position, and whom it means.
    Conflicts(NodeId, u32, NodeId),
    /// A parameter's rule: its `requires`, by position.
    RuleRequires(u32, u32, u32),
    /// A parameter's rule: its `conflicts`, by position, and whom it means.
    RuleConflicts(u32, u32, u32, NodeId),
}

/// Lists of lists in two vectors: built once, walked often.
#[derive(Clone, Debug)]
pub(crate) struct Lists<T> {
    starts: Vec<u32>,
    items: Vec<T>,
}

impl<T> Default for Lists<T> {
    fn default() -> Lists<T> {
        Lists { starts: vec![0], items: Vec::new() }
    }
}

impl<T: Clone> Lists<T> {
    pub fn push(&mut self, items: impl IntoIterator<Item = T>) {
        self.items.extend(items);
        self.starts.push(self.items.len() as u32);
    }
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }
    pub fn get(&self, at: usize) -> &[T] {
        &self.items[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
    fn from_pairs(count: usize, pairs: impl Iterator<Item = (usize, T)> + Clone) -> Lists<T> {
        let mut starts = vec![0u32; count + 1];
        for (key, _) in pairs.clone() {
            starts[key + 1] += 1;
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let mut place = starts.clone();
        let mut items: Vec<Option<T>> = vec![None; starts[count] as usize];
        for (key, item) in pairs {
            items[place[key] as usize] = Some(item);
            place[key] += 1;
        }
        Lists { starts, items: items.into_iter().flatten().collect() }
    }
}

/// Clauses, with what propagation needs to find them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Formula {
    pub vars: usize,
    pub clauses: Lists<Lit>,
    /// For a literal: the clauses of two that hold its negation, as (the other literal, the clause). When the literal
    /// becomes true, the other must too.
    pub implies: Lists<(Lit, u32)>,
    /// For a literal: the clauses of three and more that hold it.
    pub watched: Lists<u32>,
    /// Clauses of one literal, and empty ones.
    pub units: Vec<u32>,
}

impl Formula {
    pub fn new(vars: usize, clauses: Lists<Lit>) -> Formula {
        let all = || (0..clauses.len()).map(|c| (c as u32, clauses.get(c)));
        let pairs = all().filter(|(_, lits)| lits.len() == 2);
        let implies = Lists::from_pairs(
            vars * 2,
            pairs.flat_map(|(c, lits)| {
                [((!lits[0]).index(), (lits[1], c)), ((!lits[1]).index(), (lits[0], c))]
            }),
        );
        let long = all().filter(|(_, lits)| lits.len() > 2);
        let watched =
            Lists::from_pairs(vars * 2, long.flat_map(|(c, lits)| lits.iter().map(move |l| (l.index(), c))));
        let units = all().filter(|(_, lits)| lits.len() < 2).map(|(c, _)| c).collect();
        Formula { vars, clauses, implies, watched, units }
    }
}

/// One of these, when its owner is on.
pub(crate) type Group = Box<[NodeId]>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Problem {
    pub formula: Formula,
    /// What is always so.
    pub start: Start,
    /// Why each clause holds.
    pub whys: Vec<Why>,
    /// For a node: the clauses that ask for something when it is on and that more than one could satisfy.
    pub open: Lists<u32>,
    /// For a node: everything that asks for something when it is on.
    pub demands: Lists<u32>,
    /// Components that are on by default and lie in no component.
    pub defaults: Vec<NodeId>,
    /// For a node: components directly within it that are on by default; for a choice, its default member.
    pub inner: Lists<NodeId>,
    /// For a node: what it recommends.
    pub recommends: Lists<Group>,
    /// For a node that is a member of a choice: its selector.
    pub picked: Vec<Option<u32>>,
    /// For a parameter and a rule of it: the selector.
    pub rules: Lists<u32>,
    /// Whether a node is on by default.
    pub preferred: Vec<bool>,
    itself: Vec<NodeId>,
}

impl Problem {
    pub fn itself(&self, n: NodeId) -> &[NodeId] {
        std::slice::from_ref(&self.itself[n.index()])
    }

    /// For a node: the nodes with a demand that it could satisfy.
    pub fn asking(&self) -> Lists<NodeId> {
        let count = self.itself.len();
        let mut pairs: Vec<(usize, NodeId)> = Vec::new();
        let mut last = vec![u32::MAX; count];
        for n in 0..count as u32 {
            for clause in self.demands.get(n as usize) {
                let lits = self.formula.clauses.get(*clause as usize);
                for lit in lits.iter().filter(|l| !l.is_off()) {
                    if std::mem::replace(&mut last[lit.var()], n) != n {
                        pairs.push((lit.var(), NodeId(n)));
                    }
                }
            }
        }
        Lists::from_pairs(count, pairs.iter().copied())
    }

    pub fn is_node(&self, lit: Lit) -> bool {
        lit.var() < self.itself.len()
    }

    pub fn new(nodes: &[Node], params: &[Param], capabilities: &[Capability]) -> Problem {
        let count = nodes.len();
        let mut vars = count as u32;
        let mut selector = || {
            vars += 1;
            vars - 1
        };
        let of = |term: Term| match term {
            Term::Node(n) => vec![n],
            Term::Capability(c) => capabilities[c.0 as usize].providers.clone(),
        };
        let all = |terms: &[Term]| {
            let mut out: Vec<NodeId> = Vec::new();
            for n in terms.iter().flat_map(|t| of(*t)) {
                if !out.contains(&n) {
                    out.push(n);
                }
            }
            out
        };
        let on = |n: NodeId| Lit::on(n.0);
        let off = |n: NodeId| Lit::off(n.0);
        let mut clauses: Lists<Lit> = Lists::default();
        let mut whys: Vec<Why> = Vec::new();
        let mut demand_pairs: Vec<(usize, u32)> = Vec::new();
        let mut open_pairs: Vec<(usize, u32)> = Vec::new();
        let mut picked = vec![None; count];
        let mut buffer: Vec<Lit> = Vec::new();
        {
            let mut add = |lits: &[Lit], why: Why| {
                clauses.push(lits.iter().copied());
                whys.push(why);
                whys.len() as u32 - 1
            };
            let mut ask = |head: NodeId, clause: u32, alternatives: usize| {
                demand_pairs.push((head.index(), clause));
                if alternatives > 1 {
                    open_pairs.push((head.index(), clause));
                }
            };
            for (i, node) in nodes.iter().enumerate() {
                let n = NodeId(i as u32);
                if node.core.is_some() {
                    add(&[on(n)], Why::Core(n));
                }
                match node.within {
                    Some(around) => {
                        let clause = add(&[off(n), on(around)], Why::Within(n));
                        ask(n, clause, 1);
                        if node.kind == Kind::Choice {
                            let clause = add(&[off(around), on(n)], Why::Active(n));
                            ask(around, clause, 1);
                        }
                    }
                    None if node.kind == Kind::Choice => {
                        add(&[on(n)], Why::Always(n));
                    }
                    None => {}
                }
                if node.kind == Kind::Choice {
                    let mut lits = vec![off(n)];
                    lits.extend(node.children.iter().map(|m| on(*m)));
                    let clause = add(&lits, Why::Member(n));
                    ask(n, clause, node.children.len());
                    for (at, m) in node.children.iter().enumerate() {
                        for other in &node.children[at + 1..] {
                            add(&[off(*m), off(*other)], Why::OneOf(n, *m, *other));
                        }
                        let s = selector();
                        picked[m.index()] = Some(s);
                        add(&[Lit::off(s), off(n), on(*m)], Why::Picked(n, *m));
                    }
                }
                for (at, clause) in node.requires.iter().enumerate() {
                    buffer.clear();
                    buffer.push(off(n));
                    for term in &clause.alternatives {
                        let found = match term {
                            Term::Node(n) => std::slice::from_ref(n),
                            Term::Capability(c) => &capabilities[c.0 as usize].providers,
                        };
                        for a in found {
                            if !buffer.contains(&on(*a)) {
                                buffer.push(on(*a));
                            }
                        }
                    }
                    if buffer.contains(&on(n)) {
                        continue; // it provides the capability itself
                    }
                    let clause = add(&buffer, Why::Requires(n, at as u32));
                    ask(n, clause, buffer.len() - 1);
                }
                for (at, link) in node.conflicts.iter().enumerate() {
                    for other in of(link.term) {
                        if other != n {
                            add(&[off(n), off(other)], Why::Conflicts(n, at as u32, other));
                        }
                    }
                }
            }
        }
        let mut rules: Lists<u32> = Lists::default();
        for (p, param) in params.iter().enumerate() {
            let p = p as u32;
            let mut selectors = Vec::new();
            for (r, Rule { requires, conflicts: not, .. }) in param.rules.iter().enumerate() {
                let s = selector();
                selectors.push(s);
                let r = r as u32;
                for (at, clause) in requires.iter().enumerate() {
                    let alternatives = all(&clause.alternatives);
                    if alternatives.contains(&param.owner) {
                        continue;
                    }
                    let mut lits = vec![Lit::off(s), off(param.owner)];
                    lits.extend(alternatives.iter().map(|a| on(*a)));
                    clauses.push(lits);
                    whys.push(Why::RuleRequires(p, r, at as u32));
                    let clause = whys.len() as u32 - 1;
                    demand_pairs.push((param.owner.index(), clause));
                    if alternatives.len() > 1 {
                        open_pairs.push((param.owner.index(), clause));
                    }
                }
                for (at, link) in not.iter().enumerate() {
                    for other in of(link.term) {
                        let mut lits = vec![Lit::off(s), off(param.owner)];
                        if other != param.owner {
                            lits.push(off(other));
                        }
                        clauses.push(lits);
                        whys.push(Why::RuleConflicts(p, r, at as u32, other));
                    }
                }
            }
            rules.push(selectors);
        }
        let mut inner_pairs: Vec<(usize, NodeId)> = Vec::new();
        let mut defaults = Vec::new();
        let mut recommends: Lists<Group> = Lists::default();
        for (i, node) in nodes.iter().enumerate() {
            let n = NodeId(i as u32);
            // Members are left to their choice: its default says which.
            let member = node.parent.is_some_and(|p| nodes[p.index()].kind == Kind::Choice);
            if node.default && !member {
                match node.within {
                    Some(around) => inner_pairs.push((around.index(), n)),
                    None => defaults.push(n),
                }
            }
            if let Some(member) = node.default_member {
                inner_pairs.push((i, member));
            }
            recommends.push(node.recommends.iter().map(|link| of(link.term).into()));
        }
        let formula = Formula::new(vars as usize, clauses);
        Problem {
            start: Start::new(&formula),
            formula,
            whys,
            open: Lists::from_pairs(count, open_pairs.iter().copied()),
            demands: Lists::from_pairs(count, demand_pairs.iter().copied()),
            defaults,
            inner: Lists::from_pairs(count, inner_pairs.iter().copied()),
            recommends,
            picked,
            rules,
            preferred: nodes.iter().map(|n| n.default).collect(),
            itself: (0..count as u32).map(NodeId).collect(),
        }
    }
}
