//! The component tree: declarations put together, every name resolved to what it names.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap as HashMap;
use serde::Serialize;
use smallvec::SmallVec;

use crate::decisions::Decisions;
use crate::declaration::Condition;
use crate::diagnostics::{Diagnostic, Diagnostics, Location, Severity};
use crate::link::{Linker, read_all};
use crate::problem::{Lists, Problem};
use crate::value::{ParamType, Value};

/// One declaration, as the caller found it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The id that follows from where the file lies: `net.tcp`.
    pub id: &'a str,
    /// The file's name for messages.
    pub file: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// A node of a [`Tree`]. Ids of one tree mean nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// Its place in preorder: 0 is the first node of the tree.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A parameter of a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(pub(crate) u32);

impl ParamId {
    /// Its place among all parameters, in the order of their owners.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A capability of a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CapabilityId(pub(crate) u32);

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A heading: no code, neither on nor off by itself.
    Menu,
    /// A part of the operating system, on or off.
    Component,
    /// Exactly one of its children, whenever it is active.
    Choice,
}

impl Kind {
    /// The word that declares the kind.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Menu => "menu",
            Kind::Component => "component",
            Kind::Choice => "choice",
        }
    }

    pub(crate) fn with_article(self) -> String {
        format!("a {}", self.name())
    }
}

/// What a requirement, conflict or recommendation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// A component or a choice.
    Node(NodeId),
    /// Any component that provides the capability.
    Capability(CapabilityId),
}

/// A requirement: at least one alternative must be on.
#[derive(Clone, Debug)]
pub struct Clause {
    /// In the order they were written. One alone is a plain requirement.
    pub alternatives: SmallVec<[Term; 2]>,
    /// For a person: `net.ipv4`, `any of a, b`, `cap:clock`.
    pub text: String,
    /// Where it stands in the declaration's file.
    pub span: Range<usize>,
}

/// A conflict, a recommendation or a provided capability.
#[derive(Clone, Debug)]
pub struct Link {
    /// What is named.
    pub term: Term,
    /// As it was written.
    pub text: String,
    /// Where it stands in the declaration's file.
    pub span: Range<usize>,
}

/// A menu, component or choice.
#[derive(Clone, Debug)]
pub struct Node {
    /// The full id: `net.tcp`.
    pub id: String,
    /// The name a person would use.
    pub title: String,
    /// What it does, and what is lost without it.
    pub help: String,
    /// What it is.
    pub kind: Kind,
    /// The node it lies in.
    pub parent: Option<NodeId>,
    /// The nodes in it, by id.
    pub children: Vec<NodeId>,
    /// Its parameters, in the order they were written.
    pub params: Vec<ParamId>,
    /// Why it is always on, when it is.
    pub core: Option<String>,
    /// Components: on when nobody decides (and the component around it is on).
    pub default: bool,
    /// Choices: the member when nobody decides.
    pub default_member: Option<NodeId>,
    /// What it needs. The component or choice around it is needed too and not listed here: see [`Node::within`].
    pub requires: Vec<Clause>,
    /// What it cannot be on together with.
    pub conflicts: Vec<Link>,
    /// The capabilities it has.
    pub provides: Vec<Link>,
    /// What it turns on when nothing speaks against it.
    pub recommends: Vec<Link>,
    /// What it serves beside the calls that it registers: `path:/dev/null`, `socket:AF_INET/SOCK_STREAM`.
    pub serves: Vec<String>,
    /// The nearest component or choice around it: it is on only when that is on.
    pub within: Option<NodeId>,
    /// Ids it had in earlier versions.
    pub was: Vec<String>,
    /// The declaration's file.
    pub file: String,
}

/// A parameter.
#[derive(Clone, Debug)]
pub struct Param {
    /// The full id: `net.tcp.receive-buffer`.
    pub id: String,
    /// The component or choice it belongs to.
    pub owner: NodeId,
    /// The last part of its id.
    pub name: String,
    /// What it does.
    pub help: String,
    /// What its value may be.
    pub ty: ParamType,
    /// Its value when nobody decides.
    pub default: Value,
    /// What it demands while it has certain values and its owner is on.
    pub rules: Vec<Rule>,
    /// Ids it had in earlier versions.
    pub was: Vec<String>,
}

