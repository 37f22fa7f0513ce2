//! Open files and the descriptors that name them.

use super::path::Location;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::list;
use crate::memory::{frames, user};
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_raw_sys::general::{IN_ACCESS, IN_CLOSE, IN_MODIFY, O_PATH, UIO_MAXIOV, iovec};

/// What `stat(2)` tells.
#[derive(Clone, Copy, Default)]
pub struct Stat {
    pub mode: u32,
    pub inode: u64,
    pub links: u64,
    pub size: u64,
    pub user: u32,
    pub group: u32,
    pub device: u64,
    /// Which file system it is on (`st_dev`); zero: in memory.
    pub filesystem: u64,
    /// Last read, last written to, and last changed in any way: seconds and nanoseconds since 1970.
    pub accessed: (i64, u32),
    pub modified: (i64, u32),
    pub changed: (i64, u32),
}

impl Stat {
    /// Which file it is among all: file system and inode.
    pub fn key(&self) -> (u64, u64) {
        (self.filesystem, self.inode)
    }
}

bitflags::bitflags! {
    /// What a file is ready for; the values are those of `poll(2)` and `epoll(7)`.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub struct Readiness: u32 {
        const READ = linux_raw_sys::general::POLLIN | linux_raw_sys::general::POLLRDNORM;
        const WRITE = linux_raw_sys::general::POLLOUT | linux_raw_sys::general::POLLWRNORM;
        const URGENT = linux_raw_sys::general::POLLPRI;
        const ERROR = linux_raw_sys::general::POLLERR;
        const HANG_UP = linux_raw_sys::general::POLLHUP;
        /// The peer will send no more.
        const PEER_SHUT = linux_raw_sys::general::POLLRDHUP;
    }
}

/// How a read or write is made.
#[derive(Clone, Copy)]
pub struct Access {
    /// Where in the file; files without positions do not look at it.
    pub position: u64,
    /// O_NONBLOCK: EAGAIN instead of a wait.
    pub nonblocking: bool,
}

/// What can be open. Addresses are the program's, and may fault: nothing may be borrowed across an access to them, nor across a wait.
pub trait File: Any {
    /// Reads at most `count` bytes to the program's memory. Waits for the first byte unless told not to; zero is the end.
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize>;
    /// Writes bytes of the program's memory.
    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize>;
    fn stat(&self) -> Stat;
    /// What would not wait now.
    fn readiness(&self) -> Readiness {
        Readiness::READ | Readiness::WRITE
    }
    /// Woken when readiness grows; none for a file that is always ready.
    fn queue(&self) -> Option<&Queue> {
        None
    }
    /// Returns when what was written is safe from a loss of power.
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    /// The program closes the last descriptor: the call may wait for something. At the program's end it is not asked.
    fn finish(&self) {}
    /// `ioctl(2)` beyond what is done for every file.
    fn control(&self, _request: u32, _argument: u64) -> Result<u64> {
        Err(Errno::ENOTTY)
    }
    /// The whole contents, for a file of the image.
    fn image_data(&self) -> Option<&'static [u8]> {
        None
    }
    /// Where the next bytes that were written, or the next hole, are at or above a position below the file's end (`SEEK_DATA`, `SEEK_HOLE`).
    fn next(&self, position: u64, hole: bool) -> u64 {
        if hole { self.stat().size } else { position }
    }
    /// Whether it has positions.
    fn is_seekable(&self) -> bool {
        false
    }
    /// What may not be done to its contents any more (`F_ADD_SEALS`), where it has such marks.
    fn seals(&self) -> Option<&Cell<u32>> {
        None
    }
    /// Whether what [`File::image_data`] tells may change.
    fn is_changeable(&self) -> bool {
        false
    }
    /// Its pages, where mappings may show them.
    fn pages(self: Rc<Self>) -> Option<Rc<dyn Pages>> {
        None
    }
}

// Told of what was done with an open file: `IN_*` of `inotify(7)`.
crate::hook!(fn watchers() -> "file-used": fn(&Description, u32));
// Told that the program is closing a descriptor of a file, which may have others.
crate::hook!(fn closing() -> "closing": fn(&Description));
// Told that a descriptor was closed.
crate::hook!(fn closers() -> "closed": fn());
// Whether a mapping may write to a file.
crate::hook!(fn page_writers() -> "file-written": fn(&dyn Pages) -> bool);
// Told that a file's pages from one on are no longer the frames that mappings show; true: what private mappings have made of them goes too.
crate::hook!(fn page_listeners() -> "file-changed": fn(&dyn Pages, u64, bool));

