//! Takes sections of constants apart that a compiler shares among all code.
//!
//! All NUL-terminated strings of a unit are in one section (`SHF_MERGE` and `SHF_STRINGS`), and all constants of 4, 8, 16 or 32 bytes, texts of such a
//! length among them, in one for each size (`SHF_MERGE`), whoever refers to them. Kept whole, every image would hold the constants of every part. Each
//! becomes a section of its own here, as a linker treats them.

use std::ops::Range;

use super::{Object, Patch, Section, Target};

/// What a mergeable section is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entries {
    /// Strings that end at their NUL.
    Strings,
    /// Constants of this many bytes each, never zero.
    Sized(u32),
}

/// Splits a section at its entries. One that is referred to in ways that a split could change stays whole.
pub(super) fn split(object: &mut Object, data: &[u8], index: u32, entries: Entries) {
    let section = object.sections[index as usize].clone();
    let bytes = &data[section.bytes.start as usize..section.bytes.end as usize];
    if bytes.is_empty() {
        return;
    }
    let ends_well = match entries {
        Entries::Strings => section.align == 1 && bytes.last() == Some(&0),
        Entries::Sized(size) => {
            u64::from(size).is_multiple_of(section.align) && bytes.len().is_multiple_of(size as usize)
        }
    };
    if !ends_well || !section.relocations.is_empty() || !section.symbols.is_empty() {
        return;
    }
    let pieces = match entries {
        Entries::Strings => strings(bytes),
        Entries::Sized(size) => {
            (0..bytes.len() as u32).step_by(size as usize).map(|at| at..at + size).collect()
        }
    };
    let refers = |target| target == Target::Section(index);
    let mut moves = Vec::new();
    for (at, relocation) in object.relocations.iter().enumerate().filter(|(_, r)| refers(r.target)) {
        // A distance is counted from the end of the instruction; whatever stands between that and the operand shifts the addend.
        let relative = matches!(relocation.patch, Patch::Pc32 | Patch::Pc64);
        let shift = if relative { relocation.patch.width() as i64 } else { 0 };
        let offset = relocation.addend.wrapping_add(shift);
        let piece = pieces.partition_point(|piece| i64::from(piece.start) <= offset).checked_sub(1);
        let Some(piece) = piece.filter(|&piece| offset < i64::from(pieces[piece].end)) else { return };
        if relative && offset != i64::from(pieces[piece].start) {
            return;
        }
        moves.push((at, piece));
    }
    if object.start.0.0 == index {
        return;
    }

    let first_new = object.sections.len() as u32;
    let section_of = |piece: usize| if piece == 0 { index } else { first_new + piece as u32 - 1 };
    for (at, piece) in moves {
        let relocation = &mut object.relocations[at];
        relocation.target = Target::Section(section_of(piece));
        relocation.addend -= i64::from(pieces[piece].start);
    }
    let mut parts = pieces.iter().map(|piece| Section {
        bytes: section.bytes.start + piece.start..section.bytes.start + piece.end,
        size: u64::from(piece.end - piece.start),
        ..section.clone()
    });
    object.sections[index as usize] = parts.next().expect("no section here is empty");
    object.sections.extend(parts);
}

/// The ranges of NUL-terminated strings, NULs included.
fn strings(bytes: &[u8]) -> Vec<Range<u32>> {
    let mut start = 0;
    let ends = memchr::memchr_iter(0, bytes).map(|nul| nul as u32 + 1);
    ends.map(|end| std::mem::replace(&mut start, end)..end).collect()
}

#[cfg(test)]
mod tests {
    use super::strings;

    #[test]
    fn strings_end_at_their_nul() {
        assert_eq!(strings(b"ab\0\0c\0"), [0..3, 3..4, 4..6]);
        assert_eq!(strings(b""), []);
    }
}
