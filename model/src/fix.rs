//! Ways out of a contradiction: the fewest decisions to change.
//!
//! Every set of decisions that contradict must lose at least one (a *core*); what hits all cores is a way out. Cores are found
//! as they are needed: a set that hits all known ones is tried, and either it is a way out or the attempt yields a new core.
//! Sets are tried by size, so the first one found is proven to be the smallest.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use fixedbitset::FixedBitSet;
use serde::Serialize;

use crate::decision::Decision;
use crate::decisions::{By, Decisions};
use crate::effect::{Change, Effect, Measure};
use crate::problem::Lit;
use crate::refusal::Proof;
use crate::resolve::{Pin, Resolution, Stand};
use crate::solver::{Guide, Solver};
use crate::tree::{NodeId, Tree};

/// How much work looking for fixes may be.
#[derive(Clone, Copy, Debug)]
pub struct Budget<'a> {
    /// How many sets of decisions may be tried before the search contents itself with any way out.
    pub checks: u32,
    /// How many fixes are wanted.
    pub fixes: usize,
    /// Set by another thread to stop the search; what was found until then is given.
    pub stop: Option<&'a AtomicBool>,
}

impl Default for Budget<'_> {
    fn default() -> Self {
        Budget { checks: 128, fixes: 3, stop: None }
    }
}

impl<'a> Budget<'a> {
    /// Enough to find one way out in any tree between two frames. It is minimal when a single decision is in the way, and
    /// labelled when not proven.
    pub fn first_answer() -> Budget<'static> {
        Budget { checks: 0, fixes: 1, stop: None }
    }

    /// As much as it takes, until told to stop.
    pub fn until(stop: &'a AtomicBool) -> Budget<'a> {
        Budget { checks: u32::MAX, fixes: 3, stop: Some(stop) }
    }

    fn stopped(&self) -> bool {
        self.stop.is_some_and(|s| s.load(Ordering::Relaxed))
    }
}

/// A set of changes that makes the refused decisions possible.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fix {
    /// What to change besides what was asked for.
    pub changes: Vec<Change>,
    /// What follows, all changes included, compared with the set before; nothing when there was no set before.
    pub effect: Option<Effect>,
    /// The ids of what turns on then, compared with the set before.
    pub turned_on: Vec<String>,
    /// The ids of what turns off then, compared with the set before.
    pub turned_off: Vec<String>,
    /// Whether it is proven that no way out changes fewer decisions.
    pub minimal: bool,
    /// The full set afterwards.
    #[serde(skip)]
    pub after: Resolution,
}

impl Fix {
    /// The changes in words: `turn net.tcp off, take back heap = talc`.
    pub fn describe(&self) -> String {
        let one = |c: &Change| match &c.to {
            None => format!("let {} follow", c.id),
            Some(Decision::Bool(true)) => format!("turn {} on", c.id),
            Some(Decision::Bool(false)) => format!("turn {} off", c.id),
            Some(other) => format!("set {} to {other}", c.id),
        };
        self.changes.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// A set of decisions, by their places in the stand.
type Pins = FixedBitSet;

struct Search<'a, 's, 'f> {
    tree: &'a Tree,
    stand: &'a Stand,
    solver: &'s mut Solver<'f>,
    fixed: &'a Pins,
    cores: Vec<Rc<[u32]>>,
    found: Vec<Pins>,
    /// What may not be chosen any more where the search stands.
    spent: Pins,
    checks: u32,
    /// Sets looked at, most of them without trying, since they miss a core that is known.
    steps: u32,
    /// Whether larger sets remain to be tried.
    cut: bool,
    budget: &'a Budget<'a>,
}

enum Verdict {
    WayOut,
    /// The pins that still contradict, without those that may not be changed; and whether they do so whatever else is
    /// dropped. They may not when the declared value of a dropped parameter has its part in it.
    Core(Rc<[u32]>, bool),
    Stopped,
}

impl Search<'_, '_, '_> {
    /// Whether dropping some pins leaves something that can be.
    fn check(&mut self, dropped: &Pins) -> Verdict {
        self.checks += 1;
        if self.budget.stopped() {
            return Verdict::Stopped;
        }
        let mut lits: Vec<Lit> = Vec::with_capacity(self.stand.assumed.len());
        let kept = self.stand.assumed.iter();
        let kept = kept.filter(|(_, pin)| pin.is_none_or(|p| !dropped.contains(p as usize)));
        lits.extend(kept.map(|(lit, _)| *lit));
        lits.extend(self.restored(dropped));
        let stop = || self.budget.stopped();
        match self.solver.solve(&lits, Guide::Demands(&self.tree.problem), &stop) {
            Ok(()) => Verdict::WayOut,
            Err(None) => Verdict::Stopped,
            Err(Some(unsat)) => {
                let used =
                    self.stand.assumed.iter().filter(|(lit, _)| unsat.assumptions.binary_search(lit).is_ok());
                let mut core: Vec<u32> = used
                    .filter_map(|(_, pin)| *pin)
                    .filter(|p| !self.fixed.contains(*p as usize) && !dropped.contains(*p as usize))
                    .collect();
                core.sort_unstable();
                core.dedup();
                let always =
                    !self.restored(dropped).iter().any(|l| unsat.assumptions.binary_search(l).is_ok());
                Verdict::Core(core.into(), always)
            }
        }
    }

