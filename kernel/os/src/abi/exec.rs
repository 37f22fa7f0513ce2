//! Loading an ELF program, and the stack it starts with (System V ABI, AMD64 supplement, section 3.4; `getauxval(3)`).

use super::entropy;
use super::process::{self, Process, STACK};
use crate::errno::{Errno, Result};
use crate::fs::{packed, path};
use crate::memory::paging::{PAGE, USER_END};
use crate::memory::space::{self, Backing, Rights};
use crate::memory::user;
use crate::sched::thread::Start;
use alloc::vec::Vec;
use core::arch::x86_64::__cpuid;
use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_DYN, ET_EXEC, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR};
use elf::endian::LittleEndian;
use linux_raw_sys::auxvec::*;
use linux_raw_sys::general::O_RDONLY;

/// Where position-independent programs go, as on Linux: two thirds up the lower half.
const PROGRAM_BASE: u64 = 0x5555_5555_4000;
/// Where an interpreter goes: below the mappings' ceiling, out of their way.
const INTERPRETER_BASE: u64 = 0x7000_0000_0000;

// More entries for the auxiliary vector: a type and a value.
crate::hook!(fn auxiliary_entries() -> "auxiliary": fn() -> (u32, u64));

struct Loaded {
    entry: u64,
    /// Where the program headers are in memory.
    headers: u64,
    header_count: u64,
    bias: u64,
    end: u64,
    interpreter: Option<&'static [u8]>,
    executable_stack: bool,
}

fn bad<E>(_: E) -> Errno {
    Errno::ENOEXEC
}

fn map_elf(data: &'static [u8], base: u64) -> Result<Loaded> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(data).map_err(bad)?;
    let header = &file.ehdr;
    if header.e_machine != EM_X86_64 || !matches!(header.e_type, ET_EXEC | ET_DYN) {
        return Err(Errno::ENOEXEC);
    }
    let segments = file.segments().ok_or(Errno::ENOEXEC)?;
    let bias = if header.e_type == ET_DYN { base } else { 0 };
    let mut loaded = Loaded {
        entry: header.e_entry.wrapping_add(bias),
        headers: 0,
        header_count: u64::from(header.e_phnum),
        bias,
        end: 0,
        interpreter: None,
        executable_stack: false,
    };
    for segment in segments.iter() {
        match segment.p_type {
            PT_LOAD if segment.p_memsz > 0 => {
                let address = segment.p_vaddr.wrapping_add(bias);
                let start = address & !(PAGE - 1);
                let lead = address - start;
                let end = address
                    .checked_add(segment.p_memsz)
                    .filter(|&end| end <= USER_END)
                    .ok_or(Errno::ENOEXEC)?;
                let contents = file.segment_data(&segment).map_err(bad)?;
                let mut rights = Rights::empty();
                for (flag, right) in [(PF_R, Rights::READ), (PF_W, Rights::WRITE), (PF_X, Rights::EXECUTE)] {
                    rights.set(right, segment.p_flags & flag != 0);
                }
                let backing = if contents.is_empty() {
                    Backing::Zeroes
                } else if segment.p_offset < lead {
                    return Err(Errno::ENOEXEC);
                } else {
                    let mut bytes = segment.p_filesz + lead;
                    if segment.p_filesz == segment.p_memsz {
                        // The rest of the last page is whatever the file goes on with, as on Linux: then it needs no copy.
                        let available = data.len() as u64 - (segment.p_offset - lead);
                        bytes = bytes.next_multiple_of(PAGE).min(available);
                    }
                    Backing::Image { start: packed::physical(contents) - lead, bytes }
                };
                space::map(start, end.next_multiple_of(PAGE) - start, rights, backing)?;
                loaded.end = loaded.end.max(end);
                if loaded.headers == 0
                    && (segment.p_offset..segment.p_offset + segment.p_filesz).contains(&header.e_phoff)
                {
                    loaded.headers = address + (header.e_phoff - segment.p_offset);
                }
            }
            PT_PHDR => loaded.headers = segment.p_vaddr.wrapping_add(bias),
            PT_INTERP => {
                let path = file.segment_data(&segment).map_err(bad)?;
                loaded.interpreter = Some(path.strip_suffix(b"\0").unwrap_or(path));
            }
            PT_GNU_STACK => loaded.executable_stack = segment.p_flags & PF_X != 0,
            _ => {}
        }
    }
    Ok(loaded)
}

