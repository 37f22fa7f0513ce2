//! Reads what the component `debug.learn` tells of a program that runs in the guest.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use nix::errno::Errno;

use crate::need::{self, Made};
use crate::trace::Watched;

/// What a guest told of its program.
#[derive(Debug, Clone, Default)]
pub struct Learnt {
    /// What it did; the status that it ended with is for the runner to add.
    pub watched: Watched,
    /// Calls that were answered with ENOSYS, by name.
    pub refused: BTreeSet<String>,
    /// Whether the guest told everything before it ended, rather than being stopped.
    pub complete: bool,
    /// Different calls that it had no room to tell apart.
    pub lost: u64,
    /// Somebody asked the program to end; for the runner to add, too.
    pub asked: bool,
}

/// Where the guest tells it: a port, as the component has it.
pub const REPORT_PORT: u16 = 0x506;

/// What QEMU's command line needs, so that a guest's report goes to a file.
pub fn machine(report: &Path) -> Vec<OsString> {
    let path = report.to_string_lossy().replace(',', ",,");
    [
        "-chardev",
        &format!("file,id=report,path={path}"),
        "-device",
        &format!("isa-debugcon,iobase={REPORT_PORT:#x},chardev=report"),
    ]
    .map(OsString::from)
    .to_vec()
}

/// How often a call was made, how often it failed, and the first error.
#[derive(Debug, Clone, Copy, Default)]
struct Count(u64, u64, i32);

impl Count {
    fn read(words: &[&str]) -> Option<Self> {
        match words {
            [made, failed, error] => {
                Some(Self(made.parse().ok()?, failed.parse().ok()?, error.parse().ok()?))
            }
            _ => None,
        }
    }

    fn error(self) -> Option<String> {
        (self.2 != 0).then(|| format!("{:?}", Errno::from_raw(self.2)))
    }
}

/// A call with its arguments.
struct Told {
    number: u64,
    arguments: Vec<u64>,
    path: Option<String>,
}

impl Made for Told {
    fn values(&self, argument: usize) -> Vec<Option<u64>> {
        vec![self.arguments.get(argument).copied()]
    }

    fn texts(&self, _: usize) -> Vec<Option<String>> {
        vec![self.path.clone()]
    }
}

impl Told {
    fn read(words: &[&str]) -> Option<Self> {
        let [number, arguments @ .., path] = words else { return None };
        let arguments: Option<Vec<u64>> = arguments.iter().map(|word| word.parse().ok()).collect();
        let bytes: Option<Vec<u8>> = match *path {
            "-" => None,
            hex if hex.len() % 2 == 0 && hex.is_ascii() => {
                (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
            }
            _ => return None,
        };
        let path = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        Some(Self { number: number.parse().ok()?, arguments: arguments?, path })
    }
}

/// Reads a report. Lines that make no sense are passed over: the guest may have been stopped in the middle of one.
pub fn read(report: &str) -> Learnt {
    let mut calls: BTreeMap<u64, Count> = BTreeMap::new();
    let mut told: BTreeMap<u64, (Option<Told>, Count)> = BTreeMap::new();
    let mut learnt = Learnt::default();
    // Without its end a line may be cut.
    for line in report.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["c", number, count @ ..] => {
                if let (Ok(number), Some(count)) = (number.parse(), Count::read(count)) {
                    calls.insert(number, count);
                }
            }
            ["a", id, rest @ ..] => {
                if let Ok(id) = id.parse() {
                    told.entry(id).or_default().0 = Told::read(rest);
                }
            }
            ["n", id, count @ ..] => {
                if let (Ok(id), Some(count)) = (id.parse(), Count::read(count)) {
                    told.entry(id).or_default().1 = count;
                }
            }
            ["end"] => learnt.complete = true,
            ["lost", count] => learnt.lost = count.parse().unwrap_or(learnt.lost),
            _ => {}
        }
    }
    learnt.watched.evidence.runs = 1;
    for (number, count) in &calls {
        let Some(name) = need::name(*number) else { continue };
        learnt.watched.evidence.add_seen(&format!("call:{name}"), count.0, count.1, count.error().as_deref());
        if count.2 == Errno::ENOSYS as i32 {
            learnt.refused.insert(name.to_owned());
        }
    }
    for (told, count) in told.values() {
        let Some(told) = told else { continue };
        let Some(name) = need::name(told.number) else { continue };
        for word in need::flavours(name, told).iter().filter_map(|word| need::general(word)) {
            learnt.watched.evidence.add_seen(&word, count.0, count.1, count.error().as_deref());
        }
        if let (Some(path), true) = (&told.path, count.1 < count.0) {
            match need::touched(name, told, path) {
                need::Touched::Opened => drop(learnt.watched.files.insert(path.clone())),
                need::Touched::Looked(at) => drop(learnt.watched.looked.insert(at.to_owned())),
            }
        }
        if let (Some(path), true) = (&told.path, count.1 == count.0 && count.2 == Errno::ENOENT as i32) {
            learnt.watched.missing.extend(path.starts_with('/').then(|| path.clone()));
        }
    }
    learnt
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]

        /// A guest may say what it likes: what is read of it can be kept and read again.
        #[test]
        fn any_report_is_read(
            lines in proptest::collection::vec(
                r"[canlost]{1,2}( (-|[0-9]{1,3}|18446744073709551615|-1|[0-9a-f]{0,9}|\PC{0,3})){0,10}", 0..20,
            ),
        ) {
            let learnt = read(&(lines.join("\n") + "\nc 0 18446744073709551615 9223372036854775808 -7\n"));
            let evidence = learnt.watched.evidence;
            let kept = bespoke_model::Evidence::parse("e", &evidence.to_string());
            proptest::prop_assert_eq!(kept.unwrap(), evidence);
        }
    }

    #[test]
    fn a_report_is_read() {
        let report = "c 257 1 0 0\na 0 257 0 0 577 0 0 0 2f746d702f78\nn 0 1 0 0\nc 257 2 1 2\nn 0 2 0 0\n\
                      a 1 41 2 1 0 0 0 0 -\nn 1 1 1 97\nc 41 1 1 97\nc 300 1 1 38\n\
                      a 2 257 0 0 0 0 0 0 2f6e6f6e65\nn 2 1 1 2\n\
                      a 3 257 0 0 524288 0 0 0 2f6574632f78\nn 3 2 0 0\na 4 4 0 0 0 0 0 0 646174612f79\nn 4 3 1 2\nnonsense\nlost 3\nend\nc 999";
        let learnt = read(report);
        let needs = &learnt.watched.evidence.needs;
        assert_eq!((needs["call:openat"].seen, needs["call:openat"].error.as_deref()), (2, Some("ENOENT")));
        assert_eq!(needs["write:/tmp/x"].seen, 2);
        assert_eq!(needs["socket:AF_INET/SOCK_STREAM"].error.as_deref(), Some("EAFNOSUPPORT"));
        assert!(learnt.complete && learnt.lost == 3);
        assert_eq!(learnt.refused.iter().collect::<Vec<_>>(), ["fanotify_init"]);
        assert_eq!(learnt.watched.missing.iter().collect::<Vec<_>>(), ["/none"]);
        assert_eq!(learnt.watched.files.iter().collect::<Vec<_>>(), ["/etc/x"]);
        assert_eq!(learnt.watched.looked.iter().collect::<Vec<_>>(), ["/tmp", "data/y"]);
        assert!(
            !read("c 1 2").watched.evidence.needs.contains_key("call:write"),
            "a line without its end is cut"
        );
    }
}
