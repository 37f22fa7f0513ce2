//! Random decisions that can be kept: for tests, and for whoever wants to be surprised.

use std::collections::BTreeSet;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::decision::Decision;
use crate::decisions::{By, Decisions};
use crate::problem::Lit;
use crate::resolve::{Pinned, Stand};
use crate::solver::{Guide, Solver};
use crate::tree::{Kind, Tree, last_part};
use crate::value::{ParamType, Value};

impl Tree {
    /// Random decisions that resolve. The same seed and tree give the same ones on every machine.
    ///
    /// Wishes are drawn for a random part of the tree, in random order, and each is kept when it goes with the ones before. So
    /// the first wish is kept whenever it is possible at all, and every component is reached both on and off.
    pub fn random(&self, seed: u64) -> Decisions {
        self.random_over(seed, &Decisions::new())
    }

    /// [`Tree::random`] as the user's decisions over layers that are there already; with them too it resolves, when they do.
    /// What the user decided before is dropped.
    pub fn random_over(&self, seed: u64, below: &Decisions) -> Decisions {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let share: f64 = rng.random_range(0.05..1.0);
        let lean: f64 = rng.random_range(0.1..0.9);
        let mut wishes: Vec<(String, Decision)> = Vec::new();
        for n in self.nodes() {
            let node = self.node(n);
            let member = self.choice_of(n).is_some();
            match node.kind {
                Kind::Component if !member && node.core.is_none() && rng.random_bool(share) => {
                    wishes.push((node.id.clone(), rng.random_bool(lean).into()));
                }
                Kind::Choice if rng.random_bool(share.max(0.5)) => {
                    let m = node.children[rng.random_range(0..node.children.len())];
                    wishes.push((node.id.clone(), last_part(&self.node(m).id).into()));
                }
                _ => {}
            }
            for p in &node.params {
                let param = self.param(*p);
                if rng.random_bool(share / 2.0)
                    && let Some(value) = random_value(&mut rng, &param.ty)
                {
                    wishes.push((param.id.clone(), Decision::from(&value)));
                }
            }
        }
        wishes.shuffle(&mut rng);
        let mut decisions = below.clone();
        for (id, ..) in below.iter() {
            decisions.set(id, None);
        }
        for (id, to) in &wishes {
            decisions.set(id, Some(to.clone()));
        }
        self.keep_possible(&mut decisions, &wishes);
        decisions
    }

    /// Drops wishes until the others can be kept; of those that contradict, always the last.
    fn keep_possible(&self, decisions: &mut Decisions, wishes: &[(String, Decision)]) {
        let rank: std::collections::HashMap<&str, usize> =
            wishes.iter().enumerate().map(|(at, (id, _))| (id.as_str(), at)).collect();
        let mut solver = Solver::new(&self.problem.formula, &self.problem.start);
        loop {
            let Ok(stand) = self.stand(decisions) else { return };
            // What lies below was there first.
            let rank_of = |pin: &u32| {
                let Pinned { pin, by } = &stand.pins[*pin as usize];
                if *by == By::User { 1 + rank[self.pin_id(pin)] } else { 0 }
            };
            let mut lits = stand.assumed.clone();
            lits.sort_by_key(|(_, pin)| pin.as_ref().map(rank_of));
            let Some(dropped) = self.contradicting(&mut solver, &stand, &lits, &rank_of) else { return };
            let wishes = dropped.into_iter().filter(|pin| rank_of(pin) > 0).collect::<Vec<_>>();
            if wishes.is_empty() {
                return; // the layers below contradict each other
            }
            for pin in wishes {
                decisions.set(self.pin_id(&stand.pins[pin as usize].pin), None);
            }
        }
    }

    /// Pins to drop next, or nothing when all can be kept. Drops in one go what contradicts at first sight.
    fn contradicting(
        &self,
        solver: &mut Solver<'_>,
        stand: &Stand,
        lits: &[(Lit, Option<u32>)],
        rank: &dyn Fn(&u32) -> usize,
    ) -> Option<BTreeSet<u32>> {
        let kept = solver.keep(&lits.iter().map(|(lit, _)| *lit).collect::<Vec<_>>());
        let mut dropped: BTreeSet<u32> =
            lits.iter().zip(kept).filter(|(_, kept)| !kept).filter_map(|((_, pin), _)| *pin).collect();
        // A value that is dropped changes which rules speak, so what else to drop is seen only afterwards.
        let value = |p: &u32| matches!(stand.pins[*p as usize].pin, crate::resolve::Pin::Value(..));
        if let Some(first) = dropped.iter().copied().filter(value).min_by_key(rank) {
            dropped.retain(|p| rank(p) <= rank(&first));
        }
        if !dropped.is_empty() {
            return Some(dropped);
        }
        let all: Vec<Lit> = lits.iter().map(|(lit, _)| *lit).collect();
        let unsat = solver.solve(&all, Guide::Demands(&self.problem), &|| false).err()?.unwrap_or_default();
        let core = lits.iter().filter(|(lit, _)| unsat.assumptions.binary_search(lit).is_ok());
        core.filter_map(|(_, pin)| *pin).max_by_key(rank).map(|pin| BTreeSet::from([pin]))
    }
}

/// A value of a type. Nothing for texts with a pattern: to write one that matches is not worth its code.
fn random_value(rng: &mut impl Rng, ty: &ParamType) -> Option<Value> {
    Some(match ty {
        ParamType::Bool => Value::Bool(rng.random()),
        ParamType::Int { min, max, step } => {
            // A range without bounds is drawn from near its bound, or from near zero.
            let low = if *min == i64::MIN { (*max).min(0).saturating_sub(1000) } else { *min };
            let high = if *max == i64::MAX { low.saturating_add(1000) } else { *max };
            let steps = low.abs_diff(high) / step;
            let up = i128::from(rng.random_range(0..=steps)) * i128::from(*step);
            Value::Int((i128::from(low) + up) as i64)
        }
        ParamType::Size { min, max, step } => {
            let high = (*max).min(min.saturating_mul(16).max(1 << 20));
            Value::Size(min + rng.random_range(0..=(high.max(*min) - min) / step) * step)
        }
        ParamType::Duration { min, max } => {
            Value::Duration(rng.random_range(*min..=(*max).min(min.saturating_add(1 << 36))))
        }
        ParamType::Str { pattern: None } => {
            Value::Str((0..rng.random_range(1..9)).map(|_| rng.random_range('a'..='z')).collect())
        }
        ParamType::Str { pattern: Some(_) } => return None,
        ParamType::Enum { values } => Value::Enum(values[rng.random_range(0..values.len())].clone()),
        ParamType::Ipv4 => {
            Value::Ipv4(std::net::Ipv4Addr::new(10, rng.random(), rng.random(), rng.random_range(1..255)))
        }
        ParamType::Ipv6 => {
            let low: u64 = rng.random();
            Value::Ipv6(std::net::Ipv6Addr::from(0xfd00_u128 << 112 | u128::from(low)))
        }
        ParamType::Cidr => {
            let addr = std::net::Ipv4Addr::new(10, rng.random(), rng.random(), rng.random_range(1..255));
            Value::Cidr(ipnet::IpNet::new(addr.into(), rng.random_range(8..=30)).ok()?)
        }
        // Locally administered, and not a group's.
        ParamType::Mac => Value::Mac([0x52, 0x54, 0x00, rng.random(), rng.random(), rng.random()]),
    })
}
