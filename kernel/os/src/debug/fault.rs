//! The report on an exception that nobody could handle.

use crate::console::print::Text;
use crate::sched::trap::Frame;

crate::register!("fault": fn(&Frame, u64) = { 10 => report });

fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        3 => "breakpoint",
        4 => "overflow",
        6 => "invalid instruction",
        7 => "FPU not available",
        8 => "double fault",
        10 => "bad task state",
        11 => "segment not present",
        12 => "stack fault",
        13 => "general protection fault",
        14 => "page fault",
        16 => "x87 exception",
        17 => "misaligned access",
        18 => "machine check",
        19 => "SSE exception",
        _ => "exception",
    }
}

/// The component that a text address belongs to, from the composer's table.
fn component(address: u64) -> Option<Text<'static>> {
    let offset = address.checked_sub(crate::layout_symbol!("text.start"))?;
    let mut table = crate::table!("components");
    while let Some((end, rest)) = table.split_first_chunk::<4>() {
        let (&length, rest) = rest.split_first()?;
        let (id, rest) = rest.split_at_checked(usize::from(length))?;
        if offset < u64::from(u32::from_le_bytes(*end)) {
            // SAFETY: a component's id.
            return (!id.is_empty()).then(|| unsafe { Text::of_composer(id) });
        }
        table = rest;
    }
    None
}

fn report(frame: &Frame, address: u64) {
    let name = Text(name(frame.vector));
    match frame.vector {
        14 => {
            let access = Text(match frame.code {
                code if code & 16 != 0 => "running",
                code if code & 2 != 0 => "writing",
                _ => "reading",
            });
            crate::println!("bespoke: {name} {access} {address:#x} at {:#x}", frame.rip);
        }
        _ => crate::println!("bespoke: {name} (code {:#x}) at {:#x}", frame.code, frame.rip),
    }
    if frame.is_user() {
        crate::println!("  in the program, thread {}", crate::sched::thread::current().tid as usize);
    } else {
        crate::println!(
            "  in the kernel, component {}",
            component(frame.rip).unwrap_or(Text("(shared code)"))
        );
    }
    let f = frame;
    crate::println!("  rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}", f.rax, f.rbx, f.rcx, f.rdx);
    crate::println!("  rsi {:016x} rdi {:016x} rbp {:016x} rsp {:016x}", f.rsi, f.rdi, f.rbp, f.rsp);
    crate::println!("  r8  {:016x} r9  {:016x} r10 {:016x} r11 {:016x}", f.r8, f.r9, f.r10, f.r11);
    crate::println!("  r12 {:016x} r13 {:016x} r14 {:016x} r15 {:016x}", f.r12, f.r13, f.r14, f.r15);
}