fn file(name: &[u8]) -> Result<&'static [u8]> {
    let location = path::resolve(&path::working_directory(), name, true)?;
    if location.node.is_directory() {
        return Err(Errno::EACCES);
    }
    location.node.clone().open(O_RDONLY)?.image_data().ok_or(Errno::EACCES)
}

/// Loads the program and prepares its stack.
pub fn load(process: &Process) -> Result<Start> {
    let program = map_elf(file(process.path_bytes())?, PROGRAM_BASE + process::random_offset(20))?;
    process::set_data_end(program.end);
    let (entry, interpreter_base) = match program.interpreter {
        Some(path) => {
            let interpreter = map_elf(file(path)?, INTERPRETER_BASE + process::random_offset(20))?;
            (interpreter.entry, interpreter.bias)
        }
        None => (program.entry, 0),
    };

    if entry >= USER_END {
        return Err(Errno::ENOEXEC);
    }
    let top = USER_END - process::random_offset(16);
    let size = STACK.get().next_multiple_of(PAGE);
    let mut rights = Rights::READ | Rights::WRITE;
    rights.set(Rights::EXECUTE, program.executable_stack);
    space::map(top - size, size, rights, Backing::Zeroes)?;

    let mut stack = Stack { at: top - 16 };
    let mut random = [0u8; 16];
    entropy::fill(&mut random);
    let random = stack.push(&random)?;
    let platform = stack.push(b"x86_64\0")?;
    let executable = stack.push_string(process.path_bytes())?;
    let environment =
        process.environment.iter().map(|string| stack.push_string(string)).collect::<Result<Vec<_>>>()?;
    let arguments =
        process.arguments.iter().map(|string| stack.push_string(string)).collect::<Result<Vec<_>>>()?;

    let (users, groups) = {
        let credentials = process::credentials();
        (credentials.users.map(u64::from), credentials.groups.map(u64::from))
    };
    let auxiliary: [(u32, u64); 17] = [
        (AT_PHDR, program.headers),
        (AT_PHENT, 56),
        (AT_PHNUM, program.header_count),
        (AT_PAGESZ, PAGE),
        (AT_BASE, interpreter_base),
        (AT_FLAGS, 0),
        (AT_ENTRY, program.entry),
        (AT_UID, users[0]),
        (AT_EUID, users[1]),
        (AT_GID, groups[0]),
        (AT_EGID, groups[1]),
        (AT_SECURE, 0),
        (AT_HWCAP, u64::from(__cpuid(1).edx)),
        (AT_CLKTCK, 100),
        (AT_RANDOM, random),
        (AT_PLATFORM, platform),
        (AT_EXECFN, executable),
    ];
    let more = auxiliary_entries().iter().map(|entry| (entry.item)());
    let mut words = Vec::new();
    words.push(arguments.len() as u64);
    words.extend(arguments);
    words.push(0);
    words.extend(environment);
    words.push(0);
    for (kind, value) in auxiliary.into_iter().chain(more).chain([(AT_NULL, 0)]) {
        words.extend([u64::from(kind), value]);
    }
    stack.at = (stack.at - words.len() as u64 * 8) & !15;
    let mut at = stack.at;
    for word in words {
        user::write(at, &word)?;
        at += 8;
    }
    process::set_stack(stack.at);
    Ok(Start { entry, stack: stack.at })
}

/// The new stack, growing down.
struct Stack {
    at: u64,
}

impl Stack {
    fn push(&mut self, bytes: &[u8]) -> Result<u64> {
        self.at -= bytes.len() as u64;
        user::write_bytes(self.at, bytes)?;
        Ok(self.at)
    }

    fn push_string(&mut self, string: &[u8]) -> Result<u64> {
        self.push(&[0])?;
        self.push(string)
    }
}
