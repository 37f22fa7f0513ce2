//! What all virtio devices share: how a device is brought up, its rings, its interrupt.
//!
//! Section numbers are those of "Virtual I/O Device (VIRTIO) Version 1.2". The old interface is spoken where a transport has nothing else.
//! A device is not trusted: what it writes is checked before it is used as an index.

use super::apic;
use crate::cell::KernelCell;
use crate::list;
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use crate::sched::trap::FIRST_INTERRUPT;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

/// The vector that all virtio devices raise.
pub const VECTOR: u64 = FIRST_INTERRUPT + 1;

crate::register!("interrupt": fn() = { VECTOR => interrupt });

// Drives a device of the type that is the key (section 5). Drops the transport if it cannot.
crate::hook!(fn drivers() -> "virtio-device": fn(Rc<dyn Transport>) -> Option<Rc<dyn Driver>>);
// Called after devices were served.
crate::hook!(fn afters() -> "after-interrupt": fn());

/// How a device is reached (section 4).
pub trait Transport {
    /// What the device can do.
    fn features(&self) -> u64;
    /// Takes up some of it.
    fn accept(&self, features: u64);
    fn status(&self) -> u8;
    fn set_status(&self, status: u8);
    /// The most entries a queue can have; zero: there is no such queue.
    fn queue_size(&self, queue: u16) -> u16;
    /// Tells the device where a ring's three parts are, and that it may be used.
    fn set_queue(&self, queue: u16, ring: &Ring);
    /// Tells the device that a queue has something new.
    fn notify(&self, queue: u16);
    /// A byte of the device's configuration.
    fn config(&self, offset: usize) -> u8;
    /// Takes an interrupt back.
    fn acknowledge(&self);
    /// Whether the device has only the interface of before the standard.
    fn is_legacy(&self) -> bool {
        false
    }
}

/// A device in use.
pub trait Driver {
    /// The device may have used something.
    fn interrupt(&self);
}

/// Feature bit of devices that keep to the standard (section 6).
pub const VERSION_1: u64 = 1 << 32;

const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;
const FAILED: u8 = 128;

struct Device {
    transport: Rc<dyn Transport>,
    driver: Rc<dyn Driver>,
}

static DEVICES: KernelCell<Vec<Device>> = KernelCell::new(Vec::new());

/// A transport found a device of a type: the driver for it takes over, if there is one. True: it did.
pub fn found(kind: u32, transport: Box<dyn Transport>) -> bool {
    let transport: Rc<dyn Transport> = transport.into();
    for entry in drivers().iter().filter(|entry| entry.key == u64::from(kind)) {
        // Section 3.1.1: reset, then acknowledge step by step.
        transport.set_status(0);
        transport.set_status(ACKNOWLEDGE);
        transport.set_status(ACKNOWLEDGE | DRIVER);
        if let Some(driver) = (entry.item)(transport.clone()) {
            return list::push(&mut DEVICES.borrow(), Device { transport, driver }).is_ok();
        }
        transport.set_status(FAILED);
    }
    false
}

/// Agrees on features: those wanted that the device has. `None`: the device is not modern, or does not agree.
pub fn negotiate(transport: &dyn Transport, wanted: u64) -> Option<u64> {
    let features = transport.features() & (wanted | VERSION_1);
    if transport.is_legacy() {
        // Section 3.1.2: nothing is confirmed.
        transport.accept(features);
        return Some(features);
    }
    if features & VERSION_1 == 0 {
        return None;
    }
    transport.accept(features);
    transport.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    (transport.status() & FEATURES_OK != 0).then_some(features)
}

/// The device may go to work.
pub fn ready(transport: &dyn Transport) {
    transport.set_status(transport.status() | DRIVER_OK);
}

