//! The relocatable object of the library OS, read once into flat tables.
//!
//! Only what can end up in an image is kept: sections with `SHF_ALLOC`, their relocations, and the symbols that name
//! them. References through a global offset table are made direct while reading (or given an eight-byte slot of their
//! own), so that everything after this module knows five plain relocation kinds and nothing else.

mod shared;

use std::ops::Range;

use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{FileHeader as _, Rela as _, SectionHeader as _, Sym as _};

/// Why an object cannot be composed from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// Not an ELF file, or one whose tables contradict themselves.
    #[error("the OS object is malformed: {0}; rebuild bespoke")]
    Malformed(String),
    /// An ELF file, but not a 64-bit little-endian x86-64 relocatable one.
    #[error("the OS object is {0}, not a relocatable x86-64 ELF file; rebuild bespoke")]
    Kind(&'static str),
    /// A relocation the composer has no rule for.
    #[error(
        "relocation type {kind} in {section} is not supported; compile the OS with the static relocation model"
    )]
    Relocation {
        /// The ELF relocation type.
        kind: u32,
        /// The section that it patches.
        section: String,
    },
    /// A section the composer has no place for.
    #[error("section {section} is {what}; remove it from the OS")]
    Section {
        /// Its name.
        section: String,
        /// What it is.
        what: &'static str,
    },
    /// There is no `bespoke_start`.
    #[error("the OS object defines no {0}; export the entry point under that name")]
    NoStart(&'static str),
}

impl From<object::read::Error> for ObjectError {
    fn from(e: object::read::Error) -> Self {
        Self::Malformed(e.to_string().to_lowercase())
    }
}

/// The symbol that execution and marking start at.
pub const START: &str = "bespoke_start";

/// What a section holds, and so the region that it is laid out in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Machine code.
    Text,
    /// Constants.
    Rodata,
    /// Initialised, writable data.
    Data,
    /// Zeroed memory: no bytes in the file.
    Bss,
}

/// Index of a section of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionId(pub(crate) u32);

impl SectionId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A section that may become part of an image.
#[derive(Debug, Clone)]
pub struct Section {
    pub(crate) name: Range<u32>,
    pub(crate) class: Class,
    /// Where its bytes are in the object; empty for [`Class::Bss`].
    pub(crate) bytes: Range<u32>,
    pub(crate) size: u64,
    pub(crate) align: u64,
    /// Its relocations, a range of [`Object::relocations`].
    pub(crate) relocations: Range<u32>,
    /// The symbols that it defines, a range of [`Object::symbols`].
    pub(crate) symbols: Range<u32>,
}

/// What a relocation refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    Section(u32),
    External(u32),
}

/// How the value is written. `S` is the target's address, `A` the addend, `P` the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patch {
    /// `S + A`, 64 bits.
    Abs64,
    /// `S + A`, must zero-extend from 32 bits.
    Abs32,
    /// `S + A`, must sign-extend from 32 bits.
    Abs32S,
    /// `S + A - P`, 32 bits signed.
    Pc32,
    /// `S + A - P`, 64 bits.
    Pc64,
}

impl Patch {
    pub(crate) fn width(self) -> u64 {
        match self {
            Self::Abs64 | Self::Pc64 => 8,
            _ => 4,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Relocation {
    pub(crate) offset: u64,
    pub(crate) target: Target,
    pub(crate) patch: Patch,
    pub(crate) addend: i64,
}

/// A symbol that the object refers to without defining it in a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct External {
    pub(crate) name: String,
    pub(crate) kind: ExternalKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExternalKind {
    /// To be bound by the composer.
    Undefined,
    /// Zero when nothing defines it.
    Weak,
    /// A fixed value.
    Absolute(u64),
}

/// A named place in a section.
#[derive(Debug, Clone)]
pub(crate) struct Symbol {
    pub(crate) section: u32,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) name: Range<u32>,
    pub(crate) code: bool,
    pub(crate) global: bool,
}

/// The library OS, compiled once with a section for every function and every datum.
#[derive(Debug, Clone)]
pub struct Object {
    /// The ELF file, its code already rid of detours through a global offset table; names live here too.
    bytes: Vec<u8>,
    pub(crate) sections: Vec<Section>,
    pub(crate) relocations: Vec<Relocation>,
    pub(crate) externals: Vec<External>,
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) start: (SectionId, u64),
}

fn malformed(what: impl Into<String>) -> ObjectError {
    ObjectError::Malformed(what.into())
}

impl Object {
    /// Reads an ELF64 relocatable object. Its bytes are kept, not copied.
    pub fn parse(mut bytes: Vec<u8>) -> Result<Self, ObjectError> {
        let mut rewrites = Vec::new();
        let mut object = Reader::read(&bytes, &mut rewrites)?;
        for (at, with) in rewrites {
            let at = at as usize;
            bytes[at..at + with.len()].copy_from_slice(with);
        }
        object.bytes = bytes;
        Ok(object)
    }

