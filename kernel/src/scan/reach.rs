//! Which functions can run.

use std::ops::Range;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Input;
use super::code::{Code, Edge, within};
use super::elf::Elf;

/// A file that is scanned.
#[derive(Debug)]
pub(super) struct Object<'d> {
    pub name: &'d str,
    pub elf: Elf<'d>,
    pub code: Code,
    /// Where functions begin for certain.
    pub known: Vec<u64>,
    /// Where functions begin: these, and what is called or has its address taken.
    pub starts: Vec<u64>,
    /// Names that it gives, with their functions.
    exports: FxHashMap<&'d str, Vec<u64>>,
    /// Everything in it counts.
    pub whole: bool,
}

impl Object<'_> {
    /// Whether it is glibc's interpreter, which executes another program only where it is itself the one that was started (`ld.so(8)`).
    pub fn starts_programs_for_itself(&self) -> bool {
        self.name.rsplit('/').next().is_some_and(|name| name.starts_with("ld-linux"))
    }
}

/// A function: file, and place in its `starts`.
pub(super) type Function = (u32, u32);

/// What can run.
#[derive(Debug, Default)]
pub(super) struct Reach {
    pub live: FxHashSet<Function>,
    /// Who calls or jumps to a function: the caller, the address, and whether it is a jump (or runs on into it).
    pub callers: FxHashMap<Function, Vec<(Function, u64, bool)>>,
    /// Functions that somebody has the address of.
    pub taken: FxHashSet<Function>,
    /// Which functions take a function's address in their code.
    pub takers: FxHashMap<Function, Vec<Function>>,
}

impl<'d> Object<'d> {
    pub fn new(input: &Input<'d>, elf: Elf<'d>) -> Self {
        let mut known: Vec<u64> = elf.unwound.iter().map(|range| range.start).collect();
        let named = elf.functions.iter().chain(elf.dynamic.iter().filter(|s| s.function && s.defined));
        known.extend(named.map(|symbol| symbol.address));
        known.retain(|at| elf.is_code(*at));
        known.sort_unstable();
        known.dedup();
        let mut exports: FxHashMap<&str, Vec<u64>> = FxHashMap::default();
        for symbol in elf.dynamic.iter().filter(|s| s.defined && !s.name.is_empty() && elf.is_code(s.address))
        {
            exports.entry(symbol.name).or_default().push(symbol.address);
        }
        Self {
            name: input.name,
            elf,
            code: Code::default(),
            known,
            starts: Vec::new(),
            exports,
            whole: input.whole,
        }
    }

