//! The asking side of 9P2000.L: one request at a time.

use super::message::{HEADER, Kind, Reader, Writer};
use crate::driver::virtio::Part;
use crate::driver::virtio_requests::Requests;
use crate::errno::{Errno, Result};
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use crate::sched::thread;
use crate::sched::wait::Queue;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Pages of the longest message.
const PAGES: usize = 33;
/// Bytes of the longest message.
const LONGEST: usize = PAGES * PAGE as usize;
/// Bytes of data in a message at most: there is room for what stands before them.
pub const DATA: usize = (PAGES - 1) * PAGE as usize;
/// "No tag", "no file" of the protocol.
const NO_TAG: u16 = 0xffff;
const NO_FILE: u32 = 0xffff_ffff;

/// What is read and written under at the host: a number of our choice for a file.
pub type Fid = u32;

/// A share.
pub struct Client {
    requests: Rc<Requests>,
    /// Which file system this is, among all (`st_dev`).
    pub number: u64,
    /// Physical addresses of the message that asks and of the one that answers.
    asked: u64,
    answer: u64,
    /// Somebody is asking.
    busy: Cell<bool>,
    waiting: Queue,
    next: Cell<Fid>,
    /// Numbers that nobody uses any more, which the host is to be told.
    dropped: RefCell<Vec<Fid>>,
    /// Those that the host was told of.
    free: RefCell<Vec<Fid>>,
}

/// Attributes of a file (`Rgetattr`).
#[derive(Clone, Copy, Default)]
pub struct Attributes {
    pub inode: u64,
    pub mode: u32,
    pub user: u32,
    pub group: u32,
    pub links: u64,
    pub device: u64,
    pub size: u64,
    pub accessed: (i64, u32),
    pub modified: (i64, u32),
    pub changed: (i64, u32),
}

