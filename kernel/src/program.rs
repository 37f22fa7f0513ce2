//! Looks at a program before it is packed: what kind of executable it is, what it needs to start, who built it.
//!
//! Nothing here trusts the file: every number in it is checked before it is used, and whatever is wrong becomes one
//! error that says what the file is and what to do about it.

use std::ops::Range;

use memchr::memmem;

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
pub fn inspect(bytes: &[u8]) -> Result<Program, ProgramError> {
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
                let path =
                    std::str::from_utf8(path).map_err(|_| malformed("its interpreter's path is not text"))?;
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
        || has(b"\xff Go buildinf:");
    let libc = match kind {
        ProgramKind::Dynamic { interp, .. } if interp.contains("ld-musl") => Some(Libc::Musl),
        ProgramKind::Dynamic { interp, .. } if interp.contains("ld-linux") => Some(Libc::Glibc),
        ProgramKind::Dynamic { .. } => None,
        _ if has(b"GNU C Library") || has(b"glibc.malloc.") || has(b"glibc 2.") => Some(Libc::Glibc),
        _ if has(b"MUSL_LOCPATH") || has(b"musl libc") => Some(Libc::Musl),
        // musl leaves no name in a small static program; these are texts of its own start and error code.
        _ if has(b"No error information") || has(b"/dev/null\0/proc/self/fd/") => Some(Libc::Musl),
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
