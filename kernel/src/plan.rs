//! A configuration of the library OS, laid out: what is in the image, where, and its bytes.

use std::path::PathBuf;

use bespoke_model::{Footprint, NodeId, Resolution};

use crate::layout::{self, Extents, Part, Placed, Region, VIRTUAL_OFFSET};
use crate::mark::{Marks, Selection};
use crate::object::{SectionId, Target};
use crate::os::{Bind, Layout, Os, SYSCALL, Table};
use crate::param;
use crate::payload::Payload;
use crate::sizer;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// Kept code refers to something that nothing defines.
    #[error(
        "{referrer} ({component}) refers to {symbol}, which nothing defines; remove the reference or define it"
    )]
    Undefined {
        /// What is missing.
        symbol: String,
        /// The function or datum that refers to it.
        referrer: String,
        /// The component that it belongs to.
        component: String,
    },
    /// The chosen member of a choice lacks a function of the choice.
    #[error(
        "{referrer} ({component}) calls {symbol}, but {member} does not implement it; choose another member of {choice}"
    )]
    NoImplementation {
        /// The choice's symbol.
        symbol: String,
        /// The choice.
        choice: String,
        /// Its chosen member, or that there is none.
        member: String,
        /// The function or datum that refers to it.
        referrer: String,
        /// The component that it belongs to.
        component: String,
    },
    /// Two components serve the same system call.
    #[error("{first} and {second} both serve {hook} {key}; let them conflict, or turn one off")]
    DuplicateKey {
        /// The hook.
        hook: String,
        /// The key.
        key: u64,
        /// One component.
        first: String,
        /// Another, or the same.
        second: String,
    },
    /// A key that the table of refused keys has no room for.
    #[error("{component} registers {hook} {key}, above the 65535 that refusals can name; use a smaller key")]
    KeyTooLarge {
        /// The hook.
        hook: String,
        /// The key.
        key: u64,
        /// The component.
        component: String,
    },
    /// An address that does not fit where it has to be written.
    #[error(
        "{referrer} ({component}) cannot reach {target}: {value:#x} does not fit in 32 bits; pack less, or fix the reference"
    )]
    OutOfReach {
        /// The function or datum that refers to it.
        referrer: String,
        /// The component that it belongs to.
        component: String,
        /// What it refers to.
        target: String,
        /// The value that does not fit.
        value: u64,
    },
    /// A value that its parameter's storage cannot hold.
    #[error(
        "{param} = {value} does not fit in the 8 bytes that the OS keeps for it; use 16 bytes there, or an IPv4 value"
    )]
    ParamForm {
        /// The parameter.
        param: String,
        /// Its value.
        value: String,
    },
    /// More than can be addressed.
    #[error("the image takes {bytes} bytes of memory, more than the 2 GiB it is addressed in; pack less")]
    TooLarge {
        /// How much.
        bytes: u64,
    },
    /// The file cannot be written.
    #[error("{} cannot be written: {error}; nothing was changed there", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// A laid-out image.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    pub(crate) os: &'a Os,
    pub(crate) payload: &'a Payload,
    pub(crate) resolution: Resolution,
    pub(crate) selection: Selection,
    pub(crate) marks: Marks,
    pub(crate) extents: Extents,
    pub(crate) places: Places,
}

/// Where each part went.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// In the order of the layout.
    pub(crate) parts: Vec<(Part, Region, u64, u64)>,
    /// By section: its region and its offset there.
    sections: Vec<Option<(Region, u64)>>,
    /// Ends of code, by component.
    pub(crate) code: Vec<(Option<NodeId>, u64)>,
}

impl Placed for Places {
    fn part(&mut self, part: Part, region: Region, offset: u64, size: u64) {
        if let Part::Section(section) = part {
            self.sections[section as usize] = Some((region, offset));
        }
        self.parts.push((part, region, offset, size));
    }

    fn code_until(&mut self, component: Option<NodeId>, end: u64) {
        self.code.push((component, end));
    }
}

/// A part of an image: a section, a table, a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement<'p> {
    /// The region that it is in.
    pub region: Region,
    /// Its symbol (mangled), or what it is.
    pub name: &'p str,
    /// The component that it is grouped with: the first of its owners.
    pub owner: Option<NodeId>,
    /// All components that it belongs to.
    pub owners: &'p [NodeId],
    /// Its virtual address.
    pub address: u64,
    /// How much memory it takes.
    pub size: u64,
    /// Where it is in the file; zeroed memory is not.
    pub offset: Option<u64>,
}

/// A region of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionInfo {
    /// Which.
    pub region: Region,
    /// Its virtual address.
    pub address: u64,
    /// Its offset in the file.
    pub offset: u64,
    /// Its bytes in the file.
    pub file_size: u64,
    /// Its bytes in memory.
    pub memory_size: u64,
}

