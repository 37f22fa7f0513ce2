//! The resolver against a SAT solver that knows nothing of it, on thousands of random trees and decisions.

mod synthetic;

use bespoke_model::*;
use rand::RngExt;
use synthetic::Shape;
use varisat::{ExtendFormula, Lit, Solver as Sat, Var};

/// The rules of a tree, written down a second time, from the public data only.
struct Oracle<'a> {
    tree: &'a Tree,
    sat: Sat<'a>,
}

impl<'a> Oracle<'a> {
    fn new(tree: &'a Tree) -> Oracle<'a> {
        Oracle { tree, sat: Sat::new() }
    }

    fn on(n: NodeId) -> Lit {
        Lit::from_var(Var::from_index(n.index()), true)
    }

    fn any(&self, head: &[Lit], alternatives: &[Term]) -> Vec<Lit> {
        let named = alternatives.iter().flat_map(|t| self.tree.candidates(*t));
        head.iter().map(|l| !*l).chain(named.map(|n| Self::on(*n))).collect()
    }

    /// Whether the rules and some decisions can be kept together.
    fn satisfiable(&mut self, decisions: &[(String, Decision)]) -> bool {
        let tree = self.tree;
        self.sat = Sat::new();
        let mut values: std::collections::HashMap<ParamId, Value> = Default::default();
        for (id, to) in decisions {
            if let Some(p) = tree.find_param(id) {
                let Decision::Int(n) = to else { panic!("only numbers here") };
                values.insert(p, Value::Int(*n));
                continue;
            }
            let n = tree.find(id).unwrap();
            match to {
                Decision::Bool(true) => self.sat.add_clause(&[Self::on(n)]),
                Decision::Bool(false) => self.sat.add_clause(&[!Self::on(n)]),
                Decision::Text(m) => {
                    self.sat.add_clause(&[!Self::on(n), Self::on(tree.find(&format!("{id}.{m}")).unwrap())])
                }
                Decision::Int(_) => unreachable!(),
            }
        }
        for n in tree.nodes() {
            let node = tree.node(n);
            let me = Self::on(n);
            let mut clauses: Vec<Vec<Lit>> = Vec::new();
            if node.core.is_some() || node.kind == Kind::Choice && node.within.is_none() {
                clauses.push(vec![me]);
            }
            if let Some(around) = node.within {
                clauses.push(vec![!me, Self::on(around)]);
                if node.kind == Kind::Choice {
                    clauses.push(vec![!Self::on(around), me]);
                }
            }
            if node.kind == Kind::Choice {
                clauses
                    .push(std::iter::once(!me).chain(node.children.iter().map(|m| Self::on(*m))).collect());
                for a in &node.children {
                    for b in &node.children {
                        if a < b {
                            clauses.push(vec![!Self::on(*a), !Self::on(*b)]);
                        }
                    }
                }
            }
            for clause in &node.requires {
                clauses.push(self.any(&[me], &clause.alternatives));
            }
            for link in &node.conflicts {
                for other in tree.candidates(link.term).iter().filter(|o| **o != n) {
                    clauses.push(vec![!me, !Self::on(*other)]);
                }
            }
            for p in &node.params {
                let param = tree.param(*p);
                let value = values.get(p).unwrap_or(&param.default);
                for rule in param.rules.iter().filter(|r| r.when.holds(value)) {
                    for clause in &rule.requires {
                        clauses.push(self.any(&[me], &clause.alternatives));
                    }
                    for other in rule.conflicts.iter().flat_map(|l| tree.candidates(l.term)) {
                        clauses.push(vec![!me, !Self::on(*other)]);
                    }
                }
            }
            for clause in clauses {
                // A tautology (it provides what it requires) says nothing.
                if !clause.iter().any(|l| clause.contains(&!*l)) {
                    self.sat.add_clause(&clause);
                }
            }
        }
        self.sat.solve().unwrap()
    }
}

fn pairs(d: &Decisions) -> Vec<(String, Decision)> {
    d.iter().map(|(id, to, _)| (id.to_string(), to.clone())).collect()
}

/// Every on and off of a resolution as decisions: satisfiable only when the resolution keeps every rule.
fn as_decisions(tree: &Tree, r: &Resolution) -> Vec<(String, Decision)> {
    let nodes = tree.nodes().filter(|n| tree.node(*n).kind != Kind::Menu);
    let mut all: Vec<_> = nodes.map(|n| (tree.node(n).id.clone(), Decision::Bool(r.is_on(n)))).collect();
    all.extend(tree.params().map(|p| (tree.param(p).id.clone(), Decision::from(r.value(p)))));
    all
}

fn well_founded(tree: &Tree, r: &Resolution) {
    for n in r.on().filter(|n| tree.node(*n).kind != Kind::Menu) {
        let mut at = n;
        for step in 0.. {
            assert!(step <= tree.len(), "{} is on only because of itself", tree.node(n).id);
            assert!(r.is_on(at), "{} is on because of something off", tree.node(n).id);
            match r.origin(at) {
                Origin::RequiredBy(by) | Origin::RecommendedBy(by) => at = *by,
                Origin::Blocked => panic!("{} is on and blocked", tree.node(at).id),
                _ => break,
            }
        }
    }
}

fn with(d: &Decisions, changes: &[Change]) -> Decisions {
    let mut d = d.clone();
    for c in changes {
        d.set(&c.id, c.to.clone());
    }
    d
}

/// The least number of decisions (not asked for) whose loss lets the others be kept, by trying all.
fn brute_force(oracle: &mut Oracle<'_>, all: &[(String, Decision)], asked: &str) -> Option<u32> {
    let free: Vec<usize> = (0..all.len()).filter(|i| all[*i].0 != asked).collect();
    let mut best = None;
    for mask in 0u32..1 << free.len() {
        if best.is_some_and(|b| mask.count_ones() >= b) {
            continue;
        }
        let kept: Vec<_> = all
            .iter()
            .enumerate()
            .filter(|(i, _)| free.iter().position(|f| f == i).is_none_or(|bit| mask >> bit & 1 == 0))
            .map(|(_, d)| d.clone())
            .collect();
        if oracle.satisfiable(&kept) {
            best = Some(mask.count_ones());
        }
    }
    best
}

#[test]
fn agrees_with_a_sat_solver_on_what_is_possible() {
    let (mut possible, mut impossible, mut fixed) = (0, 0, 0);
    for seed in 0..4_000u64 {
        let rng = &mut synthetic::rng(seed ^ 0xb5);
        let size = rng.random_range(3..28);
        let Some(tree) = synthetic::tree(seed, &Shape::wild(size)) else {
            continue;
        };
        let mut oracle = Oracle::new(&tree);
        for _ in 0..3 {
            let count = rng.random_range(0..8);
            let d = synthetic::decisions(rng, &tree, count);
            let all = pairs(&d);
            let answer = tree.resolve(&d);
            assert_eq!(answer.is_ok(), oracle.satisfiable(&all), "seed {seed}: {all:?}");
            match answer {
                Ok(r) => {
                    possible += 1;
                    assert!(oracle.satisfiable(&as_decisions(&tree, &r)), "seed {seed}: a rule is broken");
                    let together = [as_decisions(&tree, &r), all.clone()].concat();
                    assert!(oracle.satisfiable(&together), "seed {seed}: a decision was overridden");
                    well_founded(&tree, &r);
                    assert_eq!(tree.resolve(&d).as_ref(), Ok(&r));
                    defaults_are_kept_where_they_can_be(&mut oracle, &all, &r, seed);
                    for _ in 0..6 {
                        toggle(&tree, &mut oracle, rng, &d, &r, &mut fixed, seed);
                    }
                }
                Err(refusal) => {
                    impossible += 1;
                    because_is_exact(&mut oracle, &refusal, seed);
                    for fix in &refusal.fixes {
                        assert_eq!(
                            tree.resolve(&with(&d, &fix.changes)).as_ref(),
                            Ok(&fix.after),
                            "seed {seed}"
                        );
                    }
                }
            }
        }
    }
    // The test means something only when it has seen plenty of each.
    assert!(possible > 1_500 && impossible > 1_000 && fixed > 500, "{possible} {impossible} {fixed}");
}

/// The decisions that a refusal names contradict, and without any one of them they do not.
fn because_is_exact(oracle: &mut Oracle<'_>, refusal: &Refusal, seed: u64) {
    let named: Vec<(String, Decision)> = refusal
        .because
        .iter()
        .filter_map(|r| match r {
            Reason::Decided { id, to, .. } => Some((id.clone(), to.clone())),
            _ => None,
        })
        .collect();
    assert!(!oracle.satisfiable(&named), "seed {seed}: {refusal}");
    for at in 0..named.len() {
        let mut fewer = named.clone();
        let (id, _) = fewer.remove(at);
        // Without its decision a parameter has its declared value, which may be no better.
        if oracle.tree.find_param(&id).is_none() {
            assert!(oracle.satisfiable(&fewer), "seed {seed}: {id} is named for nothing: {refusal}");
        }
    }
}

/// A default is off only when the decisions and the defaults before it leave no room for it.
fn defaults_are_kept_where_they_can_be(
    oracle: &mut Oracle<'_>,
    decided: &[(String, Decision)],
    r: &Resolution,
    seed: u64,
) {
    let tree = oracle.tree;
    let mut kept = decided.to_vec();
    for n in tree.nodes() {
        let node = tree.node(n);
        let member = tree.choice_of(n).is_some();
        if !node.default || node.within.is_some() || member || decided.iter().any(|(id, _)| *id == node.id) {
            continue;
        }
        kept.push((node.id.clone(), Decision::ON));
        if !r.is_on(n) {
            assert!(!oracle.satisfiable(&kept), "seed {seed}: default {} was dropped for nothing", node.id);
            kept.pop();
        }
    }
}

fn toggle(
    tree: &Tree,
    oracle: &mut Oracle<'_>,
    rng: &mut impl rand::Rng,
    d: &Decisions,
    r: &Resolution,
    fixed: &mut usize,
    seed: u64,
) {
    let n = tree.nodes().nth(rng.random_range(0..tree.len())).unwrap();
    let Some(change) = tree.toggle(r, n) else { return };
    let changed = with(d, std::slice::from_ref(&change));
    match tree.preview(d, r, std::slice::from_ref(&change), None) {
        Ok(effect) => {
            assert_eq!(tree.resolve(&changed).as_ref(), Ok(&effect.after), "seed {seed}");
            // A member picked for a choice that is not active waits.
            let waits = tree.choice_of(n).is_some_and(|c| !effect.after.is_on(c));
            assert!(waits || effect.turned_on.contains(&n) || effect.turned_off.contains(&n), "seed {seed}");
            // Taking the decision back is where we came from.
            let undo = Change { id: change.id.clone(), to: d.get(&change.id).map(|(to, _)| to.clone()) };
            let back = tree.preview(&changed, &effect.after, &[undo], None).unwrap();
            assert_eq!(&back.after, r, "seed {seed}");
            assert_eq!(
                (back.turned_on, back.turned_off),
                (effect.turned_off, effect.turned_on),
                "seed {seed}"
            );
        }
        Err(refusal) => {
            because_is_exact(oracle, &refusal, seed);
            let least = brute_force(oracle, &pairs(&changed), &change.id);
            assert_eq!(least.is_some(), !refusal.fixes.is_empty(), "seed {seed}: {refusal}");
            for fix in &refusal.fixes {
                *fixed += 1;
                assert!(fix.changes.iter().all(|c| c.id != change.id), "seed {seed}: undoes what was asked");
                assert_eq!(fix.minimal, Some(fix.changes.len() as u32) == least, "seed {seed}: {refusal}");
                let settled = tree.resolve(&with(&changed, &fix.changes));
                assert_eq!(settled.as_ref(), Ok(&fix.after), "seed {seed}: a fix that is none");
            }
            if let (Some(first), Some(least)) = (refusal.fixes.first(), least) {
                assert_eq!(first.changes.len() as u32, least, "seed {seed}: {refusal}");
            }
        }
    }
}

#[test]
fn large_trees_agree_too() {
    for seed in 0..12 {
        let Some(tree) = synthetic::tree(seed, &Shape::real(400)) else { continue };
        let mut oracle = Oracle::new(&tree);
        let rng = &mut synthetic::rng(seed);
        for _ in 0..8 {
            let d = synthetic::decisions(rng, &tree, 30);
            let answer = tree.resolve(&d);
            assert_eq!(answer.is_ok(), oracle.satisfiable(&pairs(&d)), "seed {seed}");
            if let Ok(r) = answer {
                assert!(oracle.satisfiable(&[as_decisions(&tree, &r), pairs(&d)].concat()), "seed {seed}");
                well_founded(&tree, &r);
            }
        }
    }
}
