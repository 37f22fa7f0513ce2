//! The virtio network device (VIRTIO 1.2, section 5.1).

use super::virtio::{self, Driver, Ring, Transport};
use crate::memory::frames;
use crate::memory::paging::{PAGE, phys_to_virt};
use crate::net::ethernet::{self, Device};
use crate::net::stack::Unsummed;
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

crate::param! {
    /// Whether what the device offers to do for the stack is taken up.
    static OFFLOAD: u64 = "offload"
}

/// The device's type (section 5).
const NETWORK: u64 = 1;
crate::register!("virtio-device": fn(Rc<dyn Transport>) -> Option<Rc<dyn Driver>> = { NETWORK => start });

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

const FEATURE_MAC: u64 = 1 << 5;
const FEATURE_MTU: u64 = 1 << 3;
/// The device adds checksums to what is sent, and hands over frames whose checksums it knows to be right, or that have none yet.
const FEATURE_CHECKSUM: u64 = 1 << 0;
const FEATURE_GUEST_CHECKSUM: u64 = 1 << 1;
/// It hands over segments of a stream that lie on each other's heels as one.
const FEATURE_GUEST_TSO: u64 = 1 << 7 | 1 << 8;
/// A frame may take several buffers. The header is then of one length in both interfaces.
const FEATURE_MERGE: u64 = 1 << 15;

/// Flags of `struct virtio_net_hdr`.
const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;
/// Where its fields are: the first byte of what a checksum is of, where it belongs in that, and how many buffers a frame took.
const CHECKSUM_START: usize = 6;
const CHECKSUM_OFFSET: usize = 8;
const BUFFERS: usize = 10;

/// Frames that are taken in one go.
const BUDGET: usize = 64;

/// Bytes of `struct virtio_net_hdr` before each frame (section 5.1.6).
const HEADER: usize = 12;
/// Room for header and frame.
const BUFFER: usize = 2048;
/// Of a frame, with its Ethernet header, without a checksum.
const LARGEST: usize = 1514;
/// Of several segments that come as one: the largest packet in a frame.
const LARGEST_JOINED: usize = 14 + 40 + 65_535;

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
    /// What both sides agreed on.
    features: u64,
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
    let mut wanted = FEATURE_MAC | FEATURE_MTU | FEATURE_MERGE;
    if OFFLOAD.get() != 0 {
        wanted |= FEATURE_CHECKSUM | FEATURE_GUEST_CHECKSUM;
        // Section 5.1.3.1: joined segments come with checksums undone, and a frame of them takes many buffers.
        if transport.features() & (FEATURE_GUEST_CHECKSUM | FEATURE_MERGE)
            == FEATURE_GUEST_CHECKSUM | FEATURE_MERGE
        {
            wanted |= FEATURE_GUEST_TSO;
        }
    }
    let features = virtio::negotiate(&*transport, wanted)?;
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
    let mut receive = Ring::new(&*transport, RECEIVE, RECEIVE_BUFFERS.get())?;
    let transmit = Ring::new(&*transport, TRANSMIT, TRANSMIT_BUFFERS.get())?;
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
        features,
        receive: RefCell::new(receive),
        receive_buffers,
        transmit: RefCell::new(transmit),
        transmit_buffers,
        free: RefCell::new(free),
        unsaid: Cell::new(false),
        transport,
    });
    if !ethernet::attach(device.clone()) {
        return None;
    }
    virtio::ready(&*device.transport);
    device.transport.notify(RECEIVE);
    Some(device)
}

impl Driver for Network {
    fn interrupt(&self) {
        ethernet::interrupted();
    }
}

