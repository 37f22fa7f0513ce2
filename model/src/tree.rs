//! The component tree: declarations put together, every name resolved to what it names.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap as HashMap;
use serde::Serialize;
use smallvec::SmallVec;

use crate::decisions::Decisions;
use crate::declaration::{self, Condition, Declaration, RawClause, RawDefault};
use crate::diagnostics::{Diagnostic, Diagnostics, Location, Severity, did_you_mean};
use crate::document::Placed;
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

/// Reads declarations, each on its own; very many of them on all processors.
fn read_all<'a>(order: &[&Source<'a>]) -> (Vec<Declaration<'a>>, Diagnostics) {
    // Below this the threads would cost more than they save.
    const MANY: usize = 1_000;
    let read = |part: &[&Source<'a>]| {
        let mut problems = Diagnostics::new();
        let mut all = Vec::with_capacity(part.len());
        for source in part {
            let (declaration, found) = declaration::read(source);
            all.push(declaration);
            problems.extend(found);
        }
        (all, problems)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    if order.len() < MANY || threads == 1 {
        return read(order);
    }
    std::thread::scope(|scope| {
        let parts = order.chunks(order.len().div_ceil(threads));
        let workers: Vec<_> = parts.map(|part| scope.spawn(move || read(part))).collect();
        let mut whole = (Vec::with_capacity(order.len()), Diagnostics::new());
        for worker in workers {
            let (mut all, problems) = worker.join().expect("reading does not panic");
            whole.0.append(&mut all);
            whole.1.extend(problems);
        }
        whole
    })
}

struct Linker<'a, 's> {
    order: &'a [&'a Source<'a>],
    declarations: &'a [Declaration<'s>],
    by_id: &'a HashMap<String, NodeId>,
    problems: Diagnostics,
}

type Linked = (Vec<Node>, Vec<Param>, Vec<Capability>, Vec<NodeId>, HashMap<String, ParamId>);

impl Linker<'_, '_> {
    fn at(&mut self, n: usize, span: Range<usize>, message: String) -> &mut Diagnostic {
        let source = self.order[n];
        self.problems.push(Diagnostic::at(source.file, source.text, span, message));
        self.problems.0.last_mut().expect("just pushed")
    }

    fn whole(&mut self, n: usize, message: String, hint: String) {
        let source = self.order[n];
        self.problems.push(Diagnostic::new(Severity::Error, source.file, message).hint(hint));
    }

    fn link(mut self) -> Result<Linked, Diagnostics> {
        let mut nodes = self.place();
        let roots =
            (0..nodes.len()).filter(|n| nodes[*n].parent.is_none()).map(|n| NodeId(n as u32)).collect();
        let mut capabilities: Vec<Capability> = Vec::new();
        let mut by_name: HashMap<String, CapabilityId> = HashMap::default();
        let declarations = self.declarations;
        let mut capability = |name: &str| {
            *by_name.entry(name.to_string()).or_insert_with(|| {
                capabilities.push(Capability { name: name.to_string(), providers: Vec::new() });
                CapabilityId(capabilities.len() as u32 - 1)
            })
        };
        for (n, d) in declarations.iter().enumerate() {
            let mut provides: Vec<Link> = Vec::new();
            for (name, span) in &d.provides {
                let link = Link {
                    term: Term::Capability(capability(name)),
                    text: name.to_string(),
                    span: span.clone(),
                };
                if provides.iter().all(|p| p.term != link.term) {
                    provides.push(link);
                }
            }
            nodes[n].provides = provides;
            nodes[n].requires = self.clauses(n, &d.requires, &mut capability);
            nodes[n].conflicts = self.links(n, &d.conflicts, "conflict with", &mut capability);
            nodes[n].recommends = self.links(n, &d.recommends, "recommend", &mut capability);
        }
        let mut params: Vec<Param> = Vec::new();
        let mut param_by_id = HashMap::default();
        for (n, d) in declarations.iter().enumerate() {
            for p in &d.params {
                let id = format!("{}.{}", self.order[n].id, p.name);
                if self.by_id.contains_key(&id) {
                    self.at(n, p.span.clone(), format!("parameter `{id}` has the id of a component")).hint =
                        Some("rename one of them".into());
                }
                let rules = p
                    .rules
                    .iter()
                    .map(|rule| Rule {
                        when: rule.when.clone(),
                        requires: self.clauses(n, &rule.requires, &mut capability),
                        conflicts: self.links(n, &rule.conflicts, "conflict with", &mut capability),
                        span: rule.span.clone(),
                    })
                    .collect();
                let at = ParamId(params.len() as u32);
                param_by_id.insert(id.clone(), at);
                nodes[n].params.push(at);
                params.push(Param {
                    id,
                    owner: NodeId(n as u32),
                    name: p.name.to_string(),
                    help: p.help.to_string(),
                    ty: p.ty.clone(),
                    default: p.default.clone(),
                    rules,
                    was: p.was.iter().map(|(id, _)| id.to_string()).collect(),
                });
            }
        }
        for (n, node) in nodes.iter().enumerate() {
            for link in &node.provides {
                if let Term::Capability(c) = link.term {
                    capabilities[c.0 as usize].providers.push(NodeId(n as u32));
                }
            }
        }
        self.problems.into_result().map(|_| (nodes, params, capabilities, roots, param_by_id))
    }