fn interrupt() {
    let mut index = 0;
    loop {
        let (transport, driver) = match DEVICES.borrow().get(index) {
            Some(device) => (device.transport.clone(), device.driver.clone()),
            None => break,
        };
        // Taken back before the look: what comes after it raises the next interrupt.
        transport.acknowledge();
        driver.interrupt();
        index += 1;
    }
    apic::end_of_interrupt();
    for after in afters() {
        (after.item)();
    }
}

/// A descriptor's flags: another part follows; the device writes the buffer.
const NEXT: u16 = 1;
const WRITE: u16 = 2;

/// One buffer of a request: where it is in physical memory, its bytes, and whether the device writes it.
#[derive(Clone, Copy)]
pub struct Part {
    pub physical: u64,
    pub length: u32,
    pub writable: bool,
}

#[repr(C)]
struct Descriptor {
    address: u64,
    length: u32,
    flags: u16,
    next: u16,
}

#[repr(C)]
struct Used {
    id: u32,
    length: u32,
}

/// Has a device see what was written for it before anything that it writes is read.
///
/// For a machine of one processor QEMU before 8.1 translates a barrier to nothing, although its devices look from another thread: on
/// the processor below, what was written can then become visible after the read, and each side misses what the other said. Reading the
/// counter takes a lock in QEMU, which is a barrier; elsewhere it costs next to nothing.
fn barrier() {
    fence(Ordering::SeqCst);
    // SAFETY: every x86-64 processor has the counter; not to be moved or left out, as intrinsics may be.
    unsafe {
        core::arch::asm!("rdtsc", out("eax") _, out("edx") _, options(nostack, preserves_flags));
    }
}

/// A split virtqueue (section 2.7). A request is named by its first descriptor.
pub struct Ring {
    size: u16,
    /// Physical address of the descriptor table; the available ring and the used ring follow.
    base: u64,
    pages: usize,
    available: u64,
    used: u64,
    next_available: u16,
    last_used: u16,
    /// Which descriptors the device has.
    lent: Vec<bool>,
}

impl Ring {
    /// A ring of `wanted` entries, or of as many as the device takes; told to the device.
    pub fn new(transport: &dyn Transport, queue: u16, wanted: u64) -> Option<Self> {
        let most = transport.queue_size(queue);
        if most == 0 {
            return None;
        }
        // A power of two, as section 2.7 has it.
        let size = (wanted.clamp(2, 1024) as u16).next_power_of_two().min(1 << most.ilog2());
        let entries = usize::from(size);
        let available = 16 * entries;
        // Section 2.7.2: on a page of its own, as the old interface has it.
        let used = (available + 6 + 2 * entries).next_multiple_of(PAGE as usize);
        let pages = (used + 6 + 8 * entries).div_ceil(PAGE as usize);
        let base = frames::allocate_run(pages)?;
        // SAFETY: fresh frames.
        unsafe { core::ptr::write_bytes(phys_to_virt(base) as *mut u8, 0, pages * PAGE as usize) };
        let mut lent = Vec::new();
        lent.resize(entries, false);
        let (available, used) = (base + available as u64, base + used as u64);
        let ring = Self { size, base, pages, available, used, next_available: 0, last_used: 0, lent };
        transport.set_queue(queue, &ring);
        Some(ring)
    }

    pub fn size(&self) -> u16 {
        self.size
    }

    /// Physical addresses of the descriptors, the available ring and the used ring.
    pub fn addresses(&self) -> [u64; 3] {
        [self.base, self.available, self.used]
    }

    /// Hands a buffer to the device: to be written to, or to be read.
    pub fn lend(&mut self, id: u16, physical: u64, length: u32, writable: bool) {
        let slot = id & (self.size - 1);
        let flags = if writable { WRITE } else { 0 };
        self.describe(slot, Descriptor { address: physical, length, flags, next: 0 });
        self.publish(slot);
    }

    /// Hands a buffer to the device once more, as it was lent before: a device does not write descriptors (section 2.7.5).
    pub fn lend_again(&mut self, id: u16) {
        self.publish(id & (self.size - 1));
    }

