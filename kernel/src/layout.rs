//! Where everything goes. One function walks the kept sections in their order; the sizes shown and the file written
//! both come from it.

use bespoke_model::{NodeId, Value};

use crate::image;
use crate::mark::{Marks, Selection};
use crate::object::Class;
use crate::os::{Bind, Os, ParamSlot, Table};
use crate::param;

/// Where images are loaded.
pub const PHYSICAL_BASE: u64 = 1 << 20;
/// What an address is above its physical one.
pub const VIRTUAL_OFFSET: u64 = 0xffff_ffff_8000_0000;
/// The size of a page of memory.
pub const PAGE: u64 = 4096;

pub(crate) fn align_up(value: u64, align: u64) -> u64 {
    (value + align - 1) & !(align - 1)
}

/// A contiguous part of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Region {
    /// Code.
    Text,
    /// Constants, hook tables, and the composer's tables.
    Rodata,
    /// Writable data, and the zeroed memory after it.
    Data,
    /// The packed files.
    Root,
}

impl Region {
    /// All of them, in the order of their layout.
    pub const ALL: [Self; 4] = [Self::Text, Self::Rodata, Self::Data, Self::Root];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Rodata => "rodata",
            Self::Data => "data",
            Self::Root => "root",
        }
    }
}

/// A region's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    /// Offset in the file.
    pub(crate) offset: u64,
    /// Physical address.
    pub(crate) physical: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
}

/// All places, and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extents {
    pub(crate) regions: [Extent; 4],
    pub(crate) image_bytes: u64,
    pub(crate) boot_memory_bytes: u64,
    /// Entries of the hook "syscall".
    pub(crate) syscalls: u32,
    /// The length of the table "program", when it is in.
    pub(crate) program_table: u64,
}

impl Extents {
    pub(crate) fn region(&self, region: Region) -> Extent {
        self.regions[region as usize]
    }
}

/// Something that takes a place in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Section(u32),
    Hook(u32),
    Table(Table),
    /// The text of a wide parameter, by position in [`Index::params`](crate::os::Index).
    Text(u32),
}

/// Hears of every part as it is placed: the part, its region, its offset in the region, its length.
pub(crate) trait Placed {
    fn part(&mut self, part: Part, region: Region, offset: u64, size: u64);
    /// Code of one component (or of none) ends here.
    fn code_until(&mut self, component: Option<NodeId>, end: u64);
}

/// Who only wants to know the sizes.
impl Placed for () {
    fn part(&mut self, _: Part, _: Region, _: u64, _: u64) {}
    fn code_until(&mut self, _: Option<NodeId>, _: u64) {}
}

/// The packed root and the table "program", as far as the layout cares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appended {
    pub(crate) root: u64,
    pub(crate) program_table: u64,
}

