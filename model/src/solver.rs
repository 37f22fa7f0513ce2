//! Finds a set that keeps all clauses, or proves that there is none.
//!
//! Conflict-driven clause learning, with two things of its own. Decisions are taken in the order of preference (defaults,
//! then recommendations, then alternatives that somebody asks for), so the set found is the preferred one among those that
//! exist. And what nobody asks for is never touched: every clause has a negative literal or is a fact, so leaving the rest off
//! keeps them all. A search therefore costs what is on, not what there is.
//!
//! What the user, presets and fitting decided is assumed together at level 1; level 0 holds what is always so; preferences
//! come above. A conflict at level 1 is a proof that the assumptions cannot be kept together, and following it back gives the
//! assumptions and clauses that it rests on.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::problem::{Formula, Lit, Problem};

const FREE: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;

/// Why a literal is true. Clauses above the formula's are learned ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Decision,
    Assumption,
    Clause(u32),
}

/// When and why a variable got its value. Together, since they are written together, and all over the memory.
#[derive(Clone, Copy, Debug)]
struct Given {
    level: u32,
    cause: Cause,
}

impl Given {
    const NOT: Given = Given { level: 0, cause: Cause::Decision };
}

/// Where the search for the next decision stands.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    defaults: usize,
    soft: usize,
    open: usize,
}

/// What guides the search.
#[derive(Clone, Copy)]
pub(crate) enum Guide<'a> {
    /// Defaults, recommendations, then demands: the set a user should get.
    Preferences(&'a Problem),
    /// Demands only: is there a set at all?
    Demands(&'a Problem),
    /// Every variable, for formulas that lack a problem around them.
    All,
}

/// Why there is no set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unsat {
    /// The assumptions that it rests on.
    pub assumptions: Vec<Lit>,
    /// The clauses of the formula that it rests on.
    pub clauses: Vec<u32>,
    /// Whether cases had to be told apart. Otherwise each clause is there because the one before needed it.
    pub searched: bool,
}

/// The state of a search; used again for the next one, with what was learned.
#[derive(Clone)]
pub(crate) struct Solver<'a> {
    formula: &'a Formula,
    /// Of each literal.
    values: Vec<u8>,
    given: Vec<Given>,
    trail: Vec<Lit>,
    head: usize,
    /// The length of the trail and the cursor before each level above 0.
    marks: Vec<(u32, Cursor)>,
    cursor: Cursor,
    /// How many literals of a long clause are false.
    falses: Vec<u32>,
    learned: Vec<Learned>,
    learned_in: FxHashMap<Lit, Vec<u32>>,
    broken: Option<u32>,
    seen: Vec<bool>,
}

#[derive(Clone)]
struct Learned {
    lits: Vec<Lit>,
    falses: u32,
    /// The clauses it was derived from.
    from: Vec<u32>,
}

/// Level 0 of a formula: its facts and what follows from them. Drawn out once, copied for every search.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    values: Vec<u8>,
    given: Vec<Given>,
    trail: Vec<Lit>,
    falses: Vec<u32>,
    broken: Option<u32>,
}

impl Start {
    pub fn new(formula: &Formula) -> Start {
        let mut solver = Solver::blank(formula);
        for unit in &formula.units {
            match formula.clauses.get(*unit as usize) {
                [lit] if solver.is_false(*lit) => solver.broken = solver.broken.or(Some(*unit)),
                [lit] if solver.is_free(*lit) => solver.assign(*lit, Cause::Clause(*unit)),
                [_] => {}
                _ => solver.broken = solver.broken.or(Some(*unit)),
            }
        }
        if solver.broken.is_none() {
            solver.broken = solver.propagate();
        }
        let Solver { values, given, trail, falses, broken, .. } = solver;
        Start { values, given, trail, falses, broken }
    }
}