impl<'a> Plan<'a> {
    /// Lays out the image of a resolved configuration with a payload.
    ///
    /// # Errors
    /// When what is chosen does not fit together: see [`ComposeError`].
    pub fn new(os: &'a Os, resolution: &Resolution, payload: &'a Payload) -> Result<Self, ComposeError> {
        let mut selection = Selection::default();
        selection.read(os, resolution);
        let mut marks = Marks::default();
        marks.mark(os, &selection);
        check_externals(os, &selection, &marks)?;
        check_hooks(os, &selection, &marks)?;
        check_params(os, resolution, &marks)?;
        let mut places = Places { sections: vec![None; os.object.sections.len()], ..Places::default() };
        let value = |slot: &crate::os::ParamSlot| resolution.value(slot.param);
        let extents = layout::place(os, &selection, &marks, &value, payload.appended(), &mut places);
        let last = extents.region(Region::Root);
        let bytes = last.physical + last.memory_size;
        if bytes >= 1 << 31 {
            return Err(ComposeError::TooLarge { bytes });
        }
        Ok(Self { os, payload, resolution: resolution.clone(), selection, marks, extents, places })
    }

    /// The sizes of the image; see [`Sizer`](crate::Sizer) for what they mean.
    pub fn footprint(&self) -> Footprint {
        sizer::footprint(&self.extents, self.payload)
    }

    /// The length of the file.
    pub fn image_bytes(&self) -> u64 {
        self.extents.image_bytes
    }

    /// What would leave the image if the component alone could go; see [`Sizer`](crate::Sizer).
    pub fn component_bytes(&self, n: NodeId) -> u64 {
        let mut scratch = sizer::Scratch::default();
        let whole = self.extents.image_bytes;
        let (os, appended) = (self.os, self.payload.appended());
        let without = scratch.without(os, &self.resolution, &self.selection, &self.marks, appended, n);
        without.map_or(0, |without| whole.saturating_sub(without))
    }

    /// The regions of the image, in order; those that are not empty.
    pub fn regions(&self) -> impl Iterator<Item = RegionInfo> + '_ {
        Region::ALL.into_iter().filter_map(|region| {
            let extent = self.extents.region(region);
            (extent.memory_size > 0).then_some(RegionInfo {
                region,
                address: extent.physical + VIRTUAL_OFFSET,
                offset: extent.offset,
                file_size: extent.file_size,
                memory_size: extent.memory_size,
            })
        })
    }

    /// Everything in the image but the packed files, in the order of addresses.
    pub fn placements(&self) -> impl Iterator<Item = Placement<'_>> + '_ {
        self.places.parts.iter().map(|&(part, region, offset, size)| {
            let extent = self.extents.region(region);
            let (name, owners): (&str, &[NodeId]) = match part {
                Part::Section(section) => {
                    (self.os.object.label(SectionId(section)), self.os.index.owners_of(section))
                }
                Part::Hook(_) => ("registrations", &[]),
                Part::Table(Table::Components) => ("table of components", &[]),
                Part::Table(Table::Refused(_)) => ("table of refusals", &[]),
                Part::Table(Table::Program) => ("table of the program", &[]),
                Part::Text(_) => ("text of a parameter", &[]),
            };
            Placement {
                region,
                name,
                owner: owners.first().copied(),
                owners,
                address: extent.physical + offset + VIRTUAL_OFFSET,
                size,
                offset: (offset < extent.file_size || size == 0).then_some(extent.offset + offset),
            }
        })
    }

    /// The entry point's physical address.
    pub fn entry(&self) -> u64 {
        let (section, offset) = self.os.object.start;
        self.section_address(section.0).unwrap_or(VIRTUAL_OFFSET) - VIRTUAL_OFFSET + offset
    }

    pub(crate) fn section_address(&self, section: u32) -> Option<u64> {
        let (region, offset) = self.places.sections[section as usize]?;
        Some(self.extents.region(region).physical + VIRTUAL_OFFSET + offset)
    }

    /// Where in the file a section stands; `None` when it is not in the file.
    pub(crate) fn section_file_offset(&self, section: u32) -> Option<u64> {
        let (region, offset) = self.places.sections[section as usize]?;
        let extent = self.extents.region(region);
        (offset < extent.file_size).then_some(extent.offset + offset)
    }

    /// The address and size of something the composer made.
    fn part_address(&self, wanted: Part) -> Option<(u64, u64)> {
        let found = self.places.parts.iter().find(|(part, ..)| *part == wanted);
        found.map(|&(_, region, offset, size)| {
            (self.extents.region(region).physical + VIRTUAL_OFFSET + offset, size)
        })
    }

    /// What an undefined symbol of the object is bound to.
    pub(crate) fn external_address(&self, external: u32) -> Option<u64> {
        let start = |part| self.part_address(part).map(|(at, _)| at);
        let end = |part| self.part_address(part).map(|(at, size)| at + size);
        match &self.os.index.externals[external as usize] {
            Bind::HookStart(hook) => start(Part::Hook(*hook)),
            Bind::HookEnd(hook) => end(Part::Hook(*hook)),
            Bind::Table(table) => start(Part::Table(*table)),
            Bind::TableEnd(table) => end(Part::Table(*table)),
            Bind::Choice(item) => {
                let (section, offset) = self.selection.bound(item)?;
                Some(self.section_address(section)? + offset)
            }
            Bind::Layout(layout) => Some(self.layout_address(*layout)),
            Bind::Fixed(value) => Some(*value),
            Bind::Unknown => None,
        }
    }

    fn layout_address(&self, what: Layout) -> u64 {
        let start = |region| self.extents.region(region).physical + VIRTUAL_OFFSET;
        let end = |region| start(region) + self.extents.region(region).memory_size;
        match what {
            Layout::TextStart => start(Region::Text),
            Layout::TextEnd => end(Region::Text),
            Layout::RodataStart => start(Region::Rodata),
            Layout::RodataEnd => end(Region::Rodata),
            Layout::DataStart => start(Region::Data),
            Layout::DataEnd => end(Region::Data),
            Layout::RootStart => start(Region::Root),
            Layout::RootEnd => end(Region::Root),
            Layout::RootIndex => start(Region::Root) + self.payload.root().index_at(),
        }
    }

    /// Who refers to an external, for a message: the symbol and its component.
    fn component_name(os: &Os, section: u32) -> String {
        match os.index.owners_of(section).first() {
            Some(n) => os.tree.node(*n).id.clone(),
            None => "of no component".into(),
        }
    }

    pub(crate) fn out_of_reach(&self, section: u32, target: Target, value: u64) -> ComposeError {
        let os = self.os;
        ComposeError::OutOfReach {
            referrer: os.object.label(SectionId(section)).into(),
            component: Self::component_name(os, section),
            target: match target {
                Target::Section(to) => os.object.label(SectionId(to)).into(),
                Target::External(to) => os.object.externals[to as usize].name.clone(),
            },
            value,
        }
    }
}

