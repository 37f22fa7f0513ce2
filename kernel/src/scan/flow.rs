//! What registers and the stack hold at the calls of a function.
//!
//! Values are followed forwards over all paths through a function, and joined where paths meet. A value is a constant, what
//! a register or a place on the stack held at the function's entry, an address on its stack, several of these, or unknown.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use iced_x86::{
    Code as Op, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpKind, Register,
};

use super::elf::Elf;

/// More alternatives than this are as good as unknown.
const MOST: usize = 48;
/// Instructions of the longest function that is looked into.
const LONGEST: usize = 20_000;
/// Times that a block is gone through before what still changes counts as unknown beside what it was so far.
const ROUNDS: usize = 64;
/// Constants that are reckoned with; loops make ever more of them.
const RECKONED: usize = 8;

/// One thing that a register may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Atom {
    /// A constant; addresses are as they are before relocation.
    Const(u64),
    /// What a general register held at entry.
    Entry(u8),
    /// The word on the stack at this distance from the stack pointer at entry, as it was then.
    Slot(i64),
    /// The stack pointer at entry and this much.
    Stack(i64),
}

/// Several things, one of which it is, unless it is something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Several {
    atoms: Vec<Atom>,
    or_else: bool,
}

/// What a register may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Val {
    Unknown,
    One(Atom),
    Several(Arc<Several>),
}

impl Val {
    pub fn constant(value: u64) -> Self {
        Val::One(Atom::Const(value))
    }

    pub fn atoms(&self) -> &[Atom] {
        match self {
            Val::Unknown => &[],
            Val::One(atom) => std::slice::from_ref(atom),
            Val::Several(several) => &several.atoms,
        }
    }

    /// Whether it may be something that is not among its atoms.
    pub fn is_open(&self) -> bool {
        match self {
            Val::Unknown => true,
            Val::One(_) => false,
            Val::Several(several) => several.or_else,
        }
    }

    pub fn of(mut atoms: Vec<Atom>, or_else: bool) -> Self {
        atoms.sort_unstable();
        atoms.dedup();
        match atoms.as_slice() {
            [] => Val::Unknown,
            [one] if !or_else => Val::One(*one),
            many if many.len() > MOST => Val::Unknown,
            _ => Val::Several(Arc::new(Several { atoms, or_else })),
        }
    }

    fn join(&self, other: &Val) -> Val {
        if self == other {
            return self.clone();
        }
        let atoms = self.atoms().iter().chain(other.atoms()).copied().collect();
        Val::of(atoms, self.is_open() || other.is_open())
    }

    /// Becomes what it or the other may be; answers whether that is more than it was.
    fn take(&mut self, other: &Val, last: bool) -> bool {
        if self == other || *self == Val::Unknown {
            return false;
        }
        let joined = match last {
            false => self.join(other),
            true if other.atoms().iter().all(|atom| self.atoms().contains(atom))
                && (self.is_open() || !other.is_open()) =>
            {
                return false;
            }
            true => Val::of(self.atoms().to_vec(), true),
        };
        let changed = joined != *self;
        *self = joined;
        changed
    }

    /// Each atom changed; those that cannot be are unknown.
    fn map(&self, change: impl Fn(Atom) -> Option<Atom>) -> Val {
        let atoms: Vec<Atom> = self.atoms().iter().filter_map(|atom| change(*atom)).collect();
        let lost = atoms.len() < self.atoms().len();
        Val::of(atoms, lost || self.is_open())
    }

    fn stack(&self) -> Option<i64> {
        match self {
            Val::One(Atom::Stack(at)) => Some(*at),
            _ => None,
        }
    }
}

/// Words on the stack that were written, by their distance from the stack pointer at entry.
#[derive(Debug, PartialEq, Default)]
pub(super) struct Stack(Vec<(i64, Val)>);

