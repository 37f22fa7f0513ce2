//! virtio devices on PCI (VIRTIO 1.2, section 4.1), modern interface only.

use super::pci::Function;
use super::virtio::{self, Ring, Transport};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;

crate::register!("pci-device": fn(&Function) -> bool = { 10 => probe });

const VENDOR: u16 = 0x1af4;
const VENDOR_CAPABILITY: u8 = 0x09;

/// Kinds of capability (section 4.1.4).
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const DEVICE: u8 = 4;

/// The queue message number that stands for none.
const NO_VECTOR: u16 = 0xffff;

/// Fields of the common configuration (section 4.1.4.3).
const DEVICE_FEATURE_SELECT: u64 = 0;
const DEVICE_FEATURE: u64 = 4;
const DRIVER_FEATURE_SELECT: u64 = 8;
const DRIVER_FEATURE: u64 = 12;
const CONFIG_VECTOR: u64 = 16;
const STATUS: u64 = 20;
const QUEUE_SELECT: u64 = 22;
const QUEUE_SIZE: u64 = 24;
const QUEUE_VECTOR: u64 = 26;
const QUEUE_ENABLE: u64 = 28;
const QUEUE_NOTIFY_OFFSET: u64 = 30;
const QUEUE_ADDRESSES: [u64; 3] = [32, 40, 48];

struct Pci {
    common: u64,
    notify: u64,
    notify_length: u64,
    notify_multiplier: u64,
    /// Where each queue is notified, in that structure: to ask would cost two more turns of the monitor.
    offsets: RefCell<Vec<u64>>,
    device: Option<(u64, usize)>,
}

impl Pci {
    fn read<T: Copy>(&self, field: u64) -> T {
        // SAFETY: a field of the common configuration, mapped by `probe`.
        unsafe { ((self.common + field) as *const T).read_volatile() }
    }

    fn write<T: Copy>(&self, field: u64, value: T) {
        // SAFETY: as above.
        unsafe { ((self.common + field) as *mut T).write_volatile(value) }
    }
}

impl Transport for Pci {
    fn features(&self) -> u64 {
        let half = |select: u32| {
            self.write(DEVICE_FEATURE_SELECT, select);
            u64::from(self.read::<u32>(DEVICE_FEATURE))
        };
        half(0) | half(1) << 32
    }

    fn accept(&self, features: u64) {
        for select in 0..2u32 {
            self.write(DRIVER_FEATURE_SELECT, select);
            self.write(DRIVER_FEATURE, (features >> (32 * select)) as u32);
        }
        self.write(CONFIG_VECTOR, NO_VECTOR);
    }

    fn status(&self) -> u8 {
        self.read(STATUS)
    }

    fn set_status(&self, status: u8) {
        self.write(STATUS, status);
    }

    fn queue_size(&self, queue: u16) -> u16 {
        self.write(QUEUE_SELECT, queue);
        self.read(QUEUE_SIZE)
    }

    fn set_queue(&self, queue: u16, ring: &Ring) {
        self.write(QUEUE_SELECT, queue);
        self.write(QUEUE_SIZE, ring.size());
        self.write(QUEUE_VECTOR, 0u16);
        for (field, address) in QUEUE_ADDRESSES.into_iter().zip(ring.addresses()) {
            self.write(field, address as u32);
            self.write(field + 4, (address >> 32) as u32);
        }
        self.write(QUEUE_ENABLE, 1u16);
        let offset = u64::from(self.read::<u16>(QUEUE_NOTIFY_OFFSET)) * self.notify_multiplier;
        let mut offsets = self.offsets.borrow_mut();
        let count = offsets.len().max(usize::from(queue) + 1);
        offsets.resize(count, u64::MAX);
        offsets[usize::from(queue)] = offset;
    }

    fn notify(&self, queue: u16) {
        let offset = self.offsets.borrow().get(usize::from(queue)).copied();
        // What a device says is within the structure.
        if let Some(offset) = offset.filter(|&offset| offset.saturating_add(2) <= self.notify_length) {
            // SAFETY: within the notification structure (section 4.1.4.4), mapped by `probe`.
            unsafe { ((self.notify + offset) as *mut u16).write_volatile(queue) }
        }
    }

    fn config(&self, offset: usize) -> u8 {
        match self.device {
            // SAFETY: within the device's structure, mapped by `probe`.
            Some((base, length)) if offset < length => unsafe {
                ((base + offset as u64) as *const u8).read_volatile()
            },
            _ => 0,
        }
    }

    /// A message says that it was this vector; there is nothing to take back.
    fn acknowledge(&self) {}
}

/// The device's type: from the subsystem where the device could be used the old way too (section 4.1.2).
fn kind(function: &Function) -> Option<u32> {
    match function.id() {
        (VENDOR, 0x1000..=0x103f) => Some(u32::from(function.subsystem())),
        (VENDOR, id @ 0x1040..=0x107f) => Some(u32::from(id - 0x1040)),
        _ => None,
    }
}

fn probe(function: &Function) -> bool {
    let Some(kind) = kind(function) else { return false };
    let find = |wanted: u8| {
        function.capabilities(VENDOR_CAPABILITY).find_map(|at| {
            if (function.read(at) >> 24) as u8 != wanted {
                return None;
            }
            let (offset, length) = (function.read(at + 8), function.read(at + 12));
            let base = function.map(function.read(at + 4) as u8, offset, length)?;
            Some((base, length, at))
        })
    };
    let (Some((common, 56.., _)), Some((notify, notify_length, at))) = (find(COMMON), find(NOTIFY)) else {
        return false;
    };
    if !function.interrupt_by_message(virtio::VECTOR) {
        return false;
    }
    let device = Pci {
        common,
        notify,
        notify_length: u64::from(notify_length),
        notify_multiplier: u64::from(function.read(at + 16)),
        offsets: RefCell::new(Vec::new()),
        device: find(DEVICE).map(|(base, length, _)| (base, length as usize)),
    };
    virtio::found(kind, Box::new(device))
}
