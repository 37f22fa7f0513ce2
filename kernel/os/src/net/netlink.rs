//! Questions about interfaces, addresses and routes (`netlink(7)`, `rtnetlink(7)`).

use super::interfaces::{self, Interface};
use super::socket::{Call, Common, Family, Protocol, Reply};
use super::stack::{self, Count, OwnAddress, counted};
use crate::errno::{Errno, Result};
use crate::fs::file::Readiness;
use crate::sched::wait::Queue;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::IpAddr;
use linux_raw_sys::net::{MSG_PEEK, MSG_TRUNC};

crate::register!("socket-family": Family = { AF_NETLINK => create });

const AF_NETLINK: u16 = 16;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Types of socket.
const DATAGRAM: u32 = 2;
const RAW: u32 = 3;
/// The one protocol.
const ROUTE: u32 = 0;

/// Kinds of message.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
/// Flags: one of several messages; of a request: all there is.
const MULTI: u16 = 2;
const DUMP: u16 = 0x300;
/// `struct nlmsghdr`: length, kind, flags, number, sender.
const HEADER: usize = 16;
/// The program's own address: its process number.
const OWN: u32 = 1;
/// Bytes of answers that wait at most: whoever asks without reading is told that there is no room.
const MOST: usize = 1 << 18;

struct Netlink {
    common: Common,
    answers: RefCell<VecDeque<Vec<u8>>>,
    bound: Cell<bool>,
    queue: Queue,
}