impl Stack {
    fn get(&self, at: &i64) -> Option<&Val> {
        self.0.binary_search_by_key(at, |(at, _)| *at).ok().map(|index| &self.0[index].1)
    }

    fn insert(&mut self, at: i64, value: Val) {
        match self.0.binary_search_by_key(&at, |(at, _)| *at) {
            Ok(index) => self.0[index].1 = value,
            Err(index) => self.0.insert(index, (at, value)),
        }
    }

    /// The words that begin in a range.
    fn within(&mut self, range: Range<i64>) -> &mut [(i64, Val)] {
        let start = self.0.partition_point(|(at, _)| *at < range.start);
        let end = self.0.partition_point(|(at, _)| *at < range.end);
        &mut self.0[start..end.max(start)]
    }
}

/// The registers and the stack at a point.
#[derive(Debug, PartialEq)]
pub(super) struct State {
    pub registers: [Val; 16],
    pub stack: Stack,
}

impl Clone for Stack {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    fn clone_from(&mut self, from: &Self) {
        self.0.clone_from(&from.0);
    }
}

impl Clone for State {
    fn clone(&self) -> Self {
        Self { registers: self.registers.clone(), stack: self.stack.clone() }
    }

    /// Most of what is copied is copied into what is there already: this is where following spends its time.
    fn clone_from(&mut self, from: &Self) {
        self.registers.clone_from(&from.registers);
        self.stack.clone_from(&from.stack);
    }
}

/// Numbers of general registers, as `Entry` has them.
pub(super) mod reg {
    pub const RAX: u8 = 0;
    pub const RDX: u8 = 2;
    pub const RSP: u8 = 4;
    pub const RSI: u8 = 6;
    pub const RDI: u8 = 7;
    pub const R10: u8 = 10;
}

impl State {
    fn at_entry() -> Self {
        let registers = std::array::from_fn(|r| match r as u8 {
            reg::RSP => Val::One(Atom::Stack(0)),
            r => Val::One(Atom::Entry(r)),
        });
        Self { registers, stack: Stack::default() }
    }

    fn unknown() -> Self {
        Self { registers: std::array::from_fn(|_| Val::Unknown), stack: Stack::default() }
    }

    pub fn get(&self, register: u8) -> &Val {
        &self.registers[usize::from(register)]
    }

    /// The word at a distance from the stack pointer at entry.
    pub fn slot(&self, at: i64) -> Val {
        match self.stack.get(&at) {
            Some(value) => value.clone(),
            None if at >= 0 => Val::One(Atom::Slot(at)),
            None => Val::Unknown,
        }
    }

    /// Takes in what another path brings; answers whether that was anything new. `last` keeps what there is, and says
    /// that there is more.
    fn merge(&mut self, other: &State, last: bool) -> bool {
        let mut changed = false;
        for (register, (mine, theirs)) in self.registers.iter_mut().zip(&other.registers).enumerate() {
            // Where paths meet the stack is as deep on all of them, whether or not that could be followed.
            if register == usize::from(reg::RSP) && (mine.stack().is_some() || theirs.stack().is_none()) {
                continue;
            }
            changed |= match register == usize::from(reg::RSP) {
                true => {
                    *mine = theirs.clone();
                    true
                }
                false => mine.take(theirs, last),
            };
        }
        if self.stack == other.stack {
            return changed;
        }
        let missing: Vec<i64> =
            other.stack.0.iter().map(|(at, _)| *at).filter(|at| self.stack.get(at).is_none()).collect();
        for at in missing {
            let mine = self.slot(at);
            self.stack.insert(at, mine);
        }
        for (at, mine) in &mut self.stack.0 {
            match other.stack.get(at) {
                Some(theirs) => changed |= mine.take(theirs, last),
                None => changed |= mine.take(&other.slot(*at), last),
            }
        }
        changed
    }
}

/// A function that values were followed through.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Where its blocks begin, and what holds there.
    before: Vec<(u64, Option<State>)>,
    end: u64,
}

