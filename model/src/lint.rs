//! What is legal in declarations and still looks wrong.

use petgraph::algo::tarjan_scc;

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::problem::Lit;
use crate::solver::{Guide, Solver};
use crate::tree::{Kind, NodeId, Term, Tree};

impl Tree {
    /// Components that can never be on, capabilities that nobody provides, choices that do not say their default, help that
    /// says nothing, former ids that are in use, what is said to be served twice: as warnings. Requirement cycles are legal and shown as notes.
    pub fn lint(&self) -> Diagnostics {
        let mut found = Diagnostics::new();
        for n in self.nodes() {
            self.lint_text(n, &mut found);
            self.lint_names(n, &mut found);
        }
        self.lint_reach(&mut found);
        self.lint_cycles(&mut found);
        found
    }

    fn whole(&self, n: NodeId, message: String) -> Diagnostic {
        Diagnostic::new(crate::Severity::Warning, &self.node(n).file, message)
    }

    fn lint_text(&self, n: NodeId, found: &mut Diagnostics) {
        let node = self.node(n);
        if says_nothing(&node.help, &[&node.title, &node.id]) {
            let hint = "say what it does, and what is lost without it";
            found.push(self.whole(n, format!("the help of `{}` says nothing", node.id)).hint(hint));
        }
        for p in &node.params {
            let param = self.param(*p);
            if says_nothing(&param.help, &[&param.name]) {
                found.push(self.whole(n, format!("the help of parameter `{}` says nothing", param.id)));
            }
        }
        if node.kind == Kind::Choice && !self.says_default(n) {
            let names: Vec<&str> =
                node.children.iter().map(|m| crate::last_part(&self.node(*m).id)).collect();
            found.push(
                self.whole(n, format!("choice `{}` does not say its default", node.id))
                    .hint(format!("add `default = \"…\"`, one of {}", names.join(", "))),
            );
        }
    }

    fn lint_names(&self, n: NodeId, found: &mut Diagnostics) {
        let node = self.node(n);
        let terms = node
            .requires
            .iter()
            .flat_map(|c| c.alternatives.iter().map(move |t| (*t, &c.span)))
            .chain(node.recommends.iter().map(|l| (l.term, &l.span)));
        for (term, span) in terms {
            if let Term::Capability(c) = term
                && self.candidates(term).is_empty()
            {
                let name = &self.capabilities[c.0 as usize].name;
                let provided = self.capabilities.iter().filter(|c| !c.providers.is_empty());
                found.push(
                    Diagnostic::at(
                        &node.file,
                        self.text(n),
                        span.clone(),
                        format!("nothing provides `{name}`"),
                    )
                    .warning()
                    .maybe_hint(crate::did_you_mean(name, provided.map(|c| c.name.as_str()))),
                );
            }
        }
        for (at, word) in node.serves.iter().enumerate() {
            if node.serves[..at].contains(word) {
                found.push(self.whole(n, format!("`{}` serves `{word}` twice", node.id)));
            }
        }
        let former = node.was.iter().chain(node.params.iter().flat_map(|p| &self.param(*p).was));
        for id in former {
            if self.find(id).is_some() || self.find_param(id).is_some() {
                found.push(self.whole(n, format!("`{id}` is named as a former id and is in use")));
            }
        }
    }

    /// Whether each component can be on, with any decisions.
    fn lint_reach(&self, found: &mut Diagnostics) {
        let mut solver = Solver::new(&self.problem.formula, &self.problem.start);
        for n in self.nodes().filter(|n| self.node(*n).kind == Kind::Component) {
            let Err(unsat) = solver.solve(&[Lit::on(n.0)], Guide::Demands(&self.problem), &|| false) else {
                continue;
            };
            let steps: Vec<String> = unsat
                .unwrap_or_default()
                .clauses
                .iter()
                .filter_map(|c| self.reason(self.problem.whys[*c as usize]).map(|r| r.to_string()))
                .collect();
            let hint = format!("because {}", crate::reason::list(&steps, "and"));
            found.push(self.whole(n, format!("`{}` can never be on", self.node(n).id)).hint(hint));
        }
    }

    fn lint_cycles(&self, found: &mut Diagnostics) {
        let graph = self.requirement_graph();
        let mut cycles: Vec<Vec<NodeId>> = tarjan_scc(&graph)
            .into_iter()
            .map(|scc| scc.into_iter().map(|at| graph[at]).collect::<Vec<_>>())
            // A choice and the component it lies in always go together; that is no cycle that anybody wrote.
            .filter(|scc| scc.iter().filter(|n| self.node(**n).kind == Kind::Component).count() > 1)
            .collect();
        cycles.iter_mut().for_each(|c| c.sort_unstable());
        cycles.sort_unstable();
        for cycle in cycles {
            let ids: Vec<String> = cycle.iter().map(|n| self.node(*n).id.clone()).collect();
            let message = format!(
                "{} require each other: they are only ever on together",
                crate::reason::list(&ids, "and")
            );
            found.push(self.whole(cycle[0], message).note());
        }
    }
}

/// Whether a help text has no word that its titles do not have.
fn says_nothing(help: &str, titles: &[&str]) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
    };
    let known: Vec<String> = titles.iter().flat_map(|t| words(t)).collect();
    let filler = ["the", "a", "an", "support", "for", "of", "this", "component", "enables", "enable"];
    words(help).iter().all(|w| known.contains(w) || filler.contains(&w.as_str()))
}
