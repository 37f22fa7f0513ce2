//! `epoll(7)`.
//!
//! Each watched file's queue tells the instance of events; the instance then knows which files to look at, so that waiting costs what is
//! ready and not what is watched.

use super::file::{self, Access, Description, File, Readiness, Stat};
use crate::abi::syscall::{Args, Handler, limit};
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::list;
use crate::memory::{frames, user};
use crate::sched::wait::{Observer, Queue};
use crate::sched::wait_many::{wait_in, with_user_mask};
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general::*;

crate::register!("syscall": Handler = {
    __NR_epoll_create => epoll_create,
    __NR_epoll_create1 => epoll_create1,
    __NR_epoll_ctl => epoll_ctl,
    __NR_epoll_wait => epoll_wait,
    __NR_epoll_pwait => epoll_pwait,
    __NR_epoll_pwait2 => epoll_pwait2,
});

/// Instances that may watch one another in a row.
const MOST_IN_A_ROW: usize = 5;

/// `struct epoll_event` on x86-64, where it is packed: events, data.
type Event = [u8; 12];
/// Most that one call may ask for.
const MOST_EVENTS: usize = i32::MAX as usize / size_of::<Event>();

fn event(bytes: &Event) -> (u32, u64) {
    let (events, data) = bytes.split_at(4);
    let events = u32::from_le_bytes(events.try_into().unwrap_or_default());
    (events, u64::from_le_bytes(data.try_into().unwrap_or_default()))
}

/// A watched file.
struct Watch {
    fd: u32,
    file: Weak<Description>,
    /// EPOLL* as asked for; without events after EPOLLONESHOT has fired.
    events: Cell<u32>,
    data: Cell<u64>,
    /// In the ready list.
    is_listed: Cell<bool>,
    this: Weak<Watch>,
    instance: Weak<Epoll>,
}

impl Watch {
    /// What names it: the same file can be watched by several descriptors.
    fn key(&self) -> (u32, *const Description) {
        (self.fd, self.file.as_ptr())
    }
}

struct Epoll {
    /// In order of their keys.
    watches: RefCell<Vec<Rc<Watch>>>,
    /// Watches whose files had an event, to be looked at in this order.
    ready: RefCell<VecDeque<Rc<Watch>>>,
    queue: Queue,
    /// Instances that watch this one.
    above: RefCell<Vec<Weak<Epoll>>>,
    this: Weak<Epoll>,
}

/// What the file behind a watch is ready for, of what was asked for; errors and hang-ups are always told.
fn ready_events(watch: &Watch) -> u32 {
    let wanted = watch.events.get();
    if wanted & !(EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE) == 0 {
        return 0; // fired once, and not armed again
    }
    let Some(file) = watch.file.upgrade() else { return 0 };
    file.readiness().bits() & (wanted | EPOLLERR | EPOLLHUP)
}

impl Observer for Watch {
    fn notify(&self) {
        if let Some(instance) = self.instance.upgrade() {
            instance.list(self);
        }
    }
}

impl Epoll {
    /// Puts a watch into the ready list.
    fn list(&self, watch: &Watch) {
        if watch.is_listed.get() || ready_events(watch) == 0 {
            return;
        }
        if let Some(watch) = watch.this.upgrade() {
            watch.is_listed.set(true);
            self.ready.borrow_mut().push_back(watch);
            self.queue.wake_all();
        }
    }

    fn forget(&self, watch: &Rc<Watch>) {
        self.watches.borrow_mut().retain(|other| !Rc::ptr_eq(other, watch));
        self.ready.borrow_mut().retain(|other| !Rc::ptr_eq(other, watch));
        let Some(file) = watch.file.upgrade() else { return };
        if let Some(below) = file.downcast::<Self>() {
            let mut above = below.above.borrow_mut();
            if let Some(at) = above.iter().position(|instance| instance.ptr_eq(&self.this)) {
                above.swap_remove(at);
            }
        }
        if let Some(queue) = file.queue() {
            let observer: Weak<dyn Observer> = Rc::downgrade(watch) as _;
            queue.forget(&observer);
        }
    }

    /// Forgets watches of files that were closed.
    fn sweep(&self) {
        self.watches.borrow_mut().retain(|watch| watch.file.strong_count() > 0);
    }

