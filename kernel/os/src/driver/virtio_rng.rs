//! The virtio entropy device (VIRTIO 1.2, section 5.4).

use super::virtio::{self, Driver, Ring, Transport};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use crate::sched::thread::Idle;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

/// The device's type (section 5).
const ENTROPY: u64 = 4;
crate::register!("virtio-device": fn(Rc<dyn Transport>) -> Option<Rc<dyn Driver>> = { ENTROPY => start });
crate::register!("entropy": fn(&mut [u8]) = { 10 => mix });
crate::register!("idle": fn() -> Idle = { 30 => idle });

/// Bytes asked for at once: seeds are short.
const WANTED: usize = 256;
/// Looks for the first answer while the machine starts; a device that is slower serves later seeds.
const LOOKS: usize = 20_000_000;

struct Source {
    transport: Rc<dyn Transport>,
    ring: RefCell<Ring>,
    /// Physical address of the page that the device writes to.
    page: u64,
    /// Bytes at its start that nobody has had yet.
    unused: Cell<usize>,
    /// The device was asked and has not answered.
    asked: Cell<bool>,
    queue: Queue,
    /// Threads in the queue.
    waiting: Cell<usize>,
}

static SOURCE: KernelCell<Option<Rc<Source>>> = KernelCell::new(None);

fn start(transport: Rc<dyn Transport>) -> Option<Rc<dyn Driver>> {
    virtio::negotiate(&*transport, 0)?;
    let ring = RefCell::new(Ring::new(&*transport, 0, 2)?);
    let page = frames::allocate_zeroed()?;
    let source = Rc::new(Source {
        transport: transport.clone(),
        ring,
        page,
        unused: Cell::new(0),
        asked: Cell::new(false),
        queue: Queue::new(),
        waiting: Cell::new(0),
    });
    virtio::ready(&*transport);
    source.ask();
    for _ in 0..LOOKS {
        source.collect();
        if source.unused.get() > 0 {
            break;
        }
        core::hint::spin_loop();
    }
    *SOURCE.borrow() = Some(source.clone());
    Some(source)
}

impl Driver for Source {
    fn interrupt(&self) {
        self.collect();
    }
}

impl Source {
    /// Asks the device, unless there is something left or it has been asked.
    fn ask(&self) {
        if self.unused.get() > 0 || self.asked.replace(true) {
            return;
        }
        let mut ring = self.ring.borrow_mut();
        ring.lend(0, self.page, WANTED as u32, true);
        if ring.wants_notice() {
            self.transport.notify(0);
        }
    }

    /// Notes what the device has answered.
    fn collect(&self) {
        let answer = self.ring.borrow_mut().take();
        if let Some((_, length)) = answer {
            self.asked.set(false);
            self.unused.set((length as usize).min(WANTED));
            self.queue.wake_all();
        }
    }

    /// Takes as many bytes as there are and are wanted; each is given away once.
    fn take(&self, mut give: impl FnMut(usize, u8), wanted: usize) -> usize {
        self.collect();
        let count = wanted.min(self.unused.get());
        for index in 0..count {
            let at = self.unused.get() - 1;
            self.unused.set(at);
            let byte = (phys_to_virt(self.page) + at as u64) as *mut u8;
            // SAFETY: within the page of our own, which the device has only while nothing in it is unused.
            give(index, unsafe { byte.replace(0) });
        }
        self.ask();
        count
    }
}

const _: () = assert!(WANTED <= PAGE as usize);

fn source() -> Option<Rc<Source>> {
    SOURCE.borrow().clone()
}

/// The device tells of its answer.
fn idle() -> Idle {
    let is_awaited = source().is_some_and(|source| source.waiting.get() > 0);
    if is_awaited { Idle::Interrupt } else { Idle::Never }
}

/// Adds the device's bytes to a seed, as far as it has some.
fn mix(seed: &mut [u8]) {
    if let Some(source) = source() {
        let wanted = seed.len();
        source.take(|index, byte| seed[index] ^= byte, wanted);
    }
}

/// Whether there is a device.
pub fn is_there() -> bool {
    source().is_some()
}

/// Bytes straight from the device: at least one, unless none is there and `waits` is false.
pub fn read(bytes: &mut [u8], waits: bool) -> Result<usize> {
    let source = source().ok_or(Errno::ENODEV)?;
    loop {
        let wanted = bytes.len();
        let count = source.take(|index, byte| bytes[index] = byte, wanted);
        if count > 0 || wanted == 0 {
            return Ok(count);
        }
        if !waits {
            return Err(Errno::EAGAIN);
        }
        source.waiting.set(source.waiting.get() + 1);
        let woken = source.queue.wait();
        source.waiting.set(source.waiting.get() - 1);
        woken?;
    }
}
