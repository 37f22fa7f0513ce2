//! Which call each `syscall` instruction makes, and with which arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::code::within;
use super::flow::{self, Atom, Flow, State, Val, reg};
use super::reach::{Function, Object, Reach};
use super::{Found, Scan};
use crate::need::{self, Made};

/// How many callers up a number is looked for.
const DEEPEST: usize = 10;
/// Callers of one wrapper that are looked at.
const MOST_CALLERS: usize = 4000;
/// Calls with what is known of them, in all.
const MOST_SITES: usize = 400_000;

/// Callers that are looked at for the arguments of one call.
const MOST_LOOKS: usize = 300;

/// Registers that arguments of system calls are in, after their number.
const ARGUMENTS: [u8; 4] = [reg::RDI, reg::RSI, reg::RDX, reg::R10];

/// A call that is made somewhere, told from the point of view of a function that leads to it.
struct Site {
    function: Function,
    /// Where the function makes it, or calls who makes it.
    at: u64,
    number: Val,
    arguments: [Val; 4],
    /// Functions on the way, so that none is gone through twice.
    path: Vec<Function>,
}

pub(super) fn resolve(objects: &[Object<'_>], reach: &Reach, served: &[&str]) -> Scan {
    let mut resolver = Resolver {
        objects,
        reach,
        served,
        flows: FxHashMap::default(),
        states: FxHashMap::default(),
        looks: 0,
        values: FxHashMap::default(),
        scan: Scan::default(),
    };
    resolver.prepare();
    resolver.follow_calls();
    resolver.mentions();
    resolver.families();
    let mut scan = resolver.scan;
    scan.instructions = objects.iter().map(|object| object.code.count).sum();
    scan.functions = (objects.iter().map(|object| object.starts.len()).sum(), reach.live.len());
    scan
}

struct Resolver<'o, 'd> {
    objects: &'o [Object<'d>],
    reach: &'o Reach,
    served: &'o [&'o str],
    flows: FxHashMap<Function, Arc<Flow>>,
    states: FxHashMap<(Function, u64), Option<Arc<State>>>,
    /// Callers that may still be looked at for a call.
    looks: usize,
    /// What a place at a function's entry may hold: constants with the file that they come from, and whether more.
    values: FxHashMap<(Function, Atom), Known>,
    scan: Scan,
}

/// Constants, and whether there may be others.
#[derive(Debug, Clone, Default)]
struct Known {
    constants: BTreeSet<(u32, u64)>,
    open: bool,
    /// The place on the way here that an answer still depends on.
    circle: Option<usize>,
}

