//! The image file: an ELF64 executable with the PVH entry note, as QEMU, Xen, Firecracker and cloud-hypervisor load it.

use object::elf;

/// What the file starts with, before the first region.
pub(crate) const fn header_len(segments: usize) -> u64 {
    64 + 56 * (segments as u64 + 1) + NOTE
}

/// An ELF note that carries the entry point as eight bytes: QEMU reads eight in a 64-bit file.
const NOTE: u64 = 24;
const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;

/// A part of the file that a loader copies to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) physical: u64,
    pub(crate) virtual_: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) write: bool,
    pub(crate) execute: bool,
}

/// Writes the headers to the beginning of `out`, which is at least [`header_len`] long.
pub(crate) fn write_headers(out: &mut [u8], entry: u32, segments: &[Segment]) {
    let mut head = Vec::with_capacity(header_len(segments.len()) as usize);
    head.extend(*b"\x7fELF\x02\x01\x01");
    head.extend([0; 9]);
    head.extend(elf::ET_EXEC.0.to_le_bytes());
    head.extend(elf::EM_X86_64.0.to_le_bytes());
    head.extend(1u32.to_le_bytes());
    head.extend(u64::from(entry).to_le_bytes());
    head.extend(64u64.to_le_bytes()); // program headers follow
    head.extend(0u64.to_le_bytes()); // no section headers
    head.extend(0u32.to_le_bytes());
    for half in [64u16, 56, segments.len() as u16 + 1, 64, 0, 0] {
        head.extend(half.to_le_bytes());
    }
    let note_at = header_len(segments.len()) - NOTE;
    let mut program_header = |kind: u32, flags: u32, words: [u64; 6]| {
        head.extend(kind.to_le_bytes());
        head.extend(flags.to_le_bytes());
        for word in words {
            head.extend(word.to_le_bytes());
        }
    };
    for s in segments {
        let flags = 4 | u32::from(s.write) << 1 | u32::from(s.execute);
        // An alignment of 1: the file is packed, and loaders copy.
        let words = [s.offset, s.virtual_, s.physical, s.file_size, s.memory_size, 1];
        program_header(elf::PT_LOAD.0, flags, words);
    }
    program_header(elf::PT_NOTE.0, 4, [note_at, 0, 0, NOTE, NOTE, 4]);
    for word in [4u32, 8, XEN_ELFNOTE_PHYS32_ENTRY] {
        head.extend(word.to_le_bytes());
    }
    head.extend(*b"Xen\0");
    head.extend(u64::from(entry).to_le_bytes());
    out[..head.len()].copy_from_slice(&head);
}

/// A whole image of bare machine code at 1 MiB, entered at its first byte in 32-bit protected mode.
pub(crate) fn bare(code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 1 << 20;
    let offset = header_len(1);
    let size = code.len() as u64;
    let segment = Segment {
        offset,
        physical: BASE,
        virtual_: BASE,
        file_size: size,
        memory_size: size,
        write: false,
        execute: true,
    };
    let mut out = vec![0; offset as usize];
    write_headers(&mut out, BASE as u32, &[segment]);
    out.extend(code);
    out
}