impl Flow {
    /// What holds before the instruction at an address, or at the function's end.
    pub fn at(&self, elf: &Elf<'_>, address: u64) -> Option<State> {
        let block = self.before.partition_point(|(start, _)| *start <= address).checked_sub(1)?;
        let (start, state) = &self.before[block];
        let mut state = state.clone()?;
        let bytes = elf.at(*start)?;
        let bytes = &bytes[..bytes.len().min((self.end - start) as usize)];
        let mut decoder = Decoder::with_ip(64, bytes, *start, DecoderOptions::NONE);
        let mut machine = Machine { info: InstructionInfoFactory::new() };
        while decoder.ip() < address && decoder.can_decode() {
            machine.step(&mut state, &decoder.decode());
        }
        (decoder.ip() == address).then_some(state)
    }
}

/// Follows values through the function that lies in a range.
pub(super) fn follow(elf: &Elf<'_>, range: &Range<u64>) -> Flow {
    let Some(bytes) = elf.at(range.start) else { return Flow::default() };
    let bytes = &bytes[..bytes.len().min((range.end - range.start) as usize)];
    let mut instructions: Vec<Instruction> = Vec::with_capacity(bytes.len() / 4);
    let mut decoder = Decoder::with_ip(64, bytes, range.start, DecoderOptions::NONE);
    while decoder.can_decode() && instructions.len() < LONGEST {
        instructions.push(decoder.decode());
    }
    let blocks = Blocks::new(&instructions);
    if blocks.starts.is_empty() {
        return Flow::default();
    }
    let mut before: Vec<Option<State>> = vec![None; blocks.starts.len()];
    before[0] = Some(State::at_entry());
    let mut rounds = vec![0usize; blocks.starts.len()];
    let mut machine = Machine { info: InstructionInfoFactory::new() };
    let mut elsewhere: Option<State> = None;
    // In the order of addresses, which is nearly the order in which they run.
    let mut work = BTreeSet::from([0]);
    let mut state = State::unknown();
    loop {
        while let Some(block) = work.pop_first() {
            match &before[block] {
                Some(before) => state.clone_from(before),
                None => continue,
            }
            for instruction in &instructions[blocks.range(block, instructions.len())] {
                machine.step(&mut state, instruction);
            }
            let (next, leaves) = &blocks.after[block];
            if *leaves {
                match &mut elsewhere {
                    Some(known) => drop(known.merge(&state, false)),
                    None => elsewhere = Some(state.clone()),
                }
            }
            for next in next {
                let changed = match &mut before[*next] {
                    Some(known) => known.merge(&state, rounds[*next] > ROUNDS),
                    unset => {
                        *unset = Some(state.clone());
                        true
                    }
                };
                if changed {
                    rounds[*next] += 1;
                    work.insert(*next);
                }
            }
        }
        // Blocks that only a table of jumps, or an exception, leads to.
        let Some(unreached) = before.iter().position(Option::is_none) else { break };
        match (&elsewhere, blocks.by_table) {
            // All of them may begin as the jumps left things.
            (Some(state), true) => {
                for (block, before) in before.iter_mut().enumerate().filter(|(_, before)| before.is_none()) {
                    *before = Some(state.clone());
                    work.insert(block);
                }
            }
            _ => {
                before[unreached] = Some(State::unknown());
                work.insert(unreached);
            }
        }
    }
    let starts = blocks.starts.iter().map(|at| instructions[*at].ip());
    Flow { before: starts.zip(before).collect(), end: range.end }
}

/// Stretches of instructions that are entered at the front and left at the end.
struct Blocks {
    starts: Vec<usize>,
    /// What follows a block, and whether a jump through a table or register leaves it.
    after: Vec<(Vec<usize>, bool)>,
    /// Whether there is a jump through a table.
    by_table: bool,
}

