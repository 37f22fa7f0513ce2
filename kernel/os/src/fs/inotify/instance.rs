//! What is watched, and the events that wait to be read.

use super::MOST;
use super::events::Happening;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::{Access, File, Readiness, Stat};
use crate::fs::node::Node;
use crate::list;
use crate::memory::user;
use crate::sched::wait::Queue;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::FIONREAD;

/// Bytes of a `struct inotify_event` without its name.
const HEADER: usize = 16;
/// Which node: its file system and its inode there.
pub type Key = (u64, u64);

pub fn key_of(node: &dyn Node) -> Key {
    let stat = node.stat();
    (stat.filesystem, stat.inode)
}

pub struct Watch {
    pub number: i32,
    pub key: Key,
    /// Holds it, so that no other gets its number.
    pub node: Rc<dyn Node>,
    pub mask: u32,
}

#[derive(PartialEq)]
struct Waiting {
    watch: i32,
    mask: u32,
    cookie: u32,
    name: Vec<u8>,
}

impl Waiting {
    /// Bytes of the name as it is read: with a NUL and padding, or none.
    fn name_bytes(&self) -> usize {
        if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(HEADER) }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.name_bytes());
        bytes.extend(self.watch.to_le_bytes());
        for word in [self.mask, self.cookie, self.name_bytes() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.name);
        bytes.resize(HEADER + self.name_bytes(), 0);
        bytes
    }

    /// Whether this says nothing that the event before it does not say.
    fn repeats(&self, before: &Self) -> bool {
        before.mask & IN_IGNORED == 0
            && (before.mask, before.watch, &before.name) == (self.mask, self.watch, &self.name)
    }
}

/// What `inotify_init` makes.
pub struct Instance {
    pub watches: RefCell<Vec<Watch>>,
    /// The last number given to a watch; none is given twice.
    pub last: Cell<i32>,
    events: RefCell<VecDeque<Waiting>>,
    queue: Queue,
}

static INSTANCES: KernelCell<Vec<Weak<Instance>>> = KernelCell::new(Vec::new());
/// Watches in all instances. Without any, what is done to files is of no interest.
pub static WATCHES: AtomicUsize = AtomicUsize::new(0);

pub fn instances() -> Vec<Rc<Instance>> {
    INSTANCES.borrow().iter().filter_map(Weak::upgrade).collect()
}

/// Whether any watch for which `is_it` holds wants one of these events.
pub fn is_wanted(events: u32, is_it: impl Fn(&Watch) -> bool) -> bool {
    let wants = |watch: &Watch| watch.mask & events != 0 && is_it(watch);
    INSTANCES.borrow().iter().filter_map(Weak::upgrade).any(|one| one.watches.borrow().iter().any(wants))
}

impl Instance {
    /// One that watches nothing yet.
    pub fn new() -> Result<Rc<Self>> {
        let instance = Rc::new(Self {
            watches: RefCell::new(Vec::new()),
            last: Cell::new(0),
            events: RefCell::new(VecDeque::new()),
            queue: Queue::new(),
        });
        let mut all = INSTANCES.borrow();
        all.retain(|instance| instance.strong_count() > 0);
        list::push(&mut all, Rc::downgrade(&instance))?;
        Ok(instance)
    }

    /// Queues an event, unless the one before says the same.
    fn push(&self, watch: i32, mask: u32, cookie: u32, name: &[u8]) {
        let mut events = self.events.borrow_mut();
        let mut event = Waiting { watch, mask, cookie, name: Vec::new() };
        let has_room = events.try_reserve(1).is_ok()
            && events.len() < MOST.get() as usize
            && event.name.try_reserve_exact(name.len()).is_ok();
        if has_room {
            event.name.extend_from_slice(name);
        } else {
            event = Waiting { watch: -1, mask: IN_Q_OVERFLOW, cookie: 0, name: Vec::new() };
        }
        if events.back().is_some_and(|last| event.repeats(last)) || events.len() == events.capacity() {
            return;
        }
        events.push_back(event);
        drop(events);
        self.queue.wake_all();
    }

    /// Tells of an event if the watch of this node, if there is one, wants it.
    pub fn tell(&self, key: Key, happening: &Happening, name: &[u8]) {
        let watches = self.watches.borrow();
        let Some(watch) = watches.iter().find(|watch| watch.key == key) else { return };
        let (number, mask) = (watch.number, watch.mask);
        drop(watches);
        if mask & happening.what == 0 || happening.nameless && mask & IN_EXCL_UNLINK != 0 {
            return;
        }
        // A node that goes away is not said to be a directory.
        let with_kind = happening.what & (IN_DELETE_SELF | IN_MOVE_SELF) == 0;
        let kind = if happening.is_directory && with_kind { IN_ISDIR } else { 0 };
        self.push(number, happening.what | kind, happening.cookie, name);
        if mask & IN_ONESHOT != 0 {
            self.forget(|watch| watch.number == number);
        }
    }

    /// Ends a watch, and says so. False: there is none such.
    pub fn forget(&self, is_it: impl Fn(&Watch) -> bool) -> bool {
        let mut watches = self.watches.borrow_mut();
        let Some(at) = watches.iter().position(is_it) else { return false };
        let watch = watches.remove(at);
        drop(watches);
        WATCHES.fetch_sub(1, Ordering::Relaxed);
        self.push(watch.number, IN_IGNORED, 0, &[]);
        true
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        WATCHES.fetch_sub(self.watches.get_mut().len(), Ordering::Relaxed);
    }
}

impl File for Instance {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        let mut done = 0;
        loop {
            let mut events = self.events.borrow_mut();
            match events.front().map(|event| HEADER + event.name_bytes()) {
                Some(size) if size > count - done => {
                    return if done == 0 { Err(Errno::EINVAL) } else { Ok(done) };
                }
                Some(size) => {
                    let event = events.pop_front();
                    drop(events);
                    // As on Linux, what cannot be put there is lost.
                    user::write_bytes(
                        to + done as u64,
                        &event.map(|event| event.bytes()).unwrap_or_default(),
                    )?;
                    done += size;
                }
                None if done > 0 => return Ok(done),
                None if access.nonblocking => return Err(Errno::EAGAIN),
                None => {
                    drop(events);
                    self.queue.wait()?;
                }
            }
        }
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EBADF) // never open for writing
    }

    fn stat(&self) -> Stat {
        Stat { mode: 0o600, links: 1, ..Stat::default() }
    }

    fn readiness(&self) -> Readiness {
        if self.events.borrow().is_empty() { Readiness::empty() } else { Readiness::READ }
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.queue)
    }

    fn control(&self, request: u32, argument: u64) -> Result<u64> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let bytes: usize = self.events.borrow().iter().map(|event| HEADER + event.name_bytes()).sum();
        user::write(argument, &(bytes as u32)).map(|()| 0)
    }
}