    /// How many instances in a row watch one another, from here upwards or downwards.
    fn depth(&self, upwards: bool) -> usize {
        let below = |watch: &Rc<Watch>| Some(watch.file.upgrade()?.downcast::<Self>()?.depth(false));
        let next = if upwards {
            self.above.borrow().iter().filter_map(Weak::upgrade).map(|above| above.depth(true)).max()
        } else {
            self.watches.borrow().iter().filter_map(below).max()
        };
        1 + next.unwrap_or(0)
    }

    /// Whether an instance is this one or watched by it, directly or not.
    fn reaches(&self, other: &Self) -> bool {
        let watches = |watch: &Rc<Watch>| {
            watch
                .file
                .upgrade()
                .is_some_and(|file| file.downcast::<Self>().is_some_and(|below| below.reaches(other)))
        };
        core::ptr::eq(self, other) || self.watches.borrow().iter().any(watches)
    }

    /// Whether this may watch another instance: not in a circle, and not so many in a row that telling of an event goes too deep (`epoll_ctl(2)`, ELOOP).
    fn admit(&self, below: &Self) -> Result<()> {
        if below.reaches(self) || self.depth(true) + below.depth(false) > MOST_IN_A_ROW {
            return Err(Errno::ELOOP);
        }
        let mut above = below.above.borrow_mut();
        above.retain(|instance| instance.strong_count() > 0);
        list::push(&mut above, self.this.clone())
    }

    fn add(&self, fd: u32, file: &Rc<Description>, events: u32, data: u64) -> Result<()> {
        if self.watches.borrow().len() >= file::limit() * 4 {
            self.sweep();
        }
        let watch = Rc::new_cyclic(|this| Watch {
            fd,
            file: Rc::downgrade(file),
            events: Cell::new(events),
            data: Cell::new(data),
            is_listed: Cell::new(false),
            this: this.clone(),
            instance: self.this.clone(),
        });
        // A file that is always ready, such as one of a disk, cannot be watched.
        let queue = file.queue().ok_or(Errno::EPERM)?;
        if frames::are_scarce() {
            return Err(Errno::ENOMEM);
        }
        self.watches.borrow_mut().try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        if let Some(below) = file.downcast::<Self>() {
            self.admit(below)?;
        }
        let observer: Weak<dyn Observer> = Rc::downgrade(&watch) as _;
        queue.observe(observer);
        let mut watches = self.watches.borrow_mut();
        let place = watches.partition_point(|other| other.key() < watch.key());
        watches.insert(place, watch.clone());
        drop(watches);
        self.list(&watch);
        Ok(())
    }

    fn find(&self, fd: u32, file: &Rc<Description>) -> Option<Rc<Watch>> {
        let watches = self.watches.borrow();
        let place = watches.binary_search_by_key(&(fd, Rc::as_ptr(file)), |watch| watch.key()).ok()?;
        watches.get(place).cloned()
    }

    /// Tells the program of events that are there now, at most `most`, and returns how many.
    fn tell(&self, to: u64, most: usize) -> Result<u64> {
        let mut told = 0;
        // Each watch once: those that go on come back behind the others.
        let listed = self.ready.borrow().len();
        for _ in 0..listed {
            if told == most {
                break;
            }
            let Some(watch) = self.ready.borrow_mut().pop_front() else { break };
            watch.is_listed.set(false);
            let ready = ready_events(&watch);
            if ready == 0 {
                continue;
            }
            let mut event: Event = [0; 12];
            event[..4].copy_from_slice(&ready.to_le_bytes());
            event[4..].copy_from_slice(&watch.data.get().to_le_bytes());
            let written = user::write(to + told as u64 * 12, &event);
            let flags = watch.events.get();
            if written.is_ok() && flags & EPOLLONESHOT != 0 {
                watch.events.set(flags & (EPOLLET | EPOLLONESHOT));
            } else if written.is_err() || flags & EPOLLET == 0 {
                // Level-triggered: told again until it is no longer so. So is what could not be told.
                if !watch.is_listed.replace(true) {
                    self.ready.borrow_mut().push_back(watch);
                }
            }
            match written {
                Err(error) if told == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => told += 1,
            }
        }
        Ok(told as u64)
    }
}