impl Blocks {
    fn new(instructions: &[Instruction]) -> Self {
        let index = |ip: u64| instructions.binary_search_by_key(&ip, Instruction::ip).ok();
        let mut leads = vec![false; instructions.len()];
        if let Some(first) = leads.first_mut() {
            *first = true;
        }
        let mut by_table = false;
        for (at, instruction) in instructions.iter().enumerate() {
            let ends = match instruction.flow_control() {
                FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                    if let Some(target) = index(instruction.near_branch64()) {
                        leads[target] = true;
                    }
                    true
                }
                FlowControl::IndirectBranch => {
                    by_table = true;
                    true
                }
                FlowControl::Return | FlowControl::Exception | FlowControl::Interrupt => true,
                _ => false,
            };
            if ends && let Some(next) = leads.get_mut(at + 1) {
                *next = true;
            }
        }
        let starts: Vec<usize> = (0..leads.len()).filter(|at| leads[*at]).collect();
        let block_of = |at: usize| starts.binary_search(&at).ok();
        let mut after = Vec::with_capacity(starts.len());
        for (block, start) in starts.iter().enumerate() {
            let end = starts.get(block + 1).copied().unwrap_or(instructions.len());
            let last = &instructions[end.max(start + 1) - 1];
            let mut next = Vec::new();
            let flow = last.flow_control();
            if matches!(flow, FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch) {
                next.extend(index(last.near_branch64()).and_then(block_of));
            }
            let stops = matches!(
                flow,
                FlowControl::UnconditionalBranch
                    | FlowControl::IndirectBranch
                    | FlowControl::Return
                    | FlowControl::Exception
            ) || last.mnemonic() == Mnemonic::Int3;
            if !stops && block + 1 < starts.len() {
                next.push(block + 1);
            }
            after.push((next, flow == FlowControl::IndirectBranch));
        }
        Self { starts, after, by_table }
    }

    fn range(&self, block: usize, count: usize) -> Range<usize> {
        self.starts[block]..self.starts.get(block + 1).copied().unwrap_or(count)
    }
}

struct Machine {
    info: InstructionInfoFactory,
}

/// The number of a general register, of whatever width; and the width in bytes.
fn general(register: Register) -> Option<(usize, usize)> {
    register.is_gpr().then(|| (register.full_register() as usize - Register::RAX as usize, register.size()))
}

/// A constant cut to a width.
fn cut(value: u64, size: usize) -> u64 {
    match size {
        8.. => value,
        size => value & ((1 << (size * 8)) - 1),
    }
}

