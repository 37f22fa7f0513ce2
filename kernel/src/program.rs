//! Looks at a program before it is packed: what kind of executable it is, what it needs to start, who built it.
//!
//! Nothing here trusts the file: every number in it is checked before it is used, and whatever is wrong becomes one
//! error that says what the file is and what to do about it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use memchr::memmem;

/// Finds a command by its name in the folders of `PATH`.
pub fn in_path(name: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A Linux x86-64 executable that has been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// How it is started.
    pub kind: ProgramKind,
    /// The entry point, before relocation.
    pub entry: u64,
    /// What is loaded, in file order.
    pub segments: Vec<Segment>,
    /// The C library inside it, or the one that it asks for.
    pub libc: Option<Libc>,
    /// The language whose runtime is inside it, when one gives itself away.
    pub language: Option<Language>,
}

/// How a program is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramKind {
    /// At a fixed address, on its own.
    Static,
    /// At any address, on its own.
    StaticPie,
    /// By an interpreter that finds libraries for it.
    Dynamic {
        /// The path of the interpreter (`PT_INTERP`).
        interp: String,
        /// The libraries asked for by name (`DT_NEEDED`), in order.
        needed: Vec<String>,
        /// Where else to look for them (`DT_RUNPATH`, or `DT_RPATH`), separated by colons.
        runpath: Option<String>,
    },
}

/// One loaded part of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it is loaded, before relocation.
    pub address: u64,
    /// Where it is in the file.
    pub offset: u64,
    /// How much of it is in the file.
    pub file_size: u64,
    /// How much memory it takes; the rest is zero.
    pub memory_size: u64,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
}

/// A C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Libc {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
}

/// A language with a runtime of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// Go, whose programs make system calls themselves.
    Go,
    /// Rust.
    Rust,
    /// C++ (or another language that throws through libstdc++).
    Cxx,
}