impl Known {
    fn add(&mut self, more: Known) {
        self.open |= more.open;
        self.constants.extend(more.constants);
        self.circle = match (self.circle, more.circle) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

impl Resolver<'_, '_> {
    /// What holds in a function before the instruction at an address.
    fn state(&mut self, function: Function, address: u64) -> Option<Arc<State>> {
        if let Some(known) = self.states.get(&(function, address)) {
            return known.clone();
        }
        let object = &self.objects[function.0 as usize];
        let flow = self.flows.entry(function);
        let flow = flow.or_insert_with(|| Arc::new(flow::follow(&object.elf, &object.range(function.1))));
        let state = flow.at(&object.elf, address).map(Arc::new);
        self.states.insert((function, address), state.clone());
        state
    }

    /// Follows values through the functions that will be asked for most likely, on all processors: those that make system calls, and the
    /// callers of those that are told what to call or with what.
    fn prepare(&mut self) {
        let mut functions: FxHashSet<Function> = FxHashSet::default();
        for (at, object) in self.objects.iter().enumerate() {
            let calling = object.code.syscalls.iter().filter_map(|address| object.function(*address));
            functions.extend(calling.map(|index| (at as u32, index)));
        }
        functions.retain(|function| self.reach.live.contains(function));
        self.follow_all(&functions);
        let mut callers: FxHashSet<Function> = FxHashSet::default();
        let reach = self.reach;
        for (at, object) in self.objects.iter().enumerate() {
            for address in &object.code.syscalls {
                let Some(function) = object.function(*address).map(|index| (at as u32, index)) else {
                    continue;
                };
                let known = reach.callers.get(&function).filter(|callers| callers.len() <= MOST_CALLERS);
                let (Some(known), true) = (known, reach.live.contains(&function)) else { continue };
                let Some(state) = self.state(function, *address) else { continue };
                let is_given = |register: &u8| {
                    let atoms = state.get(*register).atoms();
                    atoms.iter().any(|atom| matches!(atom, Atom::Entry(_) | Atom::Slot(_)))
                };
                let number = state.get(reg::RAX);
                let looks = number.atoms().iter().any(|atom| match atom {
                    Atom::Const(number) => need::name(*number).is_some_and(needs_arguments),
                    _ => false,
                });
                if is_given(&reg::RAX) || looks && known.len() <= MOST_LOOKS && ARGUMENTS.iter().any(is_given)
                {
                    callers.extend(known.iter().map(|(caller, ..)| *caller));
                }
            }
        }
        self.follow_all(&callers);
    }

    fn follow_all(&mut self, functions: &FxHashSet<Function>) {
        let objects = self.objects;
        let new: Vec<Function> =
            functions.iter().copied().filter(|function| !self.flows.contains_key(function)).collect();
        let follow = |function: &Function| {
            let object = &objects[function.0 as usize];
            Arc::new(flow::follow(&object.elf, &object.range(function.1)))
        };
        let flows = super::on_all_processors(&new, follow);
        self.flows.extend(new.into_iter().zip(flows));
    }

    fn follow_calls(&mut self) {
        let mut work: Vec<Site> = Vec::new();
        for (at, object) in self.objects.iter().enumerate() {
            for address in &object.code.syscalls {
                let Some(index) = object.function(*address) else { continue };
                let function = (at as u32, index);
                if !self.reach.live.contains(&function) {
                    continue;
                }
                match self.state(function, *address) {
                    Some(state) => work.push(Site {
                        function,
                        at: *address,
                        number: low(state.get(reg::RAX)),
                        arguments: ARGUMENTS.map(|register| state.get(register).clone()),
                        path: Vec::new(),
                    }),
                    None => self.scan.unknown.add(|| object.place(*address)),
                }
            }
        }
        let mut count = work.len();
        // Places that are called with the same are told once.
        let mut seen: FxHashSet<(Function, u64, Vec<Atom>)> = FxHashSet::default();
        while let Some(site) = work.pop() {
            let object = &self.objects[site.function.0 as usize];
            let mut open = site.number.is_open();
            let mut from_callers = false;
            for atom in site.number.atoms() {
                match atom {
                    Atom::Const(number) if need::name(*number).is_some() => self.record(&site, *number),
                    Atom::Const(_) => {}
                    Atom::Entry(_) | Atom::Slot(_) => from_callers = true,
                    Atom::Stack(_) => open = true,
                }
            }
            if from_callers {
                let mut callers = self.reach.callers.get(&site.function).cloned().unwrap_or_default();
                callers.extend(self.callers_by_register(site.function));
                let last = callers.is_empty() || site.path.len() >= DEEPEST || callers.len() > MOST_CALLERS;
                open |= last || self.reach.taken.contains(&site.function);
                for (caller, at, jump) in callers {
                    if last || site.path.contains(&caller) || caller == site.function || count > MOST_SITES {
                        continue;
                    }
                    let Some(state) = self.state(caller, at) else { continue };
                    let number = low(&substitute(&site.number, &state, jump));
                    if !seen.insert((caller, at, [site.number.atoms(), number.atoms()].concat())) {
                        continue;
                    }
                    count += 1;
                    let arguments = site.arguments.each_ref().map(|value| substitute(value, &state, jump));
                    let path = site.path.iter().copied().chain([site.function]).collect();
                    work.push(Site { function: caller, at, number, arguments, path });
                }
            }
            if open && site.path.is_empty() {
                self.scan.unknown.add(|| object.place(site.at));
            }
        }
    }

    /// Calls of what a register holds, where that is a function's address: compilers keep that of one which is called in several places of a
    /// function.
    fn callers_by_register(&mut self, callee: Function) -> Vec<(Function, u64, bool)> {
        let (objects, reach) = (self.objects, self.reach);
        let start = objects[callee.0 as usize].starts[callee.1 as usize];
        let mut callers = Vec::new();
        for taker in reach.takers.get(&callee).into_iter().flatten() {
            let object = &objects[taker.0 as usize];
            let calls = &object.code.indirect;
            for call in &calls[within(calls, |call| call.from, &object.range(taker.1))] {
                let state = self.state(*taker, call.from);
                if state.is_some_and(|state| state.get(call.to as u8).atoms().contains(&Atom::Const(start))) {
                    callers.push((*taker, call.from, false));
                }
            }
        }
        callers
    }

    fn record(&mut self, site: &Site, number: u64) {
        let object = &self.objects[site.function.0 as usize];
        let Some(name) = need::name(number) else { return };
        if name == "execve" && object.starts_programs_for_itself() {
            return;
        }
        self.scan.needs.entry(format!("call:{name}")).or_default().add(|| object.place(site.at));
        self.looks = MOST_LOOKS;
        let values = match needs_arguments(name) {
            true => site.arguments.each_ref().map(|value| self.known(site.function, value, &mut Vec::new())),
            false => Default::default(),
        };
        let made = Arguments { objects: self.objects, values };
        for word in need::flavours(name, &made) {
            let Some(word) = need::general(&word) else { continue };
            self.scan.needs.entry(word).or_default().add(|| object.place(site.at));
        }
    }

    /// What a value may be, through callers where need be.
    fn known(&mut self, function: Function, value: &Val, path: &mut Vec<Function>) -> Known {
        let mut known = Known { open: value.is_open(), ..Known::default() };
        for atom in value.atoms() {
            match atom {
                Atom::Const(value) => drop(known.constants.insert((function.0, *value))),
                Atom::Stack(_) => known.open = true,
                Atom::Entry(_) | Atom::Slot(_) => {
                    let more = self.at_entry(function, *atom, path);
                    known.add(more);
                }
            }
        }
        known
    }

    fn at_entry(&mut self, function: Function, atom: Atom, path: &mut Vec<Function>) -> Known {
        if let Some(known) = self.values.get(&(function, atom)) {
            return known.clone();
        }
        let callers = self.reach.callers.get(&function).cloned().unwrap_or_default();
        let taken = self.reach.taken.contains(&function);
        let mut known = Known { open: taken || callers.is_empty(), ..Known::default() };
        if path.len() >= DEEPEST || callers.len() > self.looks {
            known.open = true;
            return known;
        }
        self.looks -= callers.len();
        if let Some(at) = path.iter().position(|on| *on == function) {
            // What goes round in a circle brings nothing new; but the answers on the way are not whole.
            known.circle = Some(at);
            return known;
        }
        path.push(function);
        for (caller, at, jump) in callers {
            let Some(state) = self.state(caller, at) else {
                known.open = true;
                continue;
            };
            let value = substitute(&Val::One(atom), &state, jump);
            let more = self.known(caller, &value, path);
            known.add(more);
        }
        path.pop();
        known.circle = known.circle.filter(|at| *at < path.len());
        if known.circle.is_none() {
            self.values.insert((function, atom), known.clone());
        }
        known
    }

    /// Paths that stand in what can run, or in its data.
    fn mentions(&mut self) {
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        for (at, object) in self.objects.iter().enumerate() {
            let mut note = |address: u64, to: u64| {
                let rest = object.elf.at(to).unwrap_or_default();
                if rest.first() != Some(&b'/') || object.elf.strings.contains(&to) {
                    return;
                }
                let path = object.elf.text(to).and_then(need::plain_path).map(|path| format!("path:{path}"));
                let word = match path.as_deref().and_then(need::general).filter(|word| word.len() < 80) {
                    Some(word) => word,
                    None => match self.served.iter().find(|served| rest.starts_with(served.as_bytes())) {
                        Some(served) => format!("path:{served}"),
                        None => return,
                    },
                };
                let place = || match address {
                    0 => format!("{}: data", object.name.rsplit('/').next().unwrap_or_default()),
                    address => object.place(address),
                };
                found.entry(word).or_default().add(place);
            };
            for (index, _) in object.starts.iter().enumerate() {
                if !self.reach.live.contains(&(at as u32, index as u32)) {
                    continue;
                }
                let range = object.range(index as u32);
                for edge in &object.code.mentions[within(&object.code.mentions, |edge| edge.from, &range)] {
                    note(edge.from, edge.to);
                }
            }
            for (_, pointer) in &object.elf.pointers {
                note(0, *pointer);
            }
        }
        for (word, places) in found {
            let known = self.scan.needs.entry(word).or_default();
            known.count += places.count;
            known.places.extend(places.places);
            known.places.truncate(super::PLACES);
        }
    }

    /// What is tried when a call is refused, as far as the program has it anywhere.
    fn families(&mut self) {
        let mut work: Vec<String> = self.scan.needs.keys().cloned().collect();
        while let Some(word) = work.pop() {
            let Some(name) = word.strip_prefix("call:") else { continue };
            for other in need::fallbacks(name) {
                let needed = format!("call:{other}");
                if !self.scan.needs.contains_key(&needed) {
                    let found = Found { count: 1, places: vec![format!("tried when {name} is refused")] };
                    self.scan.needs.insert(needed.clone(), found);
                    work.push(needed);
                }
            }
        }
    }
}

/// Whether the arguments of a call say more about what it needs.
fn needs_arguments(name: &str) -> bool {
    struct Nothing;
    impl Made for Nothing {
        fn values(&self, _: usize) -> Vec<Option<u64>> {
            vec![None]
        }
        fn texts(&self, _: usize) -> Vec<Option<String>> {
            vec![Some("/".into())]
        }
    }
    !need::flavours(name, &Nothing).is_empty()
}

/// Numbers of calls are `int`s to many who pass them.
fn low(value: &Val) -> Val {
    let constants: Vec<Atom> = value
        .atoms()
        .iter()
        .map(|atom| match atom {
            Atom::Const(value) => Atom::Const(value & 0xffff_ffff),
            other => *other,
        })
        .collect();
    match value {
        Val::Unknown => Val::Unknown,
        value => Val::of(constants, value.is_open()),
    }
}

/// A value of a function as its caller sees it.
fn substitute(value: &Val, state: &State, jump: bool) -> Val {
    let mut atoms = Vec::new();
    let mut open = value.is_open();
    for atom in value.atoms() {
        let seen = match atom {
            Atom::Const(_) => Val::One(*atom),
            Atom::Entry(register) => state.get(*register).clone(),
            // A call puts the way back on the stack first.
            Atom::Slot(at) => match state.get(reg::RSP) {
                Val::One(Atom::Stack(top)) => state.slot(top - if jump { 0 } else { 8 } + at),
                _ => Val::Unknown,
            },
            Atom::Stack(_) => Val::Unknown,
        };
        open |= seen.is_open();
        atoms.extend_from_slice(seen.atoms());
    }
    Val::of(atoms, open)
}

/// What is known of a call's arguments.
struct Arguments<'o, 'd> {
    objects: &'o [Object<'d>],
    values: [Known; 4],
}

impl Made for Arguments<'_, '_> {
    fn values(&self, argument: usize) -> Vec<Option<u64>> {
        let Some(known) = self.values.get(argument) else { return vec![None] };
        let values: BTreeSet<u64> = known.constants.iter().map(|(_, value)| *value).collect();
        values.into_iter().map(Some).chain((known.open).then_some(None)).collect()
    }

    fn texts(&self, argument: usize) -> Vec<Option<String>> {
        let Some(known) = self.values.get(argument) else { return vec![None] };
        let text = |(object, address): &(u32, u64)| {
            self.objects[*object as usize].elf.text(*address).map(str::to_owned)
        };
        known.constants.iter().map(text).chain(known.open.then_some(None)).collect()
    }
}
