//! A mounted file system: one thread at a time works on it, on a stack of its own; what is to be done later.

use super::cache::{Cache, Now};
use super::mapped;
use super::mark::Disk;
use super::node::Inode;
use crate::boot::poweroff;
use crate::driver::block::Device;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use crate::sched::thread::{self, Thread};
use crate::sched::timer::{self, Expire};
use crate::sched::wait::{self, Queue};
use alloc::collections::{BTreeMap, TryReserveError};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use rsext4::{
    Ext4, Ext4Error, Ext4ErrorKind, Ext4Result, InodeInfo, InodeNumber, MountOptions, MountServices,
    MountedServices, NoopObserver,
};

/// Pages of the stack that the file system's code runs on: more than a thread's own has room for.
const STACK_PAGES: usize = 16;

/// Bytes of the heap that one piece of work on the file system has for itself at least.
const RESERVE: usize = 512 << 10;

/// What stands at the end of the stack unless it has run over.
const END: u64 = 0x7465_6b63_6174_7365;

pub type Mounted = Ext4<Disk, MountedServices<(), NoopObserver>>;

/// A file system on a disk.
pub struct Volume {
    /// Where it is mounted, for messages.
    name: &'static str,
    /// Which file system this is, among all (`st_dev`).
    pub number: u64,
    /// Borrowed by whoever holds the lock, across waits for the disk.
    mounted: RefCell<Mounted>,
    disk: Disk,
    read_only: bool,
    /// The thread that works on it; 0: the kernel itself, at boot or from a timer.
    holder: Cell<Option<u32>>,
    waiting: Queue,
    stack: u64,
    /// Kept for whoever works on the file system, whose code ends the kernel where the heap ends.
    reserve: RefCell<Vec<u8>>,
    /// Nodes that somebody holds, by their numbers.
    nodes: RefCell<BTreeMap<u32, Weak<Inode>>>,
    /// Without a name and without anybody who holds them: to be freed.
    forgotten: RefCell<Vec<InodeNumber>>,
    /// Files that nobody may hold any more, but whose mappings have written what is to be written back.
    kept: RefCell<Vec<Rc<Inode>>>,
    /// Something was changed since the last sync.
    changed: Cell<bool>,
    /// An alarm is set that will see to it.
    alarmed: Cell<bool>,
    /// How long a change may stay in memory only, in nanoseconds.
    interval: u64,
    this: Weak<Self>,
}

/// Linux' error for one of the file system's.
fn errno(error: Ext4Error) -> Errno {
    match error.kind() {
        Ext4ErrorKind::ReadOnly | Ext4ErrorKind::JournalAborted => Errno::EROFS,
        Ext4ErrorKind::NoSpace | Ext4ErrorKind::QuotaExceeded => Errno::ENOSPC,
        Ext4ErrorKind::NoMemory => Errno::ENOMEM,
        Ext4ErrorKind::TooManyLinks => Errno::EMLINK,
        Ext4ErrorKind::PermissionDenied => Errno::EPERM,
        Ext4ErrorKind::NotFound => Errno::ENOENT,
        Ext4ErrorKind::AlreadyExists => Errno::EEXIST,
        Ext4ErrorKind::NotDirectory => Errno::ENOTDIR,
        Ext4ErrorKind::IsDirectory => Errno::EISDIR,
        Ext4ErrorKind::NotEmpty => Errno::ENOTEMPTY,
        Ext4ErrorKind::Busy => Errno::EBUSY,
        Ext4ErrorKind::InvalidInput => Errno::EINVAL,
        Ext4ErrorKind::FileTooLarge => Errno::EFBIG,
        Ext4ErrorKind::Overflow => Errno::EOVERFLOW,
        Ext4ErrorKind::Unsupported
        | Ext4ErrorKind::UnsupportedFeature
        | Ext4ErrorKind::UnsupportedCapability => Errno::EOPNOTSUPP,
        _ => Errno::EIO,
    }
}

/// Runs `work` on the stack that ends at `top`.
fn on_stack<F: FnOnce()>(top: u64, work: F) {
    extern "C" fn call<F: FnOnce()>(work: &mut Option<F>) {
        if let Some(work) = work.take() {
            work();
        }
    }
    let mut work = Some(work);
    // SAFETY: the stack is nobody else's until this returns; a thread switch meanwhile saves and restores the stack pointer as it is.
    unsafe {
        core::arch::asm!(
            "mov r12, rsp",
            "mov rsp, {top}",
            "call {call}",
            "mov rsp, r12",
            top = in(reg) top,
            call = in(reg) call::<F> as extern "C" fn(&mut Option<F>),
            in("rdi") &raw mut work,
            out("r12") _,
            clobber_abi("C"),
        );
    }
}