    /// A parameter whose decision is dropped has its declared value again, and its rules speak accordingly.
    fn restored(&self, dropped: &Pins) -> Vec<Lit> {
        let mut lits = Vec::new();
        for pin in dropped.ones() {
            if let Pin::Value(p, _) = &self.stand.pins[pin].pin {
                let param = self.tree.param(*p);
                let selectors = self.tree.problem.rules.get(p.index());
                let spoken = param.rules.iter().zip(selectors).filter(|(r, _)| r.when.holds(&param.default));
                lits.extend(spoken.map(|(_, s)| Lit::on(*s)));
            }
        }
        lits
    }

    /// All ways out of exactly `size` changes that extend `chosen`; false when the work had to be broken off.
    fn extend(&mut self, chosen: &mut Pins, size: usize) -> bool {
        self.steps += 1;
        // Where there are many cores, the sets grow without number long before all of them are tried.
        if self.steps > self.budget.checks.saturating_mul(16) || self.budget.stopped() {
            return false;
        }
        if self.found.iter().any(|f| f.is_subset(chosen)) {
            return true;
        }
        let open = self.cores.iter().find(|core| !core.iter().any(|p| chosen.contains(*p as usize))).cloned();
        let core = match open {
            Some(core) => core,
            None if self.checks >= self.budget.checks => return false,
            None => match self.check(chosen) {
                Verdict::Stopped => return false,
                Verdict::WayOut => {
                    // Smaller sets were all tried before, so nothing in it is to spare.
                    self.found.push(chosen.clone());
                    return true;
                }
                Verdict::Core(core, always) => {
                    if always {
                        self.cores.push(core.clone());
                    }
                    core
                }
            },
        };
        if chosen.count_ones(..) == size {
            self.cut = true;
            return true;
        }
        // Sets with an earlier member of the core were all seen when it had its turn: none is looked at twice.
        let mut whole = true;
        let mut done = Vec::with_capacity(core.len());
        for pin in core.iter().map(|p| *p as usize) {
            if self.spent.contains(pin) {
                continue;
            }
            chosen.insert(pin);
            whole = self.extend(chosen, size);
            chosen.remove(pin);
            if !whole {
                break;
            }
            self.spent.insert(pin);
            done.push(pin);
        }
        done.into_iter().for_each(|pin| self.spent.remove(pin));
        whole
    }

    fn pins(&self, pins: impl Iterator<Item = u32>) -> Pins {
        let mut set = Pins::with_capacity(self.stand.pins.len());
        pins.for_each(|p| set.insert(p as usize));
        set
    }

