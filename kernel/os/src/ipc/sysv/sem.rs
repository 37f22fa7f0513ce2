//! Semaphores of System V (`semget(2)`, `semop(2)`, `semctl(2)`).

use super::{NOWAIT, Object, READ, RMID, SET, STAT, Table, VERSION_64, WRITE, now};
use crate::abi::syscall::{Args, Handler, limit};
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::list;
use crate::memory::user;
use crate::sched::wait::Queue;
use crate::sched::wait_many::wait_in;
use alloc::vec::Vec;
use core::cell::Cell;
use linux_raw_sys::general::{__NR_semctl, __NR_semget, __NR_semop, __NR_semtimedop};

crate::register!("syscall": Handler = {
    __NR_semget => semget,
    __NR_semop => semop,
    __NR_semtimedop => semtimedop,
    __NR_semctl => semctl,
});

// Limits, as `/proc/sys/kernel/sem` has them: in a set, in a call, sets; and what one counts to.
const MOST_IN_SET: u64 = 32000;
const MOST_AT_ONCE: u64 = 500;
const MOST: usize = 32000;
const HIGHEST: i32 = 32767;

// linux/sem.h
const GETPID: u32 = 11;
const GETVAL: u32 = 12;
const GETALL: u32 = 13;
const GETNCNT: u32 = 14;
const GETZCNT: u32 = 15;
const SETVAL: u32 = 16;
const SETALL: u32 = 17;

#[derive(Default)]
struct Semaphore {
    value: Cell<u16>,
    /// Who set it last: 1, or nobody.
    process: Cell<u32>,
    /// How many wait for it to grow, and to be zero.
    growing: Cell<u32>,
    zero: Cell<u32>,
}

struct Set {
    semaphores: Vec<Semaphore>,
    queue: Queue,
    /// When something was last done, in seconds since 1970.
    used: Cell<i64>,
}

static SETS: KernelCell<Table<Set>> = KernelCell::new(Table::empty());

/// `struct sembuf`.
#[derive(Clone, Copy)]
struct Operation {
    which: usize,
    change: i32,
    flags: u32,
}

fn semget(args: &Args) -> Result<u64> {
    let [key, count, flags, ..] = args.0;
    let count = count as u32 as u64;
    if count > MOST_IN_SET {
        return Err(Errno::EINVAL);
    }
    let fits = |set: &Set| if count as usize > set.semaphores.len() { Err(Errno::EINVAL) } else { Ok(()) };
    SETS.borrow().get(key, flags, MOST, fits, || {
        if count == 0 {
            return Err(Errno::EINVAL);
        }
        let semaphores = list::collect((0..count).map(|_| Semaphore::default()))?;
        Ok(Set { semaphores, queue: Queue::new(), used: Cell::new(0) })
    })
}

fn semop(args: &Args) -> Result<u64> {
    let [id, operations, count, ..] = args.0;
    operate(id, operations, count, None)
}

fn semtimedop(args: &Args) -> Result<u64> {
    let [id, operations, count, timeout, ..] = args.0;
    let deadline = limit(timeout)?.map(|time| tsc::now().saturating_add(time));
    operate(id, operations, count, deadline)
}