impl Volume {
    /// Mounts what is on a disk.
    pub fn mount(
        device: &Rc<dyn Device>,
        name: &'static str,
        number: u64,
        cache: u64,
        interval: u64,
    ) -> core::result::Result<Rc<Self>, Ext4Error> {
        let base = frames::allocate_run(STACK_PAGES).ok_or(Ext4Error::no_memory())?;
        let stack = phys_to_virt(base) + STACK_PAGES as u64 * PAGE;
        let mut outcome = Err(Ext4Error::no_memory());
        let attempt = |options| {
            let services = MountServices::new(Now, (), NoopObserver);
            let disk = Disk::new(Cache::new(device.clone(), cache));
            Mounted::mount(disk.clone(), services, options).map(|mounted| (mounted, disk))
        };
        on_stack(stack, || {
            if device.is_read_only() {
                outcome = attempt(MountOptions::read_only_no_journal_replay());
                return;
            }
            outcome = attempt(MountOptions::read_write());
            // What may only be read may be read still.
            if let Err(error) = &outcome
                && error.kind() == Ext4ErrorKind::UnsupportedFeature
            {
                let error = *error;
                outcome = attempt(MountOptions { readonly: true, ..MountOptions::read_write() });
                if outcome.is_ok() {
                    crate::println!("bespoke: the disk at {name} can only be read: {error}");
                }
            }
        });
        match outcome {
            Ok((mounted, disk)) => Ok(Rc::new_cyclic(|this| Self {
                name,
                number,
                read_only: mounted.options().readonly,
                mounted: RefCell::new(mounted),
                disk,
                holder: Cell::new(None),
                waiting: Queue::new(),
                stack,
                reserve: RefCell::default(),
                nodes: RefCell::default(),
                forgotten: RefCell::default(),
                kept: RefCell::default(),
                changed: Cell::new(false),
                alarmed: Cell::new(false),
                interval,
                this: this.clone(),
            })),
            Err(error) => {
                frames::free_run(base, STACK_PAGES);
                Err(error)
            }
        }
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn lock(&self) {
        while self.holder.get().is_some() {
            let this = thread::current();
            self.waiting.join(&this);
            thread::wait();
            self.waiting.leave(&this);
        }
        self.holder.set(Some(if thread::is_running() { thread::current().tid } else { 0 }));
    }

    fn unlock(&self) {
        self.holder.set(None);
        self.waiting.wake_one();
    }

    /// Runs `work` on the file system. The lock is held.
    pub fn locked<T>(&self, work: impl FnOnce(&mut Mounted) -> Ext4Result<T>) -> Ext4Result<T> {
        let mut outcome = Err(Ext4Error::io());
        self.keep_reserve().map_err(|_| Ext4Error::no_memory())?;
        drop(self.reserve.take());
        let end = (self.stack - STACK_PAGES as u64 * PAGE) as *mut u64;
        // SAFETY: the last word of the stack, which nothing gets to that the stack has room for.
        unsafe { end.write_volatile(END) };
        on_stack(self.stack, || {
            let mut mounted = self.mounted.borrow_mut();
            while let Some(number) = self.take_forgotten() {
                if let Err(error) = mounted.reap_unlinked_inode(number) {
                    crate::println!("bespoke: file {number} at {} cannot be freed: {error}", self.name);
                }
            }
            outcome = work(&mut mounted);
        });
        // SAFETY: as above.
        assert!(unsafe { end.read_volatile() } == END, "the stack of the disk at {} has run over", self.name);
        // If it cannot be had again, the next who comes is told.
        let _ = self.keep_reserve();
        outcome
    }

    /// Sees to it that the reserve is there.
    fn keep_reserve(&self) -> core::result::Result<(), TryReserveError> {
        self.reserve.borrow_mut().try_reserve_exact(RESERVE)
    }

    fn take_forgotten(&self) -> Option<InodeNumber> {
        self.forgotten.borrow_mut().pop()
    }

    /// Looks at the file system, when it is this thread's turn.
    pub fn look<T>(&self, work: impl FnOnce(&mut Mounted) -> Ext4Result<T>) -> Result<T> {
        self.lock();
        let outcome = self.locked(work);
        self.unlock();
        outcome.map_err(errno)
    }

    /// Changes the file system. What is changed goes to the disk with the next sync, or after a while.
    pub fn change<T>(&self, work: impl FnOnce(&mut Mounted) -> Ext4Result<T>) -> Result<T> {
        if self.read_only {
            return Err(Errno::EROFS);
        }
        self.note_change();
        self.look(work)
    }

    /// There is something to sync, by an alarm if nobody asks for it before.
    pub fn note_change(&self) {
        self.changed.set(true);
        if !self.alarmed.replace(true) {
            let this: Weak<dyn Expire> = self.this.clone();
            // Without memory for an alarm, the next change tries again.
            self.alarmed.set(timer::call_at(tsc::now().saturating_add(self.interval), this).is_ok());
        }
    }

    /// Returns when all that was changed is safe.
    pub fn sync(&self) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        self.lock();
        let outcome = self.sync_locked();
        self.unlock();
        outcome
    }

