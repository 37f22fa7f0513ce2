//! UDP (RFC 768), and its socket interface (`udp(7)`).

use super::inet::{self, Ports, hints};
use super::socket::control::Messages;
use super::socket::{self, AF_INET6, Call, Common, Protocol, Reply};
use super::stack::{self, Count, Packet, Sum};
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::fs::file::Readiness;
use crate::list;
use crate::sched::wait::Queue;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use linux_raw_sys::net::*;

const PROTOCOL: u8 = 17;
const HEADER: usize = 8;
/// What a datagram costs beyond its bytes.
const OVERHEAD: usize = 256;

crate::param! {
    static RECEIVE_BUFFER: u64 = "receive-buffer"
}

crate::register!("ip-protocol": fn(&Packet) -> bool = { PROTOCOL => receive });
crate::register!("inet-socket": fn(Common) -> Rc<dyn Protocol> = { PROTOCOL => create });
crate::register!("packet-failed": fn(&stack::Failure) = { 17 => failed });

// What a program wants to know of a datagram, as control messages in so much room, and whether that was too little.
crate::hook!(fn describers() -> "datagram-info": fn(Wanted, &Arrival, &mut Messages));
// How a datagram (of IPv6?) is to leave, by its control messages.
crate::hook!(fn choosers() -> "datagram-choice": fn(&[u8], bool) -> Result<Choice>);

bitflags::bitflags! {
    /// What a program wants to know of datagrams.
    #[derive(Clone, Copy)]
    pub struct Wanted: u8 {
        /// Where they arrived, by the options of either version.
        const ADDRESS_4 = 1;
        const ADDRESS_6 = 2;
        /// How many hops they had left.
        const HOPS_4 = 4;
        const HOPS_6 = 8;
        /// Their type of service or traffic class.
        const CLASS_4 = 16;
        const CLASS_6 = 32;
    }
}

/// How a datagram came.
#[derive(Clone, Copy)]
pub struct Arrival {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hops: u8,
    pub class: u8,
}

/// How one datagram is to leave, where its sender says so.
#[derive(Default)]
pub struct Choice {
    pub source: Option<IpAddr>,
    pub hops: Option<u8>,
    pub class: Option<u8>,
}

struct Datagram {
    from: SocketAddr,
    arrival: Arrival,
    bytes: Vec<u8>,
}

struct Udp {
    common: Common,
    only_v6: Cell<bool>,
    hops: Cell<u8>,
    group_hops: Cell<u8>,
    wanted: Cell<Wanted>,
    /// Groups that it is in, and whether they hear it on this machine too.
    groups: RefCell<Vec<IpAddr>>,
    hears_itself: Cell<bool>,
    /// The claim on a port, and the address.
    bound: Cell<Option<(u64, SocketAddr)>>,
    peer: Cell<Option<SocketAddr>>,
    inbox: RefCell<VecDeque<Datagram>>,
    /// What the inbox holds, with its overhead.
    held: Cell<usize>,
    error: Cell<Option<Errno>>,
    shut_read: Cell<bool>,
    shut_write: Cell<bool>,
    queue: Queue,
}

struct State {
    sockets: Vec<Weak<Udp>>,
    ports: Ports,
}

static STATE: KernelCell<State> = KernelCell::new(State { sockets: Vec::new(), ports: Ports::EMPTY });

fn create(common: Common) -> Rc<dyn Protocol> {
    let socket = Rc::new(Udp {
        common,
        only_v6: Cell::new(false),
        hops: Cell::new(64),
        group_hops: Cell::new(1),
        wanted: Cell::new(Wanted::empty()),
        groups: RefCell::new(Vec::new()),
        hears_itself: Cell::new(true),
        bound: Cell::new(None),
        peer: Cell::new(None),
        inbox: RefCell::new(VecDeque::new()),
        held: Cell::new(0),
        error: Cell::new(None),
        shut_read: Cell::new(false),
        shut_write: Cell::new(false),
        queue: Queue::new(),
    });
    // Without memory for the list nothing will arrive.
    let _ = list::push(&mut STATE.borrow().sockets, Rc::downgrade(&socket));
    socket
}