// Who gets a file's signals, and which: a file, a descriptor of it, and a command of `fcntl(2)` with its argument.
crate::hook!(fn owners() -> "file-owner": fn(&Rc<Description>, u64, u32, u64) -> Result<u64>);

/// Has the component for signals of files serve a command of `fcntl(2)`; EINVAL without it. F_SETFL: O_ASYNC is to be as the argument has it.
pub fn own(file: &Rc<Description>, fd: u64, command: u32, argument: u64) -> Result<u64> {
    owners().first().map_or(Err(Errno::EINVAL), |owner| (owner.item)(file, fd, command, argument))
}

/// A file's contents as mappings show them, page by page.
///
/// A frame that was handed out stays what it is until [`forget_pages`] says otherwise: called before a frame is freed (the file shrinks, a cache
/// gives it up), and by whoever wants to know of the next write to a page (after writing it back).
pub trait Pages {
    /// The frame of a page. `write`: the page is going to be written to, without further notice. May wait. ENOMEM is an end for want of
    /// memory; any other error (the page lies behind the end, or cannot be read, or there is no room for it) is a bus error.
    fn page(&self, index: u64, write: bool) -> Result<u64>;
    /// Writes pages back to where they last (`msync(2)`).
    fn sync(&self, _first: u64, _count: u64) -> Result<()> {
        Ok(())
    }
}

/// Whether a shared mapping may write to a file.
pub fn is_mapped_to_write(pages: &dyn Pages) -> bool {
    page_writers().iter().any(|writer| (writer.item)(pages))
}

/// Takes a file's pages from `first` on out of all mappings. `copies`: those that private mappings have changed too, since the file has no such
/// pages any more.
pub fn forget_pages(pages: &dyn Pages, first: u64, copies: bool) {
    for listener in page_listeners() {
        (listener.item)(pages, first, copies);
    }
}

/// An open file description (`open(2)`): what descriptors made by dup share.
pub struct Description {
    pub file: Rc<dyn File>,
    /// Where it was opened by a path.
    pub location: Option<Rc<Location>>,
    pub position: Cell<u64>,
    /// O_* flags.
    pub flags: Cell<u32>,
}

