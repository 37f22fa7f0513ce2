//! An ELF file as the loader sees it: what is mapped where, which names it gives and asks for, which words are addresses.
//!
//! Everything is read through the program headers, as a loader does; section headers are only a hint, and may be missing.
//! No number of the file is believed: what points outside of it is left out.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::ScanError;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const SHT_SYMTAB: u32 = 2;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;
const R_64: u32 = 1;
const R_GLOB_DAT: u32 = 6;
const R_JUMP_SLOT: u32 = 7;
const R_RELATIVE: u32 = 8;
const R_IRELATIVE: u32 = 37;

/// A part of a file that is mapped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapped<'d> {
    /// Where it lies, before relocation.
    pub address: u64,
    /// What is in it; what is zero beyond that is left out.
    pub bytes: &'d [u8],
    pub execute: bool,
}

impl Mapped<'_> {
    pub fn range(&self) -> Range<u64> {
        self.address..self.address + self.bytes.len() as u64
    }
}

/// A name that is used or given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol<'d> {
    pub name: &'d str,
    pub address: u64,
    pub size: u64,
    pub function: bool,
    pub defined: bool,
}

/// An ELF file, read.
#[derive(Debug, Default)]
pub(super) struct Elf<'d> {
    pub mapped: Vec<Mapped<'d>>,
    /// Parts of the mapped file that hold instructions: sections, or whole executable parts.
    pub code: Vec<Range<u64>>,
    pub entry: u64,
    /// Whether it is loaded where it says, so that its words may be addresses without a relocation.
    pub fixed: bool,
    /// Names for linking (`.dynsym`).
    pub dynamic: Vec<Symbol<'d>>,
    /// Functions by the symbol table, when there is one.
    pub functions: Vec<Symbol<'d>>,
    /// Functions by the unwind table.
    pub unwound: Vec<Range<u64>>,
    /// Words that the loader fills in: with the address of a name (its place in `dynamic`)…
    pub named_slots: FxHashMap<u64, u32>,
    /// … that only code reads, while others are in data.
    pub data_names: Vec<u32>,
    /// Addresses in data, of functions and of texts: where they are, and what.
    pub pointers: Vec<(u64, u64)>,
    /// Functions that the loader calls.
    pub initial: Vec<u64>,
    /// The names' text, in which nothing is to be looked for.
    pub strings: Range<u64>,
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    word(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    word(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    word(bytes, at).map(u64::from_le_bytes)
}

fn part(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(size).ok()?)?)
}

/// A name in a table of names.
fn name(strings: &[u8], at: usize) -> Option<&str> {
    let rest = strings.get(at..)?;
    let end = memchr::memchr(0, rest)?;
    std::str::from_utf8(&rest[..end]).ok()
}