/// Why a file cannot be the program of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// Nothing in it.
    #[error("the file is empty; give an executable")]
    Empty,
    /// It starts with `#!`.
    #[error(
        "the file is a script for {interpreter}; give {interpreter} as the program and the script under [files]"
    )]
    Script {
        /// What the first line names.
        interpreter: String,
    },
    /// Something else than ELF.
    #[error("the file is {0}, not a Linux executable (ELF); give a program built for x86-64 Linux")]
    NotElf(&'static str),
    /// ELF for 32 bits.
    #[error("the program is 32-bit ({0}); build it for x86_64")]
    Bits32(String),
    /// ELF for another processor.
    #[error("the program is for {0}; build it for x86_64")]
    Machine(String),
    /// ELF for another system.
    #[error("the program is for {0}, not Linux; build it for x86_64 Linux")]
    System(&'static str),
    /// ELF, but not something that can be started.
    #[error("the file is {what}, not a program; {hint}")]
    NotAProgram {
        /// What it is.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// It ends before what its headers promise.
    #[error("the program is cut off: {what} ends at byte {needs} and the file at {len}; copy it again")]
    Truncated {
        /// What is not all there.
        what: &'static str,
        /// Where that would end.
        needs: u64,
        /// The length of the file.
        len: u64,
    },
    /// Its headers contradict themselves.
    #[error("the program is malformed: {0}; build or copy it again")]
    Malformed(String),
}

const EHDR: usize = 64;
const PHDR: usize = 56;
/// The first address that is not the program's on Linux.
const USER_END: u64 = 0x7fff_ffff_f000;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;

fn malformed(what: impl Into<String>) -> ProgramError {
    ProgramError::Malformed(what.into())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// A part of the file, or why it is not all there.
fn part<'d>(bytes: &'d [u8], offset: u64, size: u64, what: &'static str) -> Result<&'d [u8], ProgramError> {
    let end = offset.checked_add(size).ok_or_else(|| malformed(format!("{what} lies beyond any file")))?;
    usize::try_from(offset)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(offset, end)| bytes.get(offset..end))
        .ok_or(ProgramError::Truncated { what, needs: end, len: bytes.len() as u64 })
}

/// Whether the bytes are those of an ELF file, of whatever kind.
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// Looks at a program.
///
/// # Errors
/// When it cannot be the program of an image: see [`ProgramError`].
pub fn inspect(bytes: &[u8]) -> Result<Program, ProgramError> {
    let Headers { kind, entry, segments, interp, dynamic, notes } = Headers::read(bytes)?;
    let kind = match (interp, kind) {
        (Some(interp), _) => {
            ProgramKind::Dynamic { interp, needed: dynamic.needed, runpath: dynamic.runpath }
        }
        (None, 2) => ProgramKind::Static,
        (None, _) => {
            let library = dynamic.soname || !dynamic.needed.is_empty() || entry == 0;
            if library && !dynamic.pie {
                let hint = "give the program that uses it, and the library under [files]";
                return Err(ProgramError::NotAProgram { what: "a shared library", hint });
            }
            ProgramKind::StaticPie
        }
    };
    if !segments.iter().any(|s| s.execute && s.range().contains(&entry)) {
        return Err(malformed(format!("its entry point {entry:#x} is in no executable part")));
    }
    let (libc, language) = guess(bytes, &kind, &notes);
    Ok(Program { kind, entry, segments, libc, language })
}

/// What a shared library (or a program) asks for: names of libraries, and where else to look for them.
pub(crate) fn libraries(bytes: &[u8]) -> Result<(Vec<String>, Option<String>), ProgramError> {
    let dynamic = Headers::read(bytes)?.dynamic;
    Ok((dynamic.needed, dynamic.runpath))
}

/// What the headers say, once checked.
struct Headers<'d> {
    kind: u16,
    entry: u64,
    segments: Vec<Segment>,
    interp: Option<String>,
    dynamic: Dynamic,
    notes: Vec<&'d [u8]>,
}

impl<'d> Headers<'d> {
    fn read(bytes: &'d [u8]) -> Result<Self, ProgramError> {
        check_ident(bytes)?;
        let kind = u16_at(bytes, 16);
        match kind {
            2 | 3 => {}
            1 => {
                return Err(ProgramError::NotAProgram { what: "an object file", hint: "link it first" });
            }
            4 => {
                return Err(ProgramError::NotAProgram {
                    what: "a core dump",
                    hint: "give the program that left it",
                });
            }
            other => return Err(malformed(format!("its type is {other}"))),
        }
        let entry = u64_at(bytes, 24);
        let count = usize::from(u16_at(bytes, 56));
        if count == 0 {
            return Err(malformed("it has no program headers"));
        }
        if usize::from(u16_at(bytes, 54)) != PHDR {
            return Err(malformed(format!(
                "its program headers are {} bytes each, not {PHDR}",
                u16_at(bytes, 54)
            )));
        }
        let table = part(bytes, u64_at(bytes, 32), (count * PHDR) as u64, "the table of program headers")?;

        let mut segments = Vec::new();
        let mut interp = None;
        let mut dynamic = None;
        let mut notes = Vec::new();
        for header in table.chunks_exact(PHDR) {
            let (offset, address) = (u64_at(header, 8), u64_at(header, 16));
            let (file_size, memory_size) = (u64_at(header, 32), u64_at(header, 40));
            match u32_at(header, 0) {
                PT_LOAD => {
                    let flags = u32_at(header, 4);
                    check_segment(bytes, offset, address, file_size, memory_size, u64_at(header, 48))?;
                    segments.push(Segment {
                        address,
                        offset,
                        file_size,
                        memory_size,
                        read: flags & 4 != 0,
                        write: flags & 2 != 0,
                        execute: flags & 1 != 0,
                    });
                }
                PT_INTERP => {
                    let path = part(bytes, offset, file_size, "the interpreter's path")?;
                    let path = path.split(|b| *b == 0).next().unwrap_or_default();
                    let path = std::str::from_utf8(path)
                        .map_err(|_| malformed("its interpreter's path is not text"))?;
                    if !path.starts_with('/') || path.len() > 4095 {
                        return Err(malformed("its interpreter's path is not absolute"));
                    }
                    interp = Some(path.to_owned());
                }
                PT_DYNAMIC => dynamic = Some(part(bytes, offset, file_size, "the dynamic section")?),
                PT_NOTE => notes.push(part(bytes, offset, file_size, "a note")?),
                _ => {}
            }
        }
        check_order(&segments)?;
        let dynamic =
            dynamic.map(|table| Dynamic::read(bytes, table, &segments)).transpose()?.unwrap_or_default();
        Ok(Self { kind, entry, segments, interp, dynamic, notes })
    }
}

impl Segment {
    /// The addresses that it takes, before relocation.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.memory_size)
    }
}