fn check_externals(os: &Os, selection: &Selection, marks: &Marks) -> Result<(), ComposeError> {
    for (at, bind) in os.index.externals.iter().enumerate() {
        let missing = match bind {
            Bind::Unknown => true,
            Bind::Choice(item) => selection.bound(item).is_none(),
            _ => false,
        };
        if !missing || !marks.external(at as u32) {
            continue;
        }
        let from = os.object.sections.len() as u32 + at as u32;
        let by = marks.all_sections().find(|s| os.index.edges_of(*s).contains(&from));
        let referrer = by.map_or("?", |by| os.object.label(SectionId(by))).to_owned();
        let component = by.map_or(String::new(), |by| Plan::component_name(os, by));
        let symbol = os.object.externals[at].name.clone();
        let Bind::Choice(item) = bind else {
            return Err(ComposeError::Undefined { symbol, referrer, component });
        };
        let choice = os.tree.node(item.choice);
        let member = choice.children.iter().find(|m| selection.is_on(**m));
        let member = member.map_or("no member that is on".into(), |m| os.tree.node(*m).id.clone());
        let choice = choice.id.clone();
        return Err(ComposeError::NoImplementation { symbol, choice, member, referrer, component });
    }
    Ok(())
}

fn check_hooks(os: &Os, selection: &Selection, marks: &Marks) -> Result<(), ComposeError> {
    for hook in os.index.hooks.iter().filter(|hook| hook.name == SYSCALL) {
        let on = hook.sections.iter().filter(|s| selection.is_on(s.component));
        let mut keys: Vec<(u64, NodeId)> =
            on.flat_map(|s| s.keys.iter().map(|key| (*key, s.component))).collect();
        keys.sort_unstable();
        if let Some(pair) = keys.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(ComposeError::DuplicateKey {
                hook: hook.name.clone(),
                key: pair[0].0,
                first: os.tree.node(pair[0].1).id.clone(),
                second: os.tree.node(pair[1].1).id.clone(),
            });
        }
    }
    for (at, bind) in os.index.externals.iter().enumerate() {
        let (Bind::Table(Table::Refused(hook)), true) = (bind, marks.external(at as u32)) else { continue };
        let hook = &os.index.hooks[*hook as usize];
        for (n, keys) in hook.keys.iter().filter(|(n, _)| !selection.is_on(*n)) {
            if let Some(key) = keys.iter().find(|key| **key > u64::from(u16::MAX)) {
                return Err(ComposeError::KeyTooLarge {
                    hook: hook.name.clone(),
                    key: *key,
                    component: os.tree.node(*n).id.clone(),
                });
            }
        }
    }
    Ok(())
}

fn check_params(os: &Os, resolution: &Resolution, marks: &Marks) -> Result<(), ComposeError> {
    for slot in os.index.params.iter().filter(|slot| !slot.wide && marks.section(slot.section)) {
        let value = resolution.value(slot.param);
        if param::word(&os.tree, slot.param, value).is_none() {
            let param = os.tree.param(slot.param).id.clone();
            return Err(ComposeError::ParamForm { param, value: value.to_string() });
        }
    }
    Ok(())
}
