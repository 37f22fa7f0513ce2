//! The virtio socket device (VIRTIO 1.2, section 5.10).

use super::virtio::{self, Driver, Part, Ring, Transport};
use crate::list;
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use crate::net::vsock::packet::{HEADER, Header, PIECE};
use crate::net::vsock::{self, Link};
use crate::sched::thread::Idle;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// The device's type (section 5).
const SOCKET: u64 = 19;
crate::register!("virtio-device": fn(Rc<dyn Transport>) -> Option<Rc<dyn Driver>> = { SOCKET => start });
crate::register!("idle": fn() -> Idle = { 30 => idle });

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
const EVENT: u16 = 2;

/// Packets with up to 4 KiB, header and all, that can arrive before they are looked at.
const RECEIVE_BUFFERS: u16 = 64;
/// Packets that can wait to be taken: each has two descriptors, for its header and for its bytes.
const TRANSMIT_BUFFERS: u16 = 32;
const BUFFER: usize = PAGE as usize;
/// Where the bytes of a packet that leaves are, behind its header.
const BYTES: usize = 64;
const SLOT: usize = BYTES + PIECE;
const EVENT_BUFFERS: u16 = 4;
/// `struct virtio_vsock_event`
const EVENT_SIZE: usize = 4;

struct Device {
    transport: Rc<dyn Transport>,
    cid: u32,
    receive: RefCell<Ring>,
    received: u64,
    transmit: RefCell<Ring>,
    slots: u64,
    /// Slots that the device does not have.
    free: RefCell<Vec<u16>>,
    /// Whether packets were lent that the device was not told of.
    unsaid: Cell<bool>,
    events: RefCell<Ring>,
}

fn allocate(count: u16, size: usize) -> Option<u64> {
    frames::allocate_run((usize::from(count) * size).div_ceil(PAGE as usize))
}

/// Lends the device all buffers that it is to write to, of one size. Where they begin.
fn lend(ring: &mut Ring, size: usize) -> Option<u64> {
    let first = allocate(ring.size(), size)?;
    for id in 0..ring.size() {
        ring.lend(id, first + u64::from(id) * size as u64, size as u32, true);
    }
    Some(first)
}

fn start(transport: Rc<dyn Transport>) -> Option<Rc<dyn Driver>> {
    virtio::negotiate(&*transport, 0)?;
    let cid = u32::from_le_bytes(core::array::from_fn(|index| transport.config(index)));
    let mut receive = Ring::new(&*transport, RECEIVE, u64::from(RECEIVE_BUFFERS))?;
    let transmit = Ring::new(&*transport, TRANSMIT, u64::from(2 * TRANSMIT_BUFFERS))?;
    let mut events = Ring::new(&*transport, EVENT, u64::from(EVENT_BUFFERS))?;
    let received = lend(&mut receive, BUFFER)?;
    lend(&mut events, EVENT_SIZE)?;
    let count = (transmit.size() / 2).min(TRANSMIT_BUFFERS);
    let device = Rc::new(Device {
        cid,
        receive: RefCell::new(receive),
        received,
        slots: allocate(count, SLOT)?,
        transmit: RefCell::new(transmit),
        free: RefCell::new((0..count).collect()),
        unsaid: Cell::new(false),
        events: RefCell::new(events),
        transport,
    });
    virtio::ready(&*device.transport);
    device.transport.notify(RECEIVE);
    device.transport.notify(EVENT);
    vsock::attach(device.clone());
    Some(device)
}

/// The host may speak at any time.
fn idle() -> Idle {
    if vsock::is_linked() { Idle::Interrupt } else { Idle::Never }
}

impl Device {
    /// A packet that came in a buffer.
    fn arrived(&self, id: u16, written: usize) {
        let at = phys_to_virt(self.received + u64::from(id) * BUFFER as u64) as *const u8;
        // SAFETY: the buffer is the driver's until it is lent again, and what is looked at is within it.
        let buffer = unsafe { core::slice::from_raw_parts(at, written.min(BUFFER)) };
        let Some((header, rest)) = buffer.split_first_chunk::<HEADER>() else { return };
        let Some(header) = Header::parse(header) else { return };
        let Some(bytes) = rest.get(..header.length as usize) else { return };
        let Ok(mut copy) = list::zeroes(bytes.len()) else { return };
        copy.copy_from_slice(bytes);
        vsock::receive(&header, copy);
    }

    /// Takes back what was sent.
    fn collect(&self) {
        let mut ring = self.transmit.borrow_mut();
        while let Some((first, _)) = ring.take() {
            // There is room: it came from there.
            self.free.borrow_mut().push(first / 2);
        }
    }
}

impl Driver for Device {
    fn interrupt(&self) {
        // Bounded: what arrives meanwhile raises the next interrupt, or is seen by this round.
        let most = 4 * self.receive.borrow().size();
        for _ in 0..most {
            let Some((id, written)) = self.receive.borrow_mut().take() else { break };
            self.arrived(id, written as usize);
            self.receive.borrow_mut().lend_again(id);
        }
        let notice = self.receive.borrow().wants_notice();
        if notice {
            self.transport.notify(RECEIVE);
        }
        let mut renewed = false;
        while let Some((id, _)) = { self.events.borrow_mut().take() } {
            // The only one that there is: the transport was reset.
            renewed = true;
            self.events.borrow_mut().lend_again(id);
        }
        if renewed {
            self.transport.notify(EVENT);
            vsock::renew();
        }
        self.collect();
        vsock::resume();
    }
}

impl Link for Device {
    fn cid(&self) -> u32 {
        self.cid
    }

    fn send(&self, header: &Header, bytes: &[u8]) -> bool {
        if self.free.borrow().is_empty() {
            self.collect();
        }
        let Some(slot) = self.free.borrow_mut().pop() else { return false };
        let physical = self.slots + u64::from(slot) * SLOT as u64;
        let length = bytes.len().min(SLOT - BYTES);
        let to = phys_to_virt(physical) as *mut u8;
        // SAFETY: the slot is not lent, and has room for header and bytes.
        unsafe {
            to.copy_from_nonoverlapping(header.bytes().as_ptr(), HEADER);
            to.add(BYTES).copy_from_nonoverlapping(bytes.as_ptr(), length);
        }
        let parts = [
            Part { physical, length: HEADER as u32, writable: false },
            Part { physical: physical + BYTES as u64, length: length as u32, writable: false },
        ];
        let count = if length == 0 { 1 } else { 2 };
        self.transmit.borrow_mut().lend_chain(2 * slot, &parts[..count]);
        self.unsaid.set(true);
        true
    }

    fn flush(&self) {
        if self.unsaid.replace(false) && self.transmit.borrow().wants_notice() {
            self.transport.notify(TRANSMIT);
        }
    }
}
