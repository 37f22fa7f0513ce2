//! The virtio network device (VIRTIO 1.2, section 5.1).

use super::virtio::{self, Driver, Ring, Transport};
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use crate::net::ethernet::{self, Device};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

crate::param! {
    /// Frames that can arrive before the program is asked.
    static RECEIVE_BUFFERS: u64 = "receive-buffers"
}
crate::param! {
    /// Frames that can wait to be sent.
    static TRANSMIT_BUFFERS: u64 = "transmit-buffers"
}

/// The device's type (section 5).
const NETWORK: u64 = 1;
crate::register!("virtio-device": fn(Rc<dyn Transport>) -> Option<Rc<dyn Driver>> = { NETWORK => start });

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

const FEATURE_MAC: u64 = 1 << 5;
const FEATURE_MTU: u64 = 1 << 3;
/// Mergeable buffers: not for merging, since every frame fits a buffer, but for a header of one length in both interfaces.
const FEATURE_MERGE: u64 = 1 << 15;

/// Bytes of `struct virtio_net_hdr` before each frame (section 5.1.6).
const HEADER: usize = 12;
/// Room for header and frame.
const BUFFER: usize = 2048;
/// Of a frame, with its Ethernet header, without a checksum.
const LARGEST: usize = 1514;

/// Buffers of one direction, by the descriptor that names them.
struct Buffers {
    base: u64,
}

impl Buffers {
    fn new(count: u16) -> Option<Self> {
        let base = frames::allocate_run((usize::from(count) * BUFFER).div_ceil(PAGE as usize))?;
        Some(Self { base })
    }

    fn physical(&self, id: u16) -> u64 {
        self.base + u64::from(id) * BUFFER as u64
    }

    fn bytes(&self, id: u16) -> *mut u8 {
        phys_to_virt(self.physical(id)) as *mut u8
    }
}

struct Network {
    transport: Rc<dyn Transport>,
    mac: [u8; 6],
    mtu: usize,
    receive: RefCell<Ring>,
    receive_buffers: Buffers,
    transmit: RefCell<Ring>,
    transmit_buffers: Buffers,
    /// Buffers for sending that the device does not have.
    free: RefCell<Vec<u16>>,
    /// Whether frames were lent that the device was not told of.
    unsaid: Cell<bool>,
}

fn start(transport: Rc<dyn Transport>) -> Option<Rc<dyn Driver>> {
    let features = virtio::negotiate(&*transport, FEATURE_MAC | FEATURE_MTU | FEATURE_MERGE)?;
    if features & (FEATURE_MERGE | virtio::VERSION_1) == 0 {
        return None;
    }
    let mac = if features & FEATURE_MAC != 0 {
        core::array::from_fn(|index| transport.config(index))
    } else {
        [0x02, 0, 0, 0, 0, 1] // locally administered
    };
    let mtu = if features & FEATURE_MTU != 0 {
        usize::from(u16::from_le_bytes([transport.config(10), transport.config(11)]))
    } else {
        LARGEST - ethernet::HEADER
    };
    let mut receive = Ring::new(&*transport, features, RECEIVE, RECEIVE_BUFFERS.get())?;
    let mut transmit = Ring::new(&*transport, features, TRANSMIT, TRANSMIT_BUFFERS.get())?;
    let receive_buffers = Buffers::new(receive.size())?;
    let transmit_buffers = Buffers::new(transmit.size())?;
    for id in 0..receive.size() {
        receive.lend(id, receive_buffers.physical(id), BUFFER as u32, true);
    }
    // What was sent is collected when room is needed.
    transmit.set_interrupts(false);
    let free = (0..transmit.size()).collect();
    let device = Rc::new(Network {
        mac,
        mtu: mtu.clamp(576, LARGEST - ethernet::HEADER),
        receive: RefCell::new(receive),
        receive_buffers,
        transmit: RefCell::new(transmit),
        transmit_buffers,
        free: RefCell::new(free),
        unsaid: Cell::new(false),
        transport,
    });
    virtio::ready(&*device.transport);
    device.transport.notify(RECEIVE);
    ethernet::attach(device.clone());
    Some(device)
}

impl Driver for Network {
    fn interrupt(&self) {
        // Bounded: what arrives meanwhile raises the next interrupt, or is seen by this round.
        let most = 4 * self.receive.borrow().size();
        for _ in 0..most {
            let Some((id, written)) = self.receive.borrow_mut().take() else { break };
            let length = (written as usize).min(BUFFER);
            if length > HEADER {
                // SAFETY: the buffer is the driver's until it is lent again, and `length` is within it.
                let frame = unsafe {
                    core::slice::from_raw_parts(self.receive_buffers.bytes(id).add(HEADER), length - HEADER)
                };
                ethernet::receive(self.mac, frame);
            }
            let mut ring = self.receive.borrow_mut();
            ring.lend(id, self.receive_buffers.physical(id), BUFFER as u32, true);
        }
        let notice = self.receive.borrow_mut().wants_notice();
        if notice {
            self.transport.notify(RECEIVE);
        }
    }
}

impl Device for Network {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn can_transmit(&self) -> bool {
        let mut free = self.free.borrow_mut();
        if free.is_empty() {
            let mut ring = self.transmit.borrow_mut();
            while let Some((id, _)) = ring.take() {
                free.push(id);
            }
        }
        if free.is_empty() {
            drop(free);
            self.flush();
            return false;
        }
        true
    }

    fn transmit(&self, length: usize, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        if length > BUFFER - HEADER || !self.can_transmit() {
            return false;
        }
        let Some(id) = self.free.borrow_mut().pop() else { return false };
        // SAFETY: the buffer is not lent, and has room for header and frame.
        let buffer =
            unsafe { core::slice::from_raw_parts_mut(self.transmit_buffers.bytes(id), HEADER + length) };
        // No offload asked for: all zeroes, one buffer.
        buffer[..HEADER].fill(0);
        fill(&mut buffer[HEADER..]);
        let physical = self.transmit_buffers.physical(id);
        self.transmit.borrow_mut().lend(id, physical, (HEADER + length) as u32, false);
        self.unsaid.set(true);
        true
    }

    fn flush(&self) {
        if self.unsaid.replace(false) && self.transmit.borrow_mut().wants_notice() {
            self.transport.notify(TRANSMIT);
        }
    }
}
