//! What shared memory, semaphores and message queues of System V have in common: keys, identifiers and rights (`sysvipc(7)`, `svipc(7)`).

pub mod msg;
pub mod sem;
pub mod shm;

use crate::abi::clock::time_of_day;
use crate::abi::process::{Credentials, credentials};
use crate::errno::{Errno, Result};
use crate::list;
use crate::memory::user;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

// linux/ipc.h
/// A key of nobody else's.
const PRIVATE: u32 = 0;
const CREATE: u32 = 0o1000;
const EXCLUSIVE: u32 = 0o2000;
/// Fail instead of a wait.
pub const NOWAIT: u32 = 0o4000;
/// Commands of all three `*ctl` calls.
pub const RMID: u32 = 0;
pub const SET: u32 = 1;
pub const STAT: u32 = 2;
/// A flag in commands of programs that could be of another age; 64-bit ones need none.
pub const VERSION_64: u32 = 0x100;

/// Rights that are asked for, in each class of users' bits.
pub const READ: u32 = 0o444;
pub const WRITE: u32 = 0o222;

/// Bytes of `struct ipc64_perm`.
const PERMISSIONS: usize = 48;
/// Bits of an identifier that are a place in the table; above them are uses of it.
const INDEX_BITS: u32 = 15;

/// Something with an identifier, and maybe a key.
pub struct Object<T> {
    pub id: u32,
    key: Cell<u32>,
    user: Cell<u32>,
    group: Cell<u32>,
    creator: (u32, u32),
    pub mode: Cell<u32>,
    /// When it was last changed, in seconds since 1970.
    changed: Cell<i64>,
    /// It is not to be found any more.
    pub is_removed: Cell<bool>,
    pub item: T,
}

/// The objects of a kind.
pub struct Table<T> {
    objects: Vec<Option<Rc<Object<T>>>>,
    /// How many there have been.
    uses: u32,
}

impl<T> Table<T> {
    /// None yet.
    pub const fn empty() -> Self {
        Self { objects: Vec::new(), uses: 0 }
    }

    /// The object of an identifier. EINVAL: there is none.
    pub fn find(&self, id: u64) -> Result<Rc<Object<T>>> {
        let index = id as usize & ((1 << INDEX_BITS) - 1);
        let object = self.objects.get(index).and_then(Option::as_ref).ok_or(Errno::EINVAL)?;
        if object.id == id as u32 { Ok(object.clone()) } else { Err(Errno::EINVAL) }
    }

    /// The identifier of a key's object, which is made where `flags` ask for it (`shmget(2)` and its kin): by `make`, if there are not `most`
    /// already (ENOSPC). `fits`: whether one that exists will do.
    pub fn get(
        &mut self,
        key: u64,
        flags: u64,
        most: usize,
        fits: impl FnOnce(&T) -> Result<()>,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<u64> {
        let (key, flags) = (key as u32, flags as u32);
        let found = self.objects.iter().flatten().find(|object| key != PRIVATE && object.key.get() == key);
        if let Some(object) = found {
            if flags & CREATE != 0 && flags & EXCLUSIVE != 0 {
                return Err(Errno::EEXIST);
            }
            fits(&object.item)?;
            object.permit(flags & 0o777)?;
            return Ok(u64::from(object.id));
        }
        if key != PRIVATE && flags & CREATE == 0 {
            return Err(Errno::ENOENT);
        }
        let item = make()?;
        let index = self.objects.iter().position(Option::is_none).unwrap_or(self.objects.len());
        if index >= most {
            return Err(Errno::ENOSPC);
        }
        let (user, group) = {
            let who = credentials();
            (who.user(), who.group())
        };
        let id = (self.uses << INDEX_BITS | index as u32) & i32::MAX as u32;
        let object = Rc::new(Object {
            id,
            key: Cell::new(key),
            user: Cell::new(user),
            group: Cell::new(group),
            creator: (user, group),
            mode: Cell::new(flags & 0o777),
            changed: Cell::new(now()),
            is_removed: Cell::new(false),
            item,
        });
        match self.objects.get_mut(index) {
            Some(free) => *free = Some(object),
            None => list::push(&mut self.objects, Some(object))?,
        }
        self.uses += 1;
        Ok(u64::from(id))
    }

    /// Takes an object out, so that nobody finds it any more.
    pub fn remove(&mut self, object: &Object<T>) {
        object.is_removed.set(true);
        self.objects[object.id as usize & ((1 << INDEX_BITS) - 1)] = None;
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    time_of_day().0
}

impl<T> Object<T> {
    /// EACCES: the process may not do that with it; `wanted` are bits of rights, whichever class's.
    pub fn permit(&self, wanted: u32) -> Result<()> {
        let who = &*credentials();
        let is_in = |group: u32| who.group() == group || who.more_groups.contains(&group);
        let granted = match () {
            () if self.is_owned(who) => self.mode.get() >> 6,
            () if is_in(self.group.get()) || is_in(self.creator.1) => self.mode.get() >> 3,
            () => self.mode.get(),
        };
        let wanted = (wanted | wanted >> 3 | wanted >> 6) & 7;
        if wanted & !granted == 0 || who.is_root() { Ok(()) } else { Err(Errno::EACCES) }
    }

    fn is_owned(&self, who: &Credentials) -> bool {
        who.user() == self.user.get() || who.user() == self.creator.0
    }

    /// EPERM: it is neither the process' own nor is that root's.
    pub fn own(&self) -> Result<()> {
        let who = &*credentials();
        if self.is_owned(who) || who.is_root() { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// It has no key any more, and lasts for as long as it is used.
    pub fn forget_key(&self) {
        self.key.set(PRIVATE);
    }

    /// It is changed now.
    pub fn touch(&self) {
        self.changed.set(now());
    }

    /// When that was, in seconds since 1970.
    pub fn changed(&self) -> u64 {
        self.changed.get() as u64
    }

    /// `IPC_SET`: another owner, and other rights, by the `ipc64_perm` at an address.
    pub fn set(&self, address: u64) -> Result<()> {
        let [_, user, group, _, _, mode]: [u32; 6] = user::read(address)?;
        self.own()?;
        if user == u32::MAX || group == u32::MAX {
            return Err(Errno::EINVAL);
        }
        self.user.set(user);
        self.group.set(group);
        self.mode.set(self.mode.get() & !0o777 | mode & 0o777);
        self.touch();
        Ok(())
    }

    /// `IPC_STAT`: writes `ipc64_perm`, and what follows it.
    pub fn tell(&self, address: u64, rest: &[u64]) -> Result<()> {
        let (creator, creator_group) = self.creator;
        let head =
            [self.key.get(), self.user.get(), self.group.get(), creator, creator_group, self.mode.get()];
        let sequence = self.id >> INDEX_BITS;
        let mut bytes = Vec::new();
        for word in head.iter().chain(&[sequence, 0]) {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.resize(PERMISSIONS, 0);
        for word in rest {
            bytes.extend(word.to_ne_bytes());
        }
        user::write_bytes(address, &bytes)
    }
}
