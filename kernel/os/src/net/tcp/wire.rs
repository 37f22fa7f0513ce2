//! Between smoltcp's interface and the stack: one packet in, any number out.

use super::marks::urgency;
use super::segment::seal;
use super::window::Window;
use crate::driver::tsc;
use crate::net::stack::{self, Count};
use alloc::vec;
use core::net::IpAddr;
use smoltcp::iface::{Config, Interface};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::HardwareAddress;

pub fn instant(now: u64) -> Instant {
    Instant::from_micros((now / 1000) as i64)
}

/// An interface without addresses, for packets of at most `mtu` bytes, whose sequence numbers come from `seed`.
pub fn interface(seed: u64, mtu: usize) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let destination = IpAddr::from([0, 0, 0, 0]);
    let mut wire = Wire { packet: None, destination, mtu, window: None, muted: true };
    Interface::new(config, &mut wire, instant(tsc::now()))
}

/// The interface's side of the link: one packet in, any number out, all to one peer.
pub struct Wire<'a> {
    pub packet: Option<&'a [u8]>,
    pub destination: IpAddr,
    pub mtu: usize,
    /// What is to know of the segments that leave.
    pub window: Option<&'a Window>,
    /// What is sent is lost: it was sent before.
    pub muted: bool,
}

pub struct Arrived<'a>(&'a [u8]);

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub struct Leaving<'a> {
    destination: IpAddr,
    window: Option<&'a Window>,
    muted: bool,
}

impl TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let Leaving { destination, window, muted } = self;
        let note = |packet: &mut [u8]| {
            let start = stack::header_length(&destination);
            if let (Some(window), Some(segment)) = (window, packet.get_mut(start..)) {
                window.left(segment);
                if window.marks.end.get().is_some()
                    && let Some(urgency) = urgency()
                {
                    (urgency.leaves)(window, segment);
                }
            }
        };
        if muted {
            let mut packet = vec![0; length];
            let result = f(&mut packet);
            note(&mut packet);
            return result;
        }
        let (mut f, mut result) = (Some(f), None);
        // What cannot be sent is lost, as on any way; the state machine sends it again.
        let _ = stack::send(&destination, length, &mut |packet| {
            if let Some(f) = f.take() {
                result = Some(f(packet));
                note(packet);
                seal(packet, &destination, stack::card_sums(&destination));
                stack::count(Count::TcpOut, 1);
            }
        });
        match (result, f) {
            (Some(result), _) => result,
            (None, Some(f)) => f(&mut vec![0; length]),
            (None, None) => unreachable!("taken without a result"),
        }
    }
}

impl Wire<'_> {
    fn leaving(&mut self) -> Leaving<'_> {
        Leaving { destination: self.destination, window: self.window, muted: self.muted }
    }
}

impl Device for Wire<'_> {
    type RxToken<'b>
        = Arrived<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Leaving<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Arrived<'_>, Leaving<'_>)> {
        let packet = self.packet.take()?;
        Some((Arrived(packet), self.leaving()))
    }

    fn transmit(&mut self, _: Instant) -> Option<Leaving<'_>> {
        (self.muted || stack::can_send()).then(|| self.leaving())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        // Of what arrives both were checked; what leaves gets both from `seal`.
        capabilities.checksum.ipv4 = Checksum::None;
        capabilities.checksum.tcp = Checksum::None;
        capabilities
    }
}
