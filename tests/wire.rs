//! The other end of a machine's network card: frames as they are, and a peer with a TCP/IP stack of its own.

use crate::{PATIENCE, Run, Scratch, Server};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::time::Instant as Moment;
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress, IpCidr,
    IpListenEndpoint,
};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The hardware address of the machine: QEMU's own choice.
pub const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
/// Its address where nobody gives it another, and the one that it makes of its hardware address.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// See [`GUEST`].
pub const GUEST_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0x00ff, 0xfe12, 0x3456);
/// The peer's addresses.
pub const PEER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 2];
/// See [`PEER_MAC`].
pub const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// See [`PEER_MAC`].
pub const PEER_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// The cable: frames to and from the card.
pub struct Wire {
    stream: UnixStream,
    arriving: Receiver<Vec<u8>>,
    waiting: VecDeque<Vec<u8>>,
    /// The machine has ended.
    gone: bool,
}

/// A place for a card to connect to, and the words that have it do so.
fn listen(scratch: &Scratch) -> (UnixListener, [String; 2]) {
    let path = scratch.path().join("wire");
    let listener = UnixListener::bind(&path).expect("a socket in the scratch folder");
    (listener, ["--net".to_owned(), format!("socket:{}", path.display())])
}

/// Waits for a card to connect. `None`: it never will, or takes far too long.
fn accept(listener: &UnixListener, is_gone: impl Fn() -> bool) -> Option<UnixStream> {
    listener.set_nonblocking(true).expect("it can be");
    let started = Instant::now();
    while started.elapsed() < PATIENCE && !is_gone() {
        if let Ok((stream, _)) = listener.accept() {
            return Some(stream);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Boots a machine whose card is at the other end of a wire, and waits for what its program says first.
pub fn boot(scratch: &Scratch, ready: &str, args: &[&str]) -> (Server, Wire) {
    let (listener, [net, socket]) = listen(scratch);
    let accepting = std::thread::spawn(move || accept(&listener, || false));
    let server = Server::boot(scratch, ready, &[&[net.as_str(), &socket], args].concat());
    (server, Wire::new(accepting.join().expect("no panic").expect("qemu connects")))
}

/// Runs a program to its end while `serve` looks after the wire, again and again.
pub fn around(scratch: &Scratch, args: &[&str], mut serve: impl FnMut(&mut Wire)) -> Run {
    let (listener, [net, socket]) = listen(scratch);
    std::thread::scope(|scope| {
        let running =
            scope.spawn(|| scratch.run(&[&["run", "app.toml", net.as_str(), &socket, "--"], args].concat()));
        if let Some(stream) = accept(&listener, || running.is_finished()) {
            let mut wire = Wire::new(stream);
            while !running.is_finished() {
                serve(&mut wire);
            }
        }
        running.join().expect("no panic")
    })
}

fn arriving(stream: &UnixStream) -> Receiver<Vec<u8>> {
    let mut reader = stream.try_clone().expect("a second handle");
    let (sender, arriving) = channel();
    std::thread::spawn(move || {
        let mut length = [0; 4];
        while reader.read_exact(&mut length).is_ok() {
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            if reader.read_exact(&mut frame).is_err() || sender.send(frame).is_err() {
                break;
            }
        }
    });
    arriving
}

impl Wire {
    fn new(stream: UnixStream) -> Self {
        Self { arriving: arriving(&stream), stream, waiting: VecDeque::new(), gone: false }
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &[u8]) {
        let whole = [&(frame.len() as u32).to_be_bytes(), frame].concat();
        self.gone |= self.stream.write_all(&whole).is_err();
    }

    /// Waits for a frame for at most so long. False: none came.
    fn wait(&mut self, time: Duration) -> bool {
        if self.waiting.is_empty() {
            match self.arriving.recv_timeout(time) {
                Ok(frame) => self.waiting.push_back(frame),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => {
                    self.gone = true;
                    return false;
                }
            }
        }
        true
    }

    /// The first frame that `f` says something of; those before it are dropped.
    pub fn find<R>(&mut self, what: &str, mut f: impl FnMut(&[u8]) -> Option<R>) -> R {
        let started = Instant::now();
        while started.elapsed() < PATIENCE && !self.gone {
            self.wait(Duration::from_millis(100));
            while let Some(frame) = self.waiting.pop_front() {
                if let Some(found) = f(&frame) {
                    return found;
                }
            }
        }
        panic!("{what} does not come");
    }

    /// What has come so far and nobody waited for.
    pub fn came(&mut self) -> Vec<Vec<u8>> {
        self.waiting.drain(..).chain(self.arriving.try_iter()).collect()
    }

    /// Drops what has come so far.
    pub fn clear(&mut self) {
        self.waiting.clear();
        while self.arriving.try_recv().is_ok() {}
    }
}

/// A frame that came.
pub struct Came(Vec<u8>);

impl RxToken for Came {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// A frame that goes.
pub struct Goes<'a>(&'a mut UnixStream);

impl TxToken for Goes<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut whole = (length as u32).to_be_bytes().to_vec();
        whole.resize(4 + length, 0);
        let result = f(&mut whole[4..]);
        // Should the machine be gone, whoever waits for an answer says so.
        let _ = self.0.write_all(&whole);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Came;
    type TxToken<'a> = Goes<'a>;

    fn receive(&mut self, _: Moment) -> Option<(Came, Goes<'_>)> {
        let frame = self.waiting.pop_front().or_else(|| self.arriving.try_recv().ok())?;
        Some((Came(frame), Goes(&mut self.stream)))
    }

    fn transmit(&mut self, _: Moment) -> Option<Goes<'_>> {
        Some(Goes(&mut self.stream))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// A machine at the other end, with one socket at a time.
pub struct Peer<'a> {
    wire: &'a mut Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    port: u16,
}

fn now() -> Moment {
    Moment::now()
}

impl<'a> Peer<'a> {
    /// A peer that knows nobody yet, with addresses besides its own ones.
    pub fn new(wire: &'a mut Wire, more: &[IpCidr]) -> Self {
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(PEER_MAC)));
        config.random_seed = 7;
        let mut interface = Interface::new(config, wire, now());
        interface.update_ip_addrs(|addresses| {
            let own = [IpCidr::new(PEER_LINK_LOCAL.into(), 64), IpCidr::new(PEER.into(), 24)];
            for address in own.iter().chain(more) {
                addresses.push(*address).expect("room for the addresses");
            }
        });
        // Ports of an earlier peer may still be remembered.
        let port = 30_000 + fastrand::u16(0..20_000);
        Self { wire, interface, sockets: SocketSet::new(Vec::new()), port }
    }

    /// Goes on until `f` says something.
    fn until<R>(&mut self, what: &str, mut f: impl FnMut(&mut SocketSet, &mut Interface) -> Option<R>) -> R {
        let started = Instant::now();
        while started.elapsed() < PATIENCE && !self.wire.gone {
            self.interface.poll(now(), self.wire, &mut self.sockets);
            if let Some(result) = f(&mut self.sockets, &mut self.interface) {
                self.interface.poll(now(), self.wire, &mut self.sockets);
                return result;
            }
            let delay =
                self.interface.poll_delay(now(), &self.sockets).map_or(50, |delay| delay.total_millis());
            self.wire.wait(Duration::from_millis(delay.min(50)));
        }
        panic!("{what} does not happen");
    }

    fn done(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }

    /// Sends a ping with a body of so many bytes, until it is answered.
    pub fn ping(&mut self, to: IpAddr, length: usize) {
        let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 8192]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        let ident = 0x22b;
        socket.bind(icmp::Endpoint::Ident(ident)).expect("an identifier");
        let handle = self.sockets.add(socket);
        let body: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let mut sent = Instant::now() - Duration::from_secs(60);
        self.until("a ping's answer", |sockets, interface| {
            let checksums = smoltcp::phy::ChecksumCapabilities::default();
            let socket = sockets.get_mut::<icmp::Socket>(handle);
            while socket.can_recv() {
                let (packet, from) = socket.recv().expect("a packet");
                let data = match to {
                    IpAddr::V4(_) => {
                        match Icmpv4Repr::parse(&Icmpv4Packet::new_checked(packet).ok()?, &checksums) {
                            Ok(Icmpv4Repr::EchoReply { data, .. }) => data,
                            _ => continue,
                        }
                    }
                    IpAddr::V6(own) => {
                        let source = interface.get_source_address_ipv6(&own);
                        let packet = Icmpv6Packet::new_checked(packet).ok()?;
                        match Icmpv6Repr::parse(&own, &source, &packet, &checksums) {
                            Ok(Icmpv6Repr::EchoReply { data, .. }) => data,
                            _ => continue,
                        }
                    }
                };
                assert_eq!((from, data), (IpAddress::from(to), body.as_slice()));
                return Some(());
            }
            if sent.elapsed() > Duration::from_secs(1) {
                sent = Instant::now();
                match to {
                    IpAddr::V4(_) => {
                        let message = Icmpv4Repr::EchoRequest { ident, seq_no: 1, data: &body };
                        let bytes = socket.send(message.buffer_len(), to.into()).ok()?;
                        message.emit(&mut Icmpv4Packet::new_unchecked(bytes), &checksums);
                    }
                    IpAddr::V6(own) => {
                        let message = Icmpv6Repr::EchoRequest { ident, seq_no: 1, data: &body };
                        let bytes = socket.send(message.buffer_len(), to.into()).ok()?;
                        let source = interface.get_source_address_ipv6(&own);
                        message.emit(&source, &own, &mut Icmpv6Packet::new_unchecked(bytes), &checksums);
                    }
                }
            }
            None
        });
        self.done(handle);
    }

    /// Connects, sends bytes, and reads what comes back until there is as much; then closes.
    pub fn over_tcp(&mut self, to: SocketAddr, bytes: &[u8], enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let buffer = || tcp::SocketBuffer::new(vec![0; 65535]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        self.port += 1;
        socket.connect(self.interface.context(), to, self.port).expect("addresses of one kind");
        let handle = self.sockets.add(socket);
        let (mut sent, mut got) = (0, Vec::new());
        self.until("an answer over TCP", |sockets, _| {
            let socket = sockets.get_mut::<tcp::Socket>(handle);
            assert_ne!(socket.state(), tcp::State::Closed, "the connection is refused or reset");
            if socket.can_send() && sent < bytes.len() {
                sent += socket.send_slice(&bytes[sent..]).expect("it is open");
            }
            if socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), got.extend_from_slice(bytes))).expect("it is open");
            }
            if enough(&got) {
                socket.close();
                return Some(());
            }
            None
        });
        self.until("the connection's end", |sockets, _| {
            let socket = sockets.get_mut::<tcp::Socket>(handle);
            matches!(socket.state(), tcp::State::TimeWait | tcp::State::Closed).then_some(())
        });
        self.done(handle);
        got
    }

    /// Answers datagrams to a port, until none has come for a moment.
    pub fn serve_udp(&mut self, port: u16, mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>>) {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 65535]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(IpListenEndpoint::from(port)).expect("a port");
        let handle = self.sockets.add(socket);
        let mut heard = Instant::now();
        while heard.elapsed() < Duration::from_millis(200) && !self.wire.gone {
            self.interface.poll(now(), self.wire, &mut self.sockets);
            let socket = self.sockets.get_mut::<udp::Socket>(handle);
            while let Ok((bytes, from)) = socket.recv().map(|(bytes, from)| (bytes.to_vec(), from.endpoint)) {
                heard = Instant::now();
                if let Some(bytes) = answer(&bytes) {
                    socket.send_slice(&bytes, from).expect("room for a datagram");
                }
            }
            self.interface.poll(now(), self.wire, &mut self.sockets);
            self.wire.wait(Duration::from_millis(20));
        }
        self.done(handle);
    }

    /// Sends a datagram, again until there is an answer, which is returned.
    pub fn over_udp(&mut self, to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 65535]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        self.port += 1;
        socket.bind(IpListenEndpoint::from(self.port)).expect("a port");
        let handle = self.sockets.add(socket);
        let mut sent = Instant::now() - Duration::from_secs(60);
        let got = self.until("an answer over UDP", |sockets, _| {
            let socket = sockets.get_mut::<udp::Socket>(handle);
            if socket.can_recv() {
                return Some(socket.recv().expect("a datagram").0.to_vec());
            }
            if sent.elapsed() > Duration::from_secs(1) {
                sent = Instant::now();
                socket.send_slice(bytes, to).expect("room for a datagram");
            }
            None
        });
        self.done(handle);
        got
    }
}
