//! What a machine keeps things on: disks, and folders of the host.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Machine, RunError, value};

/// Where a share is mounted when nobody says.
const SHARED_AT: &str = "/share";
/// QEMU's longest mount tag, which carries the guest's folder.
const LONGEST_TAG: usize = 31;
/// Devices that a microvm has room for.
const ROOM: usize = 8;

/// What stands before `:ro`, and whether that is there.
fn strip_read_only(text: &str) -> (&str, bool) {
    text.strip_suffix(":ro").map_or((text, false), |rest| (rest, true))
}

/// A file of the host that is a disk of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The file: the disk's bytes.
    pub path: PathBuf,
    /// The guest may not write to it.
    pub read_only: bool,
}

impl std::str::FromStr for Drive {
    type Err = RunError;

    /// `FILE[:ro]`
    fn from_str(text: &str) -> Result<Self, RunError> {
        let (path, read_only) = strip_read_only(text);
        if path.is_empty() {
            return Err(RunError::Drive(text.to_owned()));
        }
        Ok(Self { path: path.into(), read_only })
    }
}

/// A folder of the host that the guest sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The folder.
    pub path: PathBuf,
    /// Where the guest sees it.
    pub guest: String,
    /// The guest may not change it.
    pub read_only: bool,
}

impl std::str::FromStr for Share {
    type Err = RunError;

    /// `HOSTDIR[:GUESTDIR][:ro]`
    fn from_str(text: &str) -> Result<Self, RunError> {
        let (rest, read_only) = strip_read_only(text);
        let (path, guest) = match rest.rsplit_once(':') {
            Some((path, guest)) if guest.starts_with('/') => (path, guest.trim_end_matches('/')),
            _ => (rest, SHARED_AT),
        };
        if path.is_empty() || guest.is_empty() {
            return Err(RunError::Share(text.to_owned()));
        }
        if guest.len() > LONGEST_TAG || guest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(RunError::ShareName(guest.to_owned()));
        }
        Ok(Self { path: path.into(), guest: guest.to_owned(), read_only })
    }
}

/// Says no to what QEMU would refuse in words that help nobody.
pub(super) fn check(
    drives: &[Drive],
    shares: &[Share],
    machine: Machine,
    others: usize,
) -> Result<(), RunError> {
    for drive in drives {
        if let Err(error) = std::fs::OpenOptions::new().read(true).write(!drive.read_only).open(&drive.path) {
            return Err(RunError::NoDrive { path: drive.path.clone(), error });
        }
    }
    for share in shares {
        if !share.path.is_dir() {
            return Err(RunError::NoShare(share.path.clone()));
        }
    }
    if machine == Machine::Microvm && drives.len() + shares.len() + others > ROOM {
        return Err(RunError::NoRoom);
    }
    Ok(())
}

/// QEMU's words for them. On a microvm devices get their places by name, so that the guest finds them in this order.
pub(super) fn arguments(drives: &[Drive], shares: &[Share], machine: Machine) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    // The network card, if any, takes the place that is free first by itself.
    let device = |kind: &str, index: usize, rest: String| match machine {
        Machine::Microvm => format!("virtio-{kind}-device,bus=virtio-mmio-bus.{index},{rest}"),
        Machine::Q35 => format!("virtio-{kind}-pci,{rest}"),
    };
    for (index, drive) in drives.iter().enumerate() {
        let mut block =
            OsString::from(format!("driver=raw,node-name=disk{index},read-only={}", on(drive.read_only)));
        block.push(",file.driver=file,file.filename=");
        block.push(value(&drive.path));
        args.extend(["-blockdev".into(), block]);
        args.extend(["-device".into(), device("blk", index, format!("drive=disk{index}")).into()]);
    }
    for (index, share) in shares.iter().enumerate() {
        let mut folder = OsString::from(format!("local,id=share{index},security_model=none,multidevs=remap"));
        if share.read_only {
            folder.push(",readonly=on");
        }
        folder.push(",path=");
        folder.push(value(&share.path));
        let rest = format!("fsdev=share{index},mount_tag={}", share.guest.replace(',', ",,"));
        args.extend(["-fsdev".into(), folder]);
        args.extend(["-device".into(), device("9p", drives.len() + index, rest).into()]);
    }
    args
}

fn on(flag: bool) -> &'static str {
    if flag { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_and_shares_are_read() {
        let drive: Drive = "a b.img:ro".parse().unwrap();
        assert_eq!(drive, Drive { path: "a b.img".into(), read_only: true });
        assert!("x.img".parse::<Drive>().is_ok_and(|drive| !drive.read_only));
        let share: Share = "/home/me:/in/".parse().unwrap();
        assert_eq!(share, Share { path: "/home/me".into(), guest: "/in".into(), read_only: false });
        let share: Share = "dir:ro".parse().unwrap();
        assert_eq!(share, Share { path: "dir".into(), guest: "/share".into(), read_only: true });
        for bad in ["", ":ro", ":/x"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
        assert!(format!("d:/{}", "x".repeat(40)).parse::<Share>().is_err());
        assert!(":ro".parse::<Drive>().is_err());
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        let drive = Drive { path: "a,b".into(), read_only: false };
        let args = arguments(&[drive], &[], Machine::Q35);
        assert!(args[1].to_str().unwrap().ends_with("filename=a,,b"), "{args:?}");
        assert_eq!(args[3], "virtio-blk-pci,drive=disk0");
    }

    #[test]
    fn what_is_missing_is_said() {
        let gone = Drive { path: "/nowhere/disk".into(), read_only: true };
        let error = check(&[gone], &[], Machine::Microvm, 0).unwrap_err().to_string();
        assert!(error.contains("bespoke disk /nowhere/disk"), "{error}");
        let share: Share = "/nowhere".parse().unwrap();
        assert!(check(&[], &[share], Machine::Microvm, 0).is_err());
    }
}
