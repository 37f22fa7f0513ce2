//! Room for connections that come in crowds.
//!
//! QEMU's user networking listens at published ports with a backlog of one: while it is busy with one new connection, the kernel turns away
//! what comes, and each client tries again after one second, then two, then four. The length of the backlog belongs to the listening socket and
//! may be set anew at any time (listen(2)), by whoever holds a descriptor of it; a parent gets one of its child's by pidfd_getfd(2).

use super::{Publish, Stopper};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::collections::BTreeSet;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// Connections that may wait; the kernel takes less where `net.core.somaxconn` says so.
const ROOM: i32 = 4096;
/// How long QEMU may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Has published ports listen with room for a crowd, as soon as QEMU has made them. Where the kernel does not let us (before Linux 5.6, or in a
/// sandbox), they stay as QEMU has them.
pub(super) fn lengthen(ports: &[Publish], stopper: Stopper) {
    let mut wanted: BTreeSet<SocketAddrV4> = ports
        .iter()
        .filter(|port| !port.udp)
        .map(|port| SocketAddrV4::new(port.address, port.host))
        .collect();
    if wanted.is_empty() {
        return;
    }
    std::thread::spawn(move || {
        let started = Instant::now();
        let Some(process) = stopper.with_pid(open).flatten() else { return };
        while !wanted.is_empty() && started.elapsed() < PATIENCE {
            // QEMU has its number as long as the stopper does.
            let Some(numbers) = stopper.with_pid(descriptors) else { return };
            for number in numbers {
                let Ok(socket) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else { continue };
                if let Some(address) = listens_at(&socket)
                    && wanted.remove(&address)
                {
                    let _ = rustix::net::listen(&socket, ROOM);
                }
            }
            std::thread::sleep(PAUSE);
        }
    });
}

fn open(pid: Pid) -> Option<OwnedFd> {
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// The numbers of a process's sockets.
fn descriptors(pid: Pid) -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())) else {
        return Vec::new();
    };
    let is_socket = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    };
    entries
        .filter_map(Result::ok)
        .filter(is_socket)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Where a socket listens, if it is one of TCP over IPv4 that does.
fn listens_at(socket: impl AsFd) -> Option<SocketAddrV4> {
    // Local sockets can listen, too: of those the address is none.
    let listens = rustix::net::sockopt::socket_acceptconn(&socket).ok()?;
    let address: SocketAddr = rustix::net::getsockname(&socket).ok()?.try_into().ok()?;
    match address {
        SocketAddr::V4(address) if listens => Some(address),
        _ => None,
    }
}