    /// Finds where functions begin, once the instructions have been read.
    pub fn divide(&self) -> Vec<u64> {
        let elf = &self.elf;
        let mut starts = self.known.clone();
        starts.extend(elf.code.iter().map(|range| range.start));
        starts.extend(self.code.calls.iter().map(|edge| edge.to));
        starts.push(elf.entry);
        starts.extend(&elf.initial);
        // Where nothing else tells functions apart; what is no function but the place of a jump does no harm.
        let outside = |at: &u64| {
            let before = elf.unwound.partition_point(|range| range.start <= *at).checked_sub(1);
            before.is_none_or(|before| !elf.unwound[before].contains(at))
        };
        starts.extend(self.code.mentions.iter().map(|edge| edge.to).filter(outside));
        starts.extend(elf.pointers.iter().map(|(_, to)| *to).filter(outside));
        starts.retain(|at| elf.is_code(*at));
        starts.sort_unstable();
        starts.dedup();
        // Where a jump leads out of a function, another begins.
        let is_out = |edge: &Edge| {
            starts.partition_point(|start| *start <= edge.from)
                != starts.partition_point(|start| *start <= edge.to)
        };
        let mut more: Vec<u64> =
            self.code.jumps.iter().filter(|e| outside(&e.to) && is_out(e)).map(|e| e.to).collect();
        more.retain(|at| elf.is_code(*at));
        starts.append(&mut more);
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    /// Keeps where functions begin.
    pub fn begin_at(&mut self, starts: Vec<u64>) {
        self.starts = starts;
        self.whole |= self.known.len() < 2;
    }

    /// The function that an address lies in.
    pub fn function(&self, address: u64) -> Option<u32> {
        let code = self.elf.code.iter().find(|range| range.contains(&address))?;
        let at = self.starts.partition_point(|start| *start <= address).checked_sub(1)?;
        (self.starts[at] >= code.start).then_some(at as u32)
    }

    /// Where a function lies.
    pub fn range(&self, function: u32) -> Range<u64> {
        let start = self.starts[function as usize];
        let end = self.elf.code.iter().find(|range| range.contains(&start)).map_or(start, |range| range.end);
        let next = self.starts.get(function as usize + 1).copied().unwrap_or(end);
        start..next.min(end)
    }

    /// The word through which a stub of the linker jumps, when there is one at an address.
    fn stub(&self, address: u64) -> Option<u64> {
        let bytes = self.elf.at(address)?;
        let rest = bytes.strip_prefix(&[0xf3, 0x0f, 0x1e, 0xfa]).unwrap_or(bytes);
        let rest = rest.strip_prefix(&[0xf2]).unwrap_or(rest);
        let jump = rest.strip_prefix(&[0xff, 0x25])?;
        let by = i32::from_le_bytes(jump.get(..4)?.try_into().ok()?);
        let next = address + (bytes.len() - jump.len()) as u64 + 4;
        Some(next.wrapping_add_signed(i64::from(by)))
    }

    /// The name of the function at or before an address, for a person.
    pub fn place(&self, address: u64) -> String {
        let short = self.name.rsplit('/').next().unwrap_or(self.name);
        let symbols =
            self.elf.functions.iter().chain(self.elf.dynamic.iter().filter(|s| s.function && s.defined));
        let around = symbols
            .filter(|s| s.address <= address && address < s.address + s.size.max(1) && !s.name.is_empty())
            .max_by_key(|s| {
                (s.address, std::cmp::Reverse(s.name.starts_with('_')), std::cmp::Reverse(s.name))
            });
        match around {
            Some(symbol) if symbol.address == address => format!("{short}: {}", symbol.name),
            Some(symbol) => format!("{short}: {}+{:#x}", symbol.name, address - symbol.address),
            None => format!("{short}: {address:#x}"),
        }
    }

    /// The calls, jumps and other entries of a list that lie in a function.
    fn edges<'e>(&self, list: &'e [Edge], range: &Range<u64>) -> &'e [Edge] {
        &list[within(list, |edge| edge.from, range)]
    }
}

/// Marks what can run.
pub(super) fn mark(objects: &[Object<'_>]) -> Reach {
    let mut marking = Marking {
        objects,
        reach: Reach::default(),
        work: Vec::new(),
        by_name: false,
        given: FxHashMap::default(),
    };
    for (at, object) in objects.iter().enumerate() {
        for (name, addresses) in &object.exports {
            let all = marking.given.entry(name).or_default();
            all.extend(addresses.iter().map(|address| (at as u32, *address)));
        }
    }
    for at in 0..objects.len() as u32 {
        marking.roots(at);
    }
    marking.run();
    marking.reach
}

struct Marking<'o, 'd> {
    objects: &'o [Object<'d>],
    reach: Reach,
    work: Vec<Function>,
    /// Whether functions are also looked up by name at run time.
    by_name: bool,
    given: FxHashMap<&'o str, Vec<(u32, u64)>>,
}

impl Marking<'_, '_> {
    fn live(&mut self, object: u32, address: u64) -> Option<Function> {
        let function = (object, self.objects[object as usize].function(address)?);
        if self.reach.live.insert(function) {
            self.work.push(function);
        }
        Some(function)
    }

    fn taken(&mut self, object: u32, address: u64) {
        if let Some(function) = self.live(object, address) {
            self.reach.taken.insert(function);
        }
    }

