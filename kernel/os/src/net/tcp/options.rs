//! Options of TCP sockets (`tcp(7)`), and what can be asked about a connection.

use super::congestion;
use super::connection::Connection;
use super::engine::ACK_DELAY;
use super::socket::{State, Tcp};
use super::vigil::Probing;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::net::inet::{self, hints};
use crate::net::socket::{self, AF_INET6};
use crate::net::stack;
use alloc::vec::Vec;
use core::cell::Cell;
use linux_raw_sys::net::*;
use smoltcp::socket::tcp::State as Phase;
use smoltcp::time::Duration;

/// Options of the protocol's own level.
#[derive(Clone)]
pub struct Options {
    pub only_v6: Cell<bool>,
    no_delay: Cell<bool>,
    pub cork: Cell<bool>,
    /// What was asked for; without that it is told as on, as Linux begins with it.
    quick_ack: Cell<Option<bool>>,
    /// Seconds until the first probe, between probes, and how many.
    keep_idle: Cell<u32>,
    keep_interval: Cell<u32>,
    keep_count: Cell<u32>,
    user_timeout: Cell<u32>,
    defer_accept: Cell<u32>,
    hops: Cell<u8>,
}

/// Seconds of TCP_LINGER2, at first and at most.
const LINGER_FIRST: i32 = 60;
const LINGER_MOST: i32 = 120;

/// Seconds of TCP_DEFER_ACCEPT as Linux keeps them: as many waits for an answer as it takes, which double from one second to two minutes.
fn whole_waits(seconds: i32) -> u32 {
    let (mut wait, mut total) = (1, u32::from(seconds > 0));
    for _ in 1..255 {
        if i64::from(total) >= i64::from(seconds) {
            break;
        }
        wait = (wait * 2).min(120);
        total += wait;
    }
    total
}

impl Options {
    pub fn new() -> Self {
        Self {
            only_v6: Cell::new(false),
            no_delay: Cell::new(false),
            cork: Cell::new(false),
            quick_ack: Cell::new(None),
            // `tcp(7)`
            keep_idle: Cell::new(7200),
            keep_interval: Cell::new(75),
            keep_count: Cell::new(9),
            user_timeout: Cell::new(0),
            defer_accept: Cell::new(0),
            hops: Cell::new(64),
        }
    }
}

impl Tcp {
    /// Applies the options to a connection.
    pub fn set_up(&self, connection: &Connection) {
        let options = &self.options;
        connection.with(|machine| {
            machine.set_nagle_enabled(!options.no_delay.get());
            machine.set_hop_limit(Some(options.hops.get().max(1)));
            machine.set_ack_delay(
                (options.quick_ack.get() != Some(true)).then_some(Duration::from_micros(ACK_DELAY / 1000)),
            );
        });
        connection.window.marks.is_inline.set(self.common.out_of_band_inline.get());
        let seconds = |count: u32| u64::from(count) * 1_000_000_000;
        let probing = Probing {
            idle: seconds(options.keep_idle.get()),
            interval: seconds(options.keep_interval.get()),
            count: options.keep_count.get(),
        };
        let limit = u64::from(options.user_timeout.get()) * 1_000_000;
        connection.vigil.set(self.common.keep_alive.get().then_some(probing), limit);
    }

    /// Has changed options take effect.
    fn apply(&self) {
        if let Some(connection) = self.connection() {
            connection.corked.set(self.options.cork.get());
            self.set_up(&connection);
            connection.push();
            stack::run();
        }
    }