    /// Nodes with their places in the tree and their choices checked; no relations yet.
    fn place(&mut self) -> Vec<Node> {
        let (order, declarations, by_id) = (self.order, self.declarations, self.by_id);
        let mut nodes: Vec<Node> = Vec::with_capacity(order.len());
        for (n, (source, d)) in order.iter().zip(declarations).enumerate() {
            let good = source.id.split('.').all(|part| {
                part.starts_with(|c: char| c.is_ascii_lowercase())
                    && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            });
            if !good {
                let hint = "parts of lower-case letters, digits and hyphens, joined by dots";
                self.whole(n, format!("`{}` is not an id", source.id), hint.into());
            }
            let parent = source.id.rsplit_once('.').and_then(|(prefix, _)| {
                let found = by_id.get(prefix).copied();
                if found.is_none() {
                    let hint = format!("declare `{prefix}`, for example as a menu");
                    self.whole(n, format!("`{}` lies in `{prefix}`, which is not declared", source.id), hint);
                }
                found
            });
            // Sorted, parents come first; a parent after its child would mean a bad id that is reported already.
            let parent = parent.filter(|p| p.index() < n);
            if let Some(p) = parent {
                nodes[p.index()].children.push(NodeId(n as u32));
                if nodes[p.index()].kind == Kind::Choice && d.kind != Kind::Component {
                    let message = format!("`{}` is {} inside a choice", source.id, d.kind.with_article());
                    self.whole(n, message, "the members of a choice are components".into());
                }
            }
            let within = std::iter::successors(parent, |p| nodes[p.index()].parent)
                .find(|p| nodes[p.index()].kind != Kind::Menu);
            nodes.push(Node {
                id: source.id.to_string(),
                title: d.title.to_string(),
                help: d.help.to_string(),
                kind: d.kind,
                parent,
                children: Vec::new(),
                params: Vec::new(),
                core: d.core.as_deref().map(str::to_string),
                default: matches!(d.default, Some(RawDefault::On(true))),
                default_member: None,
                requires: Vec::new(),
                conflicts: Vec::new(),
                provides: Vec::new(),
                recommends: Vec::new(),
                within,
                was: d.was.iter().map(|(id, _)| id.to_string()).collect(),
                file: source.file.to_string(),
            });
        }
        for n in 0..nodes.len() {
            if nodes[n].kind != Kind::Choice {
                continue;
            }
            if nodes[n].children.is_empty() {
                let hint = "members are components whose ids begin with the choice's id";
                self.whole(n, format!("choice `{}` has no member", nodes[n].id), hint.into());
            }
            let Some(RawDefault::Member((name, span))) = &declarations[n].default else {
                nodes[n].default_member = nodes[n].children.first().copied();
                continue;
            };
            let id = format!("{}.{name}", nodes[n].id);
            nodes[n].default_member = by_id.get(&id).copied().filter(|m| nodes[n].children.contains(m));
            if nodes[n].default_member.is_none() {
                let names: Vec<&str> =
                    nodes[n].children.iter().map(|m| last_part(&nodes[m.index()].id)).collect();
                let hint = did_you_mean(name, names.iter().copied())
                    .unwrap_or_else(|| format!("its members are {}", names.join(", ")));
                let message = format!("choice `{}` has no member `{name}`", nodes[n].id);
                self.at(n, span.clone(), message).hint = Some(hint);
            }
        }
        nodes
    }

    fn clauses(
        &mut self,
        n: usize,
        raw: &[RawClause<'_>],
        capability: &mut dyn FnMut(&str) -> CapabilityId,
    ) -> Vec<Clause> {
        let mut out = Vec::with_capacity(raw.len());
        for clause in raw {
            let mut alternatives: SmallVec<[Term; 2]> = SmallVec::new();
            for (name, span) in &clause.alternatives {
                if let Some(term) = self.term(n, name, span, "require", capability)
                    && !alternatives.contains(&term)
                {
                    alternatives.push(term);
                }
            }
            let text = match clause.alternatives.as_slice() {
                [(one, _)] => one.to_string(),
                many => {
                    let names: Vec<&str> = many.iter().map(|(name, _)| &**name).collect();
                    format!("any of {}", names.join(", "))
                }
            };
            out.push(Clause { alternatives, text, span: clause.span.clone() });
        }
        out
    }

    fn links(
        &mut self,
        n: usize,
        raw: &[Placed<'_>],
        verb: &str,
        capability: &mut dyn FnMut(&str) -> CapabilityId,
    ) -> Vec<Link> {
        let mut out = Vec::with_capacity(raw.len());
        for (name, span) in raw {
            if let Some(term) = self.term(n, name, span, verb, capability) {
                out.push(Link { term, text: name.to_string(), span: span.clone() });
            }
        }
        out
    }

    fn term(
        &mut self,
        n: usize,
        name: &str,
        span: &Range<usize>,
        verb: &str,
        capability: &mut dyn FnMut(&str) -> CapabilityId,
    ) -> Option<Term> {
        if name.starts_with("cap:") {
            return Some(Term::Capability(capability(name)));
        }
        let Some(found) = self.by_id.get(name).copied() else {
            let declared = |(s, d): (&&Source<'_>, &Declaration<'_>)| {
                d.provides.iter().any(|(c, _)| c[4.min(c.len())..] == *name).then(|| s.id.to_string())
            };
            let hint = if self.order.iter().zip(self.declarations).find_map(declared).is_some() {
                Some(format!("did you mean the capability `cap:{name}`?"))
            } else {
                did_you_mean(name, self.order.iter().map(|s| s.id))
            };
            self.at(n, span.clone(), format!("there is no component `{name}`")).hint = hint;
            return None;
        };
        if found.index() == n {
            self.at(n, span.clone(), format!("`{name}` cannot {verb} itself"));
            return None;
        }
        if self.declarations[found.index()].kind == Kind::Menu {
            self.at(n, span.clone(), format!("`{name}` is a menu: one cannot {verb} it")).hint =
                Some("name a component inside it".into());
            return None;
        }
        Some(Term::Node(found))
    }
}

/// The last part of an id.
pub fn last_part(id: &str) -> &str {
    id.rsplit('.').next().unwrap_or(id)
}
