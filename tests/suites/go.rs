//! The tests of Go's standard library, built static as `go test -c` does, on the library OS.

use crate::expected::{Expected, Outcome, Verdict};
use crate::guest::{Guest, Heard};
use crate::record::{Record, each};
use bespoke_tests::{Scratch, workspace};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version whose tests the list tells of.
const VERSION: &str = "go1.19";

/// The system's time zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// Where the tests are built, and stand-ins for what Debian's GOROOT lacks.
fn folder() -> PathBuf {
    workspace().join("target/test-programs/go")
}

fn root() -> PathBuf {
    folder().join("root")
}

fn go(variable: &str) -> Option<String> {
    let output = Command::new("go").args(["env", variable]).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Where Go's sources are, or why the suite cannot run here.
pub fn sources() -> Result<PathBuf, String> {
    let version = go("GOVERSION").ok_or("go is missing (Debian: golang-go)")?;
    if version != VERSION && !version.starts_with(&format!("{VERSION}.")) {
        return Err(format!("the list is for {VERSION}, and this is {version}"));
    }
    if !Path::new(ZONES).join("America/Los_Angeles").exists() {
        return Err(format!("{ZONES} is missing (Debian: tzdata)"));
    }
    let sources = Path::new(&go("GOROOT").ok_or("go has no GOROOT")?).join("src");
    if !sources.join("os/os_test.go").exists() {
        return Err(format!("{} has no tests (Debian: golang-{}-src)", sources.display(), &VERSION[2..]));
    }
    fs::canonicalize(&sources).map_err(|error| format!("{}: {error}", sources.display()))
}

/// Builds the tests of a package.
fn build(sources: &Path, package: &str) -> PathBuf {
    fs::create_dir_all(folder()).expect("target/ is writable");
    let to = folder().join(package.replace('/', "-") + ".test");
    let mut command = Command::new("go");
    command.args(["test", "-c", "-o"]).arg(&to).arg(package).current_dir(sources).env("CGO_ENABLED", "0");
    let output = command.output().expect("go runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    to
}

/// A config with a package's tests in their folder, the way `go test` runs them.
fn config(sources: &Path, package: &str, program: &Path) -> Scratch {
    let folder = sources.join(package);
    // Tests look around: in the folders next to theirs, and in the data that all share.
    let area = sources.join(package.split('/').next().unwrap_or(package));
    let data = sources.join("testdata");
    let goroot = sources.parent().expect("src lies in GOROOT").display();
    // Zones for the package that is about them.
    let zones = if package == "time" {
        let lib = root().join("lib");
        format!("{ZONES:?} = {ZONES:?}\n\"{goroot}/lib\" = {lib:?}\n\"/etc/localtime\" = \"{ZONES}/UTC\"\n")
    } else {
        String::new()
    };
    let scratch = Scratch::new(&format!(
        "schema = 1\nextends = \"preset:everything\"\n\n[program]\npath = {program:?}\ncwd = {folder:?}\n\
         env = [\"HOME=/tmp\", \"PATH=/usr/bin:/bin\", \"GOROOT={goroot}\"]\n\n[files]\n{area:?} = {area:?}\n{data:?} = {data:?}\n\
         \"/etc/hosts\" = \"hosts\"\n\"/etc/passwd\" = \"passwd\"\n\"/etc/group\" = \"group\"\n\
         \"/etc/services\" = \"services\"\n\"/etc/protocols\" = \"protocols\"\n\"/usr/bin\" = \"bin\"\n{zones}\n[set]\n\"debug.log\" = false\n",
    ));
    crate::etc(&scratch);
    scratch
}

/// A GOROOT with the time zones in the form that Go ships them, which Debian leaves out.
fn zones(root: &Path) {
    let script = "import os, sys, zipfile\n\
                  with zipfile.ZipFile(sys.argv[2], 'w', zipfile.ZIP_STORED) as out:\n\
                  \x20   for folder, _, names in os.walk(sys.argv[1]):\n\
                  \x20       for name in names:\n\
                  \x20           path = os.path.join(folder, name)\n\
                  \x20           if open(path, 'rb').read(4) == b'TZif':\n\
                  \x20               out.write(path, os.path.relpath(path, sys.argv[1]))\n";
    let folder = root.join("lib/time");
    fs::create_dir_all(&folder).expect("target/ is writable");
    let zip = folder.join("zoneinfo.zip");
    let made = Command::new("python3").args(["-c", script, ZONES]).arg(zip).status().expect("python3 runs");
    assert!(made.success(), "the time zones cannot be packed");
}

/// The names of a test program's tests; it runs on the host for that.
fn names(program: &Path) -> Vec<String> {
    let mut command = Command::new(program);
    let output =
        command.args(["-test.list", "."]).env("GOROOT", root()).output().expect("the tests run here");
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines()
        .filter(|name| name.starts_with("Test") || name.starts_with("Example"))
        .map(str::to_owned)
        .collect()
}

/// The test that runs from here on.
fn started(line: &str) -> Option<&str> {
    line.strip_prefix("=== RUN   ").or_else(|| line.strip_prefix("=== CONT  "))
}

/// `--- PASS: TestName (0.00s)` at the start of a line; subtests are indented.
fn result(line: &str) -> Option<(Verdict, &str)> {
    let (verdict, rest) = line.strip_prefix("--- ")?.split_once(": ")?;
    let verdict = match verdict {
        "PASS" => Verdict::Pass,
        "SKIP" => Verdict::Skip,
        "FAIL" => Verdict::Fail,
        _ => return None,
    };
    Some((verdict, rest.split(' ').next()?))
}

/// Runs the tests of one package, in several boots when one ends the machine.
fn run_package(sources: &Path, package: &str, expected: &Expected) -> BTreeMap<String, Outcome> {
    let program = build(sources, package);
    let scratch = config(sources, package, &program);
    let mut outcomes = BTreeMap::new();
    let mut tell = |name: &str, verdict, text: &str| {
        let outcome = Outcome { verdict, text: text.to_owned() };
        outcomes.insert(format!("{package}.{name}"), outcome);
    };
    let avoided = expected.avoided(package);
    let mut rest: Vec<String> =
        names(&program).into_iter().filter(|name| !avoided.contains(&format!("{package}.{name}"))).collect();
    let (mut again, mut is_second_try) = (Vec::new(), false);
    while !rest.is_empty() {
        // The image holds the list: a machine's command line would be too short for it.
        let pattern = format!("^({})$", rest.join("|"));
        let mut config = fs::read_to_string(scratch.path().join("app.toml")).expect("it was written");
        let args = format!(
            "args = [\"-test.v\", \"-test.short\", \"-test.paniconexit0\", \"-test.run\", {pattern:?}]\n"
        );
        config = config.lines().filter(|line| !line.starts_with("args")).fold(String::new(), |text, line| {
            text + line + "\n" + if line == "[program]" { &args } else { "" }
        });
        fs::write(scratch.path().join("app.toml"), config).expect("a writable scratch folder");
        let run = scratch.run(&["build", "app.toml", "-o", "app.img"]);
        assert_eq!(run.status, 0, "{package}: {run:?}");
        let mut guest = Guest::boot(scratch.path(), "app.img", "1G", &[]);
        let (mut running, mut said, mut progressed) = (String::new(), Vec::new(), false);
        let how = loop {
            let line = match guest.hear() {
                Heard::Line(line) => line,
                Heard::End => break "ended the machine",
                Heard::Hang => break "hung",
            };
            if let Some(name) = started(&line).filter(|name| !name.contains('/')) {
                running = name.to_owned();
                said.clear();
            } else if let Some((verdict, name)) = result(&line) {
                progressed = true;
                rest.retain(|other| other != name);
                // What a test says is indented.
                let words = said.iter().rev().find(|line: &&String| line.starts_with("    "));
                let words = words.map_or("", |line| line.trim());
                // Without the place in the source.
                let place = words.split_once(": ").filter(|(place, _)| place.contains("_test.go:"));
                tell(name, verdict, place.map_or(words, |(_, words)| words));
                let was = expected.of(&format!("{package}.{name}")).0;
                if verdict == Verdict::Fail && was != Verdict::Fail && !again.contains(&name.to_owned()) {
                    again.push(name.to_owned());
                }
                said.clear();
            } else if line == "PASS" || line == "FAIL" {
                break "";
            }
            said.push(line);
        };
        if how.is_empty() {
            rest.clear();
        } else {
            let tail = said[said.len().saturating_sub(15)..].join("\n");
            println!("{package}.{running} {how}: {tail}");
            assert!(rest.contains(&running) || progressed, "{package} {how} before its first test: {tail}");
            // A test that panics is told as failed before that ends the program.
            if rest.contains(&running) {
                tell(&running, Verdict::Fail, how);
                rest.retain(|other| *other != running);
            }
        }
        if rest.is_empty() && !again.is_empty() && !is_second_try {
            // A second try, alone, for what failed and should not: some tests assert times.
            is_second_try = true;
            rest = std::mem::take(&mut again);
            println!("{package}: a second try for {}", rest.join(" "));
        }
    }
    outcomes
}

/// Runs packages, several machines at a time.
pub fn run(
    sources: &Path,
    packages: &[String],
    expected: &Expected,
    record: &Record,
) -> BTreeMap<String, Outcome> {
    zones(&root());
    each(packages, record, |package| run_package(sources, package, expected))
}