    fn sync_locked(&self) -> Result<()> {
        if !self.changed.replace(false) {
            return Ok(());
        }
        self.write_mapped_back().and_then(|()| self.locked(Mounted::sync)).map_err(|error| {
            self.changed.set(true);
            errno(error)
        })
    }

    /// Gives the file system what was written through mappings. The lock is held.
    fn write_mapped_back(&self) -> Ext4Result<()> {
        let kept = self.kept.take();
        let mapped: Vec<Rc<Inode>> = {
            let nodes = self.nodes.borrow();
            nodes.values().filter_map(Weak::upgrade).filter(|node| !node.pages.is_empty()).collect()
        };
        let outcome = mapped::write_all_back(self, &mapped);
        if outcome.is_err() {
            self.kept.borrow_mut().extend(kept);
        }
        outcome
    }

    /// Keeps a file until what its mappings have written is written back.
    pub fn keep(&self, inode: Rc<Inode>) {
        self.kept.borrow_mut().push(inode);
        self.note_change();
    }

    /// Makes everything safe and says on the disk that it was left in order. For the end of the machine.
    pub fn close(&self) {
        if self.read_only {
            return;
        }
        // A thread that is in the middle of something finishes it, unless that is what the machine ends of.
        while let Some(holder) = self.holder.get() {
            if !thread::is_running() || holder == 0 || holder == thread::current().tid {
                return;
            }
            let this: Rc<Thread> = thread::current();
            self.waiting.join(&this);
            thread::wait();
            self.waiting.leave(&this);
        }
        self.lock();
        let written = wait::looking(|| self.write_mapped_back());
        // Files without a name that somebody holds to the end.
        for node in self.nodes.borrow().values().filter_map(Weak::upgrade).filter(|node| node.is_nameless()) {
            self.forgotten.borrow_mut().push(node.number());
        }
        let unmount = |mounted: &mut Mounted| mounted.unmount().and_then(|()| self.disk.unmark());
        let outcome = written.and(wait::looking(|| self.locked(unmount)));
        if let Err(error) = outcome {
            crate::println!("bespoke: the disk at {} was not closed in order: {error}", self.name);
        }
        // Kept locked: nobody changes anything any more.
    }

    /// The node of a file, the same for all who look at the same file.
    pub fn node(&self, info: InodeInfo) -> Rc<Inode> {
        let mut nodes = self.nodes.borrow_mut();
        let number = info.number.raw();
        if let Some(node) = nodes.get(&number).and_then(Weak::upgrade) {
            node.refresh(info);
            return node;
        }
        // Never gone while it holds nodes: the mount keeps it.
        let node = Rc::new(Inode::new(self.this.clone(), info));
        nodes.insert(number, Rc::downgrade(&node));
        node
    }

    /// The node of a file that somebody holds.
    pub fn held(&self, number: InodeNumber) -> Option<Rc<Inode>> {
        self.nodes.borrow().get(&number.raw()).and_then(Weak::upgrade)
    }

    /// A file has lost its last name: it is freed when nobody holds it.
    pub fn lost_last_name(&self, number: InodeNumber) {
        match self.held(number) {
            Some(node) => node.set_nameless(),
            None => self.forgotten.borrow_mut().push(number),
        }
    }

    /// Nobody holds a node any more.
    pub fn let_go(&self, number: InodeNumber, nameless: bool) {
        self.nodes.borrow_mut().remove(&number.raw());
        if nameless {
            // Not now: whoever lets go may not wait.
            self.forgotten.borrow_mut().push(number);
            self.note_change();
        }
    }
}

impl Expire for Volume {
    /// Changes have been in memory only for long enough.
    fn expire(&self, now: u64) -> Option<u64> {
        const SOON: u64 = 100_000_000;
        if self.changed.get() && self.holder.get().is_some() {
            return Some(now + SOON);
        }
        if self.changed.get() {
            self.holder.set(Some(0));
            // A disk that fails is asked again with the next change; fsync tells of it.
            let _ = wait::looking(|| self.sync_locked());
            self.unlock();
        }
        self.alarmed.set(false);
        None
    }
}

/// Ends the machine where there is nothing to go on with.
pub fn cannot_start(name: &str, error: Ext4Error) -> ! {
    crate::println!("bespoke: the disk at {name} cannot be mounted: {error}");
    poweroff::power_off(126)
}
