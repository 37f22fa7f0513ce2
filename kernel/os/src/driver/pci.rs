//! PCI functions, through configuration mechanism 1 (PCI Local Bus Specification 3.0, section 3.2.2.3.2).

use super::apic;
use crate::boot::pvh::StartInfo;
use crate::memory::paging::{self, HUGE_PAGE};
use x86_64::instructions::port::Port;

crate::register!("init": fn(&StartInfo) = { 71 => scan });

// Told of each function that is there. True: it is taken.
crate::hook!(fn drivers() -> "pci-device": fn(&Function) -> bool);

const COMMAND: u8 = 0x04;
const CLASS: u8 = 0x08;
const HEADER: u8 = 0x0c;
const BARS: u8 = 0x10;
const SECONDARY_BUS: u8 = 0x18;
const SUBSYSTEM: u8 = 0x2c;
const CAPABILITIES: u8 = 0x34;

const MSI_X: u8 = 0x11;

/// A function of a device on a bus.
#[derive(Clone, Copy)]
pub struct Function {
    bus: u8,
    slot: u8,
    function: u8,
}

impl Function {
    fn select(&self, offset: u8) {
        let address = 1 << 31
            | u32::from(self.bus) << 16
            | u32::from(self.slot) << 11
            | u32::from(self.function) << 8
            | u32::from(offset & 0xfc);
        // SAFETY: the configuration ports belong to this driver.
        unsafe { Port::new(0xcf8).write(address) }
    }

    /// The word of configuration space that holds the byte at `offset`.
    pub fn read(&self, offset: u8) -> u32 {
        self.select(offset);
        // SAFETY: as above.
        unsafe { Port::new(0xcfc).read() }
    }

    fn write(&self, offset: u8, value: u32) {
        self.select(offset);
        // SAFETY: as above.
        unsafe { Port::new(0xcfc).write(value) }
    }

    /// Vendor and device.
    pub fn id(&self) -> (u16, u16) {
        let word = self.read(0);
        (word as u16, (word >> 16) as u16)
    }

    /// The subsystem's own number.
    pub fn subsystem(&self) -> u16 {
        (self.read(SUBSYSTEM) >> 16) as u16
    }

    fn exists(&self) -> bool {
        self.id().0 != 0xffff
    }

    /// Offsets of the capabilities with an id.
    pub fn capabilities(&self, id: u8) -> impl Iterator<Item = u8> + '_ {
        let mut at = self.read(CAPABILITIES) as u8 & 0xfc;
        // A list that bites its tail ends too.
        let mut left = 48;
        core::iter::from_fn(move || {
            while at != 0 && left > 0 {
                let here = at;
                let word = self.read(here);
                at = (word >> 8) as u8 & 0xfc;
                left -= 1;
                if word as u8 == id {
                    return Some(here);
                }
            }
            None
        })
    }

    /// Where a memory region of the function is mapped, and lets the function use memory.
    pub fn map(&self, bar: u8, offset: u32, length: u32) -> Option<u64> {
        const MEMORY_AND_MASTER: u32 = 0b110;
        if bar > 5 {
            return None;
        }
        let low = self.read(BARS + 4 * bar);
        if low & 1 != 0 {
            return None;
        }
        let high = if low & 0b110 == 0b100 && bar < 5 { self.read(BARS + 4 * bar + 4) } else { 0 };
        let base = u64::from(high) << 32 | u64::from(low & !0xf);
        if base == 0 {
            return None; // the firmware found no place
        }
        self.write(COMMAND, self.read(COMMAND) & 0xffff | MEMORY_AND_MASTER);
        let start = base.checked_add(u64::from(offset))?;
        let end = start.checked_add(u64::from(length.max(1)))?;
        // Within what the direct mapping has room for.
        if end > 1 << 46 {
            return None;
        }
        let first = start & !(HUGE_PAGE - 1);
        for page in (first..end).step_by(HUGE_PAGE as usize) {
            paging::map_device(page);
        }
        Some(paging::phys_to_virt(start))
    }

    /// Has message 0 of MSI-X (section 6.8.2) raise a vector; every queue is to use it. False: the function has no such messages.
    pub fn interrupt_by_message(&self, vector: u64) -> bool {
        let Some(at) = self.capabilities(MSI_X).next() else { return false };
        let place = self.read(at + 4);
        let Some(table) = self.map(place as u8 & 7, place & !7, 16) else { return false };
        let destination = u32::from(apic::enable());
        // SAFETY: the first entry of the function's message table: address, data, mask.
        unsafe {
            let entry = table as *mut u32;
            entry.write_volatile(0xfee0_0000 | destination << 12);
            entry.add(1).write_volatile(0);
            entry.add(2).write_volatile(vector as u32);
            entry.add(3).write_volatile(0);
        }
        // Enabled, not masked.
        self.write(at, self.read(at) & !(1 << 30) | 1 << 31);
        true
    }
}

fn offer(function: &Function) {
    for driver in drivers() {
        if (driver.item)(function) {
            break;
        }
    }
}

fn scan_bus(bus: u8, depth: u32) {
    for slot in 0..32 {
        for number in 0..8 {
            let function = Function { bus, slot, function: number };
            if !function.exists() {
                if number == 0 {
                    break;
                }
                continue;
            }
            let header = function.read(HEADER) >> 16;
            offer(&function);
            // A bridge to another bus; the firmware has numbered them upwards.
            let secondary = (function.read(SECONDARY_BUS) >> 8) as u8;
            if function.read(CLASS) >> 16 == 0x0604 && secondary > bus && depth < 8 {
                scan_bus(secondary, depth + 1);
            }
            if number == 0 && header & 0x80 == 0 {
                break;
            }
        }
    }
}

fn scan(_: &StartInfo) {
    scan_bus(0, 0);
}
