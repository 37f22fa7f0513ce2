//! The host's end of a machine's socket device: a vhost-user daemon that hands packets on as they are.

use crate::PATIENCE;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use vhost::vhost_user::Listener;
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackendMut, VhostUserDaemon, VringRwLock, VringT};
use virtio_queue::QueueT;
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// The machine's context, and the host's.
pub const CID: u64 = 3;
/// See [`CID`].
pub const HOST: u64 = 2;

/// What a packet says (VIRTIO 1.2, section 5.10.6).
pub const REQUEST: u16 = 1;
/// See [`REQUEST`].
pub const RESPONSE: u16 = 2;
/// See [`REQUEST`].
pub const RESET: u16 = 3;
/// See [`REQUEST`].
pub const SHUTDOWN: u16 = 4;
/// See [`REQUEST`].
pub const DATA: u16 = 5;
/// See [`REQUEST`].
pub const CREDIT: u16 = 6;
/// See [`REQUEST`].
pub const CREDIT_REQUEST: u16 = 7;

const HEADER: usize = 44;
const STREAM: u16 = 1;
/// Packets to the machine, and from it; events are QEMU's own.
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const QUEUES: usize = 2;
/// Somebody wants to send: the first number that is no queue's and not the daemon's own.
const POKE: u16 = QUEUES as u16 + 1;
const VERSION_1: u64 = 1 << 32;

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Context and port.
    pub from: (u64, u32),
    /// See `from`.
    pub to: (u64, u32),
    /// [`REQUEST`] and the like.
    pub operation: u16,
    /// Of [`SHUTDOWN`]: 1 receives no more, 2 sends no more.
    pub flags: u32,
    /// The sender's room, and how much it has taken.
    pub room: u32,
    /// See `room`.
    pub taken: u32,
    /// What it carries.
    pub body: Vec<u8>,
}

impl Packet {
    fn parse(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let body = bytes[HEADER..].to_vec();
        assert_eq!(word(24) as usize, body.len(), "the length does not fit the bytes");
        Self {
            from: (long(0), word(16)),
            to: (long(8), word(20)),
            operation: (word(28) >> 16) as u16,
            flags: word(32),
            room: word(36),
            taken: word(40),
            body,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.from.0.to_le_bytes().to_vec();
        bytes.extend(self.to.0.to_le_bytes());
        bytes.extend(self.from.1.to_le_bytes());
        bytes.extend(self.to.1.to_le_bytes());
        bytes.extend((self.body.len() as u32).to_le_bytes());
        bytes.extend(STREAM.to_le_bytes());
        bytes.extend(self.operation.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.room.to_le_bytes());
        bytes.extend(self.taken.to_le_bytes());
        bytes.extend(&self.body);
        bytes
    }
}

/// What is to be sent, in order.
type Leaving = Arc<Mutex<VecDeque<Packet>>>;

struct Device {
    memory: GuestMemoryAtomic<GuestMemoryMmap>,
    arriving: Sender<Packet>,
    leaving: Leaving,
    poke: EventFd,
}

impl Device {
    /// Takes what the machine sent.
    fn take(&self, vring: &VringRwLock) -> io::Result<()> {
        let memory = self.memory.memory();
        let next = || vring.get_mut().get_queue_mut().pop_descriptor_chain(memory.clone());
        while let Some(chain) = next() {
            let head = chain.head_index();
            let mut bytes = Vec::new();
            chain.reader(&memory).map_err(io::Error::other)?.read_to_end(&mut bytes)?;
            vring.add_used(head, 0).map_err(io::Error::other)?;
            let _ = self.arriving.send(Packet::parse(&bytes));
        }
        vring.signal_used_queue()
    }

    /// Hands over what is to be sent, as far as the machine has room.
    fn give(&self, vring: &VringRwLock) -> io::Result<()> {
        let memory = self.memory.memory();
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        while !leaving.is_empty() {
            let Some(chain) = vring.get_mut().get_queue_mut().pop_descriptor_chain(memory.clone()) else {
                break;
            };
            let Some(packet) = leaving.pop_front() else { break };
            let (head, bytes) = (chain.head_index(), packet.bytes());
            chain.writer(&memory).map_err(io::Error::other)?.write_all(&bytes)?;
            vring.add_used(head, bytes.len() as u32).map_err(io::Error::other)?;
        }
        vring.signal_used_queue()
    }
}

impl VhostUserBackendMut for Device {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        256
    }

    fn features(&self) -> u64 {
        VERSION_1 | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::MQ
    }

    fn set_event_idx(&mut self, _: bool) {}

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        CID.to_le_bytes().iter().copied().skip(offset as usize).take(size as usize).collect()
    }

    fn update_memory(&mut self, _: GuestMemoryAtomic<GuestMemoryMmap>) -> io::Result<()> {
        Ok(())
    }

    fn handle_event(&mut self, event: u16, _: EventSet, vrings: &[VringRwLock], _: usize) -> io::Result<()> {
        if event == POKE {
            let _ = self.poke.read();
        }
        if usize::from(event) == TRANSMIT {
            self.take(&vrings[TRANSMIT])?;
        }
        self.give(&vrings[RECEIVE])
    }
}

