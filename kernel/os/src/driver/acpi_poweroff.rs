//! ACPI soft-off: RSDP -> RSDT/XSDT -> FADT (PM1 control block) and DSDT (`\_S5`). ACPI 6.5, sections 5.2 and 7.4.2.
//!
//! The tables are read in place at boot-up's end only; a malformed one means "no ACPI", never a fault.

use crate::boot::pvh::StartInfo;
use crate::memory::paging::phys_to_virt;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::instructions::port::Port;

static RSDP: AtomicU64 = AtomicU64::new(0);

fn remember(info: &StartInfo) {
    RSDP.store(info.rsdp, Ordering::Relaxed);
}

crate::register!("init": fn(&StartInfo) = { 50 => remember });
crate::register!("poweroff": fn(u8) = { 20 => power_off });

/// Bytes of physical memory in the direct mapping's first GiB, where firmware leaves its tables on every monitor in question.
fn physical(address: u64, length: usize) -> Option<&'static [u8]> {
    let mapped = address != 0 && address.checked_add(length as u64)? <= crate::memory::paging::mapped_end();
    // SAFETY: within the direct mapping; firmware tables are not written while the guest runs.
    mapped.then(|| unsafe { core::slice::from_raw_parts(phys_to_virt(address) as *const u8, length) })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// A whole system description table, by its header's length.
fn table(address: u64) -> Option<&'static [u8]> {
    let length = u32_at(physical(address, 36)?, 4)? as usize;
    physical(address, length.clamp(36, 1 << 20))
}

fn fadt(rsdp: u64) -> Option<&'static [u8]> {
    let pointer = physical(rsdp, 36)?;
    let xsdt = u64_at(pointer, 24).filter(|&at| pointer[15] >= 2 && at != 0);
    let (root, width) = match xsdt {
        Some(address) => (table(address)?, 8),
        None => (table(u64::from(u32_at(pointer, 16)?))?, 4),
    };
    root[36..].chunks_exact(width).find_map(|entry| {
        let address = if width == 8 { u64_at(entry, 0)? } else { u64::from(u32_at(entry, 0)?) };
        table(address).filter(|table| table.starts_with(b"FACP"))
    })
}

/// SLP_TYPa of `\_S5`: `NameOp "_S5_" PackageOp PkgLength NumElements element…`, a ZeroOp, OneOp or BytePrefix byte.
fn sleep_type(dsdt: &[u8]) -> Option<u16> {
    let at = dsdt.windows(4).position(|name| name == b"_S5_")? + 4;
    let rest = dsdt.get(at..)?;
    let lead = *rest.get(1)?;
    if rest[0] != 0x12 {
        return None;
    }
    let elements = 2 + usize::from(lead >> 6) + 1;
    match *rest.get(elements)? {
        0x0a => rest.get(elements + 1).map(|&value| u16::from(value)),
        value => Some(u16::from(value)),
    }
}

fn power_off(_status: u8) {
    let registers = || {
        let fadt = fadt(RSDP.load(Ordering::Relaxed))?;
        let dsdt = table(u64::from(u32_at(fadt, 40)?))?;
        Some((u32_at(fadt, 64)? as u16, sleep_type(dsdt)?))
    };
    if let Some((control, sleep_type)) = registers().filter(|&(control, _)| control != 0) {
        // SAFETY: the PM1a control register, as the firmware names it: SLP_EN with the sleep type of soft-off.
        unsafe { Port::<u16>::new(control).write(1 << 13 | sleep_type << 10) }
    }
}
