//! All instructions of a file, once from front to back: who calls and mentions what, and where system calls are made.

use std::ops::Range;

use iced_x86::{Code as Op, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};

use super::elf::Elf;

/// A call, or a jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub from: u64,
    pub to: u64,
}

/// What the instructions of a stretch of code say. All lists are in the order of addresses.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// Direct calls.
    pub calls: Vec<Edge>,
    /// Direct jumps, with and without a condition.
    pub jumps: Vec<Edge>,
    /// Calls of what a register holds; the register's number in place of an address.
    pub indirect: Vec<Edge>,
    /// Instructions that use a word which the loader fills in with the address of a name.
    pub slots: Vec<Edge>,
    /// Addresses of code and of data that instructions take.
    pub mentions: Vec<Edge>,
    /// Words in data through which functions are called.
    pub called: Vec<u64>,
    /// `syscall` instructions.
    pub syscalls: Vec<u64>,
    /// How many instructions there are.
    pub count: u64,
}

impl Code {
    /// Adds what was read of the code that follows.
    pub fn append(&mut self, mut next: Code) {
        self.calls.append(&mut next.calls);
        self.jumps.append(&mut next.jumps);
        self.indirect.append(&mut next.indirect);
        self.slots.append(&mut next.slots);
        self.mentions.append(&mut next.mentions);
        self.called.append(&mut next.called);
        self.syscalls.append(&mut next.syscalls);
        self.count += next.count;
    }
}

/// The entries of a list that lie in a range of addresses.
pub(super) fn within<T>(list: &[T], at: impl Fn(&T) -> u64, range: &Range<u64>) -> Range<usize> {
    list.partition_point(|item| at(item) < range.start)..list.partition_point(|item| at(item) < range.end)
}

/// Reads the instructions in a range. `known` are addresses at which one begins for certain: should reading have gone
/// wrong over data among the code, it is right again there.
pub(super) fn read(elf: &Elf<'_>, range: Range<u64>, known: &[u64]) -> Code {
    let mut code = Code::default();
    let Some(bytes) = elf.at(range.start) else { return code };
    let bytes = &bytes[..bytes.len().min((range.end - range.start) as usize)];
    let mut decoder = Decoder::with_ip(64, bytes, range.start, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let mut known = known[known.partition_point(|at| *at <= range.start)..].iter().copied().peekable();
    let go_to = |decoder: &mut Decoder<'_>, at: u64| {
        let there = decoder.set_position((at - range.start) as usize);
        decoder.set_ip(at);
        there.is_ok()
    };
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let (ip, next) = (instruction.ip(), instruction.next_ip());
        while known.next_if(|at| *at <= ip).is_some() {}
        if let Some(start) = known.peek().copied().filter(|start| next > *start && *start < range.end) {
            if !go_to(&mut decoder, start) {
                break;
            }
            continue;
        }
        if instruction.is_invalid() {
            if ip + 1 >= range.end || !go_to(&mut decoder, ip + 1) {
                break;
            }
            continue;
        }
        code.count += 1;
        code.note(elf, &instruction);
    }
    code
}

impl Code {
    fn note(&mut self, elf: &Elf<'_>, instruction: &Instruction) {
        let from = instruction.ip();
        match instruction.flow_control() {
            FlowControl::Call | FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
                if matches!(instruction.op0_kind(), OpKind::NearBranch64) =>
            {
                let edge = Edge { from, to: instruction.near_branch64() };
                match instruction.flow_control() {
                    FlowControl::Call => self.calls.push(edge),
                    _ => self.jumps.push(edge),
                }
                return;
            }
            FlowControl::IndirectCall if instruction.op0_kind() == OpKind::Register => {
                return self.indirect.push(Edge { from, to: instruction.op0_register().number() as u64 });
            }
            // `syscall` counts as a call.
            FlowControl::Call if instruction.code() == Op::Syscall => return self.syscalls.push(from),
            _ => {}
        }
        if instruction.memory_base() == Register::RIP {
            let to = instruction.memory_displacement64();
            if instruction.code() == Op::Lea_r64_m || instruction.code() == Op::Lea_r32_m {
                self.mentions.push(Edge { from, to });
            } else if elf.named_slots.contains_key(&to) {
                self.slots.push(Edge { from, to });
            } else if let Some(function) = elf.pointer(to).filter(|function| elf.is_code(*function)) {
                // A function whose address lies in data: static programs call theirs through a table, too.
                let edge = Edge { from, to: function };
                match instruction.flow_control() {
                    FlowControl::IndirectCall => self.calls.push(edge),
                    FlowControl::IndirectBranch => self.jumps.push(edge),
                    _ => self.mentions.push(edge),
                }
                if instruction.flow_control() != FlowControl::Next {
                    self.called.push(to);
                }
            }
        }
        if elf.fixed {
            for operand in 0..instruction.op_count() {
                let value = match instruction.op_kind(operand) {
                    OpKind::Immediate32 => u64::from(instruction.immediate32()),
                    OpKind::Immediate32to64 => instruction.immediate32to64() as u64,
                    OpKind::Immediate64 => instruction.immediate64(),
                    OpKind::Memory if instruction.memory_base() == Register::None => {
                        instruction.memory_displacement64()
                    }
                    _ => continue,
                };
                if value >= 0x1000 && elf.mapped.iter().any(|m| m.range().contains(&value)) {
                    self.mentions.push(Edge { from, to: value });
                }
            }
        }
    }
}