/// The host: packets to and from the machine.
pub struct Host {
    arriving: Receiver<Packet>,
    leaving: Leaving,
    poke: EventFd,
}

impl Host {
    /// Waits at a path for a machine's device.
    pub fn listen(path: &Path) -> Self {
        let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        let poke = EventFd::new(EFD_NONBLOCK).expect("an event");
        let (sender, arriving) = channel();
        let leaving = Leaving::default();
        let device = Device {
            memory: memory.clone(),
            arriving: sender,
            leaving: leaving.clone(),
            poke: poke.try_clone().expect("a second handle"),
        };
        let mut daemon =
            VhostUserDaemon::new("vsock".to_owned(), Arc::new(Mutex::new(device)), memory).expect("a daemon");
        for handler in daemon.get_epoll_handlers() {
            let poke = std::os::fd::AsRawFd::as_raw_fd(&poke);
            handler.register_listener(poke, EventSet::IN, u64::from(POKE)).expect("it is registered");
        }
        let mut listener = Listener::new(path, true).expect("a socket in the scratch folder");
        // It ends with the machine.
        std::thread::spawn(move || {
            if daemon.start(&mut listener).is_ok() {
                let _ = daemon.wait();
            }
        });
        Self { arriving, leaving, poke }
    }

    /// Sends a packet.
    pub fn send(&self, packet: Packet) {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner).push_back(packet);
        self.poke.write(1).expect("it can be told");
    }

    /// The next packet, within some minutes.
    #[track_caller]
    pub fn next(&self, what: &str) -> Packet {
        self.arriving.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} does not come"))
    }

    /// The first packet of which something holds; those before it are dropped.
    #[track_caller]
    pub fn find(&self, what: &str, holds: impl Fn(&Packet) -> bool) -> Packet {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let packet = self.next(what);
            if holds(&packet) {
                return packet;
            }
        }
        panic!("{what} does not come");
    }
}

/// The host's end of a connection.
pub struct Stream<'a> {
    host: &'a Host,
    /// Its own port and the machine's.
    ports: (u32, u32),
    /// Room that the machine is told of.
    pub room: u32,
    /// Bytes taken, and sent.
    taken: u32,
    sent: u32,
    /// What it was told of as taken.
    told: u32,
    /// What the machine said of itself: its room, and what it has taken.
    peer: (u32, u32),
}

impl<'a> Stream<'a> {
    /// An end from which nothing has been sent.
    pub fn new(host: &'a Host, own: u32, theirs: u32) -> Self {
        Self { host, ports: (own, theirs), room: 10_000, taken: 0, sent: 0, told: 0, peer: (0, 0) }
    }

    /// A connection to a port of the machine's.
    pub fn open(host: &'a Host, own: u32, theirs: u32) -> Self {
        let mut stream = Self::new(host, own, theirs);
        stream.say(REQUEST, 0, &[]);
        let answer = stream.next("an answer to a request");
        assert_eq!(answer.operation, RESPONSE, "{answer:?}");
        stream
    }

    /// Sends a packet.
    pub fn say(&mut self, operation: u16, flags: u32, body: &[u8]) {
        self.sent = self.sent.wrapping_add(body.len() as u32);
        let (from, to) = ((HOST, self.ports.0), (CID, self.ports.1));
        let (room, taken) = (self.room, self.taken);
        self.told = taken;
        self.host.send(Packet { from, to, operation, flags, room, taken, body: body.to_vec() });
    }

    /// The next packet of the connection; it may carry no more than there is room for.
    #[track_caller]
    pub fn next(&mut self, what: &str) -> Packet {
        let ports = self.ports;
        let packet = self.host.find(what, |packet| (packet.to.1, packet.from.1) == ports);
        assert_eq!((packet.to.0, packet.from.0), (HOST, CID));
        self.peer = (packet.room, packet.taken);
        self.taken = self.taken.wrapping_add(packet.body.len() as u32);
        let more = self.taken.wrapping_sub(self.told);
        assert!(more <= self.room, "{more} bytes where there is room for {}", self.room);
        packet
    }

    /// The next bytes; questions for room before them are passed over.
    #[track_caller]
    pub fn bytes(&mut self, what: &str) -> Vec<u8> {
        loop {
            let packet = self.next(what);
            match packet.operation {
                DATA => return packet.body,
                CREDIT | CREDIT_REQUEST => {}
                _ => panic!("{packet:?} instead of {what}"),
            }
        }
    }

    /// Bytes that the machine has room for.
    pub fn credit(&self) -> usize {
        (self.peer.0 - self.sent.wrapping_sub(self.peer.1)) as usize
    }
}