    fn roots(&mut self, at: u32) {
        let object = &self.objects[at as usize];
        for address in object.elf.initial.iter().chain([&object.elf.entry]) {
            self.taken(at, *address);
        }
        let called: FxHashSet<u64> = object.code.called.iter().copied().collect();
        for (slot, address) in &object.elf.pointers {
            match called.contains(slot) {
                true => drop(self.live(at, *address)),
                false => self.taken(at, *address),
            }
        }
        for symbol in &object.elf.data_names {
            self.name(at, *symbol, None);
        }
        if object.whole {
            for start in &object.starts {
                self.live(at, *start);
            }
        }
    }

    /// Somebody uses a name that is linked: calls it, or takes its address.
    fn name(&mut self, object: u32, symbol: u32, call: Option<(Function, u64, bool)>) {
        let Some(symbol) = self.objects[object as usize].elf.dynamic.get(symbol as usize) else { return };
        if matches!(symbol.name, "dlsym" | "dlvsym") && !self.by_name {
            self.by_name = true;
            self.names_in_texts();
        }
        for (other, address) in self.given.get(symbol.name).cloned().unwrap_or_default() {
            match (self.live(other, address), call) {
                (Some(callee), Some(call)) => self.reach.callers.entry(callee).or_default().push(call),
                (Some(callee), None) => drop(self.reach.taken.insert(callee)),
                (None, _) => {}
            }
        }
    }

    /// Functions whose names stand in texts may be looked up by them.
    fn names_in_texts(&mut self) {
        let mut found = Vec::new();
        for object in self.objects {
            for mapped in object.elf.mapped.iter().filter(|m| !m.execute) {
                let strings = &object.elf.strings;
                for text in mapped.bytes.split(|b| *b == 0).filter(|text| (3..64).contains(&text.len())) {
                    let offset = text.as_ptr() as usize - mapped.bytes.as_ptr() as usize;
                    if strings.contains(&(mapped.address + offset as u64)) {
                        continue;
                    }
                    if let Ok(text) = std::str::from_utf8(text)
                        && let Some(functions) = self.given.get(text)
                    {
                        found.extend(functions.iter().copied());
                    }
                }
            }
        }
        for (object, address) in found {
            self.taken(object, address);
        }
    }

    fn run(&mut self) {
        while let Some(function) = self.work.pop() {
            let (at, index) = function;
            let object = &self.objects[at as usize];
            let range = object.range(index);
            let calls = object.edges(&object.code.calls, &range).iter().map(|edge| (edge, false));
            let jumps = object.edges(&object.code.jumps, &range).iter().map(|edge| (edge, true));
            for (edge, jump) in calls.chain(jumps) {
                if jump && range.contains(&edge.to) && edge.to != range.start {
                    continue;
                }
                if let Some(slot) = object.stub(edge.to) {
                    if let Some(symbol) = object.elf.named_slots.get(&slot) {
                        self.name(at, *symbol, Some((function, edge.from, jump)));
                    }
                    continue;
                }
                if let Some(callee) = self.live(at, edge.to) {
                    self.reach.callers.entry(callee).or_default().push((function, edge.from, jump));
                }
            }
            for edge in object.edges(&object.code.slots, &range) {
                let Some(symbol) = object.elf.named_slots.get(&edge.to) else { continue };
                // A call or jump through the word, or only a look at it.
                let bytes = object.elf.at(edge.from).unwrap_or_default();
                let bytes = bytes.strip_prefix(&[0xf2]).unwrap_or(bytes);
                let call = match bytes.get(..2) {
                    Some([0xff, 0x15]) => Some((function, edge.from, false)),
                    Some([0xff, 0x25]) => Some((function, edge.from, true)),
                    _ => None,
                };
                self.name(at, *symbol, call);
            }
            for edge in object.edges(&object.code.mentions, &range) {
                self.taken(at, edge.to);
                if let Some(taken) = object.function(edge.to) {
                    let takers = self.reach.takers.entry((at, taken)).or_default();
                    if takers.last() != Some(&function) {
                        takers.push(function);
                    }
                }
            }
            // What is no certain beginning may be run into from above.
            if let Some(next) = object.starts.get(index as usize + 1).copied()
                && next == range.end
                && object.known.binary_search(&next).is_err()
                && let Some(callee) = self.live(at, next)
            {
                self.reach.callers.entry(callee).or_default().push((function, range.end, true));
            }
        }
    }
}