fn operate(id: u64, address: u64, count: u64, deadline: Option<u64>) -> Result<u64> {
    let count = count as u32 as u64;
    if count == 0 || (id as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    if count > MOST_AT_ONCE {
        return Err(Errno::E2BIG);
    }
    let mut operations = Vec::new();
    for index in 0..count {
        let [which, change, flags]: [u16; 3] = user::read(address + 6 * index)?;
        let operation =
            Operation { which: which.into(), change: i32::from(change as i16), flags: flags.into() };
        list::push(&mut operations, operation)?;
    }
    let object = SETS.borrow().find(id)?;
    let set = &object.item;
    if operations.iter().any(|operation| operation.which >= set.semaphores.len()) {
        return Err(Errno::EFBIG);
    }
    let changes = operations.iter().any(|operation| operation.change != 0);
    object.permit(if changes { WRITE } else { READ })?;
    while let Some(blocked) = set.attempt(&operations)? {
        if blocked.flags & NOWAIT != 0 || deadline.is_some_and(|deadline| deadline <= tsc::now()) {
            return Err(Errno::EAGAIN);
        }
        let semaphore = &set.semaphores[blocked.which];
        let waiting = if blocked.change == 0 { &semaphore.zero } else { &semaphore.growing };
        waiting.set(waiting.get() + 1);
        let waited = wait_in(&[&set.queue], deadline);
        waiting.set(waiting.get() - 1);
        if object.is_removed.get() {
            return Err(Errno::EIDRM);
        }
        waited?;
    }
    set.used.set(now());
    if changes {
        set.queue.wake_all();
    }
    Ok(0)
}

impl Set {
    /// Does all that is asked for, or nothing: then it is told what stands in the way.
    fn attempt(&self, operations: &[Operation]) -> Result<Option<Operation>> {
        for (done, operation) in operations.iter().enumerate() {
            let semaphore = &self.semaphores[operation.which];
            let value = i32::from(semaphore.value.get());
            let after = value + operation.change;
            let blocked = if operation.change == 0 { value != 0 } else { after < 0 };
            if blocked || after > HIGHEST {
                // One semaphore may stand among the operations more than once.
                for earlier in operations[..done].iter().rev() {
                    let value = &self.semaphores[earlier.which].value;
                    value.set((i32::from(value.get()) - earlier.change) as u16);
                }
                return if blocked { Ok(Some(*operation)) } else { Err(Errno::ERANGE) };
            }
            semaphore.value.set(after as u16);
        }
        for operation in operations {
            self.semaphores[operation.which].process.set(1);
        }
        Ok(None)
    }
}

/// Sets values, of which those who wait are told.
fn assign(object: &Object<Set>, first: usize, values: &[u16]) {
    for (semaphore, value) in object.item.semaphores[first..].iter().zip(values) {
        semaphore.value.set(*value);
        semaphore.process.set(1);
    }
    object.touch();
    object.item.queue.wake_all();
}

fn semctl(args: &Args) -> Result<u64> {
    let [id, index, command, argument, ..] = args.0;
    let object = SETS.borrow().find(id)?;
    let set = &object.item;
    let command = command as u32 & !VERSION_64;
    let index = index as u32 as usize;
    match command {
        RMID => {
            object.own()?;
            SETS.borrow().remove(&object);
            set.queue.wake_all();
        }
        SET => object.set(argument)?,
        STAT => {
            object.permit(READ)?;
            let rest = [set.used.get() as u64, 0, object.changed(), 0, set.semaphores.len() as u64, 0, 0];
            object.tell(argument, &rest)?;
        }
        GETALL => {
            object.permit(READ)?;
            let values = list::collect(set.semaphores.iter().flat_map(|one| one.value.get().to_ne_bytes()))?;
            user::write_bytes(argument, &values)?;
        }
        SETALL => {
            object.permit(WRITE)?;
            let mut bytes = list::zeroes(2 * set.semaphores.len())?;
            user::read_bytes(argument, &mut bytes)?;
            let values = bytes.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]]));
            let values = list::collect(values)?;
            if values.iter().any(|&value| i32::from(value) > HIGHEST) {
                return Err(Errno::ERANGE);
            }
            assign(&object, 0, &values);
        }
        GETPID | GETVAL | GETNCNT | GETZCNT | SETVAL => {
            if command == SETVAL && !(0..=HIGHEST).contains(&(argument as i32)) {
                return Err(Errno::ERANGE);
            }
            object.permit(if command == SETVAL { WRITE } else { READ })?;
            let semaphore = set.semaphores.get(index).ok_or(Errno::EINVAL)?;
            match command {
                GETPID => return Ok(semaphore.process.get().into()),
                GETVAL => return Ok(semaphore.value.get().into()),
                GETNCNT => return Ok(semaphore.growing.get().into()),
                GETZCNT => return Ok(semaphore.zero.get().into()),
                _ => assign(&object, index, &[argument as u16]),
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}