    pub fn set_own_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        let options = &self.options;
        match (level, name) {
            (SOL_SOCKET, SO_KEEPALIVE | SO_OOBINLINE) => {}
            (SOL_TCP, TCP_CONGESTION) => {
                let name = value.split(|&byte| byte == 0).next().unwrap_or_default();
                return if name == congestion::name().as_bytes() { Ok(()) } else { Err(Errno::ENOENT) };
            }
            (SOL_TCP, _) => {
                let number = socket::number(value)?;
                match name {
                    TCP_NODELAY => options.no_delay.set(number != 0),
                    TCP_CORK => options.cork.set(number != 0),
                    TCP_QUICKACK => options.quick_ack.set(Some(number != 0)),
                    TCP_KEEPIDLE | TCP_KEEPINTVL if !(1..=32767).contains(&number) => {
                        return Err(Errno::EINVAL);
                    }
                    TCP_KEEPIDLE => options.keep_idle.set(number),
                    TCP_KEEPINTVL => options.keep_interval.set(number),
                    TCP_KEEPCNT if !(1..=127).contains(&number) => return Err(Errno::EINVAL),
                    TCP_KEEPCNT => options.keep_count.set(number),
                    TCP_USER_TIMEOUT if number as i32 <= -1 => return Err(Errno::EINVAL),
                    TCP_USER_TIMEOUT => options.user_timeout.set(number),
                    TCP_DEFER_ACCEPT => options.defer_accept.set(whole_waits(number as i32)),
                    // Remembered, and without effect, as what follows.
                    TCP_SYNCNT if !(1..=127).contains(&number) => return Err(Errno::EINVAL),
                    TCP_SYNCNT | TCP_NOTSENT_LOWAT => {
                        return self.common.remember(level, name, number as i32);
                    }
                    TCP_LINGER2 => {
                        let seconds = match number as i32 {
                            ..0 => -1,
                            0 => LINGER_FIRST,
                            seconds => seconds.min(LINGER_MOST),
                        };
                        return self.common.remember(level, name, seconds);
                    }
                    // Taken, and without effect: sizes and counts that the state machine has its own idea of.
                    TCP_MAXSEG
                    | TCP_WINDOW_CLAMP
                    | TCP_FASTOPEN
                    | TCP_THIN_LINEAR_TIMEOUTS
                    | TCP_THIN_DUPACK => return Ok(()),
                    _ => return Err(Errno::ENOPROTOOPT),
                }
            }
            (inet::SOL_IP, IP_TTL) => match inet::byte(value)? {
                hops @ 1..=255 => options.hops.set(hops as u8),
                u32::MAX => options.hops.set(64),
                _ => return Err(Errno::EINVAL),
            },
            (inet::SOL_IPV6, IPV6_V6ONLY) if self.common.family == AF_INET6 => {
                if self.bound.get().is_some() {
                    return Err(Errno::EINVAL);
                }
                options.only_v6.set(socket::number(value)? != 0);
            }
            _ => return hints::set(&self.common, level, name, value).unwrap_or(Err(Errno::ENOPROTOOPT)),
        }
        self.apply();
        Ok(())
    }

    pub fn own_option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        let options = &self.options;
        let number = match (level, name) {
            (SOL_TCP, TCP_NODELAY) => u32::from(options.no_delay.get()),
            (SOL_TCP, TCP_CORK) => u32::from(options.cork.get()),
            (SOL_TCP, TCP_QUICKACK) => u32::from(options.quick_ack.get().unwrap_or(true)),
            (SOL_TCP, TCP_KEEPIDLE) => options.keep_idle.get(),
            (SOL_TCP, TCP_KEEPINTVL) => options.keep_interval.get(),
            (SOL_TCP, TCP_KEEPCNT) => options.keep_count.get(),
            (SOL_TCP, TCP_USER_TIMEOUT) => options.user_timeout.get(),
            (SOL_TCP, TCP_DEFER_ACCEPT) => options.defer_accept.get(),
            (SOL_TCP, TCP_MAXSEG) => stack::mtu() as u32 - 40,
            (SOL_TCP, TCP_CONGESTION) => {
                // TCP_CA_NAME_MAX
                let mut name = congestion::name().as_bytes().to_vec();
                name.resize(16, 0);
                return Ok(name);
            }
            (SOL_TCP, TCP_INFO) => {
                return Ok(self.info());
            }
            (inet::SOL_IP, IP_TTL) => u32::from(options.hops.get()),
            (inet::SOL_IPV6, IPV6_V6ONLY) => u32::from(options.only_v6.get()),
            (SOL_TCP, TCP_SYNCNT) => self.common.remembered(level, name).unwrap_or(6) as u32,
            (SOL_TCP, TCP_NOTSENT_LOWAT) => self.common.remembered(level, name).unwrap_or(0) as u32,
            (SOL_TCP, TCP_LINGER2) => self.common.remembered(level, name).unwrap_or(LINGER_FIRST) as u32,
            (level, name) => hints::get(&self.common, level, name).ok_or(Errno::ENOPROTOOPT)?,
        };
        Ok(number.to_le_bytes().to_vec())
    }

    /// `struct tcp_info`; what the state machine does not tell is zero.
    fn info(&self) -> Vec<u8> {
        let mut info = alloc::vec![0; 104];
        info[0] = self.phase_number();
        let Some(connection) = self.connection() else { return info };
        let mtu = stack::mtu_to(&connection.key.remote().ip()) as u32;
        let header = stack::header_length(&connection.key.remote().ip()) as u32 + 20;
        let segment = mtu - header;
        let (unacknowledged, window) = connection.with(|machine| {
            (machine.send_queue() as u32, (machine.recv_capacity() - machine.recv_queue()) as u32)
        });
        let silence = (tsc::now().saturating_sub(connection.vigil.heard()) / 1_000_000) as u32;
        // snd_mss, rcv_mss, unacked, last_data_recv, last_ack_recv, pmtu, advmss, rcv_space
        let fields = [
            (16, segment),
            (20, segment),
            (24, unacknowledged.div_ceil(segment)),
            (52, silence),
            (56, silence),
            (60, mtu),
            (84, segment),
            (96, window),
        ];
        for (at, value) in fields {
            info[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        info
    }

    /// The state as Linux numbers it.
    fn phase_number(&self) -> u8 {
        match &*self.state.borrow() {
            State::Idle => 7,
            State::Listening(_) => 10,
            State::Connected(connection) => match connection.phase() {
                Phase::Established => 1,
                Phase::SynSent => 2,
                Phase::SynReceived => 3,
                Phase::FinWait1 => 4,
                Phase::FinWait2 => 5,
                Phase::TimeWait => 6,
                Phase::Closed => 7,
                Phase::CloseWait => 8,
                Phase::LastAck => 9,
                Phase::Listen => 10,
                Phase::Closing => 11,
            },
        }
    }
}
