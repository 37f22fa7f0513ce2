//! The file of symbols beside an image: an ELF file without code that `nm`, `addr2line` and gdb read.

use std::borrow::Cow;

use object::elf;

use crate::layout::{Part, Region, VIRTUAL_OFFSET};
use crate::os::Table;
use crate::plan::Plan;

/// A name in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SymbolEntry<'p> {
    name: Cow<'p, str>,
    address: u64,
    size: u64,
    region: Region,
    code: bool,
    global: bool,
}

struct Header {
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    align: u64,
    entry: u64,
}

/// Every name in the image.
fn entries<'p>(plan: &'p Plan<'_>) -> Vec<SymbolEntry<'p>> {
    let mut entries = Vec::new();
    for &(part, region, offset, size) in &plan.places.parts {
        let address = plan.extents.region(region).physical + VIRTUAL_OFFSET + offset;
        let mut add = |name, address, size, code, global| {
            entries.push(SymbolEntry { name, address, size, region, code, global });
        };
        let Part::Section(section) = part else {
            let name = match part {
                Part::Hook(hook) => format!("bespoke.hook:{}", plan.os.index.hooks[hook as usize].name),
                Part::Table(Table::Components) => "bespoke.table:components".into(),
                Part::Table(Table::Program) => "bespoke.table:program".into(),
                Part::Table(Table::Refused(hook)) => {
                    format!("bespoke.table:refused.{}", plan.os.index.hooks[hook as usize].name)
                }
                _ => continue,
            };
            add(name.into(), address, size, false, true);
            continue;
        };
        let section = &plan.os.object.sections[section as usize];
        for symbol in plan.os.object.symbols_of(section) {
            let name = plan.os.object.symbol_name(symbol).into();
            add(name, address + symbol.value, symbol.size, symbol.code, symbol.global);
        }
    }
    entries
}

pub(crate) fn write(plan: &Plan<'_>) -> Vec<u8> {
    let regions: Vec<_> = plan.regions().collect();
    let mut names = vec![0];
    let mut add_name = |name: &str| {
        let at = names.len() as u32;
        names.extend(name.as_bytes());
        names.push(0);
        at
    };

    let mut symbols = entries(plan);
    for r in &regions {
        for (what, address) in [("start", r.address), ("end", r.address + r.memory_size)] {
            symbols.push(SymbolEntry {
                name: format!("bespoke.layout:{}.{what}", r.region.name()).into(),
                address,
                size: 0,
                region: r.region,
                code: false,
                global: true,
            });
        }
    }
    // ELF wants local symbols first.
    symbols.sort_by(|a, b| (a.global, a.address, &a.name).cmp(&(b.global, b.address, &b.name)));
    let locals = symbols.iter().filter(|s| !s.global).count() as u32 + 1;
    let mut table = vec![0u8; 24];
    let mut strings = vec![0u8];
    for symbol in &symbols {
        let section = regions.iter().position(|r| r.region == symbol.region).unwrap_or(0) as u16 + 1;
        let kind = if symbol.code { elf::STT_FUNC.0 } else { elf::STT_OBJECT.0 };
        table.extend((strings.len() as u32).to_le_bytes());
        table.push(u8::from(symbol.global) << 4 | kind);
        table.push(0);
        table.extend(section.to_le_bytes());
        table.extend(symbol.address.to_le_bytes());
        table.extend(symbol.size.to_le_bytes());
        strings.extend(symbol.name.as_bytes());
        strings.push(0);
    }

    let mut headers = vec![Header {
        name: 0,
        kind: elf::SHT_NULL.0,
        flags: 0,
        address: 0,
        offset: 0,
        size: 0,
        link: 0,
        info: 0,
        align: 0,
        entry: 0,
    }];
    for r in &regions {
        let flags = elf::SHF_ALLOC.0
            | match r.region {
                Region::Text => elf::SHF_EXECINSTR.0,
                Region::Data => elf::SHF_WRITE.0,
                _ => 0,
            };
        headers.push(Header {
            name: add_name(&format!(".{}", r.region.name())),
            kind: elf::SHT_NOBITS.0,
            flags,
            address: r.address,
            offset: 64,
            size: r.memory_size,
            link: 0,
            info: 0,
            align: 1,
            entry: 0,
        });
    }
    let strings_at = headers.len() as u32 + 1;
    let mut out = vec![0; 64];
    let mut add = |out: &mut Vec<u8>, name, kind, bytes: &[u8], link, info, entry| {
        out.resize(out.len().next_multiple_of(8), 0);
        let (offset, size) = (out.len() as u64, bytes.len() as u64);
        out.extend(bytes);
        let align = if entry > 0 { 8 } else { 1 };
        headers.push(Header { name, kind, flags: 0, address: 0, offset, size, link, info, align, entry });
    };
    let [symtab, strtab, shstrtab] = [".symtab", ".strtab", ".shstrtab"].map(&mut add_name);
    add(&mut out, symtab, elf::SHT_SYMTAB.0, &table, strings_at, locals, 24);
    add(&mut out, strtab, elf::SHT_STRTAB.0, &strings, 0, 0, 0);
    add(&mut out, shstrtab, elf::SHT_STRTAB.0, &names, 0, 0, 0);

    out.resize(out.len().next_multiple_of(8), 0);
    let headers_at = out.len() as u64;
    for h in &headers {
        out.extend(h.name.to_le_bytes());
        out.extend(h.kind.to_le_bytes());
        for word in [h.flags, h.address, h.offset, h.size] {
            out.extend(word.to_le_bytes());
        }
        out.extend(h.link.to_le_bytes());
        out.extend(h.info.to_le_bytes());
        out.extend(h.align.to_le_bytes());
        out.extend(h.entry.to_le_bytes());
    }
    let mut head = Vec::with_capacity(64);
    head.extend(*b"\x7fELF\x02\x01\x01");
    head.extend([0; 9]);
    head.extend(elf::ET_EXEC.0.to_le_bytes());
    head.extend(elf::EM_X86_64.0.to_le_bytes());
    head.extend(1u32.to_le_bytes());
    head.extend(plan.entry().to_le_bytes());
    head.extend(0u64.to_le_bytes());
    head.extend(headers_at.to_le_bytes());
    head.extend(0u32.to_le_bytes());
    for half in [64, 56, 0, 64, headers.len() as u16, headers.len() as u16 - 1] {
        head.extend(half.to_le_bytes());
    }
    out[..64].copy_from_slice(&head);
    out
}
