//! PVH: 32-bit protected mode without paging, `ebx` points at `hvm_start_info`.
//! <https://xenbits.xen.org/docs/unstable/misc/pvh.html>

use crate::memory::paging::{KERNEL_BASE, phys_to_virt};

const PAGE: usize = 4096;
/// Bytes of the boot stack.
pub const STACK: usize = 16 * 1024;

#[repr(C, align(4096))]
pub struct Pages<const N: usize>([u8; N]);

/// PML4, low PDPT, high PDPT, page directory. The first three words of the 4-level tree that both mappings share.
static mut TABLES: Pages<{ 4 * PAGE }> = Pages([0; _]);
/// The boot stack; later the first thread's, or the one to report on when a guarded stack has run over.
pub static mut BOOT_STACK: Pages<STACK> = Pages([0; _]);

#[repr(C, align(8))]
struct EarlyGdt([u64; 2]);
/// A null and a 64-bit code descriptor: enough for the jump into long mode.
static EARLY_GDT: EarlyGdt = EarlyGdt([0, 0x00af_9b00_0000_ffff]);

/// The first instruction of the image.
///
/// # Safety
/// Entered by the virtual machine monitor only.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn bespoke_start() -> ! {
    core::arch::naked_asm!(
        ".code32",
        "cld",
        "mov esp, offset {stack} + {stack_size} - {base}",
        "mov edi, offset {tables} - {base}",
        // PML4[0] and PML4[256] -> low PDPT, PML4[511] -> high PDPT
        "lea eax, [edi + 0x1003]",
        "mov [edi], eax",
        "mov [edi + 256 * 8], eax",
        "lea eax, [edi + 0x2003]",
        "mov [edi + 511 * 8], eax",
        // both PDPTs -> the page directory: 0 GiB and -2 GiB
        "lea eax, [edi + 0x3003]",
        "mov [edi + 0x1000], eax",
        "mov [edi + 0x2000 + 510 * 8], eax",
        // the first GiB in pages of 2 MiB
        "lea edx, [edi + 0x3000]",
        "mov eax, 0x83",
        "2:",
        "mov [edx], eax",
        "add edx, 8",
        "add eax, 0x200000",
        "cmp eax, 0x40000083",
        "jne 2b",
        "mov cr3, edi",
        // PAE, OSFXSR, OSXMMEXCPT
        "mov eax, 0x620",
        "mov cr4, eax",
        // EFER: SCE, LME, NXE
        "mov ecx, 0xc0000080",
        "rdmsr",
        "or eax, 0x901",
        "wrmsr",
        // PG, WP, NE, ET, MP, PE
        "mov eax, 0x80010033",
        "mov cr0, eax",
        // a pseudo-descriptor on the stack: limit and base of the early GDT
        "push 0",
        "mov eax, offset {gdt} - {base}",
        "push eax",
        "push 0x000f0000",
        "lgdt [esp + 2]",
        "add esp, 12",
        "push 8",
        "mov eax, offset {long} - {base}",
        "push eax",
        "retf",
        ".code64",
        stack = sym BOOT_STACK, stack_size = const STACK, tables = sym TABLES, gdt = sym EARLY_GDT,
        long = sym long_mode, base = const KERNEL_BASE,
    )
}

/// In long mode on the identity mapping: move to the high half and call Rust.
#[unsafe(naked)]
unsafe extern "C" fn long_mode() -> ! {
    core::arch::naked_asm!(
        "lea rax, [rip + 2f]",
        "add rax, {base}", // sign-extended
        "jmp rax",
        "2:",
        "xor eax, eax",
        "mov ds, eax",
        "mov es, eax",
        "mov ss, eax",
        "mov fs, eax",
        "mov gs, eax",
        "lea rsp, [rip + {stack} + {stack_size}]",
        "xor ebp, ebp",
        "mov edi, ebx",
        "call {entered}",
        "ud2",
        stack = sym BOOT_STACK, stack_size = const STACK, entered = sym entered, base = const KERNEL_BASE as i64,
    )
}

extern "C" fn entered(start_info: u32) -> ! {
    // SAFETY: PVH passes the physical address of a start_info below 4 GiB; the first GiB is mapped, and RAM given to
    // the guest by the monitors in question puts it there.
    let info = unsafe { &*(phys_to_virt(u64::from(start_info)) as *const StartInfo) };
    crate::boot::start::start(info)
}

/// `struct hvm_start_info`, version 1.
#[repr(C)]
pub struct StartInfo {
    pub magic: u32,
    pub version: u32,
    pub flags: u32,
    pub nr_modules: u32,
    pub modlist: u64,
    pub cmdline: u64,
    pub rsdp: u64,
    memmap: u64,
    memmap_entries: u32,
    _reserved: u32,
}

/// `struct hvm_memmap_table_entry`; the types are those of E820.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MemoryRange {
    pub start: u64,
    pub size: u64,
    pub kind: u32,
    _reserved: u32,
}

impl MemoryRange {
    pub fn is_ram(&self) -> bool {
        self.kind == 1
    }
}

impl StartInfo {
    /// The machine's memory map.
    pub fn memory_map(&self) -> &'static [MemoryRange] {
        // SAFETY: version 1 of the structure promises `memmap_entries` entries at `memmap`; mapped as `self` is.
        unsafe {
            core::slice::from_raw_parts(
                phys_to_virt(self.memmap) as *const MemoryRange,
                self.memmap_entries as usize,
            )
        }
    }

    /// The command line that the monitor passed, without its NUL.
    pub fn command_line(&self) -> &'static [u8] {
        if self.cmdline == 0 {
            return &[];
        }
        let line = phys_to_virt(self.cmdline) as *const u8;
        // SAFETY: a NUL-terminated string in the mapped first GiB, by the protocol. The bound keeps the compiler from calling a `strlen` that is
        // made for strings of another length.
        unsafe {
            let length = (0..1 << 30).find(|&at| *line.add(at) == 0).unwrap_or(0);
            core::slice::from_raw_parts(line, length)
        }
    }
}

/// Physical address of the boot page tables' root.
pub fn root_table() -> u64 {
    &raw const TABLES as u64 - KERNEL_BASE
}

/// End of the stack that start-up runs on, and the first thread after it.
pub fn boot_stack_top() -> u64 {
    &raw const BOOT_STACK as u64 + STACK as u64
}