/// What a parameter demands while it has certain values.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The values.
    pub when: Condition,
    /// What must be on then.
    pub requires: Vec<Clause>,
    /// What must be off then.
    pub conflicts: Vec<Link>,
    /// Where it stands in the declaration's file.
    pub span: Range<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Capability {
    pub name: String,
    pub providers: Vec<NodeId>,
}

/// All components, choices and menus, and what is between them.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) params: Vec<Param>,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) problem: Problem,
    pub(crate) defaults: Arc<[Value]>,
    /// Nodes that are always on: core components, and choices that lie in no component.
    pub(crate) always: Vec<NodeId>,
    pub(crate) choices: Vec<NodeId>,
    pub(crate) menus: Vec<NodeId>,
    pub(crate) on_by_default: Vec<NodeId>,
    /// Parameters with rules.
    pub(crate) ruled: Vec<ParamId>,
    /// For a node: the nodes with a requirement that it could satisfy.
    asking: Lists<NodeId>,
    roots: Vec<NodeId>,
    by_id: HashMap<String, NodeId>,
    param_by_id: HashMap<String, ParamId>,
    pub(crate) removed: Vec<(String, String)>,
    texts: Vec<String>,
    says_default: Vec<NodeId>,
}

impl Tree {
    /// Puts declarations together. The order of `sources` does not matter. All problems are reported, not the first.
    ///
    /// # Errors
    /// Everything that is wrong with the declarations. What is legal but doubtful is told by [`Tree::lint`].
    pub fn load(sources: &[Source<'_>]) -> Result<Tree, Diagnostics> {
        let mut problems = Diagnostics::new();
        // Sorted part by part, a node comes before what lies in it: preorder. As text "a-b" would come between "a" and
        // "a.b", so the dot sorts before everything.
        let rank = |source: &Source<'_>| source.id.replace('.', "\0");
        let mut order: Vec<&Source<'_>> = sources.iter().collect();
        order.sort_by_cached_key(|source| rank(source));
        order.dedup_by(|later, earlier| {
            let twice = later.id == earlier.id;
            if twice {
                let message = format!("`{}` is declared twice", later.id);
                let hint = format!("the other declaration is {}", earlier.file);
                problems.push(Diagnostic::new(Severity::Error, later.file, message).hint(hint));
            }
            twice
        });
        let by_id: HashMap<String, NodeId> =
            order.iter().enumerate().map(|(i, s)| (s.id.to_string(), NodeId(i as u32))).collect();
        let (mut declarations, found) = read_all(&order);
        problems.extend(found);
        let removed = declarations.iter_mut().flat_map(|d| std::mem::take(&mut d.removed)).collect();
        let linker = Linker { order: &order, declarations: &declarations, by_id: &by_id, problems };
        linker.link().and_then(|(nodes, params, capabilities, roots, param_by_id)| {
            let said = declarations.iter().enumerate().filter(|(_, d)| d.default.is_some());
            let says_default = said.map(|(n, _)| NodeId(n as u32)).collect();
            let texts = order.iter().map(|s| s.text.to_string()).collect();
            let defaults = params.iter().map(|p| p.default.clone()).collect();
            let problem = Problem::new(&nodes, &params, &capabilities);
            let which = |keep: &dyn Fn(&Node) -> bool| -> Vec<NodeId> {
                let all = nodes.iter().enumerate().filter(|(_, node)| keep(node));
                all.map(|(n, _)| NodeId(n as u32)).collect()
            };
            let always = which(&|n| n.core.is_some() || n.kind == Kind::Choice && n.within.is_none());
            let choices = which(&|n| n.kind == Kind::Choice);
            let menus = which(&|n| n.kind == Kind::Menu);
            let member = |n: &Node| n.parent.is_some_and(|p| nodes[p.index()].kind == Kind::Choice);
            let on_by_default = which(&|n| n.default && !member(n));
            let ruled = (0..params.len() as u32)
                .map(ParamId)
                .filter(|p| !params[p.index()].rules.is_empty())
                .collect();
            let asking = problem.asking();
            let tree = Tree {
                always,
                choices,
                menus,
                on_by_default,
                ruled,
                asking,
                nodes,
                params,
                capabilities,
                problem,
                defaults,
                roots,
                by_id,
                param_by_id,
                removed,
                texts,
                says_default,
            };
            match tree.resolve(&Decisions::new()) {
                Ok(_) => Ok(tree),
                // Nobody could ever build anything from such a tree.
                Err(refusal) => {
                    let message = format!("the declarations contradict each other: {refusal}");
                    Err(Diagnostics(vec![Diagnostic::new(Severity::Error, "", message)]))
                }
            }
        })
    }

    /// The node with an id.
    pub fn find(&self, id: &str) -> Option<NodeId> {
        self.by_id.get(id).copied()
    }

    /// A node.
    ///
    /// # Panics
    /// When the id is another tree's.
    pub fn node(&self, n: NodeId) -> &Node {
        &self.nodes[n.index()]
    }

    /// The parameter with an id.
    pub fn find_param(&self, id: &str) -> Option<ParamId> {
        self.param_by_id.get(id).copied()
    }

    /// A parameter.
    ///
    /// # Panics
    /// When the id is another tree's.
    pub fn param(&self, p: ParamId) -> &Param {
        &self.params[p.index()]
    }

    /// The nodes that lie in no other.
    pub fn roots(&self) -> &[NodeId] {
        &self.roots
    }

    /// All nodes, each before those in it.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// All parameters, in the order of their owners.
    pub fn params(&self) -> impl Iterator<Item = ParamId> + use<> {
        (0..self.params.len() as u32).map(ParamId)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The components that provide a capability (`cap:clock`).
    pub fn providers(&self, capability: &str) -> &[NodeId] {
        let found = self.capabilities.iter().find(|c| c.name == capability);
        found.map_or(&[], |c| &c.providers)
    }

    /// All capabilities that anybody provides or asks for.
    pub fn capabilities(&self) -> impl Iterator<Item = &str> {
        self.capabilities.iter().map(|c| c.name.as_str())
    }

    /// The nodes that satisfy a term: the node itself, or everyone who provides the capability.
    pub fn candidates(&self, term: Term) -> &[NodeId] {
        match term {
            Term::Node(n) => self.problem.itself(n),
            Term::Capability(c) => &self.capabilities[c.0 as usize].providers,
        }
    }

    /// The nodes that have a requirement which this node could satisfy, alone or among others.
    pub fn asking(&self, n: NodeId) -> &[NodeId] {
        self.asking.get(n.index())
    }

    /// The depth of a node; roots have 0.
    pub fn depth(&self, n: NodeId) -> usize {
        std::iter::successors(self.node(n).parent, |p| self.node(*p).parent).count()
    }

    /// Whether the node is a member of a choice.
    pub fn choice_of(&self, n: NodeId) -> Option<NodeId> {
        self.node(n).parent.filter(|p| self.node(*p).kind == Kind::Choice)
    }

    /// The place of a span in the declaration of a node.
    pub fn location(&self, n: NodeId, span: &Range<usize>) -> Location {
        Location::new(&self.texts[n.index()], span.clone())
    }

    pub(crate) fn text(&self, n: NodeId) -> &str {
        &self.texts[n.index()]
    }

    /// Whether a choice's declaration says its default; else the first member is it.
    pub(crate) fn says_default(&self, n: NodeId) -> bool {
        self.says_default.contains(&n)
    }

    /// All ids that a config may decide: components, choices and parameters.
    pub fn decidable_ids(&self) -> impl Iterator<Item = &str> {
        let nodes = self.nodes.iter().filter(|n| n.kind != Kind::Menu).map(|n| n.id.as_str());
        nodes.chain(self.params.iter().map(|p| p.id.as_str()))
    }
}

/// The last part of an id.
pub fn last_part(id: &str) -> &str {
    id.rsplit('.').next().unwrap_or(id)
}
