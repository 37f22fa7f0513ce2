//! Message queues of System V (`msgget(2)`, `msgop(2)`, `msgctl(2)`).

use super::{NOWAIT, READ, RMID, SET, STAT, Table, VERSION_64, WRITE, now};
use crate::abi::process::credentials;
use crate::abi::syscall::{Args, Handler};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::list;
use crate::memory::user;
use crate::sched::wait::Queue as Waiting;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general::{__NR_msgctl, __NR_msgget, __NR_msgrcv, __NR_msgsnd};

crate::register!("syscall": Handler = {
    __NR_msgget => msgget,
    __NR_msgsnd => msgsnd,
    __NR_msgrcv => msgrcv,
    __NR_msgctl => msgctl,
});

// Limits (`/proc/sys/kernel/msgmni`, `msgmax`, `msgmnb`): queues, bytes of a message, bytes in a queue.
const MOST: usize = 32000;
const LONGEST: u64 = 8192;
const CAPACITY: u64 = 16384;

// linux/msg.h
const CUT: u32 = 0o10000;
const EXCEPT: u32 = 0o20000;
const COPY: u32 = 0o40000;

struct Message {
    kind: i64,
    bytes: Vec<u8>,
}

struct Queue {
    messages: RefCell<VecDeque<Message>>,
    bytes: Cell<u64>,
    capacity: Cell<u64>,
    waiting: Waiting,
    /// Seconds since 1970 when a message was last sent, and taken.
    sent: Cell<i64>,
    taken: Cell<i64>,
}

static QUEUES: KernelCell<Table<Queue>> = KernelCell::new(Table::empty());

fn msgget(args: &Args) -> Result<u64> {
    let [key, flags, ..] = args.0;
    QUEUES.borrow().get(
        key,
        flags,
        MOST,
        |_| Ok(()),
        || {
            Ok(Queue {
                messages: RefCell::default(),
                bytes: Cell::new(0),
                capacity: Cell::new(CAPACITY),
                waiting: Waiting::new(),
                sent: Cell::new(0),
                taken: Cell::new(0),
            })
        },
    )
}

fn msgsnd(args: &Args) -> Result<u64> {
    let [id, from, size, flags, ..] = args.0;
    let kind: i64 = user::read::<u64>(from)? as i64;
    if size > LONGEST || (id as i32) < 0 || kind < 1 {
        return Err(Errno::EINVAL);
    }
    let mut bytes = list::zeroes(size as usize)?;
    user::read_bytes(from + 8, &mut bytes)?;
    let object = QUEUES.borrow().find(id)?;
    let queue = &object.item;
    object.permit(WRITE)?;
    // Messages without bytes fill a queue too.
    while queue.bytes.get() + size > queue.capacity.get()
        || queue.messages.borrow().len() as u64 >= queue.capacity.get()
    {
        if flags as u32 & NOWAIT != 0 {
            return Err(Errno::EAGAIN);
        }
        let waited = queue.waiting.wait();
        if object.is_removed.get() {
            return Err(Errno::EIDRM);
        }
        waited?;
    }
    let mut messages = queue.messages.borrow_mut();
    messages.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    messages.push_back(Message { kind, bytes });
    drop(messages);
    queue.bytes.set(queue.bytes.get() + size);
    queue.sent.set(now());
    queue.waiting.wake_all();
    Ok(0)
}

impl Queue {
    /// The place of the message that somebody who asks for a type gets.
    fn choose(&self, kind: i64, flags: u32) -> Option<usize> {
        let messages = self.messages.borrow();
        match kind {
            0 => (!messages.is_empty()).then_some(0),
            1.. if flags & EXCEPT != 0 => messages.iter().position(|message| message.kind != kind),
            1.. => messages.iter().position(|message| message.kind == kind),
            _ => {
                let most = kind.checked_neg().unwrap_or(i64::MAX);
                let low = messages.iter().enumerate().filter(|(_, message)| message.kind <= most);
                low.min_by_key(|(index, message)| (message.kind, *index)).map(|(index, _)| index)
            }
        }
    }
}

fn msgrcv(args: &Args) -> Result<u64> {
    let [id, to, size, kind, flags, ..] = args.0;
    let flags = flags as u32;
    if (id as i32) < 0 || (size as i64) < 0 {
        return Err(Errno::EINVAL);
    }
    if flags & COPY != 0 {
        // Linux built without checkpoints answers so too.
        return Err(Errno::ENOSYS);
    }
    let object = QUEUES.borrow().find(id)?;
    let queue = &object.item;
    object.permit(READ)?;
    let index = loop {
        match queue.choose(kind as i64, flags) {
            Some(index) => break index,
            None if flags & NOWAIT != 0 => return Err(Errno::ENOMSG),
            None => {}
        }
        let waited = queue.waiting.wait();
        if object.is_removed.get() {
            return Err(Errno::EIDRM);
        }
        waited?;
    };
    let is_long = queue.messages.borrow()[index].bytes.len() as u64 > size;
    if is_long && flags & CUT == 0 {
        return Err(Errno::E2BIG);
    }
    let message = queue.messages.borrow_mut().remove(index).ok_or(Errno::ENOMSG)?;
    let length = message.bytes.len() as u64;
    queue.bytes.set(queue.bytes.get() - length);
    queue.taken.set(now());
    queue.waiting.wake_all();
    let given = length.min(size);
    user::write(to, &(message.kind as u64))?;
    user::write_bytes(to + 8, &message.bytes[..given as usize])?;
    Ok(given)
}

fn msgctl(args: &Args) -> Result<u64> {
    let [id, command, address, ..] = args.0;
    let object = QUEUES.borrow().find(id)?;
    let queue = &object.item;
    match command as u32 & !VERSION_64 {
        RMID => {
            object.own()?;
            QUEUES.borrow().remove(&object);
            queue.waiting.wake_all();
        }
        SET => {
            /// Where `msg_qbytes` is in `struct msqid64_ds`.
            const CAPACITY_AT: u64 = 88;
            let capacity: u64 = user::read(address + CAPACITY_AT)?;
            object.own()?;
            if capacity > CAPACITY && !credentials().is_root() {
                return Err(Errno::EPERM);
            }
            object.set(address)?;
            queue.capacity.set(capacity);
            queue.waiting.wake_all();
        }
        STAT => {
            object.permit(READ)?;
            let (sent, taken) = (queue.sent.get(), queue.taken.get());
            let count = queue.messages.borrow().len() as u64;
            // Who sent last and who took last: process 1, or nobody.
            let processes = u64::from(sent > 0) | u64::from(taken > 0) << 32;
            let (bytes, capacity) = (queue.bytes.get(), queue.capacity.get());
            let rest = [sent as u64, taken as u64, object.changed(), bytes, count, capacity, processes, 0, 0];
            object.tell(address, &rest)?;
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}