/// How well a socket fits what is sent to `to` from `from`; zero: not at all.
fn fit(socket: &Udp, to: SocketAddr, from: SocketAddr) -> u32 {
    let Some((_, own)) = socket.bound.get() else { return 0 };
    if own.port() != to.port() || !inet::matches(own.ip(), to.ip(), socket.only_v6.get()) {
        return 0;
    }
    // Everybody is in the group of everybody.
    let everybody =
        [IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1))];
    if to.ip().is_multicast() && !everybody.contains(&to.ip()) && !socket.groups.borrow().contains(&to.ip()) {
        return 0;
    }
    let specific = u32::from(!own.ip().is_unspecified());
    match socket.peer.get() {
        Some(peer) if peer == from => 4 + specific,
        Some(_) => 0,
        None => 1 + specific,
    }
}

/// Whether a socket is in a group.
fn has_members(group: &IpAddr) -> bool {
    let state = STATE.borrow();
    state.sockets.iter().filter_map(Weak::upgrade).any(|socket| socket.groups.borrow().contains(group))
}

/// The sockets that take a datagram: all of a group's, or the one that fits best; of equals, by the sender's port.
fn takers(to: SocketAddr, from: SocketAddr, unicast: bool) -> Vec<Rc<Udp>> {
    let mut best = 0;
    let mut takers = Vec::new();
    for socket in STATE.borrow().sockets.iter().filter_map(Weak::upgrade) {
        let rank = fit(&socket, to, from);
        // To a group or to everybody, being bound to the group's address or to any is the same.
        let rank = if unicast { rank } else { rank.min(1) };
        if rank > best {
            best = rank;
            takers.clear();
        }
        if rank > 0 && rank == best {
            let _ = list::push(&mut takers, socket);
        }
    }
    if unicast && takers.len() > 1 {
        let index = usize::from(from.port()) % takers.len();
        takers.swap(0, index);
        takers.truncate(1);
    }
    takers
}

fn receive(packet: &Packet) -> bool {
    let bytes = packet.payload;
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else { return true };
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if length < HEADER || length > bytes.len() {
        return true;
    }
    let bytes = &bytes[..length];
    if header[6..8] != [0, 0] {
        let pseudo = Sum::pseudo(&packet.source, &packet.destination, PROTOCOL, length);
        if !packet.vouched && pseudo.bytes(bytes).folded() != 0xffff {
            stack::count(Count::UdpBad, 1);
            return true;
        }
    } else if packet.source.is_ipv6() {
        return true; // RFC 8200, section 8.1
    }
    let from = SocketAddr::new(packet.source, u16::from_be_bytes([header[0], header[1]]));
    let to = SocketAddr::new(packet.destination, u16::from_be_bytes([header[2], header[3]]));
    let takers = takers(to, from, packet.unicast);
    stack::count(if takers.is_empty() { Count::UdpNobody } else { Count::UdpIn }, 1);
    let (hops, class) = match *packet.whole {
        [first, second, _, _, _, _, _, hops, ..] if packet.source.is_ipv6() => {
            (hops, first << 4 | second >> 4)
        }
        [_, class, _, _, _, _, _, _, hops, ..] => (hops, class),
        _ => (0, 0),
    };
    let arrival = Arrival { source: packet.source, destination: packet.destination, hops, class };
    for socket in &takers {
        socket.take(from, arrival, &bytes[HEADER..]);
    }
    !takers.is_empty()
}

fn failed(failure: &stack::Failure) {
    if failure.protocol != PROTOCOL {
        return;
    }
    // Only those that talk to one peer are told (`udp(7)`).
    let found = takers(failure.source, failure.destination, true);
    for socket in found.iter().filter(|socket| socket.peer.get() == Some(failure.destination)) {
        socket.error.set(Some(failure.error));
        socket.queue.wake_all();
    }
}

