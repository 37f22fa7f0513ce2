//! CPython's own regression tests, as Debian packages them, on the library OS.

use crate::expected::{Expected, Outcome, Verdict};
use crate::guest::{Guest, Heard};
use bespoke_tests::{Scratch, workspace};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

const PROGRAM: &str = "/usr/bin/python3.11";
const LIBRARY: &str = "/usr/lib/python3.11";
/// Modules in one boot.
const BATCH: usize = 6;

/// Why the suite cannot run here, if it cannot. The list of expectations is that of one version.
pub fn missing() -> Option<String> {
    let there = Path::new(PROGRAM).exists() && Path::new(LIBRARY).join("test/test_os.py").exists();
    (!there).then(|| format!("{LIBRARY}/test/test_os.py is missing (Debian 12: libpython3.11-testsuite)"))
}

/// A config with the interpreter, its library and its tests.
fn config() -> Scratch {
    let runner = workspace().join("tests/suites/cpython.py");
    let scratch = Scratch::new(&format!(
        "schema = 1\nextends = \"preset:everything\"\n\n[program]\npath = {PROGRAM:?}\nargs = [\"-B\", \"-bb\", \"/suite/run.py\"]\n\
         env = [\"HOME=/tmp\", \"PATH=/usr/bin:/bin\", \"LANG=C.UTF-8\"]\n\n[files]\n{LIBRARY:?} = {LIBRARY:?}\n\
         \"/suite/run.py\" = {runner:?}\n\"/etc/passwd\" = \"passwd\"\n\"/etc/group\" = \"group\"\n\
         \"/etc/hosts\" = \"hosts\"\n\"/etc/services\" = \"services\"\n\"/etc/protocols\" = \"protocols\"\n\n[set]\n\"debug.log\" = false\n\
         \"fs.tmpfs.limit\" = \"8GiB\"\n",
    ));
    crate::etc(&scratch);
    let run = scratch.run(&["build", "app.toml", "-o", "app.img"]);
    assert_eq!(run.status, 0, "{run:?}");
    scratch
}

/// One line of the runner: a kind, a test or module, and text.
fn message(line: &str) -> Option<[String; 3]> {
    let words: Vec<String> = serde_json::from_str(line.strip_prefix("@@ ")?).ok()?;
    let mut words = words.into_iter();
    let mut next = || words.next().unwrap_or_default();
    Some([next(), next(), next()])
}

/// Prints how many tests of a module have been heard of.
fn progress(module: &str, outcomes: &Mutex<BTreeMap<String, Outcome>>) {
    let outcomes = outcomes.lock().expect("nobody panics with it");
    let module = module.split('.').next().unwrap_or(module);
    let of_module = || outcomes.iter().filter(|(test, _)| test.split('.').next() == Some(module));
    let passed = of_module().filter(|(_, outcome)| outcome.verdict == Verdict::Pass).count();
    println!("{module}: {passed} of {} passed", of_module().count());
}

/// Runs modules or single tests in one boot, or several when a test ends the machine. What each test gave is added to `outcomes`.
fn run_batch(
    scratch: &Scratch,
    what: &[String],
    expected: &Expected,
    outcomes: &Mutex<BTreeMap<String, Outcome>>,
) {
    let mut rest = what.to_vec();
    let mut avoid: Vec<String> = what.iter().flat_map(|module| expected.avoided(module)).collect();
    let tell = |test: &str, verdict, text| {
        outcomes.lock().expect("nobody panics with it").insert(test.to_owned(), Outcome { verdict, text });
    };
    while !rest.is_empty() {
        let mut arguments = rest.clone();
        arguments.splice(0..0, ["-B", "-bb", "/suite/run.py"].map(str::to_owned));
        arguments.extend(avoid.iter().map(|test| format!("-{test}")));
        let mut guest = Guest::boot(scratch.path(), "app.img", "1G", &arguments);
        let (mut module, mut started, mut said) = (String::new(), String::new(), Vec::new());
        let end = loop {
            let line = match guest.hear() {
                Heard::Line(line) => line,
                Heard::End => break "ended the machine",
                Heard::Hang => break "hung",
            };
            let Some([kind, name, text]) = message(&line) else {
                said.push(line);
                continue;
            };
            match kind.as_str() {
                "done" => {
                    progress(&module, outcomes);
                    return;
                }
                "module" => {
                    if !module.is_empty() {
                        progress(&module, outcomes);
                    }
                    let before = rest.iter().position(|other| *other == name).unwrap_or(0);
                    rest.drain(..before);
                    module = name;
                    started.clear();
                }
                "start" => {
                    started = name;
                    said.clear();
                }
                "pass" | "expected-failure" => tell(&name, Verdict::Pass, text),
                "skip" | "module-skip" => tell(&name, Verdict::Skip, text),
                _ => tell(&name, Verdict::Fail, text),
            }
        };
        assert!(!module.is_empty(), "the interpreter {end} before the first module: {said:#?}");
        let tail = said[said.len().saturating_sub(10)..].join("\n");
        let culprit = if started.is_empty() { module.clone() } else { started };
        println!("{culprit} {end}: {tail}");
        tell(&culprit, Verdict::Fail, format!("{tail}\n{end}"));
        if avoid.contains(&culprit) || rest.contains(&culprit) {
            rest.remove(0); // it is not the test that ends the machine, but its module
        } else {
            avoid.push(culprit);
        }
    }
}

/// Runs modules, several machines at a time.
pub fn run(modules: &[String], expected: &Expected) -> BTreeMap<String, Outcome> {
    let scratch = config();
    let outcomes = Mutex::new(BTreeMap::new());
    let in_parallel = |what: &[String], size: usize| {
        let batches = Mutex::new(what.chunks(size));
        let next = || batches.lock().expect("nobody panics with it").next();
        let machines = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..machines {
                scope.spawn(|| {
                    while let Some(batch) = next() {
                        run_batch(&scratch, batch, expected, &outcomes);
                    }
                });
            }
        });
    };
    in_parallel(modules, BATCH);
    // A second try, alone, for what failed and should not: the suite asserts times here and there, as its own runner knows.
    let again: Vec<String> = {
        let outcomes = outcomes.lock().expect("nobody panics with it");
        let failed = |(test, outcome): &(&String, &Outcome)| {
            outcome.verdict == Verdict::Fail && expected.of(test).0 != Verdict::Fail && test.contains('.')
        };
        outcomes.iter().filter(failed).map(|(test, _)| test.clone()).collect()
    };
    // So many are no accident, and more than a machine's command line holds.
    if (1..50).contains(&again.len()) {
        println!("a second try for {}", again.join(" "));
        in_parallel(&again, again.len());
    }
    outcomes.into_inner().expect("nobody panics with it")
}
