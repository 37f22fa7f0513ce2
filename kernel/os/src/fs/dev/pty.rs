//! Pseudo terminals (`pty(7)`, `pts(4)`): `/dev/ptmx`, and `/dev/pts` as devpts shows it.
//!
//! A pair has a master, which a program plays keys and screen on, and a slave, which is a terminal like the console.

mod master;
mod names;
mod slave;

use crate::abi::process::credentials;
use crate::cell::KernelCell;
use crate::console::discipline::controlling::Opener;
use crate::console::discipline::{Port, Terminal};
use crate::errno::{Errno, Result};
use crate::fs::file::{Access, Stat};
use crate::list;
use crate::memory::user;
use crate::sched::wait::Queue;
use crate::typed::Typed;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use linux_raw_sys::general::*;

/// The least pair's slave's device number (`makedev(3)` of 136 and 0).
const FIRST: u64 = 136 << 8;
/// The most pairs (`/proc/sys/kernel/pty/max`).
const MOST: usize = 4096;
/// Bytes that a slave writes and that nobody has read from the master; a bit more where a newline becomes two.
const LIMIT: usize = 8192;
/// Who may talk to terminals: Debian's group `tty`.
const GROUP: u32 = 5;

/// A pair.
struct Pair {
    index: usize,
    terminal: Terminal,
    typed: Typed,
    /// What the master reads.
    shown: RefCell<VecDeque<u8>>,
    /// Who waits at the master.
    waiting: Queue,
    /// The slave cannot be opened yet (`unlockpt(3)`).
    is_locked: Cell<bool>,
    /// How many have the slave open.
    slaves: Cell<u32>,
    /// All that had the slave open have closed it.
    is_left: Cell<bool>,
    /// The master's reads begin with a byte of what happened (`TIOCPKT`), and what that is.
    packets: Cell<bool>,
    happened: Cell<u8>,
    permissions: Cell<u32>,
    user: Cell<u32>,
    group: Cell<u32>,
}

static PAIRS: KernelCell<Vec<Weak<Pair>>> = KernelCell::new(Vec::new());

/// Passes what one side writes on to the other, as far as there is `room`, for which it waits: `give` says how much it took of at most that much.
fn pass(
    from: u64,
    count: usize,
    access: Access,
    waiting: &Queue,
    room: impl Fn() -> Result<usize>,
    give: impl Fn(&[u8]) -> usize,
) -> Result<usize> {
    let mut chunk = [0u8; 256];
    let mut done = 0;
    while done < count {
        let taken = room().and_then(|room| match room {
            0 if access.nonblocking => Err(Errno::EAGAIN),
            0 => waiting.wait().map(|()| 0),
            room => {
                let bytes = &mut chunk[..room.min(256).min(count - done)];
                user::read_bytes(from + done as u64, bytes)?;
                Ok(give(bytes))
            }
        });
        match taken {
            Err(_) if done > 0 => break,
            taken => done += taken?,
        }
    }
    Ok(done)
}

/// The pair of a number, while its master is open.
fn find(index: usize) -> Option<Rc<Pair>> {
    let pair = PAIRS.borrow().get(index)?.upgrade()?;
    (!pair.is_hung_up()).then_some(pair)
}

impl Pair {
    /// The next pair. ENOSPC: there are too many.
    fn make() -> Result<Rc<Self>> {
        let user = credentials().user();
        let mut pairs = PAIRS.borrow();
        let is_free = |pair: &Weak<Self>| pair.strong_count() == 0;
        let index = pairs.iter().position(is_free).unwrap_or(pairs.len());
        if index >= MOST {
            return Err(Errno::ENOSPC);
        }
        let pair = Rc::new(Self {
            index,
            terminal: Terminal::new(ICRNL | IXON, OPOST | ONLCR, B38400 | CS8 | CREAD),
            typed: Typed::default(),
            shown: RefCell::default(),
            waiting: Queue::new(),
            is_locked: Cell::new(true),
            slaves: Cell::new(0),
            is_left: Cell::new(false),
            packets: Cell::new(false),
            happened: Cell::new(0),
            permissions: Cell::new(0o620),
            user: Cell::new(user),
            group: Cell::new(GROUP),
        });
        match pairs.get_mut(index) {
            Some(free) => *free = Rc::downgrade(&pair),
            None => list::push(&mut pairs, Rc::downgrade(&pair))?,
        }
        Ok(pair)
    }

    /// Whether the master was closed.
    fn is_hung_up(&self) -> bool {
        self.typed.has_ended.get()
    }

    /// So many have the slave open now. One that is closed hangs up on the master; one that was never open does not.
    fn count_slaves(&self, slaves: u32) {
        self.slaves.set(slaves);
        self.is_left.set(slaves == 0);
        self.waiting.wake_all();
    }

    /// How many more bytes the slave may write.
    fn room(&self) -> usize {
        LIMIT.saturating_sub(self.shown.borrow().len())
    }

    /// Has the master read what the slave or an echo shows.
    fn show(&self, bytes: &[u8]) {
        self.terminal.show(bytes, |bytes| {
            let mut shown = self.shown.borrow_mut();
            // What is echoed while nobody reads is lost in the end, as on a line.
            if shown.len() < 2 * LIMIT && shown.try_reserve(bytes.len()).is_ok() {
                shown.extend(bytes);
            }
        });
    }

    /// Tells the master in packet mode what happened: TIOCPKT_*.
    fn tell(&self, what: u8, instead_of: u8) {
        if self.packets.get() {
            self.happened.set(self.happened.get() & !instead_of | what);
            self.waiting.wake_all();
        }
    }

    /// What `stat(2)` says of the slave.
    fn stat(&self) -> Stat {
        Stat {
            mode: S_IFCHR | self.permissions.get(),
            inode: self.index as u64 + 3,
            links: 1,
            user: self.user.get(),
            group: self.group.get(),
            device: self.number(),
            filesystem: names::FILESYSTEM,
            ..Stat::default()
        }
    }
}

impl Port for Pair {
    fn typed(&self) -> &Typed {
        &self.typed
    }

    fn echo(&self, bytes: &[u8]) {
        self.show(bytes);
    }

    fn taken(&self) {
        self.waiting.wake_all();
    }

    fn number(&self) -> u64 {
        FIRST + self.index as u64
    }

    fn opener(&self) -> Opener {
        |number| find((number - FIRST) as usize).map(|pair| slave::Slave::new(pair) as _)
    }
}