    /// How many sections could become part of an image.
    pub fn section_count(&self) -> usize {
        self.sections.len()
    }

    /// How many relocations they hold.
    pub fn relocation_count(&self) -> usize {
        self.relocations.len()
    }

    pub(crate) fn section_name(&self, section: &Section) -> &str {
        self.text(&section.name)
    }

    pub(crate) fn section_bytes(&self, section: &Section) -> &[u8] {
        &self.bytes[section.bytes.start as usize..section.bytes.end as usize]
    }

    pub(crate) fn symbol_name(&self, symbol: &Symbol) -> &str {
        self.text(&symbol.name)
    }

    pub(crate) fn symbols_of(&self, section: &Section) -> &[Symbol] {
        &self.symbols[section.symbols.start as usize..section.symbols.end as usize]
    }

    pub(crate) fn relocations_of(&self, section: &Section) -> &[Relocation] {
        &self.relocations[section.relocations.start as usize..section.relocations.end as usize]
    }

    /// What to call the section in a message: its first symbol, or its own name.
    pub(crate) fn label(&self, id: SectionId) -> &str {
        let section = &self.sections[id.index()];
        match self.symbols_of(section).first() {
            Some(symbol) => self.symbol_name(symbol),
            None if section.name.is_empty() => "an address slot",
            None => self.section_name(section),
        }
    }

    fn text(&self, range: &Range<u32>) -> &str {
        // Checked to be UTF-8 when read.
        std::str::from_utf8(&self.bytes[range.start as usize..range.end as usize]).unwrap_or("?")
    }
}

/// A change of code bytes: where in the file, and with what.
type Rewrite = (u64, &'static [u8]);

struct Reader<'d> {
    data: &'d [u8],
    object: Object,
    /// ELF section index to ours.
    section_of: Vec<Option<u32>>,
    /// ELF symbol index to what a relocation against it means, with the symbol's own offset.
    target_of: Vec<Option<(Target, u64)>>,
    /// Our sections of constants that all code shares.
    shared: Vec<(u32, shared::Entries)>,
    /// Slots of the global offset table, by what they hold.
    slots: std::collections::HashMap<(Target, u64), u32>,
}

impl<'d> Reader<'d> {
    fn read(data: &'d [u8], rewrites: &mut Vec<Rewrite>) -> Result<Object, ObjectError> {
        if data.len() > u32::MAX as usize {
            return Err(malformed("larger than 4 GiB"));
        }
        let header = elf::FileHeader64::<LE>::parse(data)?;
        if header.e_ident.class != elf::ELFCLASS64 {
            return Err(ObjectError::Kind("not 64-bit"));
        }
        let endian = header.endian()?;
        if header.e_machine(endian) != elf::EM_X86_64 {
            return Err(ObjectError::Kind("for another processor"));
        }
        if header.e_type(endian) != elf::ET_REL {
            return Err(ObjectError::Kind("already linked"));
        }
        let sections = header.sections(endian, data)?;
        let symbols = sections.symbols(endian, data, elf::SHT_SYMTAB)?;
        let mut reader = Reader {
            data,
            object: Object {
                bytes: Vec::new(),
                sections: Vec::new(),
                relocations: Vec::new(),
                externals: Vec::new(),
                symbols: Vec::new(),
                start: (SectionId(0), 0),
            },
            section_of: vec![None; sections.len()],
            target_of: vec![None; symbols.len()],
            shared: Vec::new(),
            slots: Default::default(),
        };
        reader.read_sections(endian, &sections)?;
        let start = reader.read_symbols(endian, &symbols)?;
        for (index, header) in sections.iter().enumerate() {
            let Some((rela, link)) = header.rela(endian, data)? else {
                if header.sh_type(endian) == elf::SHT_REL {
                    let into = header.info_link(endian);
                    if reader.section_of.get(into.0).is_some_and(Option::is_some) {
                        return Err(malformed("relocations without addends"));
                    }
                }
                continue;
            };
            let Some(&Some(own)) = reader.section_of.get(header.info_link(endian).0) else { continue };
            if link != symbols.section() {
                return Err(malformed(format!("relocation section {index} has no symbol table")));
            }
            reader.read_relocations(endian, own, rela, rewrites)?;
        }
        let mut slots: Vec<_> = reader.slots.drain().collect();
        slots.sort_by_key(|(_, slot)| *slot);
        for ((target, value), slot) in slots {
            let first = reader.object.relocations.len() as u32;
            let (patch, addend) = (Patch::Abs64, value as i64);
            reader.object.relocations.push(Relocation { offset: 0, target, patch, addend });
            reader.object.sections[slot as usize].relocations = first..first + 1;
        }
        let Some(start) = start else { return Err(ObjectError::NoStart(START)) };
        reader.object.start = start;
        for (index, entries) in std::mem::take(&mut reader.shared) {
            shared::split(&mut reader.object, data, index, entries);
        }
        Ok(reader.object)
    }