impl<'d> Elf<'d> {
    /// Reads a program or library for x86-64.
    ///
    /// # Errors
    /// When it is none, or its headers do not hold together.
    pub fn read(bytes: &'d [u8]) -> Result<Self, ScanError> {
        let cut = || ScanError::Malformed("its headers are cut off");
        if bytes.len() < 64 || !bytes.starts_with(b"\x7fELF") {
            return Err(ScanError::NotElf);
        }
        let kind = u16_at(bytes, 16).ok_or_else(cut)?;
        if bytes[4] != 2 || bytes[5] != 1 || u16_at(bytes, 18) != Some(62) || !matches!(kind, 2 | 3) {
            return Err(ScanError::NotElf);
        }
        let mut elf = Elf { entry: u64_at(bytes, 24).ok_or_else(cut)?, fixed: kind == 2, ..Self::default() };
        let count = u64::from(u16_at(bytes, 56).ok_or_else(cut)?);
        let size = u16_at(bytes, 54).ok_or_else(cut)?;
        if size != 56 {
            return Err(ScanError::Malformed("its program headers have a strange size"));
        }
        let headers = part(bytes, u64_at(bytes, 32).ok_or_else(cut)?, count * 56).ok_or_else(cut)?;
        let mut dynamic = None;
        let mut unwinding = None;
        for header in headers.chunks_exact(56) {
            let field = |at| u64_at(header, at).unwrap_or(0);
            let (offset, address, file_size) = (field(8), field(16), field(32));
            let Some(kind) = u32_at(header, 0) else { continue };
            match kind {
                PT_LOAD => {
                    let bytes = part(bytes, offset, file_size)
                        .ok_or(ScanError::Malformed("a loaded part lies beyond its end"))?;
                    if address.checked_add(file_size).is_none() {
                        return Err(ScanError::Malformed("a loaded part lies beyond all memory"));
                    }
                    let execute = u32_at(header, 4).unwrap_or(0) & 1 != 0;
                    if !bytes.is_empty() {
                        elf.mapped.push(Mapped { address, bytes, execute });
                    }
                }
                PT_DYNAMIC => dynamic = part(bytes, offset, file_size),
                PT_GNU_EH_FRAME => unwinding = Some(address),
                _ => {}
            }
        }
        elf.read_sections(bytes);
        if let Some(address) = unwinding {
            elf.read_unwinding(address);
        }
        if let Some(table) = dynamic {
            elf.read_dynamic(table);
        }
        if elf.fixed {
            elf.read_words();
        }
        elf.initial.sort_unstable();
        elf.initial.dedup();
        elf.pointers.sort_unstable();
        elf.pointers.dedup();
        Ok(elf)
    }

