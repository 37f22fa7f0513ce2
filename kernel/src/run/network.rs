//! What a machine's network card is connected to.

use super::{Options, RunError};
use std::fmt::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// A port of the host that reaches a port of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// The host's address to listen at.
    pub address: Ipv4Addr,
    /// The host's port.
    pub host: u16,
    /// The guest's port.
    pub guest: u16,
    /// UDP rather than TCP.
    pub udp: bool,
}

impl std::str::FromStr for Publish {
    type Err = RunError;

    /// `[ADDRESS:]HOST:GUEST[/tcp|/udp]`; the address is 127.0.0.1 unless given.
    fn from_str(text: &str) -> Result<Self, RunError> {
        let bad = || RunError::Publish(text.to_owned());
        let (ports, udp) = match text.rsplit_once('/') {
            Some((ports, "udp")) => (ports, true),
            Some((ports, "tcp")) => (ports, false),
            Some(_) => return Err(bad()),
            None => (text, false),
        };
        let (rest, guest) = ports.rsplit_once(':').ok_or_else(bad)?;
        let (address, host) = match rest.rsplit_once(':') {
            Some((address, host)) => (address.parse().map_err(|_| bad())?, host),
            None => (Ipv4Addr::LOCALHOST, rest),
        };
        let port = |text: &str| text.parse().ok().filter(|port| *port != 0).ok_or_else(bad);
        Ok(Self { address, host: port(host)?, guest: port(guest)?, udp })
    }
}

/// What a network card is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// QEMU's own network of one machine, behind this one's address; it publishes ports and needs no rights.
    #[default]
    User,
    /// Nothing: there is no card.
    None,
    /// A tap interface of this machine.
    Tap(String),
    /// Whoever listens at a Unix socket and takes frames there, each behind its length as four bytes, the highest first: passt, a switch.
    Socket(PathBuf),
}

impl std::str::FromStr for Network {
    type Err = RunError;

    /// `user`, `none`, `tap:INTERFACE` or `socket:PATH`.
    fn from_str(text: &str) -> Result<Self, RunError> {
        match text.split_once(':') {
            None if text == "user" => Ok(Self::User),
            None if text == "none" => Ok(Self::None),
            Some(("tap", name)) if !name.is_empty() => Ok(Self::Tap(name.to_owned())),
            Some(("socket", path)) if !path.is_empty() => Ok(Self::Socket(path.into())),
            _ => Err(RunError::Network(text.to_owned())),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::None => f.write_str("none"),
            Self::Tap(name) => write!(f, "tap:{name}"),
            Self::Socket(path) => write!(f, "socket:{}", path.display()),
        }
    }
}

/// Whether what is asked for goes together.
pub(super) fn check(options: &Options) -> Result<(), RunError> {
    if options.connected != Network::User && !options.ports.is_empty() {
        return Err(RunError::PublishOn(options.connected.to_string()));
    }
    Ok(())
}

/// QEMU's `-netdev`, if there is to be a card.
pub(super) fn backend(options: &Options) -> Option<String> {
    // QEMU reads a comma as the end of a value, and two as one.
    let quoted = |text: &str| text.replace(',', ",,");
    match &options.connected {
        Network::None => None,
        Network::User if !options.network && options.ports.is_empty() => None,
        Network::User => {
            let mut net = String::from("user,id=net");
            for port in &options.ports {
                let kind = if port.udp { "udp" } else { "tcp" };
                let guest = options.guest_address.map(|a| a.to_string()).unwrap_or_default();
                let _ = write!(net, ",hostfwd={kind}:{}:{}-{guest}:{}", port.address, port.host, port.guest);
            }
            Some(net)
        }
        Network::Tap(name) => Some(format!("tap,id=net,ifname={},script=no,downscript=no", quoted(name))),
        Network::Socket(path) => Some(format!(
            "stream,id=net,server=off,addr.type=unix,addr.path={}",
            quoted(&path.to_string_lossy())
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_and_passed() {
        let port: Publish = "8080:80".parse().unwrap();
        let expected = Publish { address: Ipv4Addr::LOCALHOST, host: 8080, guest: 80, udp: false };
        assert_eq!(port, expected);
        let udp: Publish = "0.0.0.0:53:5353/udp".parse().unwrap();
        assert_eq!(udp, Publish { address: Ipv4Addr::UNSPECIFIED, host: 53, guest: 5353, udp: true });
        for bad in ["", "80", "0:80", "80:0", "80:http", "80:80/sctp", "host:80:80", "70000:80", ":"] {
            assert!(bad.parse::<Publish>().is_err(), "{bad}");
        }
        let options = Options { ports: vec![port, udp], ..Options::default() };
        let net = "user,id=net,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:0.0.0.0:53-:5353";
        assert_eq!(backend(&options).as_deref(), Some(net));
    }

    #[test]
    fn networks_are_read_and_passed() {
        let passed = |text: &str| {
            let connected: Network = text.parse().unwrap();
            assert_eq!(connected.to_string(), text);
            backend(&Options { connected, network: true, ..Options::default() })
        };
        assert_eq!(passed("user").as_deref(), Some("user,id=net"));
        assert_eq!(passed("none"), None);
        assert_eq!(passed("tap:tap0").as_deref(), Some("tap,id=net,ifname=tap0,script=no,downscript=no"));
        let socket = "stream,id=net,server=off,addr.type=unix,addr.path=/run/a,,b";
        assert_eq!(passed("socket:/run/a,b").as_deref(), Some(socket));
        for bad in ["", "tap", "tap:", "bridge:br0", "socket:"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        let options = Options {
            connected: "tap:tap0".parse().unwrap(),
            ports: vec!["80:80".parse().unwrap()],
            ..Options::default()
        };
        assert!(matches!(check(&options), Err(RunError::PublishOn(_))));
    }
}
