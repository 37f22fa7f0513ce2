//! Takes sections of strings apart.
//!
//! A compiler puts all NUL-terminated strings of a unit into one section (`SHF_MERGE` and `SHF_STRINGS`), whoever refers to them. Kept whole, every
//! image would hold the strings of every part. Each string becomes a section of its own here, as a linker treats them.

use std::ops::Range;

use super::{Object, Patch, Section, Target};

/// Splits a section at its strings. One that is referred to in ways that a split could change stays whole.
pub(super) fn split(object: &mut Object, data: &[u8], index: u32) {
    let section = object.sections[index as usize].clone();
    let is_plain = section.align == 1 && section.relocations.is_empty() && section.symbols.is_empty();
    let bytes = &data[section.bytes.start as usize..section.bytes.end as usize];
    if !is_plain || bytes.last() != Some(&0) {
        return;
    }
    let pieces = pieces(bytes);
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
    object.sections[index as usize] = parts.next().expect("the last byte ends a string");
    object.sections.extend(parts);
}

/// The ranges of NUL-terminated strings, NULs included.
fn pieces(bytes: &[u8]) -> Vec<Range<u32>> {
    let mut start = 0;
    let ends = memchr::memchr_iter(0, bytes).map(|nul| nul as u32 + 1);
    ends.map(|end| std::mem::replace(&mut start, end)..end).collect()
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn strings_end_at_their_nul() {
        assert_eq!(pieces(b"ab\0\0c\0"), [0..3, 3..4, 4..6]);
        assert_eq!(pieces(b""), []);
    }
}