/// Fails for what is no position in any file.
pub fn check_position(position: u64) -> Result<()> {
    if (position as i64) < 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

impl Description {
    /// Fails for a file that has no positions.
    pub fn check_positions(&self) -> Result<()> {
        if self.is_seekable() { Ok(()) } else { Err(Errno::ESPIPE) }
    }

    /// An access at a position, under this description's flags.
    pub fn access(&self, position: u64) -> Access {
        Access { position, nonblocking: self.flags.get() & linux_raw_sys::general::O_NONBLOCK != 0 }
    }

    /// Tells those who watch what was done: `IN_*` of `inotify(7)`.
    #[inline(never)]
    pub fn tell(&self, what: u32) {
        for watcher in watchers() {
            (watcher.item)(self, what);
        }
    }

    /// Reads from a position on to the program's memory, as much as Linux does at once at most, and tells of it.
    pub fn read(&self, to: u64, count: u64, position: u64) -> Result<u64> {
        let done = self.file.read(to, count.min(MOST_AT_ONCE) as usize, self.access(position))?;
        if done > 0 {
            self.tell(IN_ACCESS);
        }
        Ok(done as u64)
    }

    /// Writes to a position on, likewise.
    pub fn write(&self, from: u64, count: u64, position: u64) -> Result<u64> {
        let done = self.file.write(from, count.min(MOST_AT_ONCE) as usize, self.access(position))?;
        if done > 0 {
            self.tell(IN_MODIFY);
        }
        Ok(done as u64)
    }

    /// The file as what it is, if it is a `T`.
    pub fn downcast<T: File>(&self) -> Option<&T> {
        (&*self.file as &dyn Any).downcast_ref()
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        self.tell(IN_CLOSE);
    }
}

impl core::ops::Deref for Description {
    type Target = dyn File;
    fn deref(&self) -> &Self::Target {
        &*self.file
    }
}

#[derive(Clone)]
struct Descriptor {
    description: Rc<Description>,
    close_on_exec: bool,
}

static TABLE: KernelCell<Vec<Option<Descriptor>>> = KernelCell::new(Vec::new());

/// Linux moves at most this many bytes in one call (`read(2)` and `write(2)`, notes).
pub const MOST_AT_ONCE: u64 = 0x7fff_f000;

// Moves the parts of a vector (address and count; true: to the file) at once, for files to which it matters; `None`: not this one.
crate::hook!(fn movers() -> "vector": fn(&Description, u64, u64, bool) -> Option<Result<u64>>);

/// Moves the parts of a vector at once, where that is not the same as one after the other.
pub fn move_vector(file: &Description, vector: u64, count: u64, writes: bool) -> Option<Result<u64>> {
    movers().first().and_then(|mover| (mover.item)(file, vector, count, writes))
}

/// Has `part` done for each part of a vector in turn, which is given an address and a length and says how many bytes went over, until
/// one is not done whole.
pub fn each_part(vector: u64, count: u64, mut part: impl FnMut(u64, u64) -> Result<u64>) -> Result<u64> {
    if count > u64::from(UIO_MAXIOV) {
        return Err(Errno::EINVAL);
    }
    let mut total: u64 = 0;
    // All of it is looked at before anything moves.
    for moves in [false, true] {
        for index in 0..count {
            let iovec: iovec = user::read(vector + index * size_of::<iovec>() as u64)?;
            if (iovec.iov_len as i64) < 0 {
                return Err(Errno::EINVAL);
            }
            let length = iovec.iov_len.min(MOST_AT_ONCE - total);
            if length == 0 || !moves {
                continue;
            }
            match part(iovec.iov_base as u64, length) {
                Ok(done) => {
                    total += done;
                    if done < length {
                        return Ok(total);
                    }
                }
                Err(error) if total == 0 => return Err(error),
                Err(_) => return Ok(total),
            }
        }
    }
    Ok(total)
}

/// The open descriptor that a file name stands for.
pub fn named(name: &[u8]) -> Result<u64> {
    let fd = core::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).ok_or(Errno::ENOENT)?;
    get_place(fd).map_err(|_| Errno::ENOENT)?;
    Ok(fd)
}

/// Most descriptors at once that a program may ask for: as common distributions have it.
pub const MOST: u64 = 1 << 20;

crate::param! {
    /// Descriptors at once, until the program sets another limit.
    static AT_FIRST: u64 = "limit"
}

/// Most descriptors at once (`RLIMIT_NOFILE`), when the program has set it; zero: it has not.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Most descriptors at once now.
pub fn limit() -> usize {
    match LIMIT.load(Ordering::Relaxed) {
        0 => AT_FIRST.get() as usize,
        limit => limit,
    }
}

/// Changes the limit. What is open beyond it stays open.
pub fn set_limit(limit: u64) {
    // None at all is as good as one, which no program gets by without.
    LIMIT.store(limit.clamp(1, MOST) as usize, Ordering::Relaxed);
}

/// No descriptor below this one is free, so that thousands are not searched for each new one.
static LOWEST: AtomicUsize = AtomicUsize::new(0);

/// Makes the table hold a descriptor.
fn reach(table: &mut Vec<Option<Descriptor>>, index: usize) -> Result<()> {
    while table.len() <= index {
        list::push(table, None)?;
    }
    Ok(())
}

/// What a descriptor names, if it was opened for more than to name a place (`O_PATH`).
#[inline]
pub fn get(fd: u64) -> Result<Rc<Description>> {
    get_without(fd, O_PATH)
}

/// What a descriptor names, if only a place.
#[inline]
pub fn get_place(fd: u64) -> Result<Rc<Description>> {
    get_without(fd, 0)
}

/// What a descriptor names, unless it has any of these flags.
#[inline(never)]
fn get_without(fd: u64, flags: u32) -> Result<Rc<Description>> {
    let table = TABLE.borrow();
    match table.get(fd as u32 as usize) {
        Some(Some(descriptor)) if descriptor.description.flags.get() & flags == 0 => {
            Ok(descriptor.description.clone())
        }
        _ => Err(Errno::EBADF),
    }
}