impl<'a> Solver<'a> {
    fn blank(formula: &'a Formula) -> Solver<'a> {
        Solver {
            formula,
            values: vec![FREE; formula.vars * 2],
            given: vec![Given::NOT; formula.vars],
            trail: Vec::new(),
            head: 0,
            marks: Vec::new(),
            cursor: Cursor::default(),
            falses: vec![0; formula.clauses.len()],
            learned: Vec::new(),
            learned_in: FxHashMap::default(),
            broken: None,
            seen: vec![false; formula.vars],
        }
    }

    /// A solver that begins at level 0 of its formula.
    pub fn new(formula: &'a Formula, start: &Start) -> Solver<'a> {
        let mut trail = Vec::with_capacity(formula.vars);
        trail.extend_from_slice(&start.trail);
        Solver {
            formula,
            values: start.values.clone(),
            given: start.given.clone(),
            trail,
            head: start.trail.len(),
            marks: Vec::new(),
            cursor: Cursor::default(),
            falses: start.falses.clone(),
            learned: Vec::new(),
            learned_in: FxHashMap::default(),
            broken: start.broken,
            seen: vec![false; formula.vars],
        }
    }

    pub fn is_true(&self, lit: Lit) -> bool {
        self.values[lit.index()] == TRUE
    }

    pub fn is_false(&self, lit: Lit) -> bool {
        self.values[lit.index()] == FALSE
    }

    fn is_free(&self, lit: Lit) -> bool {
        self.values[lit.index()] == FREE
    }

    /// What is true, in the order it became so.
    pub fn trail(&self) -> &[Lit] {
        &self.trail
    }

    fn level(&self) -> u32 {
        self.marks.len() as u32
    }

    fn assign(&mut self, lit: Lit, cause: Cause) {
        self.values[lit.index()] = TRUE;
        self.values[(!lit).index()] = FALSE;
        self.given[lit.var()] = Given { level: self.level(), cause };
        self.trail.push(lit);
    }

    fn lits(&self, clause: u32) -> &[Lit] {
        match (clause as usize).checked_sub(self.formula.clauses.len()) {
            Some(at) => &self.learned[at].lits,
            None => self.formula.clauses.get(clause as usize),
        }
    }

    /// Draws all consequences; returns a clause that has come out false. Counters are kept for the whole trail up to `head`,
    /// also when a conflict stops the drawing, so that going back can undo them exactly.
    fn propagate(&mut self) -> Option<u32> {
        while self.head < self.trail.len() {
            let lit = self.trail[self.head];
            self.head += 1;
            let mut broken = None;
            for &(other, clause) in self.formula.implies.get(lit.index()) {
                match self.values[other.index()] {
                    FREE => self.assign(other, Cause::Clause(clause)),
                    FALSE => broken = broken.or(Some(clause)),
                    _ => {}
                }
            }
            for &clause in self.formula.watched.get((!lit).index()) {
                let falses = &mut self.falses[clause as usize];
                *falses += 1;
                let lits = self.formula.clauses.get(clause as usize);
                if *falses as usize + 1 >= lits.len() {
                    broken = broken.or(self.last_one(clause));
                }
            }
            if !self.learned.is_empty()
                && let Some(list) = self.learned_in.get(&!lit).cloned()
            {
                for at in list {
                    let learned = &mut self.learned[at as usize];
                    learned.falses += 1;
                    if learned.falses as usize + 1 >= learned.lits.len() {
                        broken = broken.or(self.last_one(self.formula.clauses.len() as u32 + at));
                    }
                }
            }
            if broken.is_some() {
                return broken;
            }
        }
        None
    }

    /// All literals of the clause but one are false by the counter: makes that one true, or reports that it is false too.
    fn last_one(&mut self, clause: u32) -> Option<u32> {
        let mut free = None;
        for &lit in self.lits(clause) {
            if self.is_true(lit) {
                return None;
            }
            if self.is_free(lit) {
                free = Some(lit);
            }
        }
        match free {
            Some(lit) => {
                self.assign(lit, Cause::Clause(clause));
                None
            }
            None => Some(clause),
        }
    }

    fn back_to(&mut self, level: u32) {
        if self.level() <= level {
            return;
        }
        let (length, cursor) = self.marks[level as usize];
        self.marks.truncate(level as usize);
        self.cursor = cursor;
        let length = length as usize;
        for at in (length..self.trail.len()).rev() {
            let lit = self.trail[at];
            self.values[lit.index()] = FREE;
            self.values[(!lit).index()] = FREE;
            if at < self.head {
                for &clause in self.formula.watched.get((!lit).index()) {
                    self.falses[clause as usize] -= 1;
                }
                if let Some(list) = self.learned_in.get(&!lit) {
                    for at in list {
                        self.learned[*at as usize].falses -= 1;
                    }
                }
            }
        }
        self.trail.truncate(length);
        self.head = self.head.min(length);
    }

    fn open_level(&mut self) {
        self.marks.push((self.trail.len() as u32, self.cursor));
    }

    /// Searches a set that keeps all clauses and assumptions. `Ok` leaves it in the trail: what is not there is off.
    /// `stop` is asked at every conflict; `Err(None)` means that it said so.
    pub fn solve(
        &mut self,
        assumptions: &[Lit],
        guide: Guide<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), Option<Unsat>> {
        self.back_to(0);
        if let Some(clause) = self.broken {
            return Err(Some(self.trace(self.lits(clause).to_vec(), vec![clause], Vec::new())));
        }
        self.open_level();
        for &lit in assumptions {
            if self.is_false(lit) {
                return Err(Some(self.trace(vec![lit], Vec::new(), vec![lit])));
            }
            if !self.is_true(lit) {
                self.assign(lit, Cause::Assumption);
                // Drawn out one by one, the conflict rests on the earlier ones as far as possible.
                if let Some(clause) = self.propagate() {
                    return Err(Some(self.trace(self.lits(clause).to_vec(), vec![clause], Vec::new())));
                }
            }
        }
        loop {
            match self.propagate() {
                Some(clause) if self.level() <= 1 => {
                    return Err(Some(self.trace(self.lits(clause).to_vec(), vec![clause], Vec::new())));
                }
                Some(clause) => {
                    self.learn(clause);
                    if stop() {
                        return Err(None);
                    }
                }
                None => match self.next(guide) {
                    Some(lit) => {
                        self.open_level();
                        self.assign(lit, Cause::Decision);
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    /// Which of some literals can be true together, as far as drawing consequences shows, the earlier going first.
    pub fn keep(&mut self, lits: &[Lit]) -> Vec<bool> {
        self.back_to(0);
        if self.broken.is_some() {
            return vec![true; lits.len()]; // whose fault it is, solving will tell
        }
        let kept = lits
            .iter()
            .map(|&lit| {
                if !self.is_free(lit) {
                    return self.is_true(lit);
                }
                let level = self.level();
                self.open_level();
                self.assign(lit, Cause::Assumption);
                let fits = self.propagate().is_none();
                if !fits {
                    self.back_to(level);
                }
                fits
            })
            .collect();
        self.back_to(0);
        kept
    }

    /// From a conflict above level 1: the first clause that says what was wrong with the latest decision; goes back to
    /// where it would have spoken and lets it speak.
    fn learn(&mut self, clause: u32) {
        let level = self.level();
        let mut lits: Vec<Lit> = Vec::new();
        let mut from = vec![clause];
        let mut touched: Vec<usize> = Vec::new();
        let mut open = 0;
        let mut at = self.trail.len();
        let mut current = self.lits(clause).to_vec();
        let mut implied: Option<Lit> = None;
        let asserting = loop {
            for lit in current.iter().copied().filter(|l| Some(*l) != implied) {
                let var = lit.var();
                if self.seen[var] {
                    continue;
                }
                self.seen[var] = true;
                touched.push(var);
                // Literals of level 0 are kept too, so that an explanation finds the facts it rests on.
                if self.given[var].level == level {
                    open += 1;
                } else {
                    lits.push(lit);
                }
            }
            loop {
                at -= 1;
                if self.seen[self.trail[at].var()] {
                    break;
                }
            }
            let lit = self.trail[at];
            open -= 1;
            if open == 0 {
                break !lit;
            }
            let Cause::Clause(cause) = self.given[lit.var()].cause else {
                unreachable!("a decision is the first of its level, so it is met last")
            };
            from.push(cause);
            implied = Some(lit);
            current = self.lits(cause).to_vec();
        };
        for var in touched {
            self.seen[var] = false;
        }
        let target = lits.iter().map(|l| self.given[l.var()].level).max().unwrap_or(0).max(1);
        lits.push(asserting);
        self.back_to(target);
        let at = self.learned.len() as u32;
        for lit in &lits {
            self.learned_in.entry(*lit).or_default().push(at);
        }
        // Levels are opened only after everything was drawn out, so all others are false and counted.
        let falses = lits.len() as u32 - 1;
        self.learned.push(Learned { lits, falses, from });
        self.assign(asserting, Cause::Clause(self.formula.clauses.len() as u32 + at));
    }

    /// What a conflict at level 1 or below rests on.
    fn trace(&self, lits: Vec<Lit>, clauses: Vec<u32>, assumptions: Vec<Lit>) -> Unsat {
        let mut out = Unsat { assumptions, ..Unsat::default() };
        let mut seen = vec![false; self.formula.vars];
        let mut used = FxHashSet::default();
        let mut pending_clauses = clauses;
        let mut pending = lits;
        loop {
            if let Some(clause) = pending_clauses.pop() {
                if used.insert(clause) {
                    match (clause as usize).checked_sub(self.formula.clauses.len()) {
                        None => out.clauses.push(clause),
                        Some(at) => {
                            out.searched = true;
                            pending_clauses.extend(&self.learned[at].from);
                        }
                    }
                }
                continue;
            }
            let Some(lit) = pending.pop() else { break };
            let var = lit.var();
            if std::mem::replace(&mut seen[var], true) || self.is_free(lit) {
                continue;
            }
            match self.given[var].cause {
                Cause::Assumption => out.assumptions.push(if self.is_true(lit) { lit } else { !lit }),
                Cause::Clause(clause) => {
                    pending.extend(self.lits(clause));
                    pending_clauses.push(clause);
                }
                Cause::Decision => {}
            }
        }
        out.assumptions.sort_unstable();
        out.assumptions.dedup();
        out.clauses.sort_unstable();
        out
    }

    fn free_on(&self, var: u32) -> Option<Lit> {
        Some(Lit::on(var)).filter(|lit| self.is_free(*lit))
    }

    /// The next decision, or nothing when what is off may stay off.
    fn next(&mut self, guide: Guide<'_>) -> Option<Lit> {
        let (problem, soft) = match guide {
            Guide::Preferences(problem) => (problem, true),
            Guide::Demands(problem) => (problem, false),
            Guide::All => {
                while self.cursor.defaults < self.formula.vars {
                    let var = self.cursor.defaults;
                    if self.is_free(Lit::off(var as u32)) {
                        return Some(Lit::off(var as u32));
                    }
                    self.cursor.defaults += 1;
                }
                return None;
            }
        };
        if soft {
            while let Some(n) = problem.defaults.get(self.cursor.defaults) {
                if let Some(lit) = self.free_on(n.0) {
                    return Some(lit);
                }
                self.cursor.defaults += 1;
            }
            while let Some(&lit) = self.trail.get(self.cursor.soft) {
                if !lit.is_off() && problem.is_node(lit) {
                    for n in problem.inner.get(lit.var()) {
                        if let Some(lit) = self.free_on(n.0) {
                            return Some(lit);
                        }
                    }
                    for group in problem.recommends.get(lit.var()) {
                        if !group.iter().any(|n| self.is_true(Lit::on(n.0)))
                            && let Some(lit) = group.iter().find_map(|n| self.free_on(n.0))
                        {
                            return Some(lit);
                        }
                    }
                }
                self.cursor.soft += 1;
            }
        }
        while let Some(&lit) = self.trail.get(self.cursor.open) {
            if !lit.is_off() && problem.is_node(lit) {
                for &clause in problem.open.get(lit.var()) {
                    let lits = self.formula.clauses.get(clause as usize);
                    if lits.iter().any(|l| self.is_true(*l)) {
                        continue;
                    }
                    let mut free = lits.iter().copied().filter(|l| self.is_free(*l));
                    // A rule whose selector is free does not speak.
                    let Some(first) = free.clone().find(|l| !l.is_off()) else { continue };
                    if lits.iter().any(|l| l.is_off() && self.is_free(*l)) {
                        continue;
                    }
                    let preferred = free.find(|l| problem.preferred.get(l.var()).is_some_and(|p| *p));
                    return Some(preferred.unwrap_or(first));
                }
            }
            self.cursor.open += 1;
        }
        None
    }
}
