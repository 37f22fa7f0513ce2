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
use linux_raw_sys::auxvec::*;
use linux_raw_sys::elf_uapi::*;
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

/// Bytes of a file.
fn slice(data: &'static [u8], offset: u64, length: u64) -> Result<&'static [u8]> {
    let rest = data.get(offset as usize..);
    rest.and_then(|rest| rest.get(..length as usize)).ok_or(Errno::ENOEXEC)
}

/// A structure that stands in a file.
///
/// # Safety
/// Any bytes must be a value of the type.
unsafe fn structure<T>(data: &'static [u8], offset: u64) -> Result<T> {
    let bytes = slice(data, offset, size_of::<T>() as u64)?;
    // SAFETY: that many bytes, and the caller's promise.
    Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

fn map_elf(data: &'static [u8], base: u64) -> Result<Loaded> {
    /// ELF, of 64 bits, little endian.
    const MAGIC: [u8; 6] = [ELFMAG0 as u8, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64 as u8, ELFDATA2LSB as u8];
    // SAFETY: integers.
    let header: Elf64_Ehdr = unsafe { structure(data, 0)? };
    let kind = u32::from(header.e_type);
    if !header.e_ident.starts_with(&MAGIC)
        || u32::from(header.e_machine) != EM_X86_64
        || !matches!(kind, ET_EXEC | ET_DYN)
        || usize::from(header.e_phentsize) != size_of::<Elf64_Phdr>()
    {
        return Err(Errno::ENOEXEC);
    }
    let bias = if kind == ET_DYN { base } else { 0 };
    let mut loaded = Loaded {
        entry: header.e_entry.wrapping_add(bias),
        headers: 0,
        header_count: u64::from(header.e_phnum),
        bias,
        end: 0,
        interpreter: None,
        executable_stack: false,
    };
    for index in 0..u64::from(header.e_phnum) {
        let offset = header.e_phoff.wrapping_add(index * size_of::<Elf64_Phdr>() as u64);
        // SAFETY: integers.
        let segment: Elf64_Phdr = unsafe { structure(data, offset)? };
        match segment.p_type {
            PT_LOAD if segment.p_memsz > 0 => {
                let address = segment.p_vaddr.wrapping_add(bias);
                let start = address & !(PAGE - 1);
                let lead = address - start;
                let end = address
                    .checked_add(segment.p_memsz)
                    .filter(|&end| end <= USER_END)
                    .ok_or(Errno::ENOEXEC)?;
                let contents = slice(data, segment.p_offset, segment.p_filesz)?;
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
                let path = slice(data, segment.p_offset, segment.p_filesz)?;
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
    let mut words = Vec::new();
    words.push(process.arguments.len() as u64);
    stack.push_strings([&process.arguments, &process.environment], &mut words)?;

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
        // argv[0], which is the path that it was started by.
        (AT_EXECFN, words[1]),
    ];
    let more = auxiliary_entries().iter().map(|entry| (entry.item)());
    for (kind, value) in auxiliary.into_iter().chain(more).chain([(AT_NULL, 0)]) {
        words.push(u64::from(kind));
        words.push(value);
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

    /// Lists of strings, all in one piece and in order as on Linux, where programs that rename themselves count on it. Their addresses go
    /// to `words`, with a zero behind each list.
    fn push_strings(&mut self, lists: [&[Vec<u8>]; 2], words: &mut Vec<u64>) -> Result<()> {
        for list in lists {
            for string in list {
                self.at -= string.len() as u64 + 1;
            }
        }
        let mut at = self.at;
        for list in lists {
            for string in list {
                words.push(at);
                user::write_bytes(at, string)?;
                at += string.len() as u64 + 1; // behind the string is zero already
            }
            words.push(0);
        }
        Ok(())
    }
}
