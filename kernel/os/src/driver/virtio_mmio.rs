//! virtio devices on the memory bus (VIRTIO 1.2, section 4.2), as QEMU's microvm, Firecracker and others have them.
//!
//! The monitor names them on the command line, as it would for Linux: `virtio_mmio.device=SIZE@ADDRESS:LINE`. Where it names none, the
//! places where microvm puts them are looked at.

use super::ioapic;
use super::virtio::{self, Ring, Transport};
use crate::boot::pvh::StartInfo;
use crate::memory::paging::{self, HUGE_PAGE};
use alloc::boxed::Box;

crate::register!("init": fn(&StartInfo) = { 70 => probe });

struct Mmio {
    base: u64,
    /// The interface of before the standard (section 4.2.4).
    legacy: bool,
}

const MAGIC: u64 = 0x000;
const VERSION: u64 = 0x004;
const DEVICE: u64 = 0x008;
const DEVICE_FEATURES: u64 = 0x010;
const DEVICE_FEATURES_SELECT: u64 = 0x014;
const DRIVER_FEATURES: u64 = 0x020;
const DRIVER_FEATURES_SELECT: u64 = 0x024;
const QUEUE_SELECT: u64 = 0x030;
const QUEUE_SIZE_MAX: u64 = 0x034;
const QUEUE_SIZE: u64 = 0x038;
const QUEUE_READY: u64 = 0x044;
/// Of the old interface: bytes of a page, the used ring's alignment, and the page that a queue starts at.
const LEGACY_PAGE_SIZE: u64 = 0x028;
const LEGACY_QUEUE_ALIGN: u64 = 0x03c;
const LEGACY_QUEUE_PAGE: u64 = 0x040;
const QUEUE_NOTIFY: u64 = 0x050;
const INTERRUPT_ACKNOWLEDGE: u64 = 0x064;
/// Why a device interrupts: it used something, or its configuration changed.
const USED: u32 = 1;
const CHANGED: u32 = 2;
const STATUS: u64 = 0x070;
/// Low and high halves of the addresses of the descriptors, the available ring and the used ring.
const QUEUE_ADDRESSES: [u64; 3] = [0x080, 0x090, 0x0a0];
const CONFIG: u64 = 0x100;

impl Mmio {
    fn read(&self, register: u64) -> u32 {
        // SAFETY: a register of the device, mapped by `try_at`.
        unsafe { ((self.base + register) as *const u32).read_volatile() }
    }

    fn write(&self, register: u64, value: u32) {
        // SAFETY: as above.
        unsafe { ((self.base + register) as *mut u32).write_volatile(value) }
    }
}

impl Transport for Mmio {
    fn features(&self) -> u64 {
        let half = |select: u32| {
            self.write(DEVICE_FEATURES_SELECT, select);
            u64::from(self.read(DEVICE_FEATURES))
        };
        half(0) | if self.legacy { 0 } else { half(1) << 32 }
    }

    fn accept(&self, features: u64) {
        for select in 0..if self.legacy { 1 } else { 2 } {
            self.write(DRIVER_FEATURES_SELECT, select);
            self.write(DRIVER_FEATURES, (features >> (32 * select)) as u32);
        }
    }

    fn status(&self) -> u8 {
        self.read(STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        self.write(STATUS, u32::from(status));
    }

    fn queue_size(&self, queue: u16) -> u16 {
        self.write(QUEUE_SELECT, u32::from(queue));
        self.read(QUEUE_SIZE_MAX).min(1 << 15) as u16
    }

    fn set_queue(&self, queue: u16, ring: &Ring) {
        self.write(QUEUE_SELECT, u32::from(queue));
        self.write(QUEUE_SIZE, u32::from(ring.size()));
        if self.legacy {
            let page = paging::PAGE as u32;
            self.write(LEGACY_PAGE_SIZE, page);
            self.write(LEGACY_QUEUE_ALIGN, page);
            self.write(LEGACY_QUEUE_PAGE, (ring.addresses()[0] / paging::PAGE) as u32);
            return;
        }
        for (register, address) in QUEUE_ADDRESSES.into_iter().zip(ring.addresses()) {
            self.write(register, address as u32);
            self.write(register + 4, (address >> 32) as u32);
        }
        self.write(QUEUE_READY, 1);
    }

    fn notify(&self, queue: u16) {
        self.write(QUEUE_NOTIFY, u32::from(queue));
    }

    fn config(&self, offset: usize) -> u8 {
        // SAFETY: the configuration space goes up to the end of the device's 512 bytes.
        unsafe { ((self.base + CONFIG + offset.min(255) as u64) as *const u8).read_volatile() }
    }

    fn acknowledge(&self) {
        // Whether it was this device is not asked: each access is a turn of the monitor, and its rings tell as well.
        self.write(INTERRUPT_ACKNOWLEDGE, USED | CHANGED);
    }

    fn is_legacy(&self) -> bool {
        self.legacy
    }
}

/// Looks at a place and brings up the device there.
fn try_at(physical: u64, line: u32) {
    let base = paging::map_device(physical & !(HUGE_PAGE - 1)) + physical % HUGE_PAGE;
    let mut device = Mmio { base, legacy: false };
    let kind = device.read(DEVICE);
    if device.read(MAGIC) != u32::from_le_bytes(*b"virt") || kind == 0 {
        return;
    }
    device.legacy = device.read(VERSION) < 2;
    if virtio::found(kind, Box::new(device)) && !ioapic::route(line, virtio::VECTOR) {
        crate::println!("bespoke: no interrupt line {line} for the device at {physical:#x}");
    }
}

/// A number as C writes it.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// `SIZE@ADDRESS:LINE[:ID]` of a word of the command line.
fn place(word: &[u8]) -> Option<(u64, u32)> {
    let text = core::str::from_utf8(word).ok()?.strip_prefix("virtio_mmio.device=")?;
    let (_, place) = text.split_once('@')?;
    let mut parts = place.split(':');
    Some((number(parts.next()?)?, number(parts.next()?)? as u32))
}

fn probe(info: &StartInfo) {
    let mut named = false;
    for (address, line) in info.command_line().split(|&byte| byte == b' ').filter_map(place) {
        named = true;
        try_at(address, line);
    }
    if !named {
        for slot in 0..8 {
            try_at(0xfeb0_0000 + 0x200 * slot, 5 + slot as u32);
        }
    }
}
