//! Test suites that others wrote, run on the library OS and held against lists of what is expected (`tests/suites/*.toml`).
//!
//! `cargo test --release -p bespoke-tests --test suites` runs the quick part, with `-- --ignored --nocapture` the whole;
//! `SUITES_ONLY="test_os test_io"` runs some modules of the whole, `SUITES_RESUME=1` goes on where a whole run was broken off.
//! `SUITES_MACHINES=1` has one machine run at a time, instead of one for each processor; `SUITES_REWRITE=1` writes the lists anew.

mod cpython;
mod expected;
mod go;
mod guest;
mod record;
mod redis;

use bespoke_tests::Scratch;
use expected::{Expected, Outcome, Verdict, is_rewriting};
use record::Record;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Writes the files of `/etc` and an empty folder `bin` that tests look into, to be packed from a scratch folder.
fn etc(scratch: &Scratch) {
    for (name, text) in [
        ("passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"),
        ("group", "root:x:0:\nnogroup:x:65534:\n"),
        ("hosts", "127.0.0.1 localhost\n"),
        (
            "services",
            "discard 9/tcp\ndaytime 13/tcp\nftp 21/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\n",
        ),
        ("protocols", "icmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\n"),
    ] {
        std::fs::write(scratch.path().join(name), text).expect("a writable scratch folder");
    }
    std::fs::create_dir(scratch.path().join("bin")).expect("a writable scratch folder");
}

/// Holds what modules of a suite gave against its list, and prints figures.
#[track_caller]
fn judge(name: &str, expected: &Expected, modules: &[String], outcomes: &BTreeMap<String, Outcome>) {
    let count = |verdict| outcomes.values().filter(|outcome| outcome.verdict == verdict).count();
    println!(
        "{name}: {} modules, {} tests: {} passed, {} skipped, {} failed",
        modules.len(),
        outcomes.len(),
        count(Verdict::Pass),
        count(Verdict::Skip),
        count(Verdict::Fail)
    );
    let surprises = expected.surprises(modules, outcomes);
    for surprise in &surprises {
        println!("{name}: {surprise}");
    }
    if is_rewriting() {
        expected.rewrite(modules, outcomes);
        return;
    }
    assert!(surprises.is_empty(), "{name}: {} surprises, printed above", surprises.len());
}

/// The modules that `SUITES_ONLY` names, or all.
fn chosen(expected: &Expected) -> Vec<String> {
    let all = expected.quick.iter().chain(&expected.rest).cloned();
    match std::env::var("SUITES_ONLY") {
        Ok(only) => all.filter(|module| only.split_whitespace().any(|name| name == module)).collect(),
        Err(_) => all.collect(),
    }
}

/// The quick part of a suite, or the whole, of which results are kept.
#[derive(Clone, Copy)]
enum Part {
    Quick,
    Whole,
}

impl Part {
    fn modules(self, expected: &Expected) -> Vec<String> {
        match self {
            Part::Quick => expected.quick.clone(),
            Part::Whole => chosen(expected),
        }
    }

    fn record(self, name: &str) -> Record {
        match self {
            Part::Quick => Record::NONE,
            Part::Whole => Record::of_suite(name),
        }
    }
}

/// A suite that others wrote, and how it is run.
struct Suite {
    /// Its list is `tests/suites/NAME.toml`.
    name: &'static str,
    /// Where its tests are, or why it cannot run here.
    sources: fn() -> Result<PathBuf, String>,
    run: fn(&Path, &[String], &Expected, &Record) -> BTreeMap<String, Outcome>,
}

const CPYTHON: Suite = Suite { name: "cpython", sources: cpython::sources, run: cpython::run };
const GO: Suite = Suite { name: "go", sources: go::sources, run: go::run };
const REDIS: Suite = Suite { name: "redis", sources: redis::sources, run: redis::run };

impl Suite {
    /// Runs a part and holds it against the list, or says why not.
    #[track_caller]
    fn check(&self, part: Part) {
        let sources = match (self.sources)() {
            Ok(sources) => sources,
            Err(reason) => {
                println!("skipped: {reason}");
                return;
            }
        };
        let expected = Expected::read(self.name);
        let modules = part.modules(&expected);
        let outcomes = (self.run)(&sources, &modules, &expected, &part.record(self.name));
        judge(self.name, &expected, &modules, &outcomes);
    }
}

#[test]
fn cpython_quick() {
    CPYTHON.check(Part::Quick);
}

#[test]
#[ignore = "minutes: the whole suite"]
fn cpython_whole() {
    CPYTHON.check(Part::Whole);
}

#[test]
fn go_quick() {
    GO.check(Part::Quick);
}

#[test]
#[ignore = "minutes: the whole suite"]
fn go_whole() {
    GO.check(Part::Whole);
}

#[test]
fn redis_quick() {
    REDIS.check(Part::Quick);
}

#[test]
#[ignore = "minutes: the whole suite"]
fn redis_whole() {
    REDIS.check(Part::Whole);
}
