//! Fills in the bytes of an image: sections, registrations, tables, parameters, and every address in them.

use bespoke_model::Value;

use crate::layout::{Part, Region, VIRTUAL_OFFSET};
use crate::object::{Patch, Relocation, Target};
use crate::os::Table;
use crate::param;
use crate::plan::{ComposeError, Plan};

/// Writes everything but the headers and the packed root.
pub(crate) fn write_parts(plan: &Plan<'_>, out: &mut [u8]) -> Result<(), ComposeError> {
    let externals: Vec<Option<u64>> =
        (0..plan.os.object.externals.len() as u32).map(|e| plan.external_address(e)).collect();
    let linker = Linker { plan, externals };
    for &(part, region, offset, size) in &plan.places.parts {
        let extent = plan.extents.region(region);
        if offset >= extent.file_size {
            continue; // zeroed memory
        }
        let at = (extent.offset + offset) as usize;
        let bytes = &mut out[at..at + size as usize];
        let address = extent.physical + VIRTUAL_OFFSET + offset;
        match part {
            Part::Section(section) => linker.section(section, address, bytes)?,
            Part::Hook(hook) => linker.hook(hook, address, bytes)?,
            Part::Table(Table::Components) => fill(bytes, &components(plan)),
            Part::Table(Table::Refused(hook)) => fill(bytes, &refused(plan, hook)),
            Part::Table(Table::Program) => fill(bytes, plan.payload.program_table()),
            Part::Text(slot) => {
                let slot = &plan.os.index.params[slot as usize];
                fill(bytes, param::text(plan.resolution.value(slot.param)).unwrap_or_default().as_bytes());
            }
        }
    }
    linker.params(out);
    Ok(())
}

fn fill(bytes: &mut [u8], from: &[u8]) {
    debug_assert_eq!(bytes.len(), from.len(), "the layout predicted another length");
    bytes.copy_from_slice(from);
}

struct Linker<'p, 'a> {
    plan: &'p Plan<'a>,
    externals: Vec<Option<u64>>,
}

impl Linker<'_, '_> {
    fn section(&self, section: u32, address: u64, bytes: &mut [u8]) -> Result<(), ComposeError> {
        let shape = &self.plan.os.object.sections[section as usize];
        let from = self.plan.os.object.section_bytes(shape);
        bytes[..from.len()].copy_from_slice(from);
        for relocation in self.plan.os.object.relocations_of(shape) {
            self.apply(section, relocation, address, 0, bytes)?;
        }
        Ok(())
    }

    /// The entries of all components that are on, by key and then by component.
    fn hook(&self, hook: u32, address: u64, bytes: &mut [u8]) -> Result<(), ComposeError> {
        let (os, selection) = (self.plan.os, &self.plan.selection);
        let on = os.index.hooks[hook as usize].sections.iter().filter(|s| selection.is_on(s.component));
        let mut entries: Vec<(u64, &str, u32, usize)> = on
            .flat_map(|s| {
                let id = os.tree.node(s.component).id.as_str();
                s.keys.iter().enumerate().map(move |(at, key)| (*key, id, s.section, at))
            })
            .collect();
        entries.sort_unstable();
        for (&(_, _, section, from), (to, out)) in entries.iter().zip(bytes.chunks_exact_mut(16).enumerate())
        {
            let shape = &os.object.sections[section as usize];
            let from = from * 16;
            out.copy_from_slice(&os.object.section_bytes(shape)[from..from + 16]);
            let inside = from as u64..from as u64 + 16;
            for relocation in os.object.relocations_of(shape).iter().filter(|r| inside.contains(&r.offset)) {
                self.apply(section, relocation, address + to as u64 * 16, inside.start, out)?;
            }
        }
        Ok(())
    }

    /// Patches one place. `bytes` and `address` begin `skip` bytes into the section.
    fn apply(
        &self,
        section: u32,
        relocation: &Relocation,
        address: u64,
        skip: u64,
        bytes: &mut [u8],
    ) -> Result<(), ComposeError> {
        let target = match relocation.target {
            Target::Section(to) => self.plan.section_address(to),
            Target::External(to) => self.externals[to as usize],
        };
        // Everything that a kept section refers to is kept and bound, or the plan would not exist.
        let target = target.unwrap_or_default();
        let offset = relocation.offset - skip;
        let place = address + offset;
        let value = target.wrapping_add_signed(relocation.addend);
        let (value, fits) = match relocation.patch {
            Patch::Abs64 => (value, true),
            Patch::Abs32 => (value, u32::try_from(value).is_ok()),
            Patch::Abs32S => (value, i32::try_from(value as i64).is_ok()),
            Patch::Pc32 => {
                let distance = value.wrapping_sub(place);
                (distance, i32::try_from(distance as i64).is_ok())
            }
            Patch::Pc64 => (value.wrapping_sub(place), true),
        };
        if !fits {
            return Err(self.plan.out_of_reach(section, relocation.target, value));
        }
        let (offset, width) = (offset as usize, relocation.patch.width() as usize);
        bytes[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
        Ok(())
    }

    fn params(&self, out: &mut [u8]) {
        let plan = self.plan;
        for (at, slot) in plan.os.index.params.iter().enumerate() {
            if !plan.marks.section(slot.section) {
                continue;
            }
            let value = plan.resolution.value(slot.param);
            let bytes: Vec<u8> = if !slot.wide {
                param::word(&plan.os.tree, slot.param, value).unwrap_or_default().to_le_bytes().into()
            } else if let Value::Ipv6(address) = value {
                address.octets().into()
            } else {
                let text = param::text(value).unwrap_or_default();
                // An empty text has no place of its own; any address that is not zero does.
                let placed = plan.places.parts.iter().find(|(part, ..)| *part == Part::Text(at as u32));
                let offset = placed.map_or(0, |(_, _, offset, _)| *offset);
                let pointer = plan.extents.region(Region::Rodata).physical + VIRTUAL_OFFSET + offset;
                [pointer.to_le_bytes(), (text.len() as u64).to_le_bytes()].concat()
            };
            if let Some(to) = plan.section_file_offset(slot.section) {
                let to = (to + slot.offset) as usize;
                out[to..to + bytes.len()].copy_from_slice(&bytes);
            }
        }
    }
}

/// Records `end: u32` (from the start of the text), `len: u8`, id; the id of code of no component is empty.
fn components(plan: &Plan<'_>) -> Vec<u8> {
    let mut table = Vec::new();
    for (component, end) in &plan.places.code {
        let id = component.map_or("", |n| plan.os.tree.node(n).id.as_str());
        table.extend((*end as u32).to_le_bytes());
        table.push(id.len() as u8);
        table.extend(id.as_bytes());
    }
    table
}

/// Records `len: u8`, id, `count: u16`, keys: u16 each; of components that are off.
fn refused(plan: &Plan<'_>, hook: u32) -> Vec<u8> {
    let mut table = Vec::new();
    for (n, keys) in &plan.os.index.hooks[hook as usize].keys {
        if plan.selection.is_on(*n) {
            continue;
        }
        let id = &plan.os.tree.node(*n).id;
        table.push(id.len() as u8);
        table.extend(id.as_bytes());
        table.extend((keys.len() as u16).to_le_bytes());
        for key in keys {
            table.extend((*key as u16).to_le_bytes());
        }
    }
    table
}