fn check_ident(bytes: &[u8]) -> Result<(), ProgramError> {
    if bytes.is_empty() {
        return Err(ProgramError::Empty);
    }
    if let Some(rest) = bytes.strip_prefix(b"#!") {
        let line = rest.split(|b| *b == b'\n').next().unwrap_or_default();
        let line = &line[..line.len().min(255)];
        let line = String::from_utf8_lossy(line);
        let interpreter: String = line
            .split_whitespace()
            .next()
            .unwrap_or("no interpreter")
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        return Err(ProgramError::Script { interpreter });
    }
    if !is_elf(bytes) {
        return Err(ProgramError::NotElf(match bytes {
            [b'M', b'Z', ..] => "a Windows executable",
            [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => {
                "a macOS executable or a Java class"
            }
            [0, b'a', b's', b'm', ..] => "a WebAssembly module",
            [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => "a compressed file",
            _ => "something else",
        }));
    }
    if bytes.len() < EHDR {
        let (what, needs) = ("the ELF header", EHDR as u64);
        return Err(ProgramError::Truncated { what, needs, len: bytes.len() as u64 });
    }
    let big = match bytes[5] {
        1 => false,
        2 => true,
        other => return Err(malformed(format!("its byte order is {other}"))),
    };
    let machine = if big { u16_at(bytes, 18).swap_bytes() } else { u16_at(bytes, 18) };
    let name = machine_name(machine, big);
    match bytes[4] {
        2 => {}
        1 if machine == 62 => return Err(ProgramError::Bits32("x32".into())),
        1 => return Err(ProgramError::Bits32(name)),
        other => return Err(malformed(format!("its class is {other}"))),
    }
    if machine != 62 || big {
        return Err(ProgramError::Machine(name));
    }
    if bytes[6] != 1 || u32_at(bytes, 20) != 1 {
        return Err(malformed("its ELF version is not 1"));
    }
    match bytes[7] {
        0 | 3 => Ok(()),
        2 => Err(ProgramError::System("NetBSD")),
        6 => Err(ProgramError::System("Solaris")),
        9 => Err(ProgramError::System("FreeBSD")),
        12 => Err(ProgramError::System("OpenBSD")),
        _ => Err(ProgramError::System("another system")),
    }
}

fn machine_name(machine: u16, big: bool) -> String {
    let name = match machine {
        3 => "Intel 80386",
        8 => "MIPS",
        20 => "PowerPC",
        21 => "64-bit PowerPC",
        22 => "IBM S/390",
        40 => "ARM",
        50 => "Itanium",
        62 if big => "big-endian x86-64",
        62 => "x86-64",
        183 => "ARM64 (aarch64)",
        243 => "RISC-V",
        247 => "eBPF",
        258 => "LoongArch",
        other => return format!("processor number {other}"),
    };
    name.into()
}

fn check_segment(
    bytes: &[u8],
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
    align: u64,
) -> Result<(), ProgramError> {
    part(bytes, offset, file_size, "a loaded part")?;
    if file_size > memory_size {
        return Err(malformed("a loaded part is larger in the file than in memory"));
    }
    if address.checked_add(memory_size).is_none_or(|end| end > USER_END) {
        return Err(malformed(format!("a part is loaded at {address:#x}, outside of a program's memory")));
    }
    if align > 1 && !align.is_power_of_two() {
        return Err(malformed(format!("a loaded part is aligned to {align}")));
    }
    if memory_size > 0 && address % 4096 != offset % 4096 {
        return Err(malformed(format!("a part at {address:#x} cannot be mapped from its place in the file")));
    }
    Ok(())
}

fn check_order(segments: &[Segment]) -> Result<(), ProgramError> {
    if segments.is_empty() {
        return Err(malformed("nothing of it is loaded"));
    }
    for pair in segments.windows(2) {
        if pair[1].address < pair[0].range().end {
            return Err(malformed(format!(
                "its parts overlap or are out of order at {:#x}",
                pair[1].address
            )));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Dynamic {
    needed: Vec<String>,
    runpath: Option<String>,
    soname: bool,
    pie: bool,
}

impl Dynamic {
    fn read(bytes: &[u8], table: &[u8], segments: &[Segment]) -> Result<Self, ProgramError> {
        const DT_NEEDED: u64 = 1;
        const DT_STRTAB: u64 = 5;
        const DT_STRSZ: u64 = 10;
        const DT_SONAME: u64 = 14;
        const DT_RPATH: u64 = 15;
        const DT_RUNPATH: u64 = 29;
        const DT_FLAGS_1: u64 = 0x6fff_fffb;
        const DF_1_PIE: u64 = 0x0800_0000;

        let mut dynamic = Self::default();
        let mut names = Vec::new();
        let (mut rpath, mut runpath) = (None, None);
        let (mut strings, mut size) = (None, 0);
        for entry in table.chunks_exact(16) {
            let value = u64_at(entry, 8);
            match u64_at(entry, 0) {
                0 => break,
                DT_NEEDED => names.push(value),
                DT_STRTAB => strings = Some(value),
                DT_STRSZ => size = value,
                DT_SONAME => dynamic.soname = true,
                DT_RPATH => rpath = Some(value),
                DT_RUNPATH => runpath = Some(value),
                DT_FLAGS_1 => dynamic.pie = value & DF_1_PIE != 0,
                _ => {}
            }
        }
        if names.is_empty() && rpath.is_none() && runpath.is_none() {
            return Ok(dynamic);
        }
        let strings = strings.ok_or_else(|| malformed("its libraries' names are missing"))?;
        let within = segments
            .iter()
            .find(|s| strings >= s.address && strings - s.address < s.file_size)
            .ok_or_else(|| malformed("its libraries' names are not loaded"))?;
        let table = part(bytes, within.offset + (strings - within.address), size, "the table of names")?;
        let name = |at: u64| -> Result<String, ProgramError> {
            let rest = usize::try_from(at).ok().and_then(|at| table.get(at..));
            let name = rest.and_then(|rest| rest.split(|b| *b == 0).next());
            let name = name.and_then(|name| std::str::from_utf8(name).ok()).filter(|name| !name.is_empty());
            Ok(name.ok_or_else(|| malformed("a library's name is missing"))?.to_owned())
        };
        dynamic.needed = names.into_iter().map(name).collect::<Result<_, _>>()?;
        dynamic.runpath = runpath.or(rpath).map(name).transpose()?;
        Ok(dynamic)
    }
}

/// Who built it, from what every build leaves behind: the interpreter's name, notes, and texts of the runtime.
fn guess(bytes: &[u8], kind: &ProgramKind, notes: &[&[u8]]) -> (Option<Libc>, Option<Language>) {
    let has = |text: &[u8]| memmem::find(bytes, text).is_some();
    let go = notes.iter().any(|note| u32_at(note, 0) == 4 && note.get(12..16) == Some(b"Go\0\0"))
        || memmem::find_iter(bytes, b"\xff Go buildinf:").any(|at| at.is_multiple_of(16));
    let libc = match kind {
        ProgramKind::Dynamic { interp, .. } if interp.contains("ld-musl") => Some(Libc::Musl),
        ProgramKind::Dynamic { interp, .. } if interp.contains("ld-linux") => Some(Libc::Glibc),
        ProgramKind::Dynamic { .. } => None,
        _ if has(b"GNU C Library") || has(b"glibc.malloc.") || has(b"glibc 2.") => Some(Libc::Glibc),
        _ if has(b"MUSL_LOCPATH") || has(b"musl libc") => Some(Libc::Musl),
        // musl leaves no name in a small static program; these are texts of its printing and error code.
        _ if has(b"-0X+0X 0X-0x+0x 0x")
            || has(b"No error information")
            || has(b"/dev/null\0/proc/self/fd/") =>
        {
            Some(Libc::Musl)
        }
        _ => None,
    };
    let language = if go {
        Some(Language::Go)
    } else if has(b"/rustc/") || has(b"RUST_BACKTRACE") {
        Some(Language::Rust)
    } else if has(b"libstdc++.so") || has(b"St9exception") || has(b"libc++.so") {
        Some(Language::Cxx)
    } else {
        None
    };
    (libc, language)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A program: one part at 4 MiB with headers and code in it. `edit` changes the bytes.
    fn elf(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = b"\x7fELF\x02\x01\x01".to_vec();
        out.resize(16, 0);
        out.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        for word in [0x40_0000 + 200u64, 64, 0] {
            out.extend(word.to_le_bytes());
        }
        out.extend([0; 4]);
        for half in [64u16, 56, 2, 64, 0, 0] {
            out.extend(half.to_le_bytes());
        }
        header(&mut out, PT_LOAD, 5, 0, 0x40_0000, 300, 4096);
        header(&mut out, 0x6474_e551, 6, 0, 0, 0, 16); // PT_GNU_STACK; tests put others here
        out.resize(300, 0xc3);
        edit(&mut out);
        out
    }

    fn header(out: &mut Vec<u8>, kind: u32, flags: u32, offset: u64, address: u64, size: u64, align: u64) {
        out.extend(kind.to_le_bytes());
        out.extend(flags.to_le_bytes());
        for word in [offset, address, address, size, size, align] {
            out.extend(word.to_le_bytes());
        }
    }

    fn put(bytes: &mut [u8], at: usize, with: &[u8]) {
        bytes[at..at + with.len()].copy_from_slice(with);
    }

    /// A program whose second header is this, with `data` at byte 400.
    fn with_part(kind: u32, data: &[u8], edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        elf(|out| {
            let mut part = Vec::new();
            header(&mut part, kind, 4, 400, 0x40_0000 + 400, data.len() as u64, 1);
            put(out, 120, &part);
            out.resize(400, 0);
            out.extend(data);
            let len = out.len() as u64;
            put(out, 64 + 32, &len.to_le_bytes());
            put(out, 64 + 40, &len.to_le_bytes());
            edit(out);
        })
    }

    /// A dynamic section whose names follow it: `names` is their table.
    fn dynamic(entries: &[(u64, u64)], names: &[u8]) -> Vec<u8> {
        let strings = 0x40_0000 + 400 + 16 * (entries.len() as u64 + 3);
        let all = entries.iter().copied().chain([(5, strings), (10, names.len() as u64), (0, 0)]);
        let mut out: Vec<u8> =
            all.flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat()).collect();
        out.extend(names);
        out
    }

    const PIE: (u64, u64) = (0x6fff_fffb, 0x0800_0000);

    #[test]
    fn kinds_are_told_apart() {
        let plain = inspect(&elf(|_| {})).unwrap();
        assert_eq!((plain.kind, plain.entry), (ProgramKind::Static, 0x40_00c8));
        assert_eq!(plain.segments.len(), 1);
        let segment = plain.segments[0];
        assert_eq!((segment.read, segment.write, segment.execute), (true, false, true));

        let pie = with_part(PT_DYNAMIC, &dynamic(&[PIE], b"\0"), |out| out[16] = 3);
        assert_eq!(inspect(&pie).unwrap().kind, ProgramKind::StaticPie);

        let interp = elf(|out| {
            let mut part = Vec::new();
            header(&mut part, PT_INTERP, 4, 250, 0x40_00fa, 28, 1);
            put(out, 120, &part);
            put(out, 250, b"/lib64/ld-linux-x86-64.so.2\0");
        });
        let program = inspect(&interp).unwrap();
        assert_eq!(program.libc, Some(Libc::Glibc));
        let interp = "/lib64/ld-linux-x86-64.so.2".to_owned();
        assert_eq!(program.kind, ProgramKind::Dynamic { interp, needed: vec![], runpath: None });
    }

    #[test]
    fn libraries_are_named_in_order() {
        let table = dynamic(&[(1, 1), (1, 9), (29, 17), PIE], b"\0libz.so\0libc.so\0$ORIGIN/lib\0");
        let bytes = with_part(PT_DYNAMIC, &table, |out| out[16] = 3);
        let segments = inspect(&bytes).unwrap().segments;
        let dynamic = Dynamic::read(&bytes, &table, &segments).unwrap();
        assert_eq!(dynamic.needed, ["libz.so", "libc.so"]);
        assert_eq!(dynamic.runpath.as_deref(), Some("$ORIGIN/lib"));
    }

    #[test]
    fn this_very_test_is_a_dynamic_rust_program() {
        let program = inspect(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
        assert_eq!(program.language, Some(Language::Rust));
        match program.kind {
            ProgramKind::Dynamic { interp, needed, .. } => {
                assert!(interp.contains("ld-"), "{interp}");
                assert!(needed.iter().any(|lib| lib.starts_with("libc.")), "{needed:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_fault_has_its_message() {
        type Case<'c> = (Vec<u8>, &'c str);
        let cases: Vec<Case<'_>> = vec![
            (vec![], "the file is empty"),
            (b"#!/bin/sh -e\necho".to_vec(), "a script for /bin/sh;"),
            (b"#!".to_vec(), "a script for no interpreter"),
            (b"hello".to_vec(), "something else, not a Linux executable"),
            (b"MZ\x90".to_vec(), "a Windows executable"),
            (b"\xcf\xfa\xed\xfe...".to_vec(), "a macOS executable"),
            (b"\0asm\x01\0\0\0".to_vec(), "a WebAssembly module"),
            (b"\x1f\x8b\x08".to_vec(), "a compressed file"),
            (b"\x7fELF".to_vec(), "cut off: the ELF header ends at byte 64 and the file at 4"),
            (
                elf(|b| {
                    b[4] = 1;
                    b[18] = 3
                }),
                "32-bit (Intel 80386)",
            ),
            (
                elf(|b| {
                    b[4] = 1;
                    b[18] = 40
                }),
                "32-bit (ARM)",
            ),
            (elf(|b| b[4] = 1), "32-bit (x32)"),
            (elf(|b| b[18] = 183), "for ARM64 (aarch64)"),
            (elf(|b| b[18] = 243), "for RISC-V"),
            (
                elf(|b| {
                    b[5] = 2;
                    put(b, 18, &[0, 22])
                }),
                "for IBM S/390",
            ),
            (elf(|b| put(b, 18, &[1, 0x99])), "for processor number 39169"),
            (elf(|b| b[7] = 9), "for FreeBSD, not Linux"),
            (elf(|b| b[16] = 1), "an object file, not a program; link it"),
            (elf(|b| b[16] = 4), "a core dump"),
            (elf(|b| b[16] = 9), "its type is 9"),
            (elf(|b| b[5] = 7), "its byte order is 7"),
            (elf(|b| b[4] = 7), "its class is 7"),
            (elf(|b| b[20] = 2), "its ELF version is not 1"),
            (elf(|b| b[56] = 0), "no program headers"),
            (elf(|b| b[54] = 32), "program headers are 32 bytes each"),
            (elf(|b| put(b, 32, &[0xff; 8])), "the table of program headers lies beyond any file"),
            (elf(|b| b[34] = 9), "cut off: the table of program headers"),
            (elf(|b| b.truncate(290)), "cut off: a loaded part ends at byte 300 and the file at 290"),
            (elf(|b| b[64] = 0), "nothing of it is loaded"),
            (elf(|b| put(b, 64 + 40, &[1, 0])), "larger in the file than in memory"),
            (elf(|b| b[64 + 17] = 1), "cannot be mapped from its place"),
            (elf(|b| b[64 + 48] = 3), "aligned to 4099"),
            (elf(|b| put(b, 64 + 16, &[0, 0, 0, 0, 0, 0, 0, 0x80])), "outside of a program's memory"),
            (elf(|b| b[26] = 0), "its entry point 0xc8 is in no executable part"),
            (
                elf(|b| {
                    let part = b[64..120].to_vec();
                    put(b, 120, &part)
                }),
                "overlap or are out of order at 0x400000",
            ),
            (elf(|b| b[64 + 4] = 4), "in no executable part"),
            (with_part(PT_INTERP, b"ld.so\0", |_| {}), "interpreter's path is not absolute"),
            (with_part(PT_INTERP, b"/\xff\xff\0", |_| {}), "interpreter's path is not text"),
            (with_part(PT_DYNAMIC, &dynamic(&[(14, 1)], b"\0libx.so\0"), |b| b[16] = 3), "a shared library"),
            (with_part(PT_DYNAMIC, &dynamic(&[(1, 1)], b"\0libc.so\0"), |b| b[16] = 3), "a shared library"),
            (with_part(PT_DYNAMIC, &dynamic(&[(1, 99)], b"\0x\0"), |_| {}), "a library's name is missing"),
        ];
        for (bytes, expected) in cases {
            let message = match inspect(&bytes) {
                Err(error) => error.to_string(),
                Ok(program) => panic!("{expected}: {program:?}"),
            };
            assert!(message.contains(expected), "expected `{expected}`, got `{message}`");
            assert!(message.contains("; "), "`{message}` does not say what to do");
            assert!(!message.contains('\n'), "{message}");
        }
        // The entry point may be at a part's very beginning.
        inspect(&elf(|b| b[24] = 0x10)).unwrap();
    }

    #[test]
    fn runtimes_are_recognised() {
        let with = |text: &[u8]| {
            let program = inspect(&elf(|out| out.extend(text))).unwrap();
            (program.libc, program.language)
        };
        assert_eq!(with(b""), (None, None));
        assert_eq!(with(b"GNU C Library (Debian)"), (Some(Libc::Glibc), None));
        assert_eq!(with(b"MUSL_LOCPATH\0/rustc/abc"), (Some(Libc::Musl), Some(Language::Rust)));
        assert_eq!(with(b"1234\xff Go buildinf:"), (None, Some(Language::Go)));
        assert_eq!(with(b"St9exception"), (None, Some(Language::Cxx)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn hostile_programs_never_panic(
            base in 0..3,
            edits in prop::collection::vec((0usize..600, any::<u8>()), 0..12),
            words in prop::collection::vec((0usize..75, prop::sample::select(vec![0u64, 1, 399, 4096, u64::MAX, 1 << 63, u64::MAX - 4095])), 0..3),
            cut in prop::option::of(0usize..600),
        ) {
            let table = dynamic(&[(1, 1), (29, 3), PIE], b"\0a\0b\0");
            let mut bytes = match base {
                0 => elf(|_| {}),
                1 => with_part(PT_DYNAMIC, &table, |out| out[16] = 3),
                _ => with_part(PT_INTERP, b"/lib/ld.so\0", |_| {}),
            };
            for (at, word) in words {
                if at * 8 + 8 <= bytes.len() {
                    put(&mut bytes, at * 8, &word.to_le_bytes());
                }
            }
            for (at, byte) in edits {
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            bytes.truncate(cut.unwrap_or(bytes.len()));
            if let Ok(program) = inspect(&bytes) {
                for segment in &program.segments {
                    prop_assert!(segment.offset + segment.file_size <= bytes.len() as u64);
                    prop_assert!(segment.address + segment.memory_size <= USER_END);
                }
            }
        }

        #[test]
        fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(inspect(&bytes).is_err());
        }
    }
}
