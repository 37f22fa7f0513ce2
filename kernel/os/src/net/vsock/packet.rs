//! Packets of the device, and addresses.

use crate::errno::{Errno, Result};
use alloc::vec::Vec;

/// `AF_VSOCK` as `socket(2)` takes it.
pub const AF_VSOCK: u16 = 40;

/// Any context, any port.
pub const ANY: u32 = u32::MAX;
/// The context that talks to itself, and the host's.
pub const LOCAL: u32 = 1;
pub const HOST: u32 = 2;

/// Where a socket is: a context (a machine, or the host) and a port in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub cid: u32,
    pub port: u32,
}

impl Address {
    pub const UNBOUND: Self = Self { cid: ANY, port: ANY };

    /// Reads a `struct sockaddr_vm`.
    pub fn parse(name: &[u8]) -> Result<Self> {
        let name = name.first_chunk::<16>().ok_or(Errno::EINVAL)?;
        let word = |at: usize| u32::from_le_bytes([name[at], name[at + 1], name[at + 2], name[at + 3]]);
        if u16::from_le_bytes([name[0], name[1]]) != AF_VSOCK {
            return Err(Errno::EINVAL);
        }
        /// What may be told of the way to take (VMADDR_FLAG_TO_HOST): there is only one.
        const FLAGS: u8 = 1;
        if name[12] & !FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self { port: word(4), cid: word(8) })
    }

    /// As a `struct sockaddr_vm`.
    pub fn name(self) -> Vec<u8> {
        let mut name = AF_VSOCK.to_le_bytes().to_vec();
        name.extend([0; 2]);
        name.extend(self.port.to_le_bytes());
        name.extend(self.cid.to_le_bytes());
        name.extend([0; 4]);
        name
    }
}

/// What a packet says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Asks for a connection.
    Request,
    /// It is made.
    Response,
    /// There is none, or no longer.
    Reset,
    /// No more is sent, or taken: see [`SHUT_RECEIVE`] and [`SHUT_SEND`].
    Shutdown,
    /// Bytes.
    Data,
    /// How much room there is, and the question.
    Credit,
    CreditRequest,
    Unknown,
}

/// Flags of [`Operation::Shutdown`].
pub const SHUT_RECEIVE: u32 = 1;
pub const SHUT_SEND: u32 = 2;
pub const SHUT_BOTH: u32 = SHUT_RECEIVE | SHUT_SEND;

const OPERATIONS: [Operation; 8] = [
    Operation::Unknown,
    Operation::Request,
    Operation::Response,
    Operation::Reset,
    Operation::Shutdown,
    Operation::Data,
    Operation::Credit,
    Operation::CreditRequest,
];

/// `VIRTIO_VSOCK_TYPE_STREAM`
const STREAM: u16 = 1;

/// Bytes of `struct virtio_vsock_hdr`.
pub const HEADER: usize = 44;
/// Bytes of a packet at most.
pub const PIECE: usize = 16 << 10;

#[derive(Clone, Copy)]
pub struct Header {
    pub source: Address,
    pub destination: Address,
    /// Bytes behind it.
    pub length: u32,
    pub is_stream: bool,
    pub operation: Operation,
    pub flags: u32,
    /// The sender's room for what it receives, and how many bytes its program has taken since the beginning (modulo 2^32).
    pub room: u32,
    pub taken: u32,
}

impl Header {
    /// Reads a header. `None`: the addresses are none that there can be.
    pub fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        // Section 5.10.4.1: the upper halves of contexts are reserved.
        if word(4) != 0 || word(12) != 0 {
            return None;
        }
        Some(Self {
            source: Address { cid: word(0), port: word(16) },
            destination: Address { cid: word(8), port: word(20) },
            length: word(24),
            is_stream: half(28) == STREAM,
            operation: OPERATIONS.get(usize::from(half(30))).copied().unwrap_or(Operation::Unknown),
            flags: word(32),
            room: word(36),
            taken: word(40),
        })
    }

    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let operation = OPERATIONS.iter().position(|one| *one == self.operation).unwrap_or(0) as u16;
        let words = [
            (0, self.source.cid),
            (8, self.destination.cid),
            (16, self.source.port),
            (20, self.destination.port),
            (24, self.length),
            (32, self.flags),
            (36, self.room),
            (40, self.taken),
        ];
        for (at, word) in words {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[28..30].copy_from_slice(&STREAM.to_le_bytes());
        bytes[30..32].copy_from_slice(&operation.to_le_bytes());
        bytes
    }
}
