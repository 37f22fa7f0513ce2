//! Whether KVM is worth using here.
//!
//! A `/dev/kvm` may be there and still be far slower than QEMU's translator, when it is emulated itself. So it is
//! never chosen by presence: a probe kernel runs once with each, and the verdict is remembered for the user.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::program::in_path;

use super::{Accel, Console, Options, QEMU, Running};

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// KVM finished the probe first.
    Kvm,
    /// The translator did, or KVM failed.
    Tcg,
}

/// The fastest way that is known, measured when it is not known yet.
pub(super) fn choose(qemu: Option<&Path>) -> Accel {
    let usable = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    if !usable {
        return Accel::Tcg;
    }
    let Some(qemu) = qemu.map(Path::to_owned).or_else(|| in_path(Path::new(QEMU))) else { return Accel::Tcg };
    let cache = cache_file();
    let key = key(&qemu);
    let verdict = cache.as_deref().and_then(|path| recall(path, &key)).unwrap_or_else(|| {
        let verdict = measure(&qemu);
        if let Some(path) = &cache {
            remember(path, &key, verdict);
        }
        verdict
    });
    match verdict {
        Verdict::Kvm => Accel::Kvm,
        Verdict::Tcg => Accel::Tcg,
    }
}

fn cache_file() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    Some(cache.or_else(home)?.join("bespoke/accel"))
}

/// Changes when QEMU or the host's kernel does.
fn key(qemu: &Path) -> String {
    let (size, time) = fs::metadata(qemu).map_or((0, 0), |m| (m.size(), m.mtime()));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let device = fs::metadata("/dev/kvm").map_or(0, |m| m.rdev());
    format!("1 {} {size} {time} {device} {}", qemu.display(), kernel.trim())
}

fn recall(path: &Path, key: &str) -> Option<Verdict> {
    let text = fs::read_to_string(path).ok()?;
    match text.strip_prefix(key)?.trim() {
        "-> kvm" => Some(Verdict::Kvm),
        "-> tcg" => Some(Verdict::Tcg),
        _ => None,
    }
}

/// Losing the verdict only costs another probe, so failures are none.
fn remember(path: &Path, key: &str, verdict: Verdict) {
    let word = match verdict {
        Verdict::Kvm => "kvm",
        Verdict::Tcg => "tcg",
    };
    let Some(dir) = path.parent() else { return };
    let _ = fs::create_dir_all(dir);
    if let Ok(file) = tempfile::NamedTempFile::new_in(dir)
        && fs::write(file.path(), format!("{key} -> {word}\n")).is_ok()
    {
        let _ = file.persist(path);
    }
}

/// Boots the probe with each; KVM has no longer than the translator took.
fn measure(qemu: &Path) -> Verdict {
    let Ok(file) = tempfile::NamedTempFile::new() else { return Verdict::Tcg };
    if fs::write(file.path(), crate::image::bare(PROBE)).is_err() {
        return Verdict::Tcg;
    }
    let time = |accel, deadline| {
        let options = Options {
            memory: 4 << 20,
            console: Console::Piped,
            deadline: Some(deadline),
            qemu: Some(qemu.to_owned()),
            ..Options::default()
        };
        let outcome = Running::spawn(file.path(), &options, accel).and_then(Running::wait).ok()?;
        (outcome.status == 0).then_some(outcome.elapsed)
    };
    let Some(translated) = time(Accel::Tcg, Duration::from_secs(5)) else { return Verdict::Tcg };
    match time(Accel::Kvm, translated) {
        Some(direct) if direct < translated => Verdict::Kvm,
        _ => Verdict::Tcg,
    }
}

/// What a boot consists of, in little: computing, and 500 writes to a device.
const PROBE: &[u8] = &[
    0xb9, 0x80, 0x96, 0x98, 0x00, // mov ecx, 10000000
    0x01, 0xc8, // add eax, ecx
    0x31, 0xc3, // xor ebx, eax
    0x49, // dec ecx
    0x75, 0xf9, // jnz to the add
    0xb9, 0xf4, 0x01, 0x00, 0x00, // mov ecx, 500
    0xe6, 0x80, // out 0x80, al
    0x49, // dec ecx
    0x75, 0xfb, // jnz to the out
    0x66, 0xba, 0x04, 0x05, 0xb0, 0, 0xee, // status 0
    0x66, 0xba, 0x01, 0x05, 0xee, // leave
    0xf4, 0xeb, 0xfd, // hlt; jmp to it
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_remembered_until_the_key_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bespoke/accel");
        assert_eq!(recall(&path, "key"), None);
        remember(&path, "key", Verdict::Kvm);
        assert_eq!(recall(&path, "key"), Some(Verdict::Kvm));
        assert_eq!(recall(&path, "another key"), None);
        remember(&path, "another key", Verdict::Tcg);
        assert_eq!(recall(&path, "another key"), Some(Verdict::Tcg));
        assert_eq!(recall(&path, "key"), None);
    }

    #[test]
    fn the_probe_ends() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), crate::image::bare(PROBE)).unwrap();
        let options = Options {
            console: Console::Piped,
            deadline: Some(Duration::from_secs(20)),
            ..Options::default()
        };
        let outcome = Running::spawn(file.path(), &options, Accel::Tcg).unwrap().wait().unwrap();
        assert_eq!(outcome.status, 0);
    }
}
