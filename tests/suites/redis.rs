//! Redis' own tests (Tcl, from Debian's source package) put before Redis in a machine, as the suite tests a server that is elsewhere.

use crate::expected::{Expected, Outcome, Verdict};
use crate::record::{Record, each};
use bespoke_tests::clients::REDIS_READY;
use bespoke_tests::{Scratch, Server, client, free_port, workspace};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// The version whose tests the list tells of.
const VERSION: &str = "7.0.15";

/// Longer than any unit takes, on however slow a machine, in seconds.
const LIMIT: &str = "3000";

/// The tag of tests that attach a replica. They are left out: what they leave behind when they fail has others fail.
const REPLICAS: &str = "needs:repl";
const NO_REPLICAS: &str = "There is one process: a replica's first copy is a BGSAVE, which asks for fork.";

/// The suite asks for times as if its clock were the server's: here it is, in milliseconds ahead of the host's.
const CLOCK: &str = r"
rename clock host_clock
proc clock {what args} {
    switch -- $what {
        seconds { expr {([host_clock milliseconds] + $::env(MACHINE_AHEAD)) / 1000} }
        milliseconds { expr {[host_clock milliseconds] + $::env(MACHINE_AHEAD)} }
        microseconds { expr {[host_clock microseconds] + $::env(MACHINE_AHEAD) * 1000} }
        default { uplevel 1 [list host_clock $what {*}$args] }
    }
}
";

/// Where Redis' tests are, or why the suite cannot run here.
pub fn sources() -> Result<PathBuf, String> {
    let says = |program: &str| {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let version =
        says("redis-server").map_err(|_| "redis-server is missing (Debian: redis-server)".to_owned())?;
    if !version.contains(&format!("v={VERSION} ")) {
        return Err(format!("the list is for Redis {VERSION}, and this is {}", version.trim()));
    }
    says("tclsh").map_err(|_| "tclsh is missing (Debian: tcl)".to_owned())?;
    let folder = workspace().join("target/test-programs/redis-source");
    let suite = folder.join(format!("redis-{VERSION}"));
    if !suite.join("tests/test_helper.tcl").exists() {
        let archive = folder.join(format!("redis_{VERSION}.orig.tar.gz"));
        if !archive.exists() {
            return Err(format!("{} is missing (tests/run fetches it)", archive.display()));
        }
        let unpacked = Command::new("tar").arg("-C").arg(&folder).arg("-xf").arg(&archive).status();
        if !unpacked.is_ok_and(|status| status.success()) {
            return Err(format!("{} does not unpack", archive.display()));
        }
    }
    Ok(suite)
}

/// The suite in a folder of its own, for it writes where it stands.
fn stage(suite: &Path, to: &Path) {
    fs::create_dir(to.join("src")).expect("a writable scratch folder");
    let copied = Command::new("cp").arg("-r").arg(suite.join("tests")).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} cannot be copied", suite.display());
    for name in ["redis-cli", "redis-benchmark", "redis-server"] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(name), to.join("src").join(name))
            .expect("a writable scratch folder");
    }
    let main = to.join("tests/test_helper.tcl");
    let text = fs::read_to_string(&main).expect("the suite's main file");
    fs::write(&main, CLOCK.to_owned() + &text).expect("a writable scratch folder");
}

/// How far the guest's clock is ahead of the host's at least, in milliseconds, told as exactly as its answers allow.
fn ahead(server: &Server) -> i64 {
    let port = server.port.to_string();
    let ask = || {
        let answer = client("redis-cli", &["-p", &port, "TIME"], b"");
        let received = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set").as_micros();
        let mut lines = answer.out.lines().map(|line| line.parse::<i64>().expect("a number"));
        let mut next = || lines.next().unwrap_or_else(|| panic!("{answer:?}"));
        let guest = next() * 1_000_000 + next();
        guest - i64::try_from(received).expect("a clock of this age")
    };
    (0..8).map(|_| ask()).max().expect("eight").div_euclid(1000)
}

/// What a line of the suite's tells: a word, and what stands behind it.
fn status(line: &str) -> Option<(&str, &str)> {
    let (word, rest) = line.strip_prefix('[')?.split_once("]: ")?;
    Some((word.rsplit(' ').next()?, rest))
}

/// Collects what the suite says of one unit.
#[derive(Default)]
struct Reader {
    outcomes: BTreeMap<String, Outcome>,
    failed: Option<String>,
    /// It tells where in the suite it failed.
    traces: bool,
    done: bool,
}

impl Reader {
    /// Names may come again: loops over encodings and the like.
    fn tell(&mut self, name: &str, verdict: Verdict, text: &str) -> String {
        let numbered = (2..).map(|count| format!("{name} ({count})"));
        let name = std::iter::once(name.to_owned()).chain(numbered);
        let name =
            name.into_iter().find(|name| !self.outcomes.contains_key(name)).expect("numbers do not end");
        self.outcomes.insert(name.clone(), Outcome { verdict, text: text.to_owned() });
        name
    }

