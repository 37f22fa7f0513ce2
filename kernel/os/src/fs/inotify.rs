//! `inotify(7)`: events about files, to be read from a descriptor.
//!
//! There is one process, so that everything that happens goes through its own calls: those that change names tell of it, and a file that is
//! open tells of reads, writes and the close. What is watched is a node; it is known again
//! by its file system and inode.

use super::file::{self, Access, Description, File, Readiness, Stat};
use super::node::{Event, Name, Node, Wish, permit};
use super::path::{self, Location};
use super::synthetic::{Names, Text};
use crate::abi::open::resolve_at;
use crate::abi::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::list;
use crate::memory::user;
use crate::sched::wait::Queue;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::FIONREAD;

crate::register!("syscall": Handler = {
    __NR_inotify_init => inotify_init,
    __NR_inotify_init1 => inotify_init1,
    __NR_inotify_add_watch => inotify_add_watch,
    __NR_inotify_rm_watch => inotify_rm_watch,
});
crate::register!("file-event": fn(&Event) = { 10 => happened });
crate::register!("file-used": fn(&Description, u32) = { 10 => used });
crate::register!("process-file": fn(&mut Names) = { 30 => add_limits });

crate::param! {
    /// Most events that wait in an instance.
    static MOST: u64 = "queue"
}

/// Bytes of a `struct inotify_event` without its name.
const HEADER: usize = 16;
/// All that a watch may be asked to tell or to do (`linux/inotify.h`).
const KNOWN: u32 = IN_ALL_EVENTS
    | IN_UNMOUNT
    | IN_Q_OVERFLOW
    | IN_IGNORED
    | IN_ONLYDIR
    | IN_DONT_FOLLOW
    | IN_EXCL_UNLINK
    | IN_MASK_ADD
    | IN_MASK_CREATE
    | IN_ISDIR
    | IN_ONESHOT;
/// Of these, what a watch keeps.
const KEPT: u32 = IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT;

/// Which node: its file system and its inode there.
type Key = (u64, u64);

fn key_of(node: &dyn Node) -> Key {
    let stat = node.stat();
    (stat.filesystem, stat.inode)
}

