//! Files that a program names and its image does not hold: what it is likely to open, and would not find.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{Payload, paths};

/// Where programs keep what they open at run time.
const PLACES: &[&str] =
    &["/etc/", "/opt/", "/srv/", "/usr/lib/", "/usr/libexec/", "/usr/share/", "/var/lib/"];
/// What is named by much that does without: manuals, texts in other languages, names of time zones, the loader's own, what systemd keeps; and what the
/// guest has itself.
const COMMON: &[&str] = &[
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/mtab",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/resolv.conf",
    "/etc/systemd",
    "/usr/lib/debug",
    "/usr/lib/locale",
    "/usr/lib/systemd",
    "/usr/share/info",
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/share/zoneinfo",
];
/// A folder that everything has something in.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
/// Libraries of the compiler and of the C library, which name what few programs have them open.
const RUNTIME: &[&str] =
    &["ld-linux", "ld-musl", "libc.", "libdl.", "libgcc_s.", "libm.", "libpthread.", "librt.", "libstdc++."];
/// The longest name that is looked at (`PATH_MAX`).
const LONGEST: usize = 4096;

/// Absolute paths that stand in the arguments, in the program or in its libraries, are there by `exists`, and are not in the image; in this order. A
/// folder stands for what is in it.
pub fn paths(payload: &Payload, args: &[String], exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let is_runtime = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        RUNTIME.iter().any(|start| name.starts_with(start))
    };
    // What somebody writes as an argument is meant, wherever it is; behind an option's `=` too. The guest has its own of these.
    let own = ["/dev", "/proc", "/sys", "/tmp", "/run"];
    let given = args.iter().map(|arg| arg.split_once('=').map_or(arg.as_str(), |(_, value)| value));
    let given = given.filter_map(|arg| paths::plain(arg).filter(|_| arg.starts_with('/')));
    let given = given.filter(|path| path != "/" && !own.iter().any(|own| paths::is_in(path, own)));
    let mut found = vec![given.collect()];
    for (path, bytes) in payload.elf_files() {
        if !is_runtime(path) {
            let mut named: BTreeSet<String> = in_bytes(bytes).collect();
            named.retain(|path| {
                path != LIBRARIES
                    && PLACES.iter().any(|place| path.len() > place.len() && path.starts_with(place))
                    && !COMMON.iter().any(|common| paths::is_in(path, common))
            });
            found.push(named);
        }
    }
    let packed: Vec<&str> = payload.files().map(|(path, _)| path).collect();
    let is_packed = |path: &str| packed.iter().any(|packed| paths::is_in(packed, path));
    let mut left: Vec<String> = Vec::new();
    for path in found.into_iter().flatten() {
        // What lies in a folder that is named itself goes without saying. Each file's are sorted, so that a folder comes first.
        let is_told = left.iter().any(|told| paths::is_in(&path, told));
        if !is_told && !is_packed(&path) && exists(Path::new(&path)) {
            left.push(path);
        }
    }
    left
}

/// The strings of a file, ended by NUL as those of C are, that are plain absolute paths.
fn in_bytes(bytes: &[u8]) -> impl Iterator<Item = String> {
    let strings = bytes.split(|&byte| byte == 0);
    let strings = strings.filter(|string| string.first() == Some(&b'/') && string.len() <= LONGEST);
    strings.filter_map(|string| {
        let text = std::str::from_utf8(string).ok()?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"%*?:;,$<>\"'`|".contains(&byte));
        paths::plain(text).filter(|_| is_plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_that_are_paths_are_found() {
        let bytes =
            b"x\0/usr/share/app/data\0/usr/share/%s\0/etc/app.conf/\0not/this\0/etc/a:/etc/b\0\x7f/etc/x\0";
        let found: Vec<String> = in_bytes(bytes).collect();
        assert_eq!(found, ["/usr/share/app/data", "/etc/app.conf"]);
    }

    #[test]
    fn arguments_that_are_there_and_not_packed_are_told() {
        let args =
            ["-c", "/etc/app.conf", "--data=/var/lib/app", "/nowhere", "/tmp/x", "/etc/app.conf/below"];
        let args: Vec<String> = args.map(str::to_owned).into();
        let found = paths(&Payload::empty(), &args, |path| path != Path::new("/nowhere"));
        assert_eq!(found, ["/etc/app.conf", "/var/lib/app"]);
    }
}
