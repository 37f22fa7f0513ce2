//! Shared memory of System V (`shmget(2)`, `shmop(2)`, `shmctl(2)`).

use super::{Object, READ, RMID, SET, STAT, Table, VERSION_64, WRITE, now};
use crate::abi::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::File;
use crate::fs::node::Change;
use crate::fs::tmpfs;
use crate::list;
use crate::memory::mmap;
use crate::memory::paging::PAGE;
use crate::memory::space::{self, Rights};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use linux_raw_sys::general::{__NR_shmat, __NR_shmctl, __NR_shmdt, __NR_shmget, O_RDWR};

crate::register!("syscall": Handler = {
    __NR_shmget => shmget,
    __NR_shmat => shmat,
    __NR_shmdt => shmdt,
    __NR_shmctl => shmctl,
});

// linux/shm.h
const MOST: usize = 4096;
const HUGE: u64 = 0o4000;
const READ_ONLY: u32 = 0o10000;
const ROUND: u32 = 0o20000;
const REPLACE: u32 = 0o40000;
const EXECUTE: u32 = 0o100_000;
const LOCK: u32 = 11;
const UNLOCK: u32 = 12;
/// Bits of the mode: it goes with the last who has it attached; it is locked in memory.
const DOOMED: u32 = 0o1000;
const LOCKED: u32 = 0o2000;

struct Segment {
    size: u64,
    file: Rc<dyn File>,
    /// How often it is attached, and seconds since 1970 when that last began and ended.
    attached: Cell<u64>,
    began: Cell<i64>,
    ended: Cell<i64>,
}

static SEGMENTS: KernelCell<Table<Segment>> = KernelCell::new(Table::empty());
/// What is attached where.
static ATTACHED: KernelCell<Vec<(u64, Rc<Object<Segment>>)>> = KernelCell::new(Vec::new());

fn make(size: u64) -> Result<Segment> {
    if size == 0 || size > i64::MAX as u64 - PAGE {
        return Err(Errno::EINVAL);
    }
    let node = tmpfs::anonymous(0);
    // Whatever of this cannot be had is memory.
    let change = Change { size: Some(size.next_multiple_of(PAGE)), ..Change::default() };
    node.change(&change).map_err(|_| Errno::ENOMEM)?;
    let file = node.open(O_RDWR)?;
    Ok(Segment { size, file, attached: Cell::new(0), began: Cell::new(0), ended: Cell::new(0) })
}

fn shmget(args: &Args) -> Result<u64> {
    let [key, size, flags, ..] = args.0;
    if flags & HUGE != 0 {
        // There is no pool of huge pages.
        return Err(Errno::ENOMEM);
    }
    let fits = |segment: &Segment| if segment.size < size { Err(Errno::EINVAL) } else { Ok(()) };
    SEGMENTS.borrow().get(key, flags, MOST, fits, || make(size))
}

fn shmat(args: &Args) -> Result<u64> {
    let [id, address, flags, ..] = args.0;
    let flags = flags as u32;
    let wished = match address {
        0 if flags & REPLACE != 0 => return Err(Errno::EINVAL),
        0 => None,
        address if address.is_multiple_of(PAGE) => Some(address),
        address if flags & ROUND != 0 => Some(address & !(PAGE - 1)),
        _ => return Err(Errno::EINVAL),
    };
    let object = SEGMENTS.borrow().find(id)?;
    let mut rights = Rights::READ;
    rights.set(Rights::WRITE, flags & READ_ONLY == 0);
    rights.set(Rights::EXECUTE, flags & EXECUTE != 0);
    object.permit(match flags & (READ_ONLY | EXECUTE) {
        READ_ONLY => READ,
        0 => READ | WRITE,
        wanted if wanted & READ_ONLY != 0 => READ | 0o111,
        _ => READ | WRITE | 0o111,
    })?;
    let segment = &object.item;
    let length = segment.size.next_multiple_of(PAGE);
    if let Some(address) = wished
        && flags & REPLACE == 0
        && (address == 0 || !space::is_free(address, length))
    {
        return Err(Errno::EINVAL);
    }
    let mut attached = ATTACHED.borrow();
    attached.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    let address = mmap::share(&segment.file, wished, length, rights)?;
    segment.attached.set(segment.attached.get() + 1);
    segment.began.set(now());
    list::push(&mut attached, (address, object.clone()))?;
    Ok(address)
}

fn shmdt(args: &Args) -> Result<u64> {
    let [address, ..] = args.0;
    let (address, object) = {
        let mut attached = ATTACHED.borrow();
        let found = attached.iter().position(|(start, _)| *start == address).ok_or(Errno::EINVAL)?;
        attached.swap_remove(found)
    };
    let segment = &object.item;
    space::unmap(address, segment.size.next_multiple_of(PAGE))?;
    segment.attached.set(segment.attached.get() - 1);
    segment.ended.set(now());
    let_go(&object);
    Ok(0)
}

/// One that is to go goes with the last who has it attached.
fn let_go(object: &Rc<Object<Segment>>) {
    if object.mode.get() & DOOMED != 0 && object.item.attached.get() == 0 {
        SEGMENTS.borrow().remove(object);
    }
}

fn shmctl(args: &Args) -> Result<u64> {
    let [id, command, address, ..] = args.0;
    let object = SEGMENTS.borrow().find(id)?;
    let segment = &object.item;
    match command as u32 & !VERSION_64 {
        RMID => {
            object.own()?;
            object.mode.set(object.mode.get() | DOOMED);
            object.forget_key();
            let_go(&object);
        }
        SET => object.set(address)?,
        STAT => {
            object.permit(READ)?;
            // Process 1 made it, and attached it last if anybody did.
            let last = u64::from(segment.began.get() > 0 || segment.ended.get() > 0);
            let (began, ended) = (segment.began.get() as u64, segment.ended.get() as u64);
            let processes = 1 | last << 32;
            let attached = segment.attached.get();
            object
                .tell(address, &[segment.size, began, ended, object.changed(), processes, attached, 0, 0])?;
        }
        LOCK | UNLOCK => {
            object.own()?;
            let locked = if command as u32 & !VERSION_64 == LOCK { LOCKED } else { 0 };
            object.mode.set(object.mode.get() & !LOCKED | locked);
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}