impl Client {
    /// Agrees with the host on the protocol.
    pub fn new(requests: Rc<Requests>, number: u64) -> Result<Rc<Self>> {
        let allocate = || frames::allocate_run(PAGES).ok_or(Errno::ENOMEM);
        let client = Rc::new(Self {
            requests,
            number,
            asked: allocate()?,
            answer: allocate()?,
            busy: Cell::new(false),
            waiting: Queue::new(),
            next: Cell::new(0),
            dropped: RefCell::default(),
            free: RefCell::default(),
        });
        let version = b"9P2000.L";
        client.ask(
            Kind::Version,
            |message| {
                message.u32(LONGEST as u32);
                message.text(version);
            },
            |answer| {
                // A host that takes less would be asked for too much.
                let agreed = answer.u32()? as usize == LONGEST && answer.text()? == version;
                if agreed { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
            },
        )?;
        Ok(client)
    }

    /// A number for a file.
    pub fn fid(&self) -> Fid {
        self.free.borrow_mut().pop().unwrap_or_else(|| self.next.replace(self.next.get() + 1))
    }

    /// A number is not used any more. The host is told with the next request, since whoever drops may not wait.
    pub fn drop_fid(&self, fid: Fid) {
        self.dropped.borrow_mut().push(fid);
    }

    /// Asks the host: `write` makes the message, `read` understands the answer.
    pub fn ask<T>(
        &self,
        kind: Kind,
        write: impl FnOnce(&mut Writer<'_>),
        read: impl FnOnce(&mut Reader<'_>) -> Result<T>,
    ) -> Result<T> {
        while self.busy.replace(true) {
            let this = thread::current();
            self.waiting.join(&this);
            thread::wait();
            self.waiting.leave(&this);
        }
        loop {
            let Some(fid) = self.dropped.borrow_mut().pop() else { break };
            // Whatever the host answers, the number is free.
            let _ = self.exchange(Kind::Clunk, |message| message.u32(fid), |_| Ok(()));
            self.free.borrow_mut().push(fid);
        }
        let result = self.exchange(kind, write, read);
        self.busy.set(false);
        self.waiting.wake_one();
        result
    }

    fn exchange<T>(
        &self,
        kind: Kind,
        write: impl FnOnce(&mut Writer<'_>),
        read: impl FnOnce(&mut Reader<'_>) -> Result<T>,
    ) -> Result<T> {
        let tag = if kind == Kind::Version { NO_TAG } else { 0 };
        // SAFETY: frames of our own, which the device does not have and nobody else looks at while this one asks.
        let asked = unsafe { core::slice::from_raw_parts_mut(phys_to_virt(self.asked) as *mut u8, LONGEST) };
        let mut message = Writer::new(asked);
        write(&mut message);
        let length = message.finish(kind, tag)?;
        let number = self.requests.take().ok_or(Errno::EIO)?;
        let part = |physical, length: usize, writable| Part { physical, length: length as u32, writable };
        self.requests.submit(number, &[part(self.asked, length, false), part(self.answer, LONGEST, true)]);
        self.requests.tell();
        while !self.requests.is_answered(number) {
            self.requests.wait();
        }
        self.requests.give_back(number);
        // SAFETY: as above; the device is done with them.
        let answer = unsafe { core::slice::from_raw_parts(phys_to_virt(self.answer) as *const u8, LONGEST) };
        let size = u32::from_le_bytes([answer[0], answer[1], answer[2], answer[3]]) as usize;
        let mut rest = Reader(answer.get(HEADER..size).ok_or(Errno::EIO)?);
        match answer[4] {
            answered if answered == kind as u8 + 1 => read(&mut rest),
            failed if failed == Kind::Error as u8 + 1 => Err(Errno(rest.u32()? as u16)),
            _ => Err(Errno::EIO),
        }
    }

    /// The folder that is shared, under a new number.
    pub fn attach(&self) -> Result<Fid> {
        let fid = self.fid();
        self.ask(
            Kind::Attach,
            |message| {
                message.u32(fid);
                message.u32(NO_FILE);
                message.text(b"");
                message.text(b"");
                message.u32(0);
            },
            |_| Ok(fid),
        )
    }

    /// What a name in a directory leads to, under a new number; without a name, the file itself.
    pub fn walk(&self, from: Fid, name: Option<&[u8]>) -> Result<Fid> {
        let fid = self.fid();
        let walked = self.ask(
            Kind::Walk,
            |message| {
                message.u32(from);
                message.u32(fid);
                message.u16(name.is_some() as u16);
                if let Some(name) = name {
                    message.text(name);
                }
            },
            |_| Ok(()),
        );
        if walked.is_err() {
            self.free.borrow_mut().push(fid);
        }
        walked.map(|()| fid)
    }

    /// Opens the file of a number, which is then good for nothing else.
    pub fn open(&self, fid: Fid, flags: u32) -> Result<()> {
        self.ask(
            Kind::Open,
            |message| {
                message.u32(fid);
                message.u32(flags);
            },
            |_| Ok(()),
        )
    }

    pub fn attributes(&self, fid: Fid) -> Result<Attributes> {
        /// All that `stat(2)` tells.
        const BASIC: u64 = 0x7ff;
        self.ask(
            Kind::GetAttributes,
            |message| {
                message.u32(fid);
                message.u64(BASIC);
            },
            |answer| {
                answer.u64()?; // which are valid: the basic ones always are
                let inode = answer.identity()?;
                let (mode, user, group) = (answer.u32()?, answer.u32()?, answer.u32()?);
                let (links, device, size) = (answer.u64()?, answer.u64()?, answer.u64()?);
                answer.bytes(8 * 2)?; // block size, blocks
                let mut time = || Ok((answer.u64()? as i64, answer.u64()? as u32));
                let (accessed, modified, changed) = (time()?, time()?, time()?);
                Ok(Attributes { inode, mode, user, group, links, device, size, accessed, modified, changed })
            },
        )
    }
}
