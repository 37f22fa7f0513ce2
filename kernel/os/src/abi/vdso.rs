//! The vDSO (`vdso(7)`): the time without a system call.
//!
//! The shared object stands below as the assembler lays it out: headers, symbols, versions and code of one page. At start its bytes go
//! to a page that the program may run, behind a page that it may read: what is known of the clock, in the layout of [`Known`].
//! What is not known yet, and clocks of other kinds, end in the system call, which brings the page up to date.

use super::clock;
use super::process;
use crate::driver::tsc;
use crate::memory::frames;
use crate::memory::paging::{PAGE, USER_END, phys_to_virt};
use crate::memory::space::{self, Backing, Rights};
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::auxvec::AT_SYSINFO_EHDR;

crate::register!("auxiliary": fn() -> (u32, u64) = { 20 => map });
crate::register!("clock-ready": fn() = { 10 => refresh });

/// The readable page.
#[repr(C)]
struct Known {
    /// Nanoseconds per cycle as a fraction of 2^32; zero: unknown.
    scale: u64,
    origin: u64,
    /// What the time of day is ahead by; all ones: unknown.
    ahead: u64,
}

/// Physical address of the readable page; zero before there is one.
static PAGE_OF_KNOWN: AtomicU64 = AtomicU64::new(0);

fn refresh() {
    let page = PAGE_OF_KNOWN.load(Ordering::Relaxed);
    if page != 0 {
        let (scale, origin) = tsc::rate();
        let known = Known { scale, origin, ahead: clock::known_ahead().unwrap_or(u64::MAX) };
        // SAFETY: a frame of our own; the program only reads it, and one processor runs.
        unsafe { *(phys_to_virt(page) as *mut Known) = known };
    }
}

/// Maps both pages between the mappings' ceiling and the stack. Without memory for them there is no vDSO.
fn map() -> (u32, u64) {
    try_map().map_or((linux_raw_sys::auxvec::AT_IGNORE, 0), |address| (AT_SYSINFO_EHDR, address))
}

fn try_map() -> Option<u64> {
    /// Offset of `p_filesz` in the first program header.
    const SIZE: usize = 64 + 32;
    let known = frames::allocate_zeroed()?;
    let code = frames::allocate_zeroed()?;
    let object = object as *const () as *const u8;
    // SAFETY: the object below, whose header tells its size, and a frame of our own.
    unsafe {
        let size = object.add(SIZE).cast::<u64>().read_unaligned();
        core::ptr::copy_nonoverlapping(object, phys_to_virt(code) as *mut u8, size.min(PAGE) as usize);
    }
    let address = USER_END - (1 << 36) + process::random_offset(20);
    let backing = |start| Backing::Image { start, bytes: PAGE };
    space::map(address, PAGE, Rights::READ, backing(known)).ok()?;
    space::map(address + PAGE, PAGE, Rights::READ | Rights::EXECUTE, backing(code)).ok()?;
    PAGE_OF_KNOWN.store(known, Ordering::Relaxed);
    refresh();
    Some(address + PAGE)
}

/// Instructions that look at [`Known`]: `r8` its address, `r9` what the time of day is ahead by, `r10` the scale. What is not known leads to the label `3`, the system call.
macro_rules! look {
    () => {
        "lea r8, [rip + 200b - 4096]; mov r9, [r8 + 16]; mov r10, [r8]; cmp r9, -1; je 3f; test r10, r10; jz 3f"
    };
}

/// Instructions that tell the time by what [`look!`] found: `rax` seconds, `rdx` nanoseconds. Changes `rcx`.
macro_rules! tell {
    () => {
        "lfence; rdtsc; shl rdx, 32; or rax, rdx; sub rax, [r8 + 8]; mul r10; shrd rax, rdx, 32; add rax, r9; \
         xor edx, edx; mov ecx, 1000000000; div rcx"
    };
}