impl Udp {
    /// What the hop limit of IPv6 packets starts with.
    fn hops_6(&self) -> u8 {
        hints::get(&self.common, inet::SOL_IPV6, IPV6_UNICAST_HOPS).map_or(64, |hops| hops.max(1) as u8)
    }

    /// The type of service or traffic class of packets to an address.
    fn class(&self, to: &IpAddr) -> u8 {
        let (level, name) = if to.is_ipv6() { (inet::SOL_IPV6, IPV6_TCLASS) } else { (inet::SOL_IP, IP_TOS) };
        hints::get(&self.common, level, name).unwrap_or(0) as u8
    }

    fn room(&self) -> usize {
        match self.common.receive_buffer.get() {
            0 => RECEIVE_BUFFER.get() as usize,
            wanted => wanted,
        }
    }

    fn take(&self, from: SocketAddr, arrival: Arrival, bytes: &[u8]) {
        let held = self.held.get() + bytes.len() + OVERHEAD;
        let mut copy = Vec::new();
        if held > self.room() && self.held.get() > 0
            || self.shut_read.get()
            || copy.try_reserve_exact(bytes.len()).is_err()
            || self.inbox.borrow_mut().try_reserve(1).is_err()
        {
            stack::count(Count::UdpFull, 1);
            return;
        }
        copy.extend_from_slice(bytes);
        self.held.set(held);
        self.inbox.borrow_mut().push_back(Datagram { from, arrival, bytes: copy });
        self.queue.wake_all();
    }

    fn claim(&self, address: SocketAddr) -> Result<()> {
        let claim = STATE.borrow().ports.claim(address, &self.common, self.only_v6.get())?;
        self.bound.set(Some(claim));
        Ok(())
    }

    fn release(&self) {
        if let Some((id, _)) = self.bound.take() {
            STATE.borrow().ports.release(id);
        }
    }

    /// The own port, claimed now if there is none.
    fn port(&self) -> Result<u16> {
        if self.bound.get().is_none() {
            self.claim(SocketAddr::new(inet::unspecified(self.common.family), 0))?;
        }
        self.bound.get().map(|(_, address)| address.port()).ok_or(Errno::EAGAIN)
    }

    /// The address that datagrams to another come from.
    fn source(&self, to: &IpAddr) -> Result<IpAddr> {
        if to.is_ipv4() && self.only_v6.get() {
            return Err(Errno::ENETUNREACH);
        }
        match self.bound.get() {
            Some((_, own)) if !own.ip().is_unspecified() && own.is_ipv4() != to.is_ipv4() => {
                Err(Errno::ENETUNREACH)
            }
            Some((_, own)) if !own.ip().is_unspecified() && !own.ip().is_multicast() => Ok(own.ip()),
            _ => stack::source_for(to),
        }
    }

    /// The program wants to know something of datagrams, or no longer.
    fn want(&self, what: Wanted, on: bool) -> Result<()> {
        if describers().is_empty() {
            return Err(Errno::ENOPROTOOPT);
        }
        let mut wanted = self.wanted.get();
        wanted.set(what, on);
        self.wanted.set(wanted);
        Ok(())
    }

    /// Joins or leaves a group.
    fn change(&self, group: IpAddr, joins: bool) -> Result<()> {
        if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let is_in = self.groups.borrow().contains(&group);
        match (joins, is_in) {
            (true, true) => return Err(Errno::EADDRINUSE),
            (false, false) => return Err(Errno::EADDRNOTAVAIL),
            _ => stack::set_member(&group, joins)?,
        }
        if joins {
            list::push(&mut self.groups.borrow_mut(), group)
        } else {
            self.groups.borrow_mut().retain(|other| *other != group);
            Ok(())
        }
    }

