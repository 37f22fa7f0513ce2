//! Declarations put together: each read, placed in the tree, and every name in it resolved to what it names.

use std::ops::Range;

use rustc_hash::FxHashMap as HashMap;
use smallvec::SmallVec;

use crate::declaration::{self, Declaration, RawClause, RawDefault};
use crate::diagnostics::{Diagnostic, Diagnostics, Severity, did_you_mean};
use crate::document::Placed;
use crate::tree::{
    Capability, CapabilityId, Clause, Kind, Link, Node, NodeId, Param, ParamId, Rule, Source, Term, last_part,
};

/// Reads declarations, each on its own; very many of them on all processors.
pub(crate) fn read_all<'a>(order: &[&Source<'a>]) -> (Vec<Declaration<'a>>, Diagnostics) {
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
    if order.len() < MANY {
        return read(order);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
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

pub(crate) struct Linker<'a, 's> {
    pub order: &'a [&'a Source<'a>],
    pub declarations: &'a [Declaration<'s>],
    pub by_id: &'a HashMap<String, NodeId>,
    pub problems: Diagnostics,
}

pub(crate) type Linked = (Vec<Node>, Vec<Param>, Vec<Capability>, Vec<NodeId>, HashMap<String, ParamId>);

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

    pub fn link(mut self) -> Result<Linked, Diagnostics> {
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
                serves: d.serves.iter().map(|(word, _)| word.to_string()).collect(),
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