struct Watch {
    number: i32,
    key: Key,
    /// Holds it, so that no other gets its number.
    node: Rc<dyn Node>,
    mask: u32,
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
struct Instance {
    watches: RefCell<Vec<Watch>>,
    /// The last number given to a watch; none is given twice.
    last: Cell<i32>,
    events: RefCell<VecDeque<Waiting>>,
    queue: Queue,
}

static INSTANCES: KernelCell<Vec<Weak<Instance>>> = KernelCell::new(Vec::new());
static COOKIE: AtomicU32 = AtomicU32::new(0);
/// Watches in all instances. Without any, what is done to files is of no interest.
static WATCHES: AtomicUsize = AtomicUsize::new(0);

fn instances() -> Vec<Rc<Instance>> {
    INSTANCES.borrow().iter().filter_map(Weak::upgrade).collect()
}

/// Whether any watch for which `is_it` holds wants one of these events.
fn is_wanted(events: u32, is_it: impl Fn(&Watch) -> bool) -> bool {
    let wants = |watch: &Watch| watch.mask & events != 0 && is_it(watch);
    INSTANCES.borrow().iter().filter_map(Weak::upgrade).any(|one| one.watches.borrow().iter().any(wants))
}

impl Instance {
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
    fn tell(&self, key: Key, happening: &Happening, name: &[u8]) {
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
    fn forget(&self, is_it: impl Fn(&Watch) -> bool) -> bool {
        let mut watches = self.watches.borrow_mut();
        let Some(at) = watches.iter().position(is_it) else { return false };
        let watch = watches.remove(at);
        drop(watches);
        WATCHES.fetch_sub(1, Ordering::Relaxed);
        self.push(watch.number, IN_IGNORED, 0, &[]);
        true
    }
}

/// Something that happened to a node.
struct Happening {
    what: u32,
    is_directory: bool,
    cookie: u32,
    /// It has no name any more (`IN_EXCL_UNLINK`).
    nameless: bool,
}

/// Tells watches of a directory, by the name in it, and then those of the node itself.
fn emit(happening: &Happening, parent: Option<(Key, &[u8])>, own: Option<Key>) {
    for instance in instances() {
        if let Some((key, name)) = parent {
            instance.tell(key, happening, name);
        }
        if let Some(key) = own {
            instance.tell(key, happening, &[]);
        }
    }
}

/// Something about a node whose name plays no part in it.
fn emit_self(what: u32, key: Key, is_directory: bool) {
    emit(&Happening { what, is_directory, cookie: 0, nameless: false }, None, Some(key));
}

fn emit_name(what: u32, cookie: u32, name: &Name) {
    let happening = Happening { what, is_directory: name.node.is_directory(), cookie, nameless: false };
    emit(&happening, Some((key_of(&**name.directory), name.name)), None);
}

/// A node is gone for good if it has neither a name nor anybody who has it open.
fn gone(node: &Rc<dyn Node>) {
    let key = key_of(&**node);
    if !is_wanted(u32::MAX, |watch| watch.key == key) {
        return;
    }
    let is_it = |fd: u64| {
        let description = file::get(fd).ok();
        let location = description.as_ref().and_then(|description| description.location.as_ref());
        location.is_some_and(|location| key_of(&*location.node) == key)
    };
    // A directory that can be removed has no other name.
    let has_name = !node.is_directory() && node.stat().links > 0;
    if has_name || file::all().into_iter().any(is_it) {
        return;
    }
    emit_self(IN_DELETE_SELF, key, false);
    for instance in instances() {
        instance.forget(|watch| watch.key == key);
    }
}

/// The directory that an open file or changed one is in, and its name there. True behind them: it is there no more.
fn parent_of(location: &Location, events: u32) -> Option<(Key, Vec<u8>, bool)> {
    // Looking for it pays only if somebody watches.
    if !is_wanted(events, |watch| watch.node.is_directory()) {
        return None;
    }
    let key = key_of(&*location.node);
    let path = location.path();
    let end = path.iter().rposition(|&byte| byte == b'/')?;
    let (directory, name) = (&path[..end.max(1)], &path[end + 1..]);
    if name.is_empty() {
        return None;
    }
    let parent = path::find(directory).ok();
    if let Some(parent) = &parent
        && parent.node.lookup(name).is_ok_and(|node| key_of(&*node) == key)
    {
        return Some((key_of(&*parent.node), name.to_vec(), false));
    }
    // It may have another name since it was opened.
    for instance in instances() {
        let is_candidate = |watch: &&Watch| watch.key.0 == key.0 && watch.mask & events != 0;
        let directories: Vec<_> =
            instance.watches.borrow().iter().filter(is_candidate).map(|watch| watch.node.clone()).collect();
        for directory in directories.iter().filter(|node| node.is_directory()) {
            let entry =
                directory.list().ok().and_then(|list| list.into_iter().find(|entry| entry.inode == key.1));
            if let Some(entry) = entry {
                return Some((key_of(&**directory), entry.name, false));
            }
        }
    }
    // The place where something is mounted belongs to nobody's directory.
    let is_nameless = location.node.stat().links == 0;
    parent.filter(|_| is_nameless).map(|parent| (key_of(&*parent.node), name.to_vec(), true))
}

/// Something was done to what is at a location, or was there when it was opened.
fn emit_at(location: &Location, what: u32) {
    if !is_wanted(what, |_| true) {
        return;
    }
    let parent = parent_of(location, what);
    let nameless = match &parent {
        Some((_, _, nameless)) => *nameless,
        None => location.node.stat().links == 0,
    };
    let happening = Happening { what, is_directory: location.node.is_directory(), cookie: 0, nameless };
    let parent = parent.as_ref().map(|(key, name, _)| (*key, name.as_slice()));
    emit(&happening, parent, Some(key_of(&*location.node)));
}

fn happened(event: &Event) {
    if WATCHES.load(Ordering::Relaxed) == 0 {
        return;
    }
    match event {
        Event::Created(name) => emit_name(IN_CREATE, 0, name),
        Event::Linked(name) => {
            emit_self(IN_ATTRIB, key_of(&**name.node), false);
            emit_name(IN_CREATE, 0, name);
        }
        Event::Removed(name) => {
            if !name.node.is_directory() {
                emit_self(IN_ATTRIB, key_of(&**name.node), false);
            }
            gone(name.node);
            emit_name(IN_DELETE, 0, name);
        }
        Event::Moved { from, to, replaced } => {
            let key = key_of(&**from.node);
            let cookie = COOKIE.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            emit_name(IN_MOVED_FROM, cookie, from);
            emit_name(IN_MOVED_TO, cookie, to);
            if let Some(replaced) = replaced {
                emit_self(IN_ATTRIB, key_of(&***replaced), replaced.is_directory());
            }
            emit_self(IN_MOVE_SELF, key, false);
            if let Some(replaced) = replaced {
                gone(replaced);
            }
        }
        Event::Changed(location, what) => emit_at(location, *what),
    }
}

/// What was done with an open file.
fn used(description: &Description, what: u32) {
    if WATCHES.load(Ordering::Relaxed) == 0 {
        return;
    }
    let Some(location) = &description.location else { return };
    let flags = description.flags.get();
    if flags & O_PATH != 0 || !matches!(location.node.kind(), S_IFREG | S_IFDIR) {
        return;
    }
    match what {
        IN_CLOSE => {
            emit_at(location, if flags & O_ACCMODE == O_RDONLY { IN_CLOSE_NOWRITE } else { IN_CLOSE_WRITE });
            // The last that held a file without a name may have been this.
            if location.node.stat().links == 0 {
                gone(&location.node);
            }
        }
        what => emit_at(location, what),
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

fn create(flags: u32) -> Result<u64> {
    let instance = Rc::new(Instance {
        watches: RefCell::new(Vec::new()),
        last: Cell::new(0),
        events: RefCell::new(VecDeque::new()),
        queue: Queue::new(),
    });
    let mut all = INSTANCES.borrow();
    all.retain(|instance| instance.strong_count() > 0);
    list::push(&mut all, Rc::downgrade(&instance))?;
    drop(all);
    // The flags have the values of O_CLOEXEC and O_NONBLOCK.
    file::open(instance, flags | O_RDONLY)
}

fn inotify_init(_: &Args) -> Result<u64> {
    create(0)
}

fn inotify_init1(args: &Args) -> Result<u64> {
    let flags = args.0[0] as u32;
    if flags & !(IN_CLOEXEC | IN_NONBLOCK) != 0 { Err(Errno::EINVAL) } else { create(flags) }
}

fn inotify_add_watch(args: &Args) -> Result<u64> {
    let [fd, path, mask, ..] = args.0;
    let mask = mask as u32;
    if mask & KNOWN == 0 {
        return Err(Errno::EINVAL);
    }
    let description = file::get(fd)?;
    if mask & (IN_MASK_ADD | IN_MASK_CREATE) == IN_MASK_ADD | IN_MASK_CREATE {
        return Err(Errno::EINVAL);
    }
    let instance: &Instance = description.downcast().ok_or(Errno::EINVAL)?;
    let node = resolve_at(AT_FDCWD as u64, path, mask & IN_DONT_FOLLOW == 0)?;
    if mask & IN_ONLYDIR != 0 && !node.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    permit(&*node, Wish::Use(R_OK))?;
    let key = key_of(&*node);
    let mut watches = instance.watches.borrow_mut();
    if let Some(watch) = watches.iter_mut().find(|watch| watch.key == key) {
        if mask & IN_MASK_CREATE != 0 {
            return Err(Errno::EEXIST);
        }
        watch.mask = mask & KEPT | if mask & IN_MASK_ADD != 0 { watch.mask } else { 0 };
        return Ok(watch.number as u64);
    }
    let number = instance.last.get().checked_add(1).ok_or(Errno::ENOSPC)?;
    list::push(&mut watches, Watch { number, key, node, mask: mask & KEPT })?;
    WATCHES.fetch_add(1, Ordering::Relaxed);
    instance.last.set(number);
    Ok(number as u64)
}

fn inotify_rm_watch(args: &Args) -> Result<u64> {
    let description = file::get(args.0[0])?;
    let instance: &Instance = description.downcast().ok_or(Errno::EINVAL)?;
    let number = args.0[1] as i32;
    if instance.forget(|watch| watch.number == number) { Ok(0) } else { Err(Errno::EINVAL) }
}

/// What programs that watch much look at first. Watches and instances are limited by memory and descriptors only.
fn add_limits(names: &mut Names) {
    names.insert(
        b"sys/fs/inotify/max_queued_events",
        Rc::new(Text(|text| text.extend(format!("{}\n", MOST.get()).into_bytes()))),
    );
    names.insert(
        b"sys/fs/inotify/max_user_instances",
        Rc::new(Text(|text| text.extend(format!("{}\n", file::MOST).into_bytes()))),
    );
    names.insert(
        b"sys/fs/inotify/max_user_watches",
        Rc::new(Text(|text| text.extend(format!("{}\n", i32::MAX).into_bytes()))),
    );
}