    fn failure(&self) -> Result<()> {
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Protocol for Udp {
    fn common(&self) -> &Common {
        &self.common
    }

    fn queue(&self) -> &Queue {
        &self.queue
    }

    fn bind(&self, name: &[u8]) -> Result<()> {
        let address = inet::parse_own(self.common.family, name)?;
        if self.bound.get().is_some() {
            return Err(Errno::EINVAL);
        }
        self.claim(address)
    }

    fn connect(&self, name: &[u8], _: bool) -> Result<()> {
        if name.len() >= 2 && name[..2] == [0, 0] {
            // AF_UNSPEC: no peer any more.
            self.peer.set(None);
            return Ok(());
        }
        let peer = inet::reachable(inet::parse(self.common.family, name)?);
        let source = self.source(&peer.ip())?;
        self.port()?;
        // Its own address is known from here on.
        if let Some((id, own)) = self.bound.get()
            && own.ip().is_unspecified()
        {
            self.bound.set(Some((id, SocketAddr::new(source, own.port()))));
        }
        self.peer.set(Some(peer));
        Ok(())
    }

    fn send(&self, call: &Call, to: Option<&[u8]>, control: &[u8]) -> Result<usize> {
        if call.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.shut_write.get() {
            return Err(Errno::EPIPE);
        }
        self.failure()?;
        let to = match to {
            Some(name) => inet::reachable(inet::parse(self.common.family, name)?),
            None => self.peer.get().ok_or(Errno::EDESTADDRREQ)?,
        };
        if to.port() == 0 {
            return Err(Errno::EINVAL);
        }
        if matches!(to.ip(), IpAddr::V4(ip) if ip.is_broadcast()) && !self.common.broadcast.get() {
            return Err(Errno::EACCES);
        }
        let port = self.port()?;
        let chosen = match choosers().first() {
            Some(chooser) if !control.is_empty() => (chooser.item)(control, to.is_ipv6())?,
            _ => Choice::default(),
        };
        let source = match chosen.source {
            Some(chosen) if chosen.is_ipv4() == to.is_ipv4() => chosen,
            _ => self.source(&to.ip())?,
        };
        let length = call.length();
        let whole = stack::header_length(&to.ip()) + HEADER + length;
        // What the length field of the header holds.
        if length > if to.is_ipv4() { 65_507 } else { 65_527 } {
            return Err(Errno::EMSGSIZE);
        }
        // Copied first: the program's memory may fault, and a frame is not to be half full.
        let mut bytes = list::zeroes(length).map_err(|_| Errno::ENOBUFS)?;
        call.read(0, &mut bytes)?;
        let hops = match to.ip() {
            group if group.is_multicast() => self.group_hops.get(),
            IpAddr::V4(_) => self.hops.get(),
            IpAddr::V6(_) => self.hops_6(),
        };
        let hops = chosen.hops.unwrap_or(hops);
        let class = chosen.class.unwrap_or_else(|| self.class(&to.ip()));
        let in_one = whole <= stack::mtu_to(&to.ip());
        let by_card = in_one && stack::card_sums(&to.ip());
        let mut fill = |whole: &mut [u8]| {
            let at = stack::write_header(whole, &source, &to.ip(), PROTOCOL, hops, HEADER + bytes.len());
            if class != 0 {
                stack::write_class(whole, class);
            }
            let packet = &mut whole[at..];
            packet[..2].copy_from_slice(&port.to_be_bytes());
            packet[2..4].copy_from_slice(&to.port().to_be_bytes());
            packet[4..6].copy_from_slice(&((HEADER + bytes.len()) as u16).to_be_bytes());
            packet[6..8].copy_from_slice(&[0, 0]);
            packet[8..].copy_from_slice(&bytes);
            let pseudo = Sum::pseudo(&source, &to.ip(), PROTOCOL, packet.len());
            stack::seal(whole, at, 6, pseudo, by_card);
        };
        if in_one || stack::is_own(&to.ip()) {
            stack::send(&to.ip(), whole, &mut fill)?;
        } else {
            let mut packet = list::zeroes(whole).map_err(|_| Errno::ENOBUFS)?;
            fill(&mut packet);
            stack::send_cut(&to.ip(), &packet)?;
        }
        stack::count(Count::UdpOut, 1);
        if to.ip().is_multicast() && self.hears_itself.get() && has_members(&to.ip()) {
            // Those of this machine that are in the group hear it too (`ip(7)`).
            let _ = stack::send_local(whole, &mut fill);
        }
        stack::run();
        Ok(length)
    }

    fn receive(&self, call: &Call, reply: &mut Reply) -> Result<usize> {
        if call.flags & MSG_ERRQUEUE != 0 {
            return Err(Errno::EAGAIN);
        }
        let mut started = None;
        let datagram = loop {
            self.failure()?;
            if let Some(datagram) = self.inbox.borrow_mut().pop_front() {
                break datagram;
            }
            if self.shut_read.get() {
                return Ok(0);
            }
            call.wait(&self.queue, self.common.receive_timeout.get(), &mut started)?;
        };
        let length = datagram.bytes.len();
        let taken = length.min(call.length());
        let copied = call.write(0, &datagram.bytes[..taken]);
        if reply.wants_name {
            reply.name = inet::format(self.common.family, datagram.from);
        }
        if taken < length {
            reply.flags |= MSG_TRUNC;
        }
        if let Some(describer) = describers().first().filter(|_| !self.wanted.get().is_empty()) {
            (describer.item)(self.wanted.get(), &datagram.arrival, &mut reply.control);
        }
        if call.flags & MSG_PEEK != 0 {
            self.inbox.borrow_mut().push_front(datagram);
        } else {
            self.held.set(self.held.get().saturating_sub(length + OVERHEAD));
        }
        copied?;
        Ok(if call.flags & MSG_TRUNC != 0 { length } else { taken })
    }

    fn shutdown(&self, how: u32) -> Result<()> {
        if self.peer.get().is_none() {
            return Err(Errno::ENOTCONN);
        }
        if how != SHUT_WR {
            self.shut_read.set(true);
        }
        if how != SHUT_RD {
            self.shut_write.set(true);
        }
        self.queue.wake_all();
        Ok(())
    }

    fn name(&self) -> Result<Vec<u8>> {
        let none = SocketAddr::new(inet::unspecified(self.common.family), 0);
        Ok(inet::format(self.common.family, self.bound.get().map_or(none, |(_, address)| address)))
    }

    fn peer(&self) -> Result<Vec<u8>> {
        Ok(inet::format(self.common.family, self.peer.get().ok_or(Errno::ENOTCONN)?))
    }

    fn readiness(&self) -> Readiness {
        let mut ready = Readiness::WRITE;
        let failed = self.error.get().is_some();
        ready.set(Readiness::ERROR, failed);
        ready.set(Readiness::READ, failed || self.shut_read.get() || !self.inbox.borrow().is_empty());
        ready.set(Readiness::PEER_SHUT, self.shut_read.get());
        ready.set(Readiness::HANG_UP, self.shut_read.get() && self.shut_write.get());
        ready
    }

    fn take_error(&self) -> Option<Errno> {
        self.error.take()
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        let byte = || inet::byte(value);
        match (level, name) {
            (inet::SOL_IP, IP_TTL) => match byte()? {
                hops @ 1..=255 => self.hops.set(hops as u8),
                u32::MAX => self.hops.set(64),
                _ => return Err(Errno::EINVAL),
            },
            (inet::SOL_IP, IP_PKTINFO) => self.want(Wanted::ADDRESS_4, byte()? != 0)?,
            (inet::SOL_IP, IP_RECVTTL) => self.want(Wanted::HOPS_4, byte()? != 0)?,
            (inet::SOL_IPV6, IPV6_RECVPKTINFO) => self.want(Wanted::ADDRESS_6, byte()? != 0)?,
            (inet::SOL_IPV6, IPV6_RECVHOPLIMIT) => self.want(Wanted::HOPS_6, byte()? != 0)?,
            (inet::SOL_IP, IP_RECVTOS) => self.want(Wanted::CLASS_4, byte()? != 0)?,
            (inet::SOL_IPV6, IPV6_RECVTCLASS) => self.want(Wanted::CLASS_6, byte()? != 0)?,
            (inet::SOL_IP, IP_MULTICAST_TTL) | (inet::SOL_IPV6, IPV6_MULTICAST_HOPS) => {
                self.group_hops.set(byte()?.min(255) as u8);
            }
            (inet::SOL_IPV6, IPV6_V6ONLY) if self.common.family == AF_INET6 => {
                if self.bound.get().is_some() {
                    return Err(Errno::EINVAL);
                }
                self.only_v6.set(socket::number(value)? != 0);
            }
            (inet::SOL_IP, IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP) => {
                // `struct ip_mreq`, or a longer one: the group comes first. There is one interface to join on.
                let octets = value.first_chunk::<4>().filter(|_| value.len() >= 8).ok_or(Errno::EINVAL)?;
                self.change(IpAddr::from(*octets), name == IP_ADD_MEMBERSHIP)?;
            }
            (inet::SOL_IPV6, IPV6_ADD_MEMBERSHIP | IPV6_DROP_MEMBERSHIP) => {
                let octets = value.first_chunk::<16>().filter(|_| value.len() >= 20).ok_or(Errno::EINVAL)?;
                self.change(IpAddr::from(*octets), name == IPV6_ADD_MEMBERSHIP)?;
            }
            (inet::SOL_IP, IP_MULTICAST_LOOP) | (inet::SOL_IPV6, IPV6_MULTICAST_LOOP) => {
                self.hears_itself.set(byte()? != 0);
            }
            // There is one way out; and nobody hears a group that it is not in.
            (inet::SOL_IP, IP_MULTICAST_IF | IP_MULTICAST_ALL) | (inet::SOL_IPV6, IPV6_MULTICAST_IF) => {}
            _ => return hints::set(&self.common, level, name, value).unwrap_or(Err(Errno::ENOPROTOOPT)),
        }
        Ok(())
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        let number = match (level, name) {
            (inet::SOL_IP, IP_TTL) => u32::from(self.hops.get()),
            (inet::SOL_IP, IP_MULTICAST_TTL) | (inet::SOL_IPV6, IPV6_MULTICAST_HOPS) => {
                u32::from(self.group_hops.get())
            }
            (inet::SOL_IPV6, IPV6_V6ONLY) => u32::from(self.only_v6.get()),
            (inet::SOL_IP, IP_PKTINFO) => u32::from(self.wanted.get().contains(Wanted::ADDRESS_4)),
            (inet::SOL_IP, IP_RECVTTL) => u32::from(self.wanted.get().contains(Wanted::HOPS_4)),
            (inet::SOL_IPV6, IPV6_RECVPKTINFO) => u32::from(self.wanted.get().contains(Wanted::ADDRESS_6)),
            (inet::SOL_IPV6, IPV6_RECVHOPLIMIT) => u32::from(self.wanted.get().contains(Wanted::HOPS_6)),
            (inet::SOL_IP, IP_RECVTOS) => u32::from(self.wanted.get().contains(Wanted::CLASS_4)),
            (inet::SOL_IPV6, IPV6_RECVTCLASS) => u32::from(self.wanted.get().contains(Wanted::CLASS_6)),
            (inet::SOL_IP, IP_MULTICAST_LOOP) | (inet::SOL_IPV6, IPV6_MULTICAST_LOOP) => {
                u32::from(self.hears_itself.get())
            }
            (level, name) => hints::get(&self.common, level, name).ok_or(Errno::ENOPROTOOPT)?,
        };
        Ok(number.to_le_bytes().to_vec())
    }

    /// `FIONREAD` is the size of the next datagram.
    fn pending(&self) -> (usize, usize) {
        (self.inbox.borrow().front().map_or(0, |datagram| datagram.bytes.len()), 0)
    }

    fn buffers(&self) -> (usize, usize) {
        let send = self.common.send_buffer.get();
        (self.room(), if send != 0 { send } else { 212_992 })
    }
}

impl Drop for Udp {
    fn drop(&mut self) {
        self.release();
        for group in self.groups.take() {
            let _ = stack::set_member(&group, false);
        }
        STATE.borrow().sockets.retain(|socket| socket.strong_count() > 0);
    }
}