    fn describe(&mut self, slot: u16, descriptor: Descriptor) {
        // SAFETY: the ring's own frames; callers keep the index below its size.
        unsafe {
            (phys_to_virt(self.base) as *mut Descriptor).add(usize::from(slot)).write_volatile(descriptor);
        }
    }

    /// Hands a request of several buffers to the device, in descriptors from `first` on, which are the request's own and within the ring.
    /// [`Ring::take`] names it by `first`.
    pub fn lend_chain(&mut self, first: u16, parts: &[Part]) {
        // From the last to the first, which alone is made available.
        for (index, part) in parts.iter().enumerate().rev() {
            let slot = (first + index as u16) & (self.size - 1);
            let more = index + 1 < parts.len();
            let flags = if part.writable { WRITE } else { 0 } | if more { NEXT } else { 0 };
            let next = if more { (slot + 1) & (self.size - 1) } else { 0 };
            self.describe(slot, Descriptor { address: part.physical, length: part.length, flags, next });
        }
        self.publish(first & (self.size - 1));
    }

    /// Makes the request that starts with a descriptor available to the device.
    fn publish(&mut self, slot: u16) {
        let entry = self.next_available & (self.size - 1);
        self.lent[usize::from(slot)] = true;
        // SAFETY: the ring's own frames; the indices are below its size.
        unsafe {
            let available = phys_to_virt(self.available) as *mut u16;
            available.add(2 + usize::from(entry)).write_volatile(slot);
            self.next_available = self.next_available.wrapping_add(1);
            // Section 2.7.13: the entry is there before the index says so.
            fence(Ordering::Release);
            available.add(1).write_volatile(self.next_available);
        }
    }

    /// Takes back a buffer that the device is done with: its id and how many bytes were written.
    pub fn take(&mut self) -> Option<(u16, u32)> {
        loop {
            // SAFETY: the ring's own frames; the index is below its size.
            let used = unsafe {
                let ring = phys_to_virt(self.used) as *const u16;
                if ring.add(1).read_volatile() == self.last_used {
                    return None;
                }
                fence(Ordering::Acquire);
                let elements = ring.add(2) as *const Used;
                elements.add(usize::from(self.last_used & (self.size - 1))).read_volatile()
            };
            self.last_used = self.last_used.wrapping_add(1);
            // An id that was never lent is the device's lie: passed over.
            if let Some(lent) = self.lent.get_mut(used.id as usize)
                && core::mem::replace(lent, false)
            {
                return Some((used.id as u16, used.length));
            }
        }
    }

    /// Whether the device wants to be told of what was lent (section 2.7.10).
    pub fn wants_notice(&self) -> bool {
        // The device writes that it wants to be told, and then looks whether there is something; we do it the other way around.
        barrier();
        // SAFETY: the ring's own frames.
        unsafe { (phys_to_virt(self.used) as *const u16).read_volatile() & 1 == 0 }
    }

    /// Asks the device to interrupt, or not to (section 2.7.7). A hint: it may do so nevertheless.
    ///
    /// Whoever switches interrupts on looks with [`Ring::has_used`] afterwards. The device first writes that it has used something and then
    /// reads whether to interrupt, we first write that it is to and then read what it has used, both with a barrier between: one of the two
    /// sees what the other wrote, so that nothing is used unseen and without an interrupt. There is no index that could be behind or
    /// come around, as `VIRTIO_F_RING_EVENT_IDX` has it.
    pub fn set_interrupts(&self, on: bool) {
        // SAFETY: the ring's own frames.
        unsafe { (phys_to_virt(self.available) as *mut u16).write_volatile(u16::from(!on)) };
        if on {
            barrier();
        }
    }

    /// Whether the device has used something that was not taken back yet.
    pub fn has_used(&self) -> bool {
        // SAFETY: the ring's own frames.
        unsafe { (phys_to_virt(self.used) as *const u16).add(1).read_volatile() != self.last_used }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        frames::free_run(self.base, self.pages);
    }
}
