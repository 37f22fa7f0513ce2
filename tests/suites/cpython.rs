//! CPython's own regression tests, as Debian packages them, on the library OS.

use crate::expected::{Expected, Outcome, Verdict};
use crate::guest::{Guest, Heard};
use crate::record::{Record, each};
use bespoke_tests::{Scratch, workspace};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "/usr/bin/python3.11";
const LIBRARY: &str = "/usr/lib/python3.11";

/// Where the interpreter's library and its tests are, or why the suite cannot run here. The list is for one version.
pub fn sources() -> Result<PathBuf, String> {
    let library = Path::new(LIBRARY);
    if !Path::new(PROGRAM).exists() || !library.join("test/test_os.py").exists() {
        return Err(format!("{LIBRARY}/test/test_os.py is missing (Debian 12: libpython3.11-testsuite)"));
    }
    Ok(library.to_owned())
}

/// A config with the interpreter, its library and its tests.
/// Without `/dev/vsock`: where it is, a test connects to the machine's own CID, which one without a card has not, and waits for ever.
fn config(library: &Path) -> Scratch {
    let runner = workspace().join("tests/suites/cpython.py");
    let scratch = Scratch::new(&format!(
        "schema = 1\nextends = \"preset:everything\"\n\n[program]\npath = {PROGRAM:?}\nargs = [\"-B\", \"-bb\", \"/suite/run.py\"]\n\
         env = [\"HOME=/tmp\", \"PATH=/usr/bin:/bin\", \"LANG=C.UTF-8\"]\n\n[files]\n{library:?} = {library:?}\n\
         \"/suite/run.py\" = {runner:?}\n\"/etc/passwd\" = \"passwd\"\n\"/etc/group\" = \"group\"\n\
         \"/etc/hosts\" = \"hosts\"\n\"/etc/services\" = \"services\"\n\"/etc/protocols\" = \"protocols\"\n\n[set]\n\"debug.log\" = false\n\
         \"fs.dev.vsock\" = false\n\"fs.tmpfs.limit\" = \"8GiB\"\n",
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

/// Runs a module or single tests of one, in several boots when a test ends the machine.
fn run_module(scratch: &Scratch, what: &[String], expected: &Expected) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    let mut rest = what.to_vec();
    let mut avoid: Vec<String> = what.iter().flat_map(|module| expected.avoided(module)).collect();
    'boot: while !rest.is_empty() {
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
            let verdict = match kind.as_str() {
                "done" => break 'boot,
                "module" => {
                    let before = rest.iter().position(|other| *other == name).unwrap_or(0);
                    rest.drain(..before);
                    module = name;
                    started.clear();
                    continue;
                }
                "start" => {
                    started = name;
                    said.clear();
                    continue;
                }
                "pass" | "expected-failure" => Verdict::Pass,
                "skip" | "module-skip" => Verdict::Skip,
                _ => Verdict::Fail,
            };
            outcomes.insert(name, Outcome { verdict, text });
        };
        assert!(!module.is_empty(), "the interpreter {end} before the first module: {said:#?}");
        let tail = said[said.len().saturating_sub(10)..].join("\n");
        let culprit = if started.is_empty() { module.clone() } else { started };
        println!("{culprit} {end}: {tail}");
        let outcome = Outcome { verdict: Verdict::Fail, text: format!("{tail}\n{end}") };
        outcomes.insert(culprit.clone(), outcome);
        if avoid.contains(&culprit) || rest.contains(&culprit) {
            rest.remove(0); // it is not the test that ends the machine, but its module
        } else {
            avoid.push(culprit);
        }
    }
    outcomes
}

/// Runs modules, several machines at a time.
pub fn run(
    library: &Path,
    modules: &[String],
    expected: &Expected,
    record: &Record,
) -> BTreeMap<String, Outcome> {
    let scratch = config(library);
    each(modules, record, |module| {
        let mut outcomes = run_module(&scratch, std::slice::from_ref(module), expected);
        // A second try, alone, for what failed and should not: the suite asserts times here and there, as its own runner knows.
        let again = expected.failed(&outcomes);
        let again: Vec<String> = again.into_iter().filter(|test| test.contains('.')).collect();
        // So many are no accident, and more than a machine's command line holds.
        if (1..50).contains(&again.len()) {
            println!("{module}: a second try for {}", again.join(" "));
            outcomes.extend(run_module(&scratch, &again, expected));
        }
        outcomes
    })
}