impl Machine {
    fn step(&mut self, state: &mut State, i: &Instruction) {
        match i.mnemonic() {
            Mnemonic::Mov => return self.write_operand(state, i, self.operand(state, i, 1)),
            Mnemonic::Movzx | Mnemonic::Movsxd | Mnemonic::Movsx => {
                let value = self.operand(state, i, 1);
                let signed = i.mnemonic() != Mnemonic::Movzx;
                let from = i.op1_register();
                let size =
                    if i.op1_kind() == OpKind::Register { from.size() } else { i.memory_size().size() };
                let value = value.map(|atom| match atom {
                    Atom::Const(value) if signed => {
                        let shift = 64 - 8 * size.clamp(1, 8) as u32;
                        Some(Atom::Const((((value << shift) as i64) >> shift) as u64))
                    }
                    Atom::Const(value) => Some(Atom::Const(cut(value, size))),
                    // Numbers and flags survive being made wider; a byte of something else is something else.
                    other => (size >= 4).then_some(other),
                });
                return self.write_operand(state, i, value);
            }
            Mnemonic::Lea => {
                let value = if i.memory_base() == Register::RIP {
                    Val::constant(i.memory_displacement64())
                } else {
                    self.address(state, i)
                };
                return self.write_operand(state, i, value);
            }
            Mnemonic::Xor | Mnemonic::Sub
                if i.op0_kind() == OpKind::Register
                    && i.op1_kind() == OpKind::Register
                    && i.op0_register() == i.op1_register() =>
            {
                return self.write_operand(state, i, Val::constant(0));
            }
            // What the carry makes of it: nothing or all ones.
            Mnemonic::Sbb
                if i.op0_kind() == OpKind::Register
                    && i.op1_kind() == OpKind::Register
                    && i.op0_register() == i.op1_register() =>
            {
                let value = Val::of(vec![Atom::Const(0), Atom::Const(u64::MAX)], false);
                return self.write_operand(state, i, value);
            }
            Mnemonic::Add
            | Mnemonic::Sub
            | Mnemonic::And
            | Mnemonic::Or
            | Mnemonic::Xor
            | Mnemonic::Shl
            | Mnemonic::Shr => {
                let (a, b) = (self.operand(state, i, 0), self.operand(state, i, 1));
                let size = if i.op0_kind() == OpKind::Register {
                    i.op0_register().size()
                } else {
                    i.memory_size().size()
                };
                let value = arithmetic(i.mnemonic(), &a, &b, size);
                return self.write_operand(state, i, value);
            }
            Mnemonic::Inc | Mnemonic::Dec => {
                let a = self.operand(state, i, 0);
                let by = if i.mnemonic() == Mnemonic::Inc { Mnemonic::Add } else { Mnemonic::Sub };
                let value = arithmetic(by, &a, &Val::constant(1), 8);
                return self.write_operand(state, i, value);
            }
            Mnemonic::Push => {
                let value = self.operand(state, i, 0);
                let to = state.get(reg::RSP).map(|atom| offset(atom, -8));
                state.registers[usize::from(reg::RSP)] = to.clone();
                if let Some(at) = to.stack() {
                    state.stack.insert(at, value);
                }
                return;
            }
            Mnemonic::Pop => {
                let from = state.get(reg::RSP).clone();
                let value = from.stack().map_or(Val::Unknown, |at| state.slot(at));
                state.registers[usize::from(reg::RSP)] = from.map(|atom| offset(atom, 8));
                return self.write_operand(state, i, value);
            }
            Mnemonic::Leave => {
                let base = state.registers[5].clone();
                let value = base.stack().map_or(Val::Unknown, |at| state.slot(at));
                state.registers[usize::from(reg::RSP)] = base.map(|atom| offset(atom, 8));
                state.registers[5] = value;
                return;
            }
            Mnemonic::Xchg if i.op0_kind() == OpKind::Register && i.op1_kind() == OpKind::Register => {
                if let (Some((a, 8)), Some((b, 8))) = (general(i.op0_register()), general(i.op1_register())) {
                    state.registers.swap(a, b);
                    return;
                }
            }
            Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Nop | Mnemonic::Endbr64 => return,
            Mnemonic::Syscall => {
                for register in [reg::RAX, 1, 11] {
                    state.registers[usize::from(register)] = Val::Unknown;
                }
                return;
            }
            mnemonic if is_set(i) => {
                let _ = mnemonic;
                let value = Val::of(vec![Atom::Const(0), Atom::Const(1)], false);
                return self.write_operand(state, i, value);
            }
            _ if is_move_if(i) => {
                let value = self.operand(state, i, 0).join(&self.operand(state, i, 1));
                return self.write_operand(state, i, value);
            }
            _ => {}
        }
        match i.flow_control() {
            FlowControl::Call | FlowControl::IndirectCall => {
                // What a callee may change, by the calling convention; Go's callees change more, but then the
                // caller does not count on it.
                for register in [0usize, 1, 2, 6, 7, 8, 9, 10, 11] {
                    state.registers[register] = Val::Unknown;
                }
            }
            _ => self.forget(state, i),
        }
    }