impl File for Epoll {
    fn read(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn write(&self, _: u64, _: usize, _: Access) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn stat(&self) -> Stat {
        Stat { mode: 0o600, links: 1, ..Stat::default() }
    }

    fn readiness(&self) -> Readiness {
        let is_ready = self.ready.borrow().iter().any(|watch| ready_events(watch) != 0);
        if is_ready { Readiness::READ } else { Readiness::empty() }
    }

    fn queue(&self) -> Option<&Queue> {
        Some(&self.queue)
    }
}

fn create(flags: u32) -> Result<u64> {
    let epoll = Rc::new_cyclic(|this| Epoll {
        watches: RefCell::new(Vec::new()),
        ready: RefCell::new(VecDeque::new()),
        queue: Queue::new(),
        above: RefCell::new(Vec::new()),
        this: this.clone(),
    });
    file::open(epoll, flags | O_RDWR)
}

fn epoll_create(args: &Args) -> Result<u64> {
    if args.0[0] as i32 <= 0 { Err(Errno::EINVAL) } else { create(0) }
}

fn epoll_create1(args: &Args) -> Result<u64> {
    let flags = args.0[0] as u32;
    if flags & !EPOLL_CLOEXEC != 0 { Err(Errno::EINVAL) } else { create(flags) }
}

fn epoll_ctl(args: &Args) -> Result<u64> {
    let [instance, operation, fd, address, ..] = args.0;
    let instance = file::get(instance)?;
    let file = file::get(fd)?;
    let epoll: &Epoll = instance.downcast().ok_or(Errno::EINVAL)?;
    if file.queue().is_none() {
        return Err(Errno::EPERM);
    }
    if Rc::ptr_eq(&instance, &file) {
        return Err(Errno::EINVAL);
    }
    let watch = epoll.find(fd as u32, &file);
    let operation = operation as u32;
    if operation == EPOLL_CTL_DEL {
        epoll.forget(&watch.ok_or(Errno::ENOENT)?);
        return Ok(0);
    }
    let (events, data) = event(&user::read(address)?);
    match (operation, watch) {
        (EPOLL_CTL_ADD, Some(_)) => Err(Errno::EEXIST),
        (EPOLL_CTL_ADD, None) => epoll.add(fd as u32, &file, events, data).map(|()| 0),
        (EPOLL_CTL_MOD, Some(watch)) => {
            watch.events.set(events);
            watch.data.set(data);
            epoll.list(&watch);
            Ok(0)
        }
        (EPOLL_CTL_MOD, None) => Err(Errno::ENOENT),
        _ => Err(Errno::EINVAL),
    }
}

/// Waits; `time` is in nanoseconds.
fn wait(fd: u64, to: u64, most: i32, time: Option<u64>) -> Result<u64> {
    let file = file::get(fd)?;
    let epoll: &Epoll = file.downcast().ok_or(Errno::EINVAL)?;
    let most =
        usize::try_from(most).ok().filter(|most| (1..=MOST_EVENTS).contains(most)).ok_or(Errno::EINVAL)?;
    let deadline = time.map(|time| tsc::now().saturating_add(time));
    loop {
        let told = epoll.tell(to, most)?;
        if told > 0 {
            return Ok(told);
        }
        if deadline.is_some_and(|deadline| deadline <= tsc::now()) {
            return Ok(0);
        }
        wait_in(&[&epoll.queue], deadline)?;
    }
}

fn epoll_wait(args: &Args) -> Result<u64> {
    let [fd, to, most, milliseconds, ..] = args.0;
    let time = u64::try_from(milliseconds as i32).ok().map(|milliseconds| milliseconds * 1_000_000);
    wait(fd, to, most as i32, time)
}

fn epoll_pwait(args: &Args) -> Result<u64> {
    with_user_mask(args.0[4], || epoll_wait(args))
}

fn epoll_pwait2(args: &Args) -> Result<u64> {
    let [fd, to, most, time, mask, _] = args.0;
    let time = limit(time)?;
    with_user_mask(mask, || wait(fd, to, most as i32, time))
}