/// Fails if there is no room for one more descriptor.
pub fn check_room() -> Result<()> {
    let table = TABLE.borrow();
    let known = LOWEST.load(Ordering::Relaxed);
    let lowest = (known..table.len()).find(|&index| table[index].is_none()).unwrap_or(table.len().max(known));
    LOWEST.store(lowest, Ordering::Relaxed);
    match () {
        () if lowest >= limit() => Err(Errno::EMFILE),
        () if frames::are_scarce() => Err(Errno::ENOMEM),
        () => Ok(()),
    }
}

/// The lowest free descriptor at or above `lowest`, now naming this description.
pub fn insert(description: Rc<Description>, close_on_exec: bool, lowest: usize) -> Result<u64> {
    let mut table = TABLE.borrow();
    let known = LOWEST.load(Ordering::Relaxed);
    let from = lowest.max(known);
    let index = (from..table.len()).find(|&index| table[index].is_none()).unwrap_or(table.len().max(from));
    if index >= limit() {
        return Err(Errno::EMFILE);
    }
    reach(&mut table, index)?;
    table[index] = Some(Descriptor { description, close_on_exec });
    if lowest <= known {
        LOWEST.store(index + 1, Ordering::Relaxed);
    }
    Ok(index as u64)
}

/// Gives a file that has no path a descriptor. ENOMEM: memory is short.
pub fn open(file: Rc<dyn File>, flags: u32) -> Result<u64> {
    if frames::are_scarce() {
        return Err(Errno::ENOMEM);
    }
    open_at(file, flags, None)
}

/// Gives a file a descriptor.
pub fn open_at(file: Rc<dyn File>, flags: u32, location: Option<Rc<Location>>) -> Result<u64> {
    let close_on_exec = flags & linux_raw_sys::general::O_CLOEXEC != 0;
    insert(
        Rc::new(Description { file, location, position: Cell::new(0), flags: Cell::new(flags) }),
        close_on_exec,
        0,
    )
}

/// Makes a particular descriptor name this description.
pub fn replace(fd: u64, description: Rc<Description>, close_on_exec: bool) -> Result<()> {
    let index = fd as u32 as usize;
    if index >= limit() {
        return Err(Errno::EBADF);
    }
    let mut table = TABLE.borrow();
    reach(&mut table, index)?;
    let old = table[index].replace(Descriptor { description, close_on_exec });
    drop(table);
    if let Some(old) = old {
        let_go(old);
    }
    Ok(())
}

/// Descriptors in use.
pub fn all() -> Vec<u64> {
    let table = TABLE.borrow();
    (0..table.len()).filter(|&index| table[index].is_some()).map(|index| index as u64).collect()
}

/// Calls `act` with where each open file was opened by a path.
pub fn each_location(act: impl Fn(&Location)) {
    let all: Vec<Rc<Location>> = {
        let table = TABLE.borrow();
        table.iter().flatten().filter_map(|descriptor| descriptor.description.location.clone()).collect()
    };
    all.iter().for_each(|location| act(location));
}

/// How far descriptors have reached, as Linux grows its table: in steps of 64.
pub fn reached() -> usize {
    TABLE.borrow().len().max(1).next_multiple_of(64)
}

/// Closes a descriptor.
pub fn close(fd: u64) -> Result<()> {
    let index = fd as u32 as usize;
    let old = TABLE.borrow().get_mut(index).and_then(Option::take);
    LOWEST.fetch_min(index, Ordering::Relaxed);
    old.map(let_go).ok_or(Errno::EBADF)
}

/// A descriptor is closed. Nothing of the table may be borrowed: what closing does may need it.
fn let_go(descriptor: Descriptor) {
    for hook in closing() {
        (hook.item)(&descriptor.description);
    }
    if Rc::strong_count(&descriptor.description) == 1 {
        descriptor.description.file.finish();
    }
    drop(descriptor);
    for hook in closers() {
        (hook.item)();
    }
}

/// The close-on-exec flag, after changing it where asked to.
pub fn close_on_exec(fd: u64, change: Option<bool>) -> Result<bool> {
    let mut table = TABLE.borrow();
    let descriptor = table.get_mut(fd as u32 as usize).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
    if let Some(flag) = change {
        descriptor.close_on_exec = flag;
    }
    Ok(descriptor.close_on_exec)
}