    /// What an instruction writes that nothing is known about.
    fn forget(&mut self, state: &mut State, i: &Instruction) {
        let info = self.info.info(i);
        for used in info.used_registers() {
            let writes = matches!(
                used.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            if let (true, Some((register, _))) = (writes, general(used.register()))
                && register != usize::from(reg::RSP)
            {
                state.registers[register] = Val::Unknown;
            }
        }
        if i.op_count() > 0 && i.op0_kind() == OpKind::Memory {
            let size = i.memory_size().size() as i64;
            if let Some(at) = self.address(state, i).stack() {
                for (_, value) in state.stack.within(at - 7..at + size.max(1)) {
                    *value = Val::Unknown;
                }
            }
        }
    }

    /// The address that a memory operand means.
    fn address(&self, state: &State, i: &Instruction) -> Val {
        let displacement = i.memory_displacement64();
        let Some((base, 8)) = general(i.memory_base()) else {
            return match (i.memory_base(), i.memory_index()) {
                (Register::None, Register::None) => Val::constant(displacement),
                (Register::RIP, _) => Val::constant(displacement),
                _ => Val::Unknown,
            };
        };
        let value = state.registers[base].map(|atom| offset(atom, displacement as i64));
        match general(i.memory_index()) {
            None => value,
            Some((index, _)) => {
                let scale = u64::from(i.memory_index_scale());
                let index = state.registers[index].map(|atom| match atom {
                    Atom::Const(value) => Some(Atom::Const(value.wrapping_mul(scale))),
                    _ => None,
                });
                arithmetic(Mnemonic::Add, &value, &index, 8)
            }
        }
    }

    fn operand(&self, state: &State, i: &Instruction, operand: u32) -> Val {
        match i.op_kind(operand) {
            OpKind::Register => match general(i.op_register(operand)) {
                Some((register, size)) => {
                    let value = &state.registers[register];
                    match (value, size) {
                        (_, 8) => value.clone(),
                        (value, 4) => value.map(|atom| match atom {
                            Atom::Const(value) => Some(Atom::Const(cut(value, 4))),
                            other => Some(other),
                        }),
                        // The second byte has a number of its own.
                        _ if matches!(
                            i.op_register(operand),
                            Register::AH | Register::BH | Register::CH | Register::DH
                        ) =>
                        {
                            Val::Unknown
                        }
                        (value, size) => value.map(|atom| match atom {
                            Atom::Const(value) => Some(Atom::Const(cut(value, size))),
                            _ => None,
                        }),
                    }
                }
                None => Val::Unknown,
            },
            OpKind::Memory if i.segment_prefix() != Register::FS && i.segment_prefix() != Register::GS => {
                let size = i.memory_size().size();
                match self.address(state, i) {
                    Val::One(Atom::Stack(at)) if size >= 4 => state.slot(at),
                    _ => Val::Unknown,
                }
            }
            OpKind::Memory => Val::Unknown,
            _ => match i.try_immediate(operand) {
                Ok(value) => Val::constant(value),
                Err(_) => Val::Unknown,
            },
        }
    }

    fn write_operand(&self, state: &mut State, i: &Instruction, value: Val) {
        match i.op0_kind() {
            OpKind::Register => {
                let Some((register, size)) = general(i.op0_register()) else { return };
                let value = match size {
                    8 => value,
                    4 => value.map(|atom| match atom {
                        Atom::Const(value) => Some(Atom::Const(cut(value, 4))),
                        other => Some(other),
                    }),
                    _ => match (&state.registers[register], value) {
                        // A part of a known number is replaced.
                        (Val::One(Atom::Const(old)), value) => {
                            let mask = cut(u64::MAX, size);
                            value.map(|atom| match atom {
                                Atom::Const(new) => Some(Atom::Const(old & !mask | new & mask)),
                                _ => None,
                            })
                        }
                        // The rest is not looked at by those who move bytes about.
                        (_, value) => value.map(|atom| matches!(atom, Atom::Const(_)).then_some(atom)),
                    },
                };
                state.registers[register] = value;
            }
            OpKind::Memory => {
                let size = i.memory_size().size();
                if let Some(at) = self.address(state, i).stack() {
                    for (near, value) in state.stack.within(at - 7..at + size as i64) {
                        // A number in the four bytes before keeps what it was.
                        if *near > at - 4 {
                            *value = Val::Unknown;
                        }
                    }
                    let value = if size >= 4 { value } else { Val::Unknown };
                    state.stack.insert(at, value);
                }
            }
            _ => {}
        }
    }
}

fn offset(atom: Atom, by: i64) -> Option<Atom> {
    match atom {
        Atom::Const(value) => Some(Atom::Const(value.wrapping_add_signed(by))),
        Atom::Stack(at) => Some(Atom::Stack(at.wrapping_add(by))),
        other => (by == 0).then_some(other),
    }
}

fn arithmetic(operation: Mnemonic, a: &Val, b: &Val, size: usize) -> Val {
    let mut atoms = Vec::new();
    let mut open = a.is_open() || b.is_open();
    if a.atoms().len() * b.atoms().len() > RECKONED {
        return Val::Unknown;
    }
    for a in a.atoms() {
        for b in b.atoms() {
            let result = match (*a, *b, operation) {
                (Atom::Const(a), Atom::Const(b), _) => {
                    let value = match operation {
                        Mnemonic::Add => a.wrapping_add(b),
                        Mnemonic::Sub => a.wrapping_sub(b),
                        Mnemonic::And => a & b,
                        Mnemonic::Or => a | b,
                        Mnemonic::Xor => a ^ b,
                        Mnemonic::Shl => a.checked_shl(b as u32 & 63).unwrap_or(0),
                        _ => a.checked_shr(b as u32 & 63).unwrap_or(0),
                    };
                    Some(Atom::Const(cut(value, size)))
                }
                // Aligned stacks: where the words are does not depend on it.
                (Atom::Stack(at), Atom::Const(_), Mnemonic::And) => Some(Atom::Stack(at)),
                (atom, Atom::Const(b), Mnemonic::Add) => offset(atom, b as i64),
                (atom, Atom::Const(b), Mnemonic::Sub) => offset(atom, (b as i64).wrapping_neg()),
                (Atom::Const(a), atom, Mnemonic::Add) => offset(atom, a as i64),
                (atom, Atom::Const(0), Mnemonic::Or | Mnemonic::Xor) => Some(atom),
                // Flags that are added leave it known that there is something.
                _ => None,
            };
            match result {
                Some(atom) => atoms.push(atom),
                None => open = true,
            }
        }
    }
    Val::of(atoms, open)
}

fn is_set(i: &Instruction) -> bool {
    matches!(
        i.code(),
        Op::Seto_rm8
            | Op::Setno_rm8
            | Op::Setb_rm8
            | Op::Setae_rm8
            | Op::Sete_rm8
            | Op::Setne_rm8
            | Op::Setbe_rm8
            | Op::Seta_rm8
            | Op::Sets_rm8
            | Op::Setns_rm8
            | Op::Setp_rm8
            | Op::Setnp_rm8
            | Op::Setl_rm8
            | Op::Setge_rm8
            | Op::Setle_rm8
            | Op::Setg_rm8
    )
}

fn is_move_if(i: &Instruction) -> bool {
    use Mnemonic::{
        Cmova, Cmovae, Cmovb, Cmovbe, Cmove, Cmovg, Cmovge, Cmovl, Cmovle, Cmovne, Cmovno, Cmovnp, Cmovns,
        Cmovo, Cmovp, Cmovs,
    };
    matches!(
        i.mnemonic(),
        Cmova
            | Cmovae
            | Cmovb
            | Cmovbe
            | Cmove
            | Cmovg
            | Cmovge
            | Cmovl
            | Cmovle
            | Cmovne
            | Cmovno
            | Cmovnp
            | Cmovns
            | Cmovo
            | Cmovp
            | Cmovs
    )
}
