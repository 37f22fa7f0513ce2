//! Queues of threads that wait for an event.
//!
//! A thread may stand in several queues (`poll`). It looks at the condition, joins the queues, waits, leaves them, and looks again: events
//! are hints, never promises. Nothing can happen between the look and the wait, since kernel code is not interrupted.

use super::thread::{self, Thread};
use crate::errno::Result;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// Set where no thread may wait: at the end of the machine, and when a timer expires.
static LOOKING: AtomicBool = AtomicBool::new(false);

/// Whether a driver has to look again and again whether its device is done, since there is no thread that could wait.
pub fn must_look() -> bool {
    LOOKING.load(Ordering::Relaxed) || !thread::is_running()
}

/// Does some work during which drivers look at their devices and nobody waits.
pub fn looking<T>(work: impl FnOnce() -> T) -> T {
    let before = LOOKING.swap(true, Ordering::Relaxed);
    let result = work();
    LOOKING.store(before, Ordering::Relaxed);
    result
}

/// Told of events in place of a thread (an epoll instance).
pub trait Observer {
    fn notify(&self);
}

/// A queue. Lives in whatever it is that things happen to.
#[derive(Default)]
pub struct Queue {
    threads: RefCell<Vec<Rc<Thread>>>,
    observers: RefCell<Vec<Weak<dyn Observer>>>,
}

impl Queue {
    pub const fn new() -> Self {
        Self { threads: RefCell::new(Vec::new()), observers: RefCell::new(Vec::new()) }
    }

    /// Something happened: all who wait may look again.
    pub fn wake_all(&self) {
        for thread in self.threads.borrow().iter() {
            thread::wake(thread);
        }
        self.tell_observers();
    }

    /// Something happened that serves one: wakes the one that has waited longest.
    pub fn wake_one(&self) {
        for thread in self.threads.borrow().iter() {
            if thread::wake(thread) {
                break;
            }
        }
        self.tell_observers();
    }

    #[inline]
    fn tell_observers(&self) {
        // Most queues have none, and are woken at every turn.
        if !self.observers.borrow().is_empty() {
            self.tell_all();
        }
    }

    fn tell_all(&self) {
        // Nobody comes or goes while they are told.
        let mut index = 0;
        loop {
            let Some(observer) = self.observers.borrow().get(index).map(Weak::upgrade) else { break };
            if let Some(observer) = observer {
                observer.notify();
            }
            index += 1;
        }
    }

    /// Puts a thread into the queue.
    pub fn join(&self, thread: &Rc<Thread>) {
        self.threads.borrow_mut().push(thread.clone());
    }

    /// Takes a thread out of the queue.
    pub fn leave(&self, thread: &Thread) {
        self.threads.borrow_mut().retain(|other| other.tid != thread.tid);
    }

    /// Has an observer told of events for as long as it lives.
    pub fn observe(&self, observer: Weak<dyn Observer>) {
        let mut observers = self.observers.borrow_mut();
        observers.retain(|observer| observer.strong_count() > 0);
        observers.push(observer);
    }

    /// Stops telling an observer.
    pub fn forget(&self, observer: &Weak<dyn Observer>) {
        self.observers.borrow_mut().retain(|other| !Weak::ptr_eq(other, observer));
    }

    /// Waits for an event in this queue, whatever else happens.
    pub fn wait_firmly(&self) {
        let this = thread::current();
        self.join(&this);
        thread::wait();
        self.leave(&this);
    }

    /// Waits for an event in this queue; a signal ends it with EINTR.
    pub fn wait(&self) -> Result<()> {
        let this = thread::current();
        self.join(&this);
        let result = thread::wait_interruptibly();
        self.leave(&this);
        result
    }
}