    /// The bytes at an address, to the end of what is mapped there.
    pub fn at(&self, address: u64) -> Option<&'d [u8]> {
        let mapped = self.mapped.iter().find(|m| m.range().contains(&address))?;
        mapped.bytes.get((address - mapped.address) as usize..)
    }

    /// The address that a word in data holds.
    pub fn pointer(&self, at: u64) -> Option<u64> {
        self.pointers.binary_search_by_key(&at, |(at, _)| *at).ok().map(|index| self.pointers[index].1)
    }

    /// Whether an address holds instructions.
    pub fn is_code(&self, address: u64) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }

    /// A text that begins at an address: printable, and ended by a NUL.
    pub fn text(&self, address: u64) -> Option<&'d str> {
        let rest = self.at(address)?;
        let rest = &rest[..rest.len().min(4096)];
        let text = std::str::from_utf8(&rest[..memchr::memchr(0, rest)?]).ok()?;
        (!text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b))).then_some(text)
    }

    /// Sections of code, and the symbol table.
    fn read_sections(&mut self, bytes: &'d [u8]) {
        let (Some(offset), Some(count)) = (u64_at(bytes, 40), u16_at(bytes, 60)) else { return self.whole() };
        let headers = part(bytes, offset, u64::from(count) * 64).filter(|_| u16_at(bytes, 58) == Some(64));
        let Some(headers) = headers else { return self.whole() };
        let executable: Vec<Range<u64>> =
            self.mapped.iter().filter(|m| m.execute).map(Mapped::range).collect();
        for header in headers.chunks_exact(64) {
            let field = |at| u64_at(header, at).unwrap_or(0);
            let (flags, address, offset, size) = (field(8), field(16), field(24), field(32));
            let kind = u32_at(header, 4).unwrap_or(0);
            if kind == 1 && flags & 6 == 6 {
                let end = address.saturating_add(size);
                if executable.iter().any(|m| m.start <= address && end <= m.end) && address < end {
                    self.code.push(address..end);
                }
            }
            if kind == SHT_SYMTAB {
                let link = u32_at(header, 40).unwrap_or(0) as usize;
                let strings = headers
                    .chunks_exact(64)
                    .nth(link)
                    .and_then(|strings| part(bytes, u64_at(strings, 24)?, u64_at(strings, 32)?));
                if let (Some(table), Some(strings)) = (part(bytes, offset, size), strings) {
                    self.functions = symbols(table, strings).filter(|s| s.function && s.defined).collect();
                }
            }
        }
        self.code.sort_by_key(|range| range.start);
        // Sections that overlap are no sections.
        let in_order = self.code.windows(2).all(|pair| pair[0].end <= pair[1].start);
        let covered = executable.iter().all(|m| self.code.iter().any(|code| m.contains(&code.start)));
        if !in_order
            || !covered
            || !self.code.iter().any(|range| range.contains(&self.entry)) && self.entry != 0
        {
            self.whole();
        }
    }

    /// Takes everything executable for code.
    fn whole(&mut self) {
        self.code = self.mapped.iter().filter(|m| m.execute).map(Mapped::range).collect();
        self.code.sort_by_key(|range| range.start);
        self.code.dedup_by(|later, earlier| later.start < earlier.end);
    }

    /// The search table of `.eh_frame_hdr` (LSB, "Exception Frames"): pairs of function and entry, relative to the table.
    fn read_unwinding(&mut self, address: u64) {
        let Some(table) = self.at(address) else { return };
        // Version 1, pointer to the frames as 4 bytes, count as 4 bytes, entries as 4 bytes relative to the table.
        if table.get(..4) != Some(&[1, 0x1b, 3, 0x3b]) {
            return;
        }
        let Some(count) = u32_at(table, 8) else { return };
        let near = |by: u32| address.wrapping_add_signed(i64::from(by as i32));
        // glibc's way back from a signal handler has its entry one byte early, for unwinders that look before an address.
        const SIGRETURN: &[u8] = &[0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];
        let mut found = Vec::new();
        for entry in table.get(12..).unwrap_or_default().chunks_exact(8).take(count as usize) {
            let (Some(start), Some(frame)) = (u32_at(entry, 0).map(near), u32_at(entry, 4).map(near)) else {
                continue;
            };
            // Length, where the common part is, the function's address, its size: as every compiler writes it.
            let frame_bytes = self.at(frame).unwrap_or_default();
            let told = u32_at(frame_bytes, 8).map(|by| (frame + 8).wrapping_add_signed(i64::from(by as i32)));
            let size = u32_at(frame_bytes, 12).filter(|_| told == Some(start)).unwrap_or(1);
            let early = self.at(start.wrapping_add(1)).is_some_and(|bytes| bytes.starts_with(SIGRETURN));
            if self.is_code(start) {
                found.push(start + u64::from(early)..start.saturating_add(u64::from(size)));
            }
        }
        found.sort_unstable_by_key(|range| range.start);
        found.dedup_by_key(|range| range.start);
        self.unwound = found;
    }

    fn read_dynamic(&mut self, table: &'d [u8]) {
        let mut tags: FxHashMap<u64, u64> = FxHashMap::default();
        for entry in table.chunks_exact(16) {
            match (u64_at(entry, 0), u64_at(entry, 8)) {
                (Some(0), _) => break,
                (Some(tag), Some(value)) => drop(tags.entry(tag).or_insert(value)),
                _ => break,
            }
        }
        let get = |tag: u64| tags.get(&tag).copied();
        let table_at = |at: u64, size: u64| {
            get(at).zip(get(size)).and_then(|(at, size)| self.at(at).and_then(|bytes| part(bytes, 0, size)))
        };
        let (symbols_at, strings) = (get(6).and_then(|at| self.at(at)), table_at(5, 10));
        let relocations: Vec<&[u8]> = [table_at(7, 8), table_at(23, 2)].into_iter().flatten().collect();
        let relr = table_at(36, 35);
        if let (Some(start), Some(size)) = (get(5), get(10)) {
            self.strings = start..start.saturating_add(size);
        }
        for tag in [12, 13] {
            self.initial.extend(get(tag));
        }
        if let (Some(table), Some(strings)) = (symbols_at, strings) {
            let count = self.symbol_count(&tags, &relocations).min(table.len() / 24);
            self.dynamic = symbols(&table[..count * 24], strings).collect();
        }
        for entry in relocations.iter().flat_map(|table| table.chunks_exact(24)) {
            let (Some(at), Some(info), Some(addend)) =
                (u64_at(entry, 0), u64_at(entry, 8), u64_at(entry, 16))
            else {
                continue;
            };
            let symbol = (info >> 32) as u32;
            match info as u32 {
                R_RELATIVE | R_IRELATIVE => self.pointers.push((at, addend)),
                R_GLOB_DAT | R_JUMP_SLOT => drop(self.named_slots.insert(at, symbol)),
                R_64 => {
                    self.data_names.push(symbol);
                    self.named_slots.insert(at, symbol);
                }
                _ => {}
            }
        }
        if let Some(table) = relr {
            self.read_packed(table);
        }
    }

    /// Relative relocations in packed form (`DT_RELR`): an address, then bitmaps of the words after it.
    fn read_packed(&mut self, table: &[u8]) {
        let mut at = 0u64;
        let mut found = Vec::new();
        for entry in table.chunks_exact(8).filter_map(|e| u64_at(e, 0)) {
            if entry & 1 == 0 {
                found.push(entry);
                at = entry.wrapping_add(8);
            } else {
                found.extend(
                    (0..63).filter(|bit| entry >> (bit + 1) & 1 != 0).map(|bit| at.wrapping_add(bit * 8)),
                );
                at = at.wrapping_add(63 * 8);
            }
        }
        let words: Vec<(u64, u64)> =
            found.iter().filter_map(|at| Some((*at, u64_at(self.at(*at)?, 0)?))).collect();
        self.pointers.extend(words);
    }

    /// How many names for linking there are: their table does not say.
    fn symbol_count(&self, tags: &FxHashMap<u64, u64>, relocations: &[&[u8]]) -> usize {
        let used = relocations.iter().flat_map(|table| table.chunks_exact(24)).filter_map(|e| u64_at(e, 8));
        let used = used.map(|info| (info >> 32) as usize + 1).max().unwrap_or(0);
        let old = tags.get(&4).and_then(|at| u32_at(self.at(*at)?, 4)).unwrap_or(0) as usize;
        let new = tags.get(&0x6fff_fef5).and_then(|at| self.gnu_count(self.at(*at)?)).unwrap_or(0);
        used.max(old).max(new)
    }

    /// The highest name in a GNU hash table: the end of the chain of its last bucket.
    fn gnu_count(&self, table: &[u8]) -> Option<usize> {
        let (buckets, first, bloom) = (u32_at(table, 0)?, u32_at(table, 4)?, u32_at(table, 8)?);
        let at = 16 + bloom as usize * 8;
        let last = (0..buckets as usize).map_while(|b| u32_at(table, at + b * 4)).max()?;
        let chains = at + buckets as usize * 4;
        let mut symbol = last.max(first);
        while u32_at(table, chains + (symbol - first) as usize * 4)? & 1 == 0 {
            symbol += 1;
        }
        Some(symbol as usize + 1)
    }

    /// Words of a program at a fixed address that could be addresses in it.
    fn read_words(&mut self) {
        let (low, high) = match (
            self.mapped.iter().map(|m| m.address).min(),
            self.mapped.iter().map(|m| m.range().end).max(),
        ) {
            (Some(low), Some(high)) => (low, high),
            _ => return,
        };
        for mapped in &self.mapped {
            let skip = (8 - mapped.address % 8) % 8;
            let words = mapped.bytes.get(skip as usize..).unwrap_or_default().chunks_exact(8);
            let words = words
                .enumerate()
                .filter_map(|(at, w)| Some((mapped.address + skip + at as u64 * 8, u64_at(w, 0)?)));
            self.pointers.extend(words.filter(|(_, value)| (low..high).contains(value)));
        }
    }
}

fn symbols<'d>(table: &'d [u8], strings: &'d [u8]) -> impl Iterator<Item = Symbol<'d>> {
    table.chunks_exact(24).map(move |entry| {
        let kind = entry[4] & 15;
        let section = u16_at(entry, 6).unwrap_or(0);
        Symbol {
            name: name(strings, u32_at(entry, 0).unwrap_or(0) as usize).unwrap_or(""),
            address: u64_at(entry, 8).unwrap_or(0),
            size: u64_at(entry, 16).unwrap_or(0),
            function: matches!(kind, STT_FUNC | STT_GNU_IFUNC),
            defined: section != 0,
        }
    })
}
