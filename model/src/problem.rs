//! The tree's rules in the form that the solver works on.

use crate::tree::{Capability, Kind, Node, NodeId, Param, Term};

/// Why a demand exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Why {
    /// The node's `requires`, by position.
    Requires(NodeId, u32),
    /// The node is on only within the component or choice around it.
    Within(NodeId),
    /// A choice is active whenever the component around it is on.
    Active(NodeId),
    /// An active choice has a member.
    Member(NodeId),
}

/// If its head is on, one of the alternatives must be.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    pub alternatives: Box<[NodeId]>,
    pub why: Why,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Problem {
    itself: Vec<NodeId>,
    pub demands: Vec<Vec<Demand>>,
    pub conflicts: Vec<Vec<NodeId>>,
    pub recommends: Vec<Vec<NodeId>>,
    pub always: Vec<NodeId>,
}

impl Problem {
    pub fn itself(&self, n: NodeId) -> &[NodeId] {
        std::slice::from_ref(&self.itself[n.index()])
    }

    pub fn new(nodes: &[Node], _params: &[Param], capabilities: &[Capability]) -> Problem {
        let mut p = Problem {
            itself: (0..nodes.len() as u32).map(NodeId).collect(),
            demands: vec![Vec::new(); nodes.len()],
            conflicts: vec![Vec::new(); nodes.len()],
            recommends: vec![Vec::new(); nodes.len()],
            always: Vec::new(),
        };
        let expand = |terms: &[Term]| {
            let mut out: Vec<NodeId> = Vec::new();
            for term in terms {
                match term {
                    Term::Node(n) => out.push(*n),
                    Term::Capability(c) => out.extend(&capabilities[c.0 as usize].providers),
                }
            }
            out
        };
        for (i, node) in nodes.iter().enumerate() {
            let n = NodeId(i as u32);
            let mut demand = |head: NodeId, alternatives: Vec<NodeId>, why| {
                p.demands[head.index()].push(Demand { alternatives: alternatives.into(), why });
            };
            if let Some(around) = node.within {
                demand(n, vec![around], Why::Within(n));
                if node.kind == Kind::Choice {
                    demand(around, vec![n], Why::Active(n));
                }
            }
            if node.kind == Kind::Choice {
                demand(n, node.children.clone(), Why::Member(n));
            }
            for (at, clause) in node.requires.iter().enumerate() {
                demand(n, expand(&clause.alternatives), Why::Requires(n, at as u32));
            }
            for link in &node.conflicts {
                for other in expand(&[link.term]) {
                    if other != n {
                        p.conflicts[i].push(other);
                        p.conflicts[other.index()].push(n);
                    }
                }
            }
            if node.kind == Kind::Choice {
                for m in &node.children {
                    p.conflicts[m.index()].extend(node.children.iter().filter(|o| *o != m));
                }
            }
            p.recommends[i] = node.recommends.iter().flat_map(|l| expand(&[l.term])).collect();
            if node.core.is_some() || (node.kind == Kind::Choice && node.within.is_none()) {
                p.always.push(n);
            }
        }
        p
    }
}