    /// Any way out, quickly: in one pass, every decision is kept that goes with those kept before. What is known to
    /// contradict comes last, so that nothing else is given up for it; of that, the weakest voice comes last.
    fn greedy(&mut self, core: &[u32]) -> Pins {
        let mut order: Vec<(Lit, Option<u32>)> = self.stand.assumed.clone();
        order.sort_by_cached_key(|(_, pin)| {
            pin.map(|p| match self.fixed.contains(p as usize) {
                true => (0, 0),
                false => (1 + u8::from(core.contains(&p)), self.stand.pins[p as usize].by.rank()),
            })
        });
        let kept = self.solver.keep(&order.iter().map(|(lit, _)| *lit).collect::<Vec<_>>());
        let lost = order.iter().zip(kept).filter(|(_, kept)| !kept).filter_map(|((_, pin), _)| *pin);
        self.pins(lost.filter(|p| !self.fixed.contains(*p as usize)))
    }

    /// Drops more until the rest can be kept, for drawing consequences does not see everything and a dropped parameter has
    /// its declared value again; then takes back what was dropped for nothing.
    fn complete(&mut self, mut dropped: Pins) -> Option<Pins> {
        loop {
            match self.check(&dropped) {
                Verdict::Stopped => return None,
                Verdict::WayOut => break,
                Verdict::Core(core, _) => {
                    let weakest =
                        |p: &&u32| (std::cmp::Reverse(self.stand.pins[**p as usize].by.rank()), **p);
                    dropped.insert(*core.iter().min_by_key(weakest)? as usize);
                }
            }
        }
        for pin in dropped.clone().ones() {
            let mut fewer = dropped.clone();
            fewer.remove(pin);
            if matches!(self.check(&fewer), Verdict::WayOut) {
                dropped = fewer;
            }
        }
        Some(dropped)
    }
}

impl Tree {
    #[allow(clippy::too_many_arguments)] // one call, from the place where all of these are at hand
    pub(crate) fn fixes(
        &self,
        decisions: &Decisions,
        stand: &Stand,
        solver: &mut Solver<'_>,
        proof: &Proof,
        before: Option<&Resolution>,
        asked: &[Change],
        budget: &Budget<'_>,
        measure: Option<&dyn Measure>,
    ) -> Vec<Fix> {
        let is_asked = |pin: &u32| asked.iter().any(|c| c.id == self.pin_id(&stand.pins[*pin as usize].pin));
        let mut fixed = Pins::with_capacity(stand.pins.len());
        (0..stand.pins.len() as u32).filter(is_asked).for_each(|p| fixed.insert(p as usize));
        let core: Rc<[u32]> = proof.pins.iter().copied().filter(|p| !fixed.contains(*p as usize)).collect();
        if core.is_empty() || budget.fixes == 0 {
            return Vec::new(); // nothing but the rules themselves stands against it
        }
        let mut search = Search {
            tree: self,
            stand,
            solver,
            fixed: &fixed,
            cores: vec![core],
            found: Vec::new(),
            spent: Pins::with_capacity(stand.pins.len()),
            checks: 0,
            steps: 0,
            cut: false,
            budget,
        };
        let mut least = None;
        let mut size = 1;
        // Ways out need not be larger than one of each decision.
        while budget.checks > 0 && size <= stand.pins.len() && search.found.len() < budget.fixes {
            if search.cores.iter().any(|core| core.is_empty()) {
                return Vec::new(); // a contradiction that no change resolves
            }
            search.cut = false;
            let whole = search.extend(&mut search.pins(std::iter::empty()), size);
            if least.is_none() && !search.found.is_empty() {
                least = Some(size);
            }
            if !whole || !search.cut {
                break;
            }
            size += 1;
        }
        if search.found.is_empty() {
            let any = search.greedy(&proof.pins);
            // Without any change it cannot be, so one is the least.
            let least = |pins: &Pins| pins.count_ones(..) == 1;
            if budget.checks == 0
                && let Some((.., fix)) = self.fix(decisions, stand, &any, before, least(&any), measure)
            {
                return vec![fix];
            }
            let any = search.complete(any);
            return any
                .and_then(|any| self.fix(decisions, stand, &any, before, least(&any), measure))
                .map(|(.., fix)| fix)
                .into_iter()
                .collect();
        }
        let found = std::mem::take(&mut search.found);
        let mut fixes: Vec<(usize, u64, Fix)> = Vec::new();
        for pins in found {
            if budget.stopped() && !fixes.is_empty() {
                break;
            }
            let minimal = least == Some(pins.count_ones(..));
            fixes.extend(self.fix(decisions, stand, &pins, before, minimal, measure));
        }
        fixes.sort_by(|a, b| {
            let ids = |f: &Fix| f.changes.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
            (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| ids(&a.2).cmp(&ids(&b.2)))
        });
        fixes.into_iter().take(budget.fixes).map(|(_, _, fix)| fix).collect()
    }

