//! Requests to devices that answer each of them. Several are under way at once; threads wait for theirs.

use super::virtio::{Part, Ring, Transport};
use crate::cell::KernelCell;
use crate::list;
use crate::sched::thread::{self, Idle};
use crate::sched::wait::{self, Queue};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

crate::register!("idle": fn() -> Idle = { 30 => idle });

/// A queue of a device.
pub struct Requests {
    transport: Rc<dyn Transport>,
    index: u16,
    ring: RefCell<Ring>,
    /// Descriptors of each request, and so its most parts.
    parts: u16,
    /// Numbers that no request has. Request n has the descriptors from n times `parts` on.
    free: RefCell<Vec<u16>>,
    /// Of each request, whether it has been answered.
    answered: RefCell<Vec<bool>>,
    waiting: Queue,
    /// Requests that the device has.
    pending: Cell<usize>,
}

static ALL: KernelCell<Vec<Rc<Requests>>> = KernelCell::new(Vec::new());

/// Devices tell of their answers.
fn idle() -> Idle {
    let is_asked = ALL.borrow().iter().any(|requests| requests.pending.get() > 0);
    if is_asked { Idle::Interrupt } else { Idle::Never }
}

impl Requests {
    /// Sets a queue up for requests of at most `parts` parts, or of as many as its ring has room for; at most `most` at once.
    pub fn new(transport: Rc<dyn Transport>, index: u16, parts: u16, most: u16) -> Option<Rc<Self>> {
        let ring = Ring::new(&*transport, index, u64::from(parts) * u64::from(most))?;
        let parts = parts.min(ring.size());
        let count = (ring.size() / parts).min(most);
        let mut answered = Vec::new();
        answered.resize(usize::from(count), false);
        let requests = Rc::new(Self {
            transport,
            index,
            ring: RefCell::new(ring),
            parts,
            free: RefCell::new((0..count).collect()),
            answered: RefCell::new(answered),
            waiting: Queue::new(),
            pending: Cell::new(0),
        });
        list::push(&mut ALL.borrow(), requests.clone()).ok()?;
        Some(requests)
    }

    /// Most parts of a request.
    pub fn parts(&self) -> usize {
        usize::from(self.parts)
    }

    /// Most requests at once.
    pub fn count(&self) -> usize {
        self.answered.borrow().len()
    }

    /// A number for a request; none while all are taken.
    pub fn take(&self) -> Option<u16> {
        self.free.borrow_mut().pop()
    }

    /// Hands a request to the device. It is told with [`Requests::tell`].
    pub fn submit(&self, number: u16, parts: &[Part]) {
        self.answered.borrow_mut()[usize::from(number)] = false;
        self.ring.borrow_mut().lend_chain(number * self.parts, parts);
        self.pending.set(self.pending.get() + 1);
    }

    /// Tells the device of what was submitted.
    pub fn tell(&self) {
        if self.ring.borrow().wants_notice() {
            self.transport.notify(self.index);
        }
    }

    /// Whether a request has been answered.
    pub fn is_answered(&self, number: u16) -> bool {
        self.answered.borrow()[usize::from(number)]
    }

    /// Gives a number back.
    pub fn give_back(&self, number: u16) {
        // There is room: it came from there.
        self.free.borrow_mut().push(number);
        self.waiting.wake_all();
    }

    /// Notes what has been answered, and lets those look who wait.
    pub fn collect(&self) {
        let mut any = false;
        let mut ring = self.ring.borrow_mut();
        while let Some((first, _)) = ring.take() {
            if let Some(answered) = self.answered.borrow_mut().get_mut(usize::from(first / self.parts)) {
                *answered = true;
                any = true;
                self.pending.set(self.pending.get().saturating_sub(1));
            }
        }
        drop(ring);
        if any {
            self.waiting.wake_all();
        }
    }

    /// Waits until something may have been answered or a number given back.
    pub fn wait(&self) {
        if wait::must_look() {
            core::hint::spin_loop();
            self.collect();
            return;
        }
        let this = thread::current();
        self.waiting.join(&this);
        thread::wait();
        self.waiting.leave(&this);
    }
}