/// Places everything that is marked.
pub(crate) fn place<'r>(
    os: &Os,
    selection: &Selection,
    marks: &Marks,
    value: &dyn Fn(&ParamSlot) -> &'r Value,
    appended: Appended,
    placed: &mut impl Placed,
) -> Extents {
    let index = &os.index;
    let mut extents = Extents::default();
    let lay = |class: Class, region: Region, at: &mut u64, placed: &mut dyn FnMut(Part, Region, u64, u64)| {
        for &section in &index.order[class as usize] {
            if marks.section(section) {
                let shape = &os.object.sections[section as usize];
                *at = align_up(*at, shape.align);
                placed(Part::Section(section), region, *at, shape.size);
                *at += shape.size;
            }
        }
    };

    // Text, and with it the length of the table that says whose it is.
    let mut text = 0;
    let mut components = 0;
    let (mut group, mut group_end) = (0, 0);
    for &section in &index.order[Class::Text as usize] {
        if !marks.section(section) {
            continue;
        }
        let shape = &os.object.sections[section as usize];
        let of = index.group[section as usize];
        if of != group {
            if text > group_end {
                components += components_record(os, group);
                placed.code_until(node_of(os, group), text);
                group_end = text;
            }
            group = of;
        }
        text = align_up(text, shape.align);
        placed.part(Part::Section(section), Region::Text, text, shape.size);
        text += shape.size;
    }
    if text > group_end {
        components += components_record(os, group);
        placed.code_until(node_of(os, group), text);
    }

    // Constants; then what the composer makes.
    let mut rodata = 0;
    lay(Class::Rodata, Region::Rodata, &mut rodata, &mut |p, r, o, s| placed.part(p, r, o, s));
    let mut add = |part, size, align, at: &mut u64| {
        *at = align_up(*at, align);
        placed.part(part, Region::Rodata, *at, size);
        *at += size;
    };
    let (mut hooks, mut tables) = (0u128, Tables::default());
    let mut many_hooks = Vec::new();
    for (at, bind) in index.externals.iter().enumerate() {
        if !marks.external(at as u32) {
            continue;
        }
        match bind {
            Bind::HookStart(hook) | Bind::HookEnd(hook) if *hook < 128 => hooks |= 1 << hook,
            Bind::HookStart(hook) | Bind::HookEnd(hook) => many_hooks.push(*hook),
            Bind::Table(table) | Bind::TableEnd(table) => tables.add(*table),
            _ => {}
        }
    }
    for (at, hook) in index.hooks.iter().enumerate() {
        let at = at as u32;
        if at < 128 && hooks & 1 << at == 0 || at >= 128 && !many_hooks.contains(&at) {
            continue;
        }
        let on = hook.sections.iter().filter(|s| selection.is_on(s.component));
        let entries: u64 = on.map(|s| s.keys.len() as u64).sum();
        if hook.name == crate::os::SYSCALL {
            extents.syscalls = entries as u32;
        }
        add(Part::Hook(at), entries * 16, 8, &mut rodata);
    }
    if tables.components {
        add(Part::Table(Table::Components), components, 1, &mut rodata);
    }
    for &hook in &tables.refused {
        let off = index.hooks[hook as usize].keys.iter().filter(|(n, _)| !selection.is_on(*n));
        let size = off.map(|(n, keys)| 3 + os.tree.node(*n).id.len() as u64 + 2 * keys.len() as u64).sum();
        add(Part::Table(Table::Refused(hook)), size, 1, &mut rodata);
    }
    if tables.program {
        add(Part::Table(Table::Program), appended.program_table, 4, &mut rodata);
        extents.program_table = appended.program_table;
    }
    for (at, slot) in index.params.iter().enumerate() {
        if slot.wide && marks.section(slot.section) {
            let size = param::text(value(slot)).map_or(0, |text| text.len() as u64);
            if size > 0 {
                add(Part::Text(at as u32), size, 1, &mut rodata);
            }
        }
    }

    // Writable memory.
    let mut data = 0;
    lay(Class::Data, Region::Data, &mut data, &mut |p, r, o, s| placed.part(p, r, o, s));
    let mut memory = data;
    lay(Class::Bss, Region::Data, &mut memory, &mut |p, r, o, s| placed.part(p, r, o, s));

    let sizes = [(text, text), (rodata, rodata), (data, memory), (appended.root, appended.root)];
    let segments = sizes.iter().filter(|(_, memory)| *memory > 0).count();
    let mut offset = image::header_len(segments);
    let mut physical = PHYSICAL_BASE;
    for (extent, (file_size, memory_size)) in extents.regions.iter_mut().zip(sizes) {
        *extent = Extent { offset, physical, file_size, memory_size };
        offset += file_size;
        let pages = align_up(memory_size, PAGE);
        physical += pages;
        extents.boot_memory_bytes += pages;
    }
    extents.image_bytes = offset;
    extents
}

#[derive(Default)]
struct Tables {
    components: bool,
    program: bool,
    /// Ascending, so that the order does not depend on the order of symbols.
    refused: Vec<u32>,
}

impl Tables {
    fn add(&mut self, table: Table) {
        match table {
            Table::Components => self.components = true,
            Table::Program => self.program = true,
            Table::Refused(hook) => {
                if let Err(at) = self.refused.binary_search(&hook) {
                    self.refused.insert(at, hook);
                }
            }
        }
    }
}

pub(crate) fn node_of(os: &Os, group: u32) -> Option<NodeId> {
    group.checked_sub(1).map(|n| os.index.nodes[n as usize])
}

fn components_record(os: &Os, group: u32) -> u64 {
    5 + node_of(os, group).map_or(0, |n| os.tree.node(n).id.len() as u64)
}