/// Not code of the kernel: the bytes of the shared object.
#[unsafe(naked)]
unsafe extern "C" fn object() {
    core::arch::naked_asm!(
        ".balign 16",
        "200:",
        // ELF header: 64-bit, little endian, System V; a shared object for x86-64
        ".byte 0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0",
        ".short 3, 62",
        ".long 1",
        ".quad 0, 64, 0", // entry, program headers, section headers
        ".long 0",
        ".short 64, 56, 2, 64, 0, 0",
        // PT_LOAD: everything, to be read and run
        ".long 1, 5",
        ".quad 0, 0, 0, 299f - 200b, 299f - 200b, 4096",
        // PT_DYNAMIC
        ".long 2, 4",
        ".quad 210f - 200b, 210f - 200b, 210f - 200b, 211f - 210f, 211f - 210f, 8",
        "210:",
        ".quad 4, 220f - 200b",          // DT_HASH
        ".quad 5, 240f - 200b",          // DT_STRTAB
        ".quad 6, 230f - 200b",          // DT_SYMTAB
        ".quad 10, 241f - 240f",         // DT_STRSZ
        ".quad 11, 24",                  // DT_SYMENT
        ".quad 14, 242f - 240f",         // DT_SONAME
        ".quad 0x6ffffff0, 250f - 200b", // DT_VERSYM
        ".quad 0x6ffffffc, 260f - 200b", // DT_VERDEF
        ".quad 0x6ffffffd, 2",           // DT_VERDEFNUM
        ".quad 0, 0",
        "211:",
        // one bucket, a chain of all symbols
        "220:",
        ".long 1, 5, 1, 0, 2, 3, 4, 0",
        "230:",
        ".quad 0, 0, 0",
        // name, global function, default visibility, a section (any but none), value, size
        ".long 243f - 240f",
        ".byte 0x12, 0",
        ".short 1",
        ".quad 270f - 200b, 271f - 270f",
        ".long 244f - 240f",
        ".byte 0x12, 0",
        ".short 1",
        ".quad 271f - 200b, 272f - 271f",
        ".long 245f - 240f",
        ".byte 0x12, 0",
        ".short 1",
        ".quad 272f - 200b, 273f - 272f",
        ".long 246f - 240f",
        ".byte 0x12, 0",
        ".short 1",
        ".quad 273f - 200b, 274f - 273f",
        "240:",
        ".byte 0",
        "242: .asciz \"linux-vdso.so.1\"",
        "243: .asciz \"__vdso_clock_gettime\"",
        "244: .asciz \"__vdso_gettimeofday\"",
        "245: .asciz \"__vdso_time\"",
        "246: .asciz \"__vdso_getcpu\"",
        "247: .asciz \"LINUX_2.6\"",
        "241:",
        ".balign 8, 0",
        "250:",
        ".short 0, 2, 2, 2, 2",
        ".balign 4, 0",
        // the object's own version, then LINUX_2.6: flags, index, names, hash of the name
        "260:",
        ".short 1, 1, 1, 1",
        ".long 0x0da92b81, 20, 28, 242b - 240b, 0",
        ".short 1, 0, 2, 1",
        ".long 0x03ae75f6, 20, 0, 247b - 240b, 0",
        // int clock_gettime(clockid_t, struct timespec *)
        ".balign 16, 0xcc",
        "270:",
        "xor r9d, r9d",
        "cmp edi, 11",
        "ja 3f",
        "lea r8, [rip + 200b - 4096]",
        "mov ecx, 0x821", // 0, 5, 11: the time of day
        "bt ecx, edi",
        "jnc 2f",
        "mov r9, [r8 + 16]",
        "cmp r9, -1",
        "je 3f",
        "jmp 4f",
        "2:",
        "mov ecx, 0xd2", // 1, 4, 6, 7: monotonic
        "bt ecx, edi",
        "jnc 3f",
        "4:",
        "mov r10, [r8]",
        "test r10, r10",
        "jz 3f",
        tell!(),
        "mov [rsi], rax",
        "mov [rsi + 8], rdx",
        "xor eax, eax",
        "ret",
        "3:",
        "mov eax, 228",
        "syscall",
        "ret",
        // int gettimeofday(struct timeval *, struct timezone *)
        ".balign 16, 0xcc",
        "271:",
        look!(),
        "test rdi, rdi",
        "jz 2f",
        tell!(),
        "mov [rdi], rax",
        "mov eax, edx",
        "xor edx, edx",
        "mov ecx, 1000",
        "div ecx",
        "mov [rdi + 8], rax",
        "2:",
        "test rsi, rsi",
        "jz 4f",
        "mov qword ptr [rsi], 0",
        "4:",
        "xor eax, eax",
        "ret",
        "3:",
        "mov eax, 96",
        "syscall",
        "ret",
        // time_t time(time_t *)
        ".balign 16, 0xcc",
        "272:",
        look!(),
        tell!(),
        "test rdi, rdi",
        "jz 2f",
        "mov [rdi], rax",
        "2:",
        "ret",
        "3:",
        "mov eax, 201",
        "syscall",
        "ret",
        // int getcpu(unsigned *, unsigned *, void *)
        ".balign 16, 0xcc",
        "273:",
        "xor eax, eax",
        "test rdi, rdi",
        "jz 2f",
        "mov [rdi], eax",
        "2:",
        "test rsi, rsi",
        "jz 3f",
        "mov [rsi], eax",
        "3:",
        "ret",
        "274:",
        "299:",
    )
}