    /// The range of a name inside the file; names are slices of it.
    fn range_of(&self, name: &'d [u8]) -> Result<Range<u32>, ObjectError> {
        std::str::from_utf8(name).map_err(|_| malformed("a name that is not UTF-8"))?;
        let start = (name.as_ptr() as usize).wrapping_sub(self.data.as_ptr() as usize);
        if start.checked_add(name.len()).is_none_or(|end| end > self.data.len()) {
            return Err(malformed("a name outside of the file"));
        }
        Ok(start as u32..(start + name.len()) as u32)
    }

    fn read_sections(
        &mut self,
        endian: LE,
        table: &object::read::elf::SectionTable<'d, elf::FileHeader64<LE>>,
    ) -> Result<(), ObjectError> {
        for (index, header) in table.iter().enumerate() {
            let flags = header.sh_flags(endian).0;
            let kind = header.sh_type(endian);
            if flags & elf::SHF_ALLOC.0 == 0 || kind == elf::SHT_NULL {
                continue;
            }
            let name = self.range_of(table.section_name(endian, header)?)?;
            let label = || String::from_utf8_lossy(&self.data[name.start as usize..name.end as usize]).into();
            if flags & elf::SHF_TLS.0 != 0 {
                return Err(ObjectError::Section { section: label(), what: "thread-local" });
            }
            if flags & elf::SHF_COMPRESSED.0 != 0 {
                return Err(ObjectError::Section { section: label(), what: "compressed" });
            }
            let size = header.sh_size(endian);
            let align = header.sh_addralign(endian).max(1);
            if !align.is_power_of_two() || align > 4096 {
                return Err(malformed(format!("section {} is aligned to {align}", label())));
            }
            let nobits = kind == elf::SHT_NOBITS;
            let class = if flags & elf::SHF_EXECINSTR.0 != 0 {
                Class::Text
            } else if flags & elf::SHF_WRITE.0 == 0 {
                Class::Rodata
            } else if nobits {
                Class::Bss
            } else {
                Class::Data
            };
            if nobits && class != Class::Bss {
                return Err(ObjectError::Section { section: label(), what: "zeroed but not writable" });
            }
            if size > 1 << 30 {
                return Err(ObjectError::Section { section: label(), what: "larger than 1 GiB" });
            }
            let bytes = if nobits {
                0..0
            } else {
                let (offset, len) =
                    header.file_range(endian).ok_or_else(|| malformed("a section without bytes"))?;
                header.data(endian, self.data)?;
                offset as u32..(offset + len) as u32
            };
            let own = self.object.sections.len() as u32;
            if flags & elf::SHF_MERGE.0 != 0 && class == Class::Rodata {
                let entry = header.sh_entsize(endian);
                match flags & elf::SHF_STRINGS.0 != 0 {
                    true if entry == 1 => self.shared.push((own, shared::Entries::Strings)),
                    false if (1..=64).contains(&entry) => {
                        self.shared.push((own, shared::Entries::Sized(entry as u32)));
                    }
                    _ => {}
                }
            }
            self.section_of[index] = Some(own);
            self.object.sections.push(Section {
                name,
                class,
                bytes,
                size,
                align,
                relocations: 0..0,
                symbols: 0..0,
            });
        }
        Ok(())
    }

