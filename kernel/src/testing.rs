//! Small library OSes for tests: objects are put together with the writing half of `object`, trees from text.

use std::collections::HashMap;

use bespoke_model::{Decision, Decisions, Resolution, Source, Tree};
use object::write::{self, Object, Relocation, StandardSegment, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope, elf,
};

use crate::os::{LoadError, Os};

/// An object under construction.
pub(crate) struct Asm {
    object: Object<'static>,
    symbols: HashMap<String, SymbolId>,
}

/// A section of it.
#[derive(Clone, Copy)]
pub(crate) struct At(write::SectionId, SectionKind);

impl Asm {
    /// With `bespoke_start` that refers to each of `reaches`.
    pub(crate) fn starting(reaches: &[&str]) -> Self {
        let mut asm = Self::bare();
        asm.function("bespoke_start", reaches);
        asm
    }

    pub(crate) fn bare() -> Self {
        let object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        Self { object, symbols: HashMap::new() }
    }

    pub(crate) fn section(&mut self, name: &str, kind: SectionKind, bytes: &[u8], align: u64) -> At {
        let segment = self.object.segment_name(StandardSegment::Text).to_vec();
        let id = self.object.add_section(segment, name.as_bytes().to_vec(), kind);
        if kind == SectionKind::UninitializedData {
            self.object.append_section_bss(id, bytes.len() as u64, align);
        } else {
            self.object.append_section_data(id, bytes, align);
        }
        At(id, kind)
    }

    fn id(&mut self, name: &str) -> SymbolId {
        if let Some(id) = self.symbols.get(name) {
            return *id;
        }
        let id = self.object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: 0,
            size: 0,
            kind: SymbolKind::Unknown,
            scope: SymbolScope::Unknown,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        });
        self.symbols.insert(name.into(), id);
        id
    }

    pub(crate) fn define(&mut self, name: &str, at: At, value: u64, size: u64) {
        let id = self.id(name);
        let kind = match at.1 {
            SectionKind::Text => SymbolKind::Text,
            _ => SymbolKind::Data,
        };
        let symbol = self.object.symbol_mut(id);
        (symbol.section, symbol.value, symbol.size) = (SymbolSection::Section(at.0), value, size);
        (symbol.kind, symbol.scope) = (kind, SymbolScope::Dynamic);
    }

    pub(crate) fn special(&mut self, name: &str, section: SymbolSection, value: u64, size: u64, weak: bool) {
        let id = self.id(name);
        let symbol = self.object.symbol_mut(id);
        (symbol.section, symbol.value, symbol.size, symbol.weak) = (section, value, size, weak);
        (symbol.kind, symbol.scope) = (SymbolKind::Data, SymbolScope::Dynamic);
    }

    pub(crate) fn relocate(&mut self, at: At, offset: u64, kind: elf::RelocationType, to: &str, addend: i64) {
        let symbol = self.id(to);
        let flags = RelocationFlags::Elf { r_type: kind };
        self.object.add_relocation(at.0, Relocation { offset, symbol, addend, flags }).unwrap();
    }

    /// Against the section itself, as compilers do for what is local.
    pub(crate) fn relocate_to_section(
        &mut self,
        at: At,
        offset: u64,
        kind: elf::RelocationType,
        to: At,
        addend: i64,
    ) {
        let symbol = self.object.section_symbol(to.0);
        let flags = RelocationFlags::Elf { r_type: kind };
        self.object.add_relocation(at.0, Relocation { offset, symbol, addend, flags }).unwrap();
    }

    /// A function of 8 bytes for each thing that it refers to, and one more.
    pub(crate) fn function(&mut self, name: &str, reaches: &[&str]) -> At {
        let bytes = vec![0x90; reaches.len() * 8 + 1];
        let at = self.section(&format!(".text.{name}"), SectionKind::Text, &bytes, 1);
        self.define(name, at, 0, bytes.len() as u64);
        for (n, to) in reaches.iter().enumerate() {
            self.relocate(at, n as u64 * 8, elf::R_X86_64_64, to, 0);
        }
        at
    }

    /// Registrations of a module for a hook: keys, and what they point to.
    pub(crate) fn hook(&mut self, hook: &str, module: &str, entries: &[(u64, &str)]) {
        let bytes: Vec<u8> =
            entries.iter().flat_map(|(key, _)| [key.to_le_bytes(), [0; 8]].concat()).collect();
        let name = format!(".bespoke.hook:{hook}:{module}");
        let at = self.section(&name, SectionKind::ReadOnlyDataWithRel, &bytes, 8);
        for (n, (_, to)) in entries.iter().enumerate() {
            self.relocate(at, n as u64 * 16 + 8, elf::R_X86_64_64, to, 0);
        }
    }

    /// The storage of a parameter.
    pub(crate) fn param(&mut self, module: &str, name: &str, size: usize) {
        let at =
            self.section(&format!(".bespoke.param:{module}:{name}"), SectionKind::Data, &vec![0; size], 8);
        self.define(&format!("bespoke.param:{module}:{name}"), at, 0, size as u64);
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.object.write().unwrap()
    }

    pub(crate) fn os(&self, tree: Tree) -> Result<Os, LoadError> {
        Os::from_parts(self.bytes(), tree)
    }
}

/// A tree of `(id, declaration)`, with titles and helps added.
pub(crate) fn tree(declarations: &[(&str, &str)]) -> Tree {
    let texts: Vec<String> =
        declarations.iter().map(|(id, text)| format!("title = \"{id}\"\nhelp = \"x\"\n{text}")).collect();
    let sources: Vec<Source<'_>> =
        declarations.iter().zip(&texts).map(|((id, _), text)| Source { id, file: id, text }).collect();
    Tree::load(&sources).unwrap_or_else(|problems| panic!("{problems}"))
}

pub(crate) fn resolve(os: &Os, set: &[(&str, Decision)]) -> Resolution {
    let mut decisions = Decisions::new();
    for (id, decision) in set {
        decisions.set(id, Some(decision.clone()));
    }
    os.tree.resolve(&decisions).unwrap()
}
