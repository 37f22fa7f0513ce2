//! The answer when decisions cannot be kept together: the argument, as data and as a sentence.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::decision::Decision;
use crate::decisions::Decisions;
use crate::diagnostics::line_and_column;
use crate::effect::{Change, Measure};
use crate::fix::{Budget, Fix};
use crate::problem::{Formula, Lists, Lit, Why};
use crate::reason::{Place, Reason, list};
use crate::resolve::{Pin, Pinned, Resolution, Stand};
use crate::solver::{Guide, Solver, Start, Unsat};
use crate::tree::{NodeId, Term, Tree};

/// Why decisions cannot be kept together, and what would help.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusal {
    /// The changes that were asked for; empty when decisions were resolved as they stand.
    pub asked: Vec<Change>,
    /// The argument, step by step. Without any one of the decisions in it, the others could be kept.
    pub because: Vec<Reason>,
    /// The argument as a sentence.
    pub prose: String,
    /// Up to three ways out, the least change first.
    pub fixes: Vec<Fix>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prose)
    }
}

impl std::error::Error for Refusal {}

/// A proof in terms of pins and clauses.
pub(crate) struct Proof {
    pub pins: Vec<u32>,
    pub standard: Vec<Lit>,
    pub clauses: Vec<u32>,
}

impl Tree {
    pub(crate) fn refuse_invalid(&self, wrong: &[(String, String)]) -> Refusal {
        let because: Vec<Reason> = wrong
            .iter()
            .map(|(id, text)| Reason::Invalid {
                id: id.clone(),
                text: text.clone(),
                hint: self.decision_hint(id, &Decision::Text(String::new())),
            })
            .collect();
        let texts: Vec<String> = because.iter().map(Reason::to_string).collect();
        Refusal { asked: Vec::new(), prose: texts.join("; "), because, fixes: Vec::new() }
    }

    /// The refusal of decisions that are known to contradict. `asked` are the changes among them that may not be undone.
    #[allow(clippy::too_many_arguments)] // one call each from the two places where all of these are at hand
    pub(crate) fn refuse(
        &self,
        (mut solver, unsat): (Solver<'_>, Unsat),
        decisions: &Decisions,
        stand: &Stand,
        before: Option<&Resolution>,
        asked: &[Change],
        budget: &Budget<'_>,
        measure: Option<&dyn Measure>,
    ) -> Refusal {
        let is_asked = |pin: u32| {
            let id = self.pin_id(&stand.pins[pin as usize].pin);
            asked.iter().any(|c| c.id == id)
        };
        let proof = self.prove(stand, &mut solver, unsat, &is_asked, before.is_some());
        let because = self.argue(stand, &proof, &is_asked);
        let prose = prose(&because, asked);
        let fixes = self.fixes(decisions, stand, &mut solver, &proof, before, asked, budget, measure);
        Refusal { asked: asked.to_vec(), because, prose, fixes }
    }

    /// The id that a pin decides.
    pub(crate) fn pin_id(&self, pin: &Pin) -> &str {
        match pin {
            Pin::On(n) | Pin::Off(n) | Pin::Member(n, _) => &self.node(*n).id,
            Pin::Value(p, _) => &self.param(*p).id,
        }
    }

    pub(crate) fn pin_decision(&self, pin: &Pin) -> Decision {
        match pin {
            Pin::On(_) => Decision::ON,
            Pin::Off(_) => Decision::OFF,
            Pin::Member(_, m) => crate::last_part(&self.node(*m).id).into(),
            Pin::Value(_, v) => v.into(),
        }
    }

    /// A smallest-by-inclusion set of pins that contradict, and the clauses that show it.
    fn prove(
        &self,
        stand: &Stand,
        solver: &mut Solver<'_>,
        mut unsat: Unsat,
        is_asked: &dyn Fn(u32) -> bool,
        kept_before: bool,
    ) -> Proof {
        let solve = |solver: &mut Solver<'_>, pins: &dyn Fn(u32) -> bool| -> Result<(), Unsat> {
            let kept = stand.assumed.iter().filter(|(_, pin)| pin.is_none_or(pins));
            let mut lits: Vec<Lit> = Vec::with_capacity(stand.assumed.len());
            lits.extend(kept.map(|(lit, _)| *lit));
            match solver.solve(&lits, Guide::Demands(&self.problem), &|| false) {
                Ok(()) => Ok(()),
                Err(unsat) => Err(unsat.unwrap_or_default()),
            }
        };
        let pins_of = |unsat: &Unsat| -> BTreeSet<u32> {
            let used = stand.assumed.iter().filter(|(lit, _)| unsat.assumptions.binary_search(lit).is_ok());
            used.filter_map(|(_, pin)| *pin).collect()
        };
        let mut core = pins_of(&unsat);
        // What was asked for is dropped last, so that the argument is about it where it can be.
        let mut candidates: Vec<u32> = core.iter().copied().collect();
        candidates.sort_by_key(|pin| is_asked(*pin));
        for pin in candidates {
            if !core.contains(&pin) {
                continue;
            }
            // Without the one thing that is asked for, what is left was kept together before.
            if kept_before && is_asked(pin) && core.iter().filter(|p| is_asked(**p)).count() == 1 {
                continue;
            }
            if let Err(smaller) = solve(solver, &|p| p != pin && core.contains(&p)) {
                core = pins_of(&smaller);
                unsat = smaller;
            }
        }
        let standard = stand
            .assumed
            .iter()
            .filter(|(lit, pin)| pin.is_none() && unsat.assumptions.binary_search(lit).is_ok())
            .map(|(lit, _)| *lit)
            .collect();
        let clauses = match unsat.searched {
            true => self.shrink(unsat.clauses, &unsat.assumptions),
            false => unsat.clauses,
        };
        Proof { pins: core.into_iter().collect(), standard, clauses }
    }