    fn read_symbols(
        &mut self,
        endian: LE,
        symbols: &object::read::elf::SymbolTable<'d, elf::FileHeader64<LE>>,
    ) -> Result<Option<(SectionId, u64)>, ObjectError> {
        let mut start = None;
        for (index, symbol) in symbols.enumerate() {
            if index.0 == 0 {
                continue;
            }
            let name = symbol.name(endian, symbols.strings())?;
            let value = symbol.st_value(endian);
            let global = symbol.st_bind() != elf::STB_LOCAL;
            let code = symbol.st_type() == elf::STT_FUNC;
            let mut define = |this: &mut Self, section: u32, value: u64| -> Result<(), ObjectError> {
                if value > this.object.sections[section as usize].size {
                    return Err(malformed(format!("symbol {} lies outside of its section", lossy(name))));
                }
                this.target_of[index.0] = Some((Target::Section(section), value));
                if name == START.as_bytes() && global {
                    start = Some((SectionId(section), value));
                }
                if !name.is_empty()
                    && symbol.st_type() != elf::STT_SECTION
                    && symbol.st_type() != elf::STT_FILE
                {
                    let name = this.range_of(name)?;
                    let size = symbol.st_size(endian);
                    this.object.symbols.push(Symbol { section, value, size, name, code, global });
                }
                Ok(())
            };
            if symbol.st_type() == elf::STT_TLS {
                return Err(malformed(format!("symbol {} is thread-local", lossy(name))));
            }
            if symbol.st_type() == elf::STT_GNU_IFUNC {
                return Err(malformed(format!("symbol {} is an indirect function", lossy(name))));
            }
            match symbol.st_shndx(endian) {
                elf::SHN_UNDEF => {
                    let name =
                        std::str::from_utf8(name).map_err(|_| malformed("a name that is not UTF-8"))?;
                    let kind = match symbol.st_bind() {
                        elf::STB_WEAK => ExternalKind::Weak,
                        _ => ExternalKind::Undefined,
                    };
                    self.external(index.0, name.to_owned(), kind);
                }
                elf::SHN_ABS if symbol.st_type() == elf::STT_FILE => {}
                elf::SHN_ABS => {
                    self.external(index.0, lossy(name), ExternalKind::Absolute(value));
                }
                elf::SHN_COMMON => {
                    // For a common symbol, the value is the alignment.
                    let align = value.max(1);
                    let size = symbol.st_size(endian);
                    if !align.is_power_of_two() || align > 4096 || size > 1 << 30 {
                        return Err(malformed(format!(
                            "common symbol {} has no possible place",
                            lossy(name)
                        )));
                    }
                    let section = self.object.sections.len() as u32;
                    self.object.sections.push(Section {
                        name: self.range_of(name)?,
                        class: Class::Bss,
                        bytes: 0..0,
                        size,
                        align,
                        relocations: 0..0,
                        symbols: 0..0,
                    });
                    define(self, section, 0)?;
                }
                _ => {
                    let Some(at) = symbols.symbol_section(endian, symbol, index)? else { continue };
                    match self.section_of.get(at.0) {
                        Some(&Some(section)) => define(self, section, value)?,
                        Some(None) => {} // of a section that is not loaded
                        None => return Err(malformed(format!("symbol {} is in no section", lossy(name)))),
                    }
                }
            }
        }
        self.object.symbols.sort_by_key(|s| (s.section, s.value, !s.global));
        let mut at = 0;
        for (index, section) in self.object.sections.iter_mut().enumerate() {
            let first = at;
            while self.object.symbols.get(at).is_some_and(|s| s.section as usize == index) {
                at += 1;
            }
            section.symbols = first as u32..at as u32;
        }
        Ok(start)
    }

    fn external(&mut self, index: usize, name: String, kind: ExternalKind) {
        let id = self.object.externals.len() as u32;
        self.object.externals.push(External { name, kind });
        self.target_of[index] = Some((Target::External(id), 0));
    }