fn create(kind: u32, protocol: u32) -> Result<Rc<dyn Protocol>> {
    if !matches!(kind, DATAGRAM | RAW) {
        return Err(Errno::ESOCKTNOSUPPORT);
    }
    if protocol != ROUTE {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Ok(Rc::new(Netlink {
        common: Common::new(AF_NETLINK, kind, protocol),
        answers: RefCell::new(VecDeque::new()),
        bound: Cell::new(false),
        queue: Queue::new(),
    }))
}

/// A message, its length filled in by [`Message::end`].
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, number: u32, body: &[u8]) -> Self {
        let mut bytes = [0; 4].to_vec();
        bytes.extend(kind.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(number.to_le_bytes());
        bytes.extend(OWN.to_le_bytes());
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    /// Adds an attribute (`struct rtattr`).
    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend((4 + value.len() as u16).to_le_bytes());
        self.0.extend(kind.to_le_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn end(mut self) -> Vec<u8> {
        let length = (self.0.len() as u32).to_le_bytes();
        self.0[..4].copy_from_slice(&length);
        self.0
    }
}

fn name(interface: &Interface) -> Vec<u8> {
    [interface.name.as_bytes(), &[0]].concat()
}

/// What went over an interface, as the first words of `struct rtnl_link_stats` have it: packets, bytes, errors and what was dropped, each
/// received and sent.
fn went_over(interface: &Interface) -> [u64; 8] {
    if interface.flags & interfaces::LOOPBACK != 0 {
        let [packets, bytes] = [Count::LocalPackets, Count::LocalBytes].map(counted);
        return [packets, packets, bytes, bytes, 0, 0, 0, 0];
    }
    let [packets_in, packets_out] = [Count::FramesIn, Count::FramesOut].map(counted);
    let [bytes_in, bytes_out, unsent] = [Count::BytesIn, Count::BytesOut, Count::FramesUnsent].map(counted);
    [packets_in, packets_out, bytes_in, bytes_out, 0, 0, 0, unsent]
}

/// `struct ifinfomsg`, and what belongs to it.
fn link(interface: &Interface, number: u32) -> Vec<u8> {
    const UP: u8 = 6;
    const UNKNOWN: u8 = 0;
    let mut body = [0; 16];
    body[2..4].copy_from_slice(&interface.hardware.to_le_bytes());
    body[4..8].copy_from_slice(&interface.index.to_le_bytes());
    body[8..12].copy_from_slice(&interface.flags.to_le_bytes());
    let state = if interface.flags & interfaces::LOOPBACK != 0 { UNKNOWN } else { UP };
    // `struct rtnl_link_stats` and `struct rtnl_link_stats64`, of Linux 6.1.
    let mut words = [0; 24 * 4];
    let mut long_words = [0; 25 * 8];
    for (index, count) in went_over(interface).into_iter().enumerate() {
        words[4 * index..][..4].copy_from_slice(&(count as u32).to_le_bytes());
        long_words[8 * index..][..8].copy_from_slice(&count.to_le_bytes());
    }
    Message::new(NEW_LINK, MULTI, number, &body)
        .with(1, &interface.mac)
        .with(2, &interface.broadcast_mac)
        .with(3, &name(interface))
        .with(4, &interface.mtu.to_le_bytes())
        .with(7, &words)
        .with(23, &long_words)
        .with(13, &1000u32.to_le_bytes())
        .with(16, &[state])
        .end()
}

/// How far an address or a route goes (`rt_scope`).
fn scope(address: &IpAddr) -> u8 {
    const LINK: u8 = 253;
    const HOST: u8 = 254;
    match address {
        _ if address.is_loopback() => HOST,
        IpAddr::V6(address) if address.is_unicast_link_local() => LINK,
        _ => 0,
    }
}

fn octets(address: &IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
    }
}

/// `struct ifaddrmsg`, and what belongs to it.
fn address(own: &OwnAddress, interfaces: &[Interface], number: u32) -> Option<Vec<u8>> {
    const PERMANENT: u8 = 0x80;
    let interface = interfaces.iter().find(|interface| interface.index == own.interface)?;
    let (family, bytes) = octets(&own.address);
    let index = own.interface.to_le_bytes();
    let body = [family, own.prefix, PERMANENT, scope(&own.address), index[0], index[1], index[2], index[3]];
    let message = Message::new(NEW_ADDRESS, MULTI, number, &body).with(1, &bytes);
    let message = match own.address {
        IpAddr::V4(_) => message.with(2, &bytes).with(3, &name(interface)),
        IpAddr::V6(_) => message,
    };
    Some(message.with(8, &u32::from(PERMANENT).to_le_bytes()).end())
}

/// `struct rtmsg` of an address's network, and what belongs to it.
fn route(own: &OwnAddress, number: u32) -> Vec<u8> {
    const MAIN: u8 = 254;
    const KERNEL: u8 = 2;
    const LINK: u8 = 253;
    const UNICAST: u8 = 1;
    let (family, mut bytes) = octets(&own.address);
    for (index, byte) in bytes.iter_mut().enumerate() {
        let kept = usize::from(own.prefix).saturating_sub(index * 8).min(8);
        *byte &= !(0xffu16 >> kept) as u8;
    }
    let body = [family, own.prefix, 0, 0, MAIN, KERNEL, LINK, UNICAST, 0, 0, 0, 0];
    Message::new(NEW_ROUTE, MULTI, number, &body).with(1, &bytes).with(4, &own.interface.to_le_bytes()).end()
}

/// `struct rtmsg` of the way to everywhere else.
fn default_route(gateway: &IpAddr, number: u32) -> Vec<u8> {
    const MAIN: u8 = 254;
    const BOOT: u8 = 3;
    const UNICAST: u8 = 1;
    let (family, bytes) = octets(gateway);
    let body = [family, 0, 0, 0, MAIN, BOOT, 0, UNICAST, 0, 0, 0, 0];
    let message = Message::new(NEW_ROUTE, MULTI, number, &body).with(5, &bytes);
    message.with(4, &stack::LINK.to_le_bytes()).end()
}

/// What a request is answered with; each item is a message.
fn answer(kind: u16, flags: u16, number: u32, body: &[u8]) -> Result<Vec<Vec<u8>>> {
    let family = body.first().copied().unwrap_or(0);
    let of_family = |address: &IpAddr| match family {
        AF_INET => address.is_ipv4(),
        AF_INET6 => address.is_ipv6(),
        _ => true,
    };
    let interfaces = interfaces::all();
    let addresses = stack::own_addresses();
    if kind == GET_LINK && flags & DUMP == 0 {
        // One of them, by its number.
        let index = body.get(4..8).and_then(|bytes| bytes.first_chunk::<4>()).ok_or(Errno::EINVAL)?;
        let index = u32::from_le_bytes(*index);
        let found = interfaces.iter().find(|interface| interface.index == index).ok_or(Errno::ENODEV)?;
        return Ok(alloc::vec![link(found, number)]);
    }
    if flags & DUMP == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut messages: Vec<Vec<u8>> = match kind {
        GET_LINK => interfaces.iter().map(|interface| link(interface, number)).collect(),
        GET_ADDRESS => {
            let chosen = addresses.iter().filter(|own| of_family(&own.address));
            chosen.filter_map(|own| address(own, &interfaces, number)).collect()
        }
        GET_ROUTE => {
            let chosen = addresses.iter().filter(|own| of_family(&own.address) && !own.address.is_loopback());
            let gateways = stack::gateways();
            let beyond = gateways.iter().filter(|gateway| of_family(gateway));
            chosen
                .map(|own| route(own, number))
                .chain(beyond.map(|gateway| default_route(gateway, number)))
                .collect()
        }
        // Everything else would change something.
        _ => return Err(Errno::EPERM),
    };
    messages.push(Message::new(DONE, MULTI, number, &[0; 4]).end());
    Ok(messages)
}

impl Netlink {
    /// Serves the requests in what was sent.
    fn serve(&self, mut bytes: &[u8]) -> Result<()> {
        while let Some(header) = bytes.first_chunk::<HEADER>() {
            let word =
                |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            let (length, number) = (word(0) as usize, word(8));
            let (kind, flags) = (word(4) as u16, (word(4) >> 16) as u16);
            let Some(body) = bytes.get(HEADER..length) else { break };
            const ACKNOWLEDGE: u16 = 4;
            // Messages that concern the exchange itself are for nobody.
            if kind >= NEW_LINK {
                let error = |number_of: i32| {
                    let told = [&number_of.to_le_bytes()[..], &header[..]].concat();
                    Message::new(ERROR, 0, number, &told).end()
                };
                let messages = match answer(kind, flags, number, body) {
                    Ok(messages) if flags & ACKNOWLEDGE != 0 && flags & DUMP == 0 => {
                        messages.into_iter().chain([error(0)]).collect()
                    }
                    Ok(messages) => messages,
                    Err(refused) => alloc::vec![error(-i32::from(refused.0))],
                };
                self.queue_answers(messages)?;
            }
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    /// Queues messages, several to a datagram, as many as fit a page: what programs have room for.
    fn queue_answers(&self, messages: Vec<Vec<u8>>) -> Result<()> {
        const ROOM: usize = 4096;
        let mut answers = self.answers.borrow_mut();
        if answers.iter().map(Vec::len).sum::<usize>() > MOST {
            return Err(Errno::ENOBUFS);
        }
        let mut datagram: Vec<u8> = Vec::new();
        for message in messages {
            if datagram.len() + message.len() > ROOM && !datagram.is_empty() {
                answers.push_back(core::mem::take(&mut datagram));
            }
            datagram.extend(message);
        }
        answers.push_back(datagram);
        Ok(())
    }
}

/// `struct sockaddr_nl`.
fn socket_name(process: u32) -> Vec<u8> {
    let mut name = [AF_NETLINK.to_le_bytes(), [0, 0]].concat();
    name.extend(process.to_le_bytes());
    name.extend([0; 4]);
    name
}

impl Protocol for Netlink {
    fn common(&self) -> &Common {
        &self.common
    }

    fn queue(&self) -> &Queue {
        &self.queue
    }

    fn bind(&self, name: &[u8]) -> Result<()> {
        if name.len() < 12 || name[..2] != AF_NETLINK.to_le_bytes() {
            return Err(Errno::EINVAL);
        }
        self.bound.set(true);
        Ok(())
    }

    fn connect(&self, name: &[u8], _: bool) -> Result<()> {
        self.bind(name)
    }

    fn send(&self, call: &Call, _: Option<&[u8]>, _: &[u8]) -> Result<usize> {
        const LONGEST: usize = 1 << 16;
        let length = call.length();
        if length > LONGEST {
            return Err(Errno::EMSGSIZE);
        }
        let mut bytes = alloc::vec![0; length];
        call.read(0, &mut bytes)?;
        self.serve(&bytes)?;
        self.queue.wake_all();
        Ok(length)
    }

    fn receive(&self, call: &Call, reply: &mut Reply) -> Result<usize> {
        let datagram = loop {
            if let Some(datagram) = self.answers.borrow_mut().pop_front() {
                break datagram;
            }
            if call.nonblocking {
                return Err(Errno::EAGAIN);
            }
            self.queue.wait()?;
        };
        let length = datagram.len();
        let taken = length.min(call.length());
        let copied = call.write(0, &datagram[..taken]);
        // From the kernel.
        reply.name = socket_name(0);
        if taken < length {
            reply.flags |= MSG_TRUNC;
        }
        if call.flags & MSG_PEEK != 0 {
            self.answers.borrow_mut().push_front(datagram);
        }
        copied?;
        Ok(if call.flags & MSG_TRUNC != 0 { length } else { taken })
    }

    fn shutdown(&self, _: u32) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    fn name(&self) -> Result<Vec<u8>> {
        Ok(socket_name(if self.bound.get() { OWN } else { 0 }))
    }

    fn peer(&self) -> Result<Vec<u8>> {
        Ok(socket_name(0))
    }

    fn readiness(&self) -> Readiness {
        let mut ready = Readiness::WRITE;
        ready.set(Readiness::READ, !self.answers.borrow().is_empty());
        ready
    }

    fn set_option(&self, _: u32, _: u32, _: &[u8]) -> Result<()> {
        // Options choose how much is told beside the answers; none of it is told.
        Ok(())
    }

    fn pending(&self) -> (usize, usize) {
        (self.answers.borrow().front().map_or(0, Vec::len), 0)
    }

    fn buffers(&self) -> (usize, usize) {
        (212_992, 212_992)
    }
}