    /// The changes that drop some pins, with what follows from them. They are resolved anew as a user would have them, so a
    /// fix that is offered is one that works.
    fn fix(
        &self,
        decisions: &Decisions,
        stand: &Stand,
        pins: &Pins,
        before: Option<&Resolution>,
        minimal: bool,
        measure: Option<&dyn Measure>,
    ) -> Option<(usize, u64, Fix)> {
        let mut changed = decisions.clone();
        let mut changes = Vec::new();
        let mut picks = Vec::new();
        for pin in pins.ones() {
            let what = &stand.pins[pin].pin;
            let id = self.pin_id(what).to_string();
            // What only the user says is taken back. Where another layer speaks below, the opposite must be said.
            let alone = matches!(changed.layers(&id), [(_, By::User)]);
            let to = match what {
                _ if alone => None,
                Pin::On(_) => Some(Decision::OFF),
                Pin::Off(_) => Some(Decision::ON),
                Pin::Value(p, _) => Some(Decision::from(&self.param(*p).default)),
                Pin::Member(choice, m) => {
                    picks.push((changes.len(), *choice, *m));
                    None
                }
            };
            match to {
                None => changed.forget(&id),
                Some(_) => changed.set(&id, to.clone()),
            }
            changes.push(Change { id, to });
        }
        let mut after = self.resolve_stand(&self.stand(&changed).ok()?)?;
        if !picks.is_empty() {
            for (at, choice, m) in picks {
                let other = self.node(choice).children.iter().copied().find(|c| *c != m);
                let member = after.member(choice).filter(|now| *now != m).or(other)?;
                let to = Some(Decision::from(crate::last_part(&self.node(member).id)));
                changed = decisions_with(changed, decisions, &changes[at].id, to.clone());
                changes[at].to = to;
            }
            after = self.resolve_stand(&self.stand(&changed).ok()?)?;
        }
        let effect = before.map(|before| self.effect(before, after.clone(), measure));
        let cost = match &effect {
            Some(Effect { delta: Some(delta), .. }) => {
                // Fewest bytes in the image; signed, so moved to where it sorts.
                (i128::from(delta.image_bytes) + i128::from(i64::MAX)).max(0) as u64
            }
            Some(effect) => (effect.turned_on.len() + effect.turned_off.len() + effect.params.len()) as u64,
            None => after.on.count_ones(..) as u64,
        };
        changes.sort_by(|a, b| a.id.cmp(&b.id));
        let ids = |which: fn(&Effect) -> &Vec<NodeId>| {
            let nodes = effect.as_ref().map(which).into_iter().flatten();
            nodes.map(|n| self.node(*n).id.clone()).collect::<Vec<_>>()
        };
        let (turned_on, turned_off) = (ids(|e| &e.turned_on), ids(|e| &e.turned_off));
        Some((pins.count_ones(..), cost, Fix { changes, effect, turned_on, turned_off, minimal, after }))
    }
}

fn decisions_with(mut changed: Decisions, whole: &Decisions, id: &str, to: Option<Decision>) -> Decisions {
    for (decision, by) in whole.layers(id) {
        changed.insert(id, by.clone(), Some(decision.clone()));
    }
    changed.set(id, to);
    changed
}