    fn read_relocations(
        &mut self,
        endian: LE,
        own: u32,
        rela: &[elf::Rela64<LE>],
        rewrites: &mut Vec<Rewrite>,
    ) -> Result<(), ObjectError> {
        let section = self.object.sections[own as usize].clone();
        let label = |this: &Self| {
            String::from_utf8_lossy(&this.data[section.name.start as usize..section.name.end as usize])
                .into_owned()
        };
        if !section.relocations.is_empty() {
            return Err(malformed(format!("two relocation sections for {}", label(self))));
        }
        let first = self.object.relocations.len() as u32;
        for entry in rela {
            let mut offset = entry.r_offset(endian);
            let kind = entry.r_type(endian, false);
            let mut addend = entry.r_addend(endian);
            if kind == elf::R_X86_64_NONE {
                continue;
            }
            let symbol = entry.r_sym(endian, false) as usize;
            let Some((mut target, mut value)) = self.target_of.get(symbol).copied().flatten() else {
                return Err(malformed(format!(
                    "a relocation in {} refers to nothing that is loaded",
                    label(self)
                )));
            };
            let patch = match kind {
                elf::R_X86_64_64 => Patch::Abs64,
                elf::R_X86_64_32 => Patch::Abs32,
                elf::R_X86_64_32S => Patch::Abs32S,
                elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => Patch::Pc32,
                elf::R_X86_64_PC64 => Patch::Pc64,
                elf::R_X86_64_GOTPCREL | elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX => {
                    match self.direct(&section, offset, addend, target) {
                        Some((moved, with)) => {
                            let at = u64::from(section.bytes.start) + offset - 2;
                            rewrites.push((at, with));
                            offset -= moved;
                            if moved == 1 {
                                // `jmp *slot(%rip)` became `jmp target; nop`.
                                rewrites.push((at + 5, &[0x90]));
                            }
                        }
                        None => (target, value) = (Target::Section(self.slot(target, value)), 0),
                    }
                    Patch::Pc32
                }
                kind => return Err(ObjectError::Relocation { kind: kind.0, section: label(self) }),
            };
            if section.class == Class::Bss
                || offset.checked_add(patch.width()).is_none_or(|end| end > section.size)
            {
                return Err(malformed(format!("a relocation outside of {}", label(self))));
            }
            addend = addend.wrapping_add(value as i64);
            self.object.relocations.push(Relocation { offset, target, patch, addend });
        }
        let last = self.object.relocations.len() as u32;
        self.object.sections[own as usize].relocations = first..last;
        Ok(())
    }

    /// Whether the instruction around a reference to a slot can name the target itself: how far its operand moves
    /// towards the opcode, and the two bytes before the operand's old place.
    fn direct(
        &self,
        section: &Section,
        offset: u64,
        addend: i64,
        target: Target,
    ) -> Option<(u64, &'static [u8])> {
        const LEA: [[u8; 2]; 8] = [
            [0x8d, 0x05],
            [0x8d, 0x0d],
            [0x8d, 0x15],
            [0x8d, 0x1d],
            [0x8d, 0x25],
            [0x8d, 0x2d],
            [0x8d, 0x35],
            [0x8d, 0x3d],
        ];
        if let Target::External(id) = target
            && self.object.externals[id as usize].kind != ExternalKind::Undefined
        {
            return None; // a fixed value may be out of reach of a 32-bit distance
        }
        if section.class != Class::Text || addend != -4 || offset < 2 || offset + 4 > section.size {
            return None;
        }
        let at = section.bytes.start as usize + offset as usize;
        match self.data[at - 2..at] {
            // mov slot(%rip), %reg → lea target(%rip), %reg
            [0x8b, modrm] if modrm & 0xc7 == 0x05 => Some((0, &LEA[usize::from(modrm >> 3)])),
            // call *slot(%rip) → addr32 call target
            [0xff, 0x15] => Some((0, &[0x67, 0xe8])),
            // jmp *slot(%rip) → jmp target; nop
            [0xff, 0x25] => Some((1, &[0xe9])),
            _ => None,
        }
    }

    /// The section that holds an eight-byte slot with the target's address.
    fn slot(&mut self, target: Target, value: u64) -> u32 {
        if let Some(&slot) = self.slots.get(&(target, value)) {
            return slot;
        }
        let slot = self.object.sections.len() as u32;
        self.slots.insert((target, value), slot);
        self.object.sections.push(Section {
            name: 0..0,
            class: Class::Rodata,
            bytes: 0..0,
            size: 8,
            align: 8,
            relocations: 0..0,
            symbols: 0..0,
        });
        slot
    }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