    /// Drops clauses that the contradiction does not rest on. A proof by drawing consequences alone has none to spare, but
    /// one that searched may have.
    fn shrink(&self, mut clauses: Vec<u32>, assumptions: &[Lit]) -> Vec<u32> {
        // The work is quadratic; an argument of more steps than this is not one that a person reads.
        const MOST: usize = 48;
        if clauses.len() > MOST {
            return clauses;
        }
        let mut at = 0;
        while at < clauses.len() {
            let without: Vec<u32> =
                clauses.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, c)| *c).collect();
            match self.contradict(&without, assumptions) {
                Some(used) => clauses = used,
                None => at += 1,
            }
        }
        clauses
    }

    /// Whether some clauses and assumptions alone contradict; then those of the clauses that are needed for it, in order.
    fn contradict(&self, clauses: &[u32], assumptions: &[Lit]) -> Option<Vec<u32>> {
        let mut vars: Vec<usize> = assumptions.iter().map(|l| l.var()).collect();
        vars.extend(
            clauses.iter().flat_map(|c| self.problem.formula.clauses.get(*c as usize)).map(|l| l.var()),
        );
        vars.sort_unstable();
        vars.dedup();
        let small = |lit: &Lit| {
            let var = vars.binary_search(&lit.var()).expect("collected above") as u32;
            if lit.is_off() { Lit::off(var) } else { Lit::on(var) }
        };
        let mut lists: Lists<Lit> = Lists::default();
        for c in clauses {
            lists.push(self.problem.formula.clauses.get(*c as usize).iter().map(small));
        }
        let formula = Formula::new(vars.len(), lists);
        let start = Start::new(&formula);
        let assumptions: Vec<Lit> = assumptions.iter().map(small).collect();
        match Solver::new(&formula, &start).solve(&assumptions, Guide::All, &|| false) {
            Ok(()) => None,
            Err(unsat) => {
                Some(unsat.unwrap_or_default().clauses.into_iter().map(|c| clauses[c as usize]).collect())
            }
        }
    }

    /// Puts a proof in the order in which a person would tell it: from what is wished, step by step, to what stands against it.
    fn argue(&self, stand: &Stand, proof: &Proof, is_asked: &dyn Fn(u32) -> bool) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let mut last = Vec::new();
        let mut reached: BTreeSet<usize> = BTreeSet::new();
        let mut pins = proof.pins.clone();
        pins.sort_by_key(|pin| is_asked(*pin));
        for pin in pins {
            let Pinned { pin: what, by } = &stand.pins[pin as usize];
            let reason = Reason::Decided {
                id: self.pin_id(what).to_string(),
                to: self.pin_decision(what),
                by: by.clone(),
                asked: is_asked(pin),
            };
            match what {
                Pin::Off(_) => last.push(reason),
                Pin::On(n) => {
                    reached.insert(n.index());
                    reasons.push(reason);
                }
                Pin::Member(_, m) => {
                    reached.extend(self.problem.picked[m.index()].map(|s| s as usize));
                    reasons.push(reason);
                }
                Pin::Value(p, _) => {
                    reached.extend(self.problem.rules.get(p.index()).iter().map(|s| *s as usize));
                    reasons.push(reason);
                }
            }
        }
        for lit in &proof.standard {
            if lit.is_off() {
                continue;
            }
            reached.insert(lit.var());
            let owner =
                self.ruled.iter().find(|p| self.problem.rules.get(p.index()).contains(&(lit.var() as u32)));
            if let Some(p) = owner {
                let param = self.param(*p);
                reasons.push(Reason::Standard { id: param.id.clone(), value: param.default.to_string() });
            }
        }
        let mut left: Vec<u32> = proof.clauses.clone();
        while !left.is_empty() {
            let clause = |c: u32| self.problem.formula.clauses.get(c as usize);
            let speaks =
                |c: &u32| clause(*c).iter().filter(|l| l.is_off()).all(|l| reached.contains(&l.var()));
            // Each of the rest follows in the end; one whose time has not come only means that cases are being told apart.
            let at = left.iter().position(speaks).unwrap_or(0);
            let c = left.remove(at);
            reached.extend(clause(c).iter().filter(|l| !l.is_off()).map(|l| l.var()));
            reasons.extend(self.reason(self.problem.whys[c as usize]));
        }
        reasons.extend(last);
        reasons
    }

    fn place(&self, n: NodeId, span: &std::ops::Range<usize>) -> Place {
        let (line, column) = line_and_column(self.text(n), span.start);
        Place { file: self.node(n).file.clone(), line, column }
    }

    fn names(&self, terms: &[Term]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for n in terms.iter().flat_map(|t| self.candidates(*t)) {
            if !names.contains(&self.node(*n).id) {
                names.push(self.node(*n).id.clone());
            }
        }
        names
    }

    /// A clause as a step of an argument. Picks of a member are told by the decision itself.
    pub(crate) fn reason(&self, why: Why) -> Option<Reason> {
        let id = |n: NodeId| self.node(n).id.clone();
        let around = |n: NodeId| self.node(n).within.map(id).unwrap_or_default();
        Some(match why {
            Why::Core(n) => Reason::Core { id: id(n), why: self.node(n).core.clone().unwrap_or_default() },
            Why::Always(n) => Reason::Always { id: id(n) },
            Why::Within(n) => Reason::Within { id: id(n), around: around(n) },
            Why::Active(n) => Reason::Active { id: id(n), around: around(n) },
            Why::Member(n) => {
                Reason::Member { id: id(n), members: self.node(n).children.iter().map(|m| id(*m)).collect() }
            }
            Why::OneOf(n, a, b) => Reason::OneOf { id: id(n), members: [id(a), id(b)] },
            Why::Picked(..) => return None,
            Why::Requires(n, at) => {
                let clause = &self.node(n).requires[at as usize];
                Reason::Requires {
                    id: id(n),
                    what: clause.text.clone(),
                    any: self.names(&clause.alternatives),
                    place: self.place(n, &clause.span),
                }
            }
            Why::Conflicts(n, at, other) => Reason::Conflicts {
                id: id(n),
                other: id(other),
                place: self.place(n, &self.node(n).conflicts[at as usize].span),
            },
            Why::RuleRequires(p, r, at) => {
                let param = &self.params[p as usize];
                let clause = &param.rules[r as usize].requires[at as usize];
                Reason::RuleRequires {
                    id: param.id.clone(),
                    when: param.rules[r as usize].when.describe(),
                    what: clause.text.clone(),
                    any: self.names(&clause.alternatives),
                    place: self.place(param.owner, &clause.span),
                }
            }
            Why::RuleConflicts(p, r, at, other) => {
                let param = &self.params[p as usize];
                let rule = &param.rules[r as usize];
                Reason::RuleConflicts {
                    id: param.id.clone(),
                    when: rule.when.describe(),
                    other: id(other),
                    place: self.place(param.owner, &rule.conflicts[at as usize].span),
                }
            }
        })
    }
}

/// "Because …, … and …, net.ipv4 cannot be off."
fn prose(because: &[Reason], asked: &[Change]) -> String {
    let about_asked = because.iter().any(|r| matches!(r, Reason::Decided { asked: true, .. }));
    let conclusion = match asked {
        [Change { id, to: Some(to) }] if about_asked => match to {
            Decision::Bool(true) => format!("{id} cannot be on"),
            Decision::Bool(false) => format!("{id} cannot be off"),
            other => format!("{id} cannot be {other}"),
        },
        [_, ..] if about_asked => "these changes cannot be made together".into(),
        _ => "what is decided cannot be kept together".into(),
    };
    let single = asked.len() == 1;
    let steps: Vec<String> = because
        .iter()
        .filter(|r| !(single && matches!(r, Reason::Decided { asked: true, .. })))
        .map(Reason::to_string)
        .collect();
    if steps.is_empty() {
        format!("{conclusion}.")
    } else {
        format!("Because {}, {conclusion}.", list(&steps, "and"))
    }
}
