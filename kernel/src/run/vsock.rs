//! The machine's socket device (AF_VSOCK).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Machine, RunError, value};

/// The way to it through this machine's kernel.
const VHOST: &str = "/dev/vhost-vsock";

/// Who is at the other end of a socket device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vsock {
    /// This machine's kernel, which knows the guest by this context identifier.
    Kernel(u32),
    /// A vhost-user daemon that listens at a Unix socket, and has a context identifier of its own for the guest.
    Daemon(PathBuf),
}

impl std::str::FromStr for Vsock {
    type Err = RunError;

    /// `CID`, from 3 on, or `socket:PATH`.
    fn from_str(text: &str) -> Result<Self, RunError> {
        // The first three, and the last, have meanings of their own (`vsock(7)`).
        let kernel = text.parse().ok().filter(|cid| (3..u32::MAX).contains(cid)).map(Self::Kernel);
        let daemon = || text.strip_prefix("socket:").filter(|path| !path.is_empty());
        let either = kernel.or_else(|| daemon().map(|path| Self::Daemon(path.into())));
        either.ok_or_else(|| RunError::Vsock(text.to_owned()))
    }
}

/// Whether there is what it needs.
pub(super) fn check(vsock: Option<&Vsock>) -> Result<(), RunError> {
    match vsock {
        Some(Vsock::Kernel(_)) if !Path::new(VHOST).exists() => Err(RunError::NoVhost(VHOST)),
        _ => Ok(()),
    }
}

/// What `-M` says more, for a daemon that is to see the guest's memory.
pub(super) fn machine(vsock: Option<&Vsock>) -> &'static str {
    match vsock {
        Some(Vsock::Daemon(_)) => ",memory-backend=memory",
        _ => "",
    }
}

/// For QEMU's command line.
pub(super) fn arguments(vsock: &Vsock, machine: Machine, memory: u64) -> Vec<OsString> {
    let bus = match machine {
        Machine::Microvm => "device",
        Machine::Q35 => "pci",
    };
    match vsock {
        Vsock::Kernel(cid) => vec!["-device".into(), format!("vhost-vsock-{bus},guest-cid={cid}").into()],
        Vsock::Daemon(path) => {
            let mut socket = OsString::from("socket,id=vsock,path=");
            socket.push(value(path));
            vec![
                "-object".into(),
                format!("memory-backend-memfd,id=memory,size={memory}B,share=on").into(),
                "-chardev".into(),
                socket,
                "-device".into(),
                format!("vhost-user-vsock-{bus},chardev=vsock").into(),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_read_and_passed() {
        assert_eq!("42".parse::<Vsock>().unwrap(), Vsock::Kernel(42));
        let daemon: Vsock = "socket:/tmp/a,b".parse().unwrap();
        assert_eq!(daemon, Vsock::Daemon("/tmp/a,b".into()));
        for bad in ["", "2", "4294967295", "4294967296", "-1", "socket:", "tcp:3"] {
            let error = bad.parse::<Vsock>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{bad}` ")), "{error}");
        }
        let words = arguments(&Vsock::Kernel(42), Machine::Q35, 1 << 20);
        assert_eq!(words, ["-device", "vhost-vsock-pci,guest-cid=42"]);
        let words = arguments(&daemon, Machine::Microvm, 1 << 20);
        assert_eq!(words[1], "memory-backend-memfd,id=memory,size=1048576B,share=on");
        assert_eq!(words[3], "socket,id=vsock,path=/tmp/a,,b");
        assert_eq!(words[5], "vhost-user-vsock-device,chardev=vsock");
    }
}
