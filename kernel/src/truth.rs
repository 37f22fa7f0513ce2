//! Holds declared requirements against the code.
//!
//! From every section that belongs to a component, relocations are followed through sections that belong to nobody to
//! the next that belong to somebody. Whoever is found there must be always on, be an owner of the first section too,
//! or follow from what its owners require. Code that is bound through a choice is a reach to the choice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bespoke_model::{Kind, NodeId, Term, Tree};

use crate::object::SectionId;
use crate::os::{Bind, Os};

/// A component reaches another that it does not require.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The component whose code reaches.
    pub component: String,
    /// The component that is reached.
    pub reaches: String,
    /// The first symbol on the way (mangled).
    pub from_symbol: String,
    /// The last.
    pub to_symbol: String,
    /// All of them.
    pub path: Vec<String>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} reaches {} without requiring it: {}; declare requires = [\"{}\"], or cut the way",
            self.component,
            self.reaches,
            self.path.join(" → "),
            self.reaches
        )
    }
}

/// Every pair of components of which one reaches the other without requiring it, with the shortest way there.
pub fn violations(os: &Os) -> Vec<Violation> {
    let implied = Implied::new(&os.tree);
    let sections = os.object.sections.len();
    let mut found: BTreeMap<(NodeId, NodeId), Vec<u32>> = BTreeMap::new();
    let mut seen = vec![u32::MAX; sections];
    let mut from = vec![u32::MAX; sections];
    for start in 0..sections as u32 {
        let owners = os.index.owners_of(start);
        if owners.is_empty() {
            continue;
        }
        let allowed: BTreeSet<NodeId> =
            owners.iter().flat_map(|n| implied.by(*n)).chain(&implied.always).copied().collect();
        let mut queue = VecDeque::from([start]);
        seen[start as usize] = start;
        let mut reached = |n: NodeId, last: Option<u32>, at: u32, from: &[u32]| {
            if allowed.contains(&n) {
                return;
            }
            let mut way: Vec<u32> = last.into_iter().collect();
            let mut step = at;
            way.push(step);
            while step != start {
                step = from[step as usize];
                way.push(step);
            }
            way.reverse();
            for owner in owners {
                let known = found.entry((*owner, n)).or_insert_with(|| way.clone());
                if way.len() < known.len() {
                    known.clone_from(&way);
                }
            }
        };
        while let Some(at) = queue.pop_front() {
            for &to in os.index.edges_of(at) {
                if to as usize >= sections {
                    if let Bind::Choice(item) = &os.index.externals[to as usize - sections] {
                        reached(item.choice, Some(to), at, &from);
                    }
                    continue;
                }
                if std::mem::replace(&mut seen[to as usize], start) == start {
                    continue;
                }
                from[to as usize] = at;
                let owners = os.index.owners_of(to);
                if owners.is_empty() {
                    queue.push_back(to);
                    continue;
                }
                for n in owners {
                    reached(*n, Some(to), at, &from);
                }
            }
        }
    }
    let label = |at: u32| match os.object.externals.get((at as usize).wrapping_sub(sections)) {
        Some(external) => external.name.clone(),
        None => os.object.label(SectionId(at)).to_owned(),
    };
    found
        .into_iter()
        .map(|((component, reaches), way)| {
            let path: Vec<String> = way.into_iter().map(label).collect();
            Violation {
                component: os.tree.node(component).id.clone(),
                reaches: os.tree.node(reaches).id.clone(),
                from_symbol: path.first().cloned().unwrap_or_default(),
                to_symbol: path.last().cloned().unwrap_or_default(),
                path,
            }
        })
        .collect()
}

/// What must be on whenever something is.
struct Implied {
    by: Vec<BTreeSet<NodeId>>,
    always: BTreeSet<NodeId>,
}

impl Implied {
    fn new(tree: &Tree) -> Self {
        // The least sets that hold what each node requires, grown until nothing changes.
        let mut by: Vec<BTreeSet<NodeId>> = tree.nodes().map(|n| BTreeSet::from([n])).collect();
        loop {
            let mut changed = false;
            for n in tree.nodes() {
                let mut next = by[n.index()].clone();
                let node = tree.node(n);
                let plain = node.requires.iter().filter_map(|clause| one_of(tree, &clause.alternatives));
                // A choice is active whenever the component around it is on.
                let choices = tree.nodes().filter(|c| {
                    let choice = tree.node(*c);
                    choice.kind == Kind::Choice && choice.within == Some(n)
                });
                for other in plain.chain(node.within).chain(choices) {
                    next.extend(&by[other.index()]);
                }
                if node.kind == Kind::Choice {
                    let mut members = node.children.iter().map(|m| &by[m.index()]);
                    if let Some(first) = members.next() {
                        let shared = members
                            .fold(first.clone(), |shared, m| shared.intersection(m).copied().collect());
                        next.extend(shared);
                    }
                }
                changed |= next.len() > by[n.index()].len();
                by[n.index()] = next;
            }
            if !changed {
                break;
            }
        }
        let core = |n: &NodeId| {
            let node = tree.node(*n);
            node.core.is_some() || node.kind == Kind::Choice && node.within.is_none()
        };
        let always = tree.nodes().filter(core).flat_map(|n| by[n.index()].clone()).collect();
        Self { by, always }
    }

    fn by(&self, n: NodeId) -> &BTreeSet<NodeId> {
        &self.by[n.index()]
    }
}

/// The one node that satisfies a clause, when there is no other.
fn one_of(tree: &Tree, alternatives: &[Term]) -> Option<NodeId> {
    let mut candidates = alternatives.iter().flat_map(|term| tree.candidates(*term));
    let first = *candidates.next()?;
    candidates.all(|other| *other == first).then_some(first)
}