impl Network {
    /// Takes what has arrived, but no more than so many frames; how many more it could have been.
    fn take(&self, most: usize) -> usize {
        for taken in 0..most {
            let Some((id, written)) = self.receive.borrow_mut().take() else { return most - taken };
            let bytes = self.received(id, written);
            // SAFETY: see `received`; the buffer is not lent before it has been read.
            let bytes = unsafe { &*bytes };
            let Some((header, frame)) = bytes.split_at_checked(HEADER) else {
                self.lend_again(id);
                continue;
            };
            let trusts = self.features & FEATURE_GUEST_CHECKSUM != 0;
            let vouched = trusts && header[0] & (NEEDS_CHECKSUM | DATA_VALID) != 0;
            let joins = self.features & FEATURE_MERGE != 0;
            match u16::from_le_bytes([header[BUFFERS], header[BUFFERS + 1]]) {
                more @ 2.. if joins => {
                    let joined = self.join(frame, more - 1);
                    self.lend_again(id);
                    if let Some(frame) = joined {
                        ethernet::receive(self.mac, &frame, vouched);
                    }
                }
                _ => {
                    ethernet::receive(self.mac, frame, vouched);
                    self.lend_again(id);
                }
            }
        }
        0
    }

    /// What the device wrote into a buffer, which is the driver's until it is lent again.
    fn received(&self, id: u16, written: u32) -> *const [u8] {
        core::ptr::slice_from_raw_parts(self.receive_buffers.bytes(id), (written as usize).min(BUFFER))
    }

    fn lend_again(&self, id: u16) {
        self.receive.borrow_mut().lend_again(id);
    }

    /// Puts a frame together that goes on in so many more buffers (section 5.1.6.4). `None`: there is no memory, or it is none that a device would
    /// send.
    fn join(&self, first: &[u8], more: u16) -> Option<Vec<u8>> {
        let mut frame = Vec::new();
        let most = first.len() + usize::from(more) * BUFFER;
        let mut fits = most <= LARGEST_JOINED + BUFFER && frame.try_reserve_exact(most).is_ok();
        if fits {
            frame.extend_from_slice(first);
        }
        for _ in 0..more {
            // All of them are there before the first one is told of.
            let (id, written) = self.receive.borrow_mut().take()?;
            let bytes = self.received(id, written);
            // SAFETY: see `received`; the buffer is lent below.
            let bytes = unsafe { &*bytes };
            fits = fits && frame.len() + bytes.len() <= LARGEST_JOINED;
            if fits {
                frame.extend_from_slice(bytes);
            }
            self.lend_again(id);
        }
        fits.then_some(frame)
    }
}

impl Device for Network {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn sums(&self) -> bool {
        self.features & FEATURE_CHECKSUM != 0
    }

    fn poll(&self) -> bool {
        let mut left = BUDGET;
        let done = loop {
            self.receive.borrow().set_interrupts(false);
            left = self.take(left).saturating_sub(1);
            if left == 0 {
                break false;
            }
            self.receive.borrow().set_interrupts(true);
            // What came before that came without an interrupt.
            if !self.receive.borrow().has_used() {
                break true;
            }
        };
        let notice = self.receive.borrow().wants_notice();
        if notice {
            self.transport.notify(RECEIVE);
        }
        done
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

    fn transmit(&self, length: usize, fill: &mut dyn FnMut(&mut [u8]) -> Option<Unsummed>) -> bool {
        if length > BUFFER - HEADER || !self.can_transmit() {
            return false;
        }
        let Some(id) = self.free.borrow_mut().pop() else { return false };
        // SAFETY: the buffer is not lent, and has room for header and frame.
        let buffer =
            unsafe { core::slice::from_raw_parts_mut(self.transmit_buffers.bytes(id), HEADER + length) };
        // Nothing to be done: all zeroes, one buffer.
        buffer[..HEADER].fill(0);
        if let Some(Unsummed { start, at }) = fill(&mut buffer[HEADER..]) {
            buffer[0] = NEEDS_CHECKSUM;
            buffer[CHECKSUM_START..CHECKSUM_START + 2].copy_from_slice(&(start as u16).to_le_bytes());
            buffer[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&(at as u16).to_le_bytes());
        }
        let physical = self.transmit_buffers.physical(id);
        self.transmit.borrow_mut().lend(id, physical, (HEADER + length) as u32, false);
        self.unsaid.set(true);
        true
    }

    fn flush(&self) {
        if self.unsaid.replace(false) && self.transmit.borrow().wants_notice() {
            self.transport.notify(TRANSMIT);
        }
    }
}