    fn line(&mut self, line: &str) {
        let Some((word, rest)) = status(line) else {
            // What a failure has to say goes on.
            if let Some(outcome) = self.failed.as_ref().and_then(|name| self.outcomes.get_mut(name)) {
                self.traces |= line.trim_start().starts_with("while executing");
                if !self.traces {
                    outcome.text += line;
                    outcome.text.push('\n');
                }
            }
            return;
        };
        (self.failed, self.traces) = (None, false);
        match word {
            "ok" => {
                let name = rest.rsplit_once(" (").map_or(rest, |(name, _)| name);
                self.tell(name, Verdict::Pass, "");
            }
            "ignore" => {
                let reasons = ["Not supported on external server", "large memory flag not provided", "Tag: "];
                let at = reasons.iter().find_map(|reason| rest.rfind(reason)).unwrap_or(0);
                // A whole block of tests is passed over without telling their names.
                let name = rest[..at].strip_suffix(": ").unwrap_or("a block of tests");
                let why = if rest[at..].contains(REPLICAS) { NO_REPLICAS } else { &rest[at..] };
                self.tell(name, Verdict::Skip, why);
            }
            "err" => {
                let name = rest.rsplit_once(" in tests/").map_or("outside of tests", |(name, _)| name);
                let text = if name == "outside of tests" { rest } else { "" };
                self.failed = Some(self.tell(name, Verdict::Fail, text));
            }
            "exception" => {
                self.failed = Some(self.tell("exception", Verdict::Fail, rest));
            }
            "done" => self.done = true,
            _ => {}
        }
    }
}

/// Runs one unit, or some of its tests, before a fresh machine.
fn run_unit(suite: &Path, unit: &str, only: &[String], expected: &Expected) -> BTreeMap<String, Outcome> {
    // DEBUG SLEEP is the suite's alone.
    let scratch = Scratch::new("schema = 1\nextends = \"preset:redis\"\n[set]\n\"sched.sleep\" = true\n");
    stage(suite, scratch.path());
    let memory = ["-m", "1G", "--"];
    // Its log is on from the start: turned on later, Redis has a second process write what is there already.
    let log = ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"];
    let network = ["--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/tmp", "--save", ""];
    let allowed = ["--enable-debug-command", "yes", "--enable-protected-configs", "yes"];
    let server =
        Server::start(&scratch, 6379, REDIS_READY, &[&memory[..], &network, &allowed, &log].concat());
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", LIMIT, "tclsh", "tests/test_helper.tcl", "--host", "127.0.0.1", "--port"])
        .arg(server.port.to_string())
        // The suite's own server listens 32 below.
        .args(["--baseport", &(free_port() + 32).to_string(), "--clients", "1", "--timeout", "2000"])
        .args(["--durable", "--tags", &format!("-{REPLICAS}"), "--single", unit])
        .envs([("TERM", "dumb".to_owned()), ("MACHINE_AHEAD", ahead(&server).to_string())])
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for name in only {
        command.args(["--only", name]);
    }
    for test in expected.avoided(unit) {
        command.args(["--skiptest", &test[unit.len() + 1..]]);
    }
    let mut child = command.spawn().expect("timeout(1) runs");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut reader = Reader::default();
    let mut tail = Vec::new();
    for line in output.split(b'\n') {
        let line = String::from_utf8_lossy(&line.expect("a pipe can be read")).into_owned();
        reader.line(&line);
        tail.push(line);
    }
    child.wait().expect("it can be waited for");
    if !reader.done {
        let tail = tail[tail.len().saturating_sub(10)..].join("\n");
        println!("{unit} did not come to its end: {tail}\n{}", server.said());
        reader.tell("end", Verdict::Fail, &tail);
    }
    reader.outcomes.into_iter().map(|(name, outcome)| (format!("{unit}.{name}"), outcome)).collect()
}

/// Runs units, several machines at a time.
pub fn run(
    suite: &Path,
    units: &[String],
    expected: &Expected,
    record: &Record,
) -> BTreeMap<String, Outcome> {
    each(units, record, |unit| {
        let mut outcomes = run_unit(suite, unit, &[], expected);
        let again = expected.failed(&outcomes);
        if (1..20).contains(&again.len()) {
            // A second try, alone: the suite asserts times here and there.
            let again: Vec<String> = again.iter().map(|test| test[unit.len() + 1..].to_owned()).collect();
            println!("{unit}: a second try for {}", again.join(", "));
            let second = run_unit(suite, unit, &again, expected);
            outcomes.extend(second.into_iter().filter(|(_, outcome)| outcome.verdict == Verdict::Pass));
        }
        outcomes
    })
}
