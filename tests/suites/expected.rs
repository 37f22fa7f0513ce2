//! What is expected of a suite: every test that does not pass stands in a list, with the reason.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum Verdict {
    Pass,
    /// The test itself found that it does not apply.
    Skip,
    Fail,
    /// It is not started, since it would end or hang the machine, or asserts how long something takes.
    Avoid,
}

/// A verdict, and what the suite said with it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Outcome {
    pub verdict: Verdict,
    pub text: String,
}

/// Tests that do not pass for one reason.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Known {
    why: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fail: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skip: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    avoid: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// Modules of the quick part.
    quick: Vec<String>,
    /// The others.
    rest: Vec<String>,
    #[serde(default)]
    known: Vec<Known>,
}

/// The list of one suite.
pub struct Expected {
    file: PathBuf,
    /// Modules of the quick part, and the others.
    pub quick: Vec<String>,
    pub rest: Vec<String>,
    known: BTreeMap<String, (Verdict, String)>,
}

/// Whether a test is a module's, or is what went wrong with the module itself.
fn lies_in(test: &str, module: &str) -> bool {
    test.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Stands for the reason that somebody has yet to find.
const UNKNOWN: &str = "?";

impl Expected {
    /// Reads `tests/suites/NAME.toml`.
    pub fn read(name: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites").join(format!("{name}.toml"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let list: List = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut known = BTreeMap::new();
        for group in list.known {
            let verdicts =
                [(Verdict::Fail, group.fail), (Verdict::Skip, group.skip), (Verdict::Avoid, group.avoid)];
            for (verdict, tests) in verdicts {
                for test in tests {
                    let twice = known.insert(test.clone(), (verdict, group.why.clone()));
                    assert!(twice.is_none(), "{}: {test} is listed twice", file.display());
                }
            }
        }
        Self { file, quick: list.quick, rest: list.rest, known }
    }

    /// What is expected of a test: its own line, or that of all tests of its class (`module.Class.*`).
    pub fn of(&self, test: &str) -> (Verdict, &str) {
        let class = test.rsplit_once('.').map(|(class, _)| format!("{class}.*"));
        let line = self.known.get(test).or_else(|| self.known.get(&class?));
        line.map_or((Verdict::Pass, ""), |(verdict, why)| (*verdict, why))
    }

    /// Tests of a module that are not started.
    pub fn avoided(&self, module: &str) -> Vec<String> {
        let lines = self
            .known
            .iter()
            .filter(|(test, (verdict, _))| *verdict == Verdict::Avoid && lies_in(test, module));
        lines.map(|(test, _)| test.clone()).collect()
    }

    /// The tests that failed, are expected to do otherwise, and might yet: not those that asked for a second process.
    pub fn failed(&self, outcomes: &BTreeMap<String, Outcome>) -> Vec<String> {
        let failed = |(test, outcome): &(&String, &Outcome)| {
            outcome.verdict == Verdict::Fail
                && self.of(test).0 != Verdict::Fail
                && evident(&outcome.text).is_none()
        };
        outcomes.iter().filter(failed).map(|(test, _)| test.clone()).collect()
    }

    /// Where outcomes differ from what is expected, and lines about tests of these modules that are not there.
    pub fn surprises(&self, modules: &[String], outcomes: &BTreeMap<String, Outcome>) -> Vec<String> {
        let mut surprises = Vec::new();
        for (test, outcome) in outcomes {
            let (expected, why) = self.of(test);
            if outcome.verdict != expected {
                let last = outcome.text.trim().lines().next_back().unwrap_or_default();
                surprises
                    .push(format!("{test}: {expected:?} was expected, {:?} it is: {last}", outcome.verdict));
            } else if expected != Verdict::Pass && why == UNKNOWN {
                surprises.push(format!("{test}: {expected:?} without a reason"));
            }
        }
        let classes: BTreeSet<&str> =
            outcomes.keys().filter_map(|test| Some(test.rsplit_once('.')?.0)).collect();
        for (line, (verdict, _)) in &self.known {
            let there = outcomes.contains_key(line)
                || line.strip_suffix(".*").is_some_and(|class| classes.contains(class));
            if modules.iter().any(|module| lies_in(line, module)) && !there && *verdict != Verdict::Avoid {
                surprises.push(format!("{line}: is listed, but there is no such test"));
            }
        }
        surprises
    }

    /// Writes the list anew from what these modules gave. Reasons are kept; new skips get what the test said, other new lines `?`.
    pub fn rewrite(&self, modules: &[String], outcomes: &BTreeMap<String, Outcome>) {
        let ran = |test: &str| modules.iter().any(|module| lies_in(test, module));
        let mut known: BTreeMap<String, (Verdict, String)> = BTreeMap::new();
        let stays = |test: &str, verdict| !ran(test) || verdict == Verdict::Avoid;
        known.extend(
            self.known
                .iter()
                .filter(|(test, (verdict, _))| stays(test, *verdict))
                .map(|(test, line)| (test.clone(), line.clone())),
        );
        for (test, outcome) in outcomes {
            let (expected, why) = self.of(test);
            let why = match outcome.verdict {
                Verdict::Pass | Verdict::Avoid => continue,
                verdict if verdict == expected => why.to_owned(),
                Verdict::Skip => outcome.text.lines().next().unwrap_or(UNKNOWN).to_owned(),
                _ => evident(&outcome.text).unwrap_or(UNKNOWN).to_owned(),
            };
            known.insert(test.clone(), (outcome.verdict, why));
        }
        // One line for a class that goes one way as a whole.
        let mut classes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for test in outcomes.keys() {
            if let Some((class, _)) = test.rsplit_once('.').filter(|(class, _)| class.contains('.')) {
                classes.entry(class).or_default().push(test);
            }
        }
        for (class, tests) in classes {
            let first = known.get(tests[0]).cloned();
            if let Some(line) = first
                && tests.len() > 1
                && tests.iter().all(|test| known.get(*test) == Some(&line))
            {
                known.retain(|test, _| !tests.contains(&test.as_str()));
                known.insert(format!("{class}.*"), line);
            }
        }
        fs::write(&self.file, self.text(known)).expect("the list is writable");
    }

    fn text(&self, known: BTreeMap<String, (Verdict, String)>) -> String {
        let old = fs::read_to_string(&self.file).expect("it was read before");
        let head: Vec<&str> = old.lines().take_while(|line| !line.starts_with("[[known]]")).collect();
        let mut text = head.join("\n").trim_end().to_owned() + "\n";
        let mut groups: BTreeMap<String, Known> = BTreeMap::new();
        for (test, (verdict, why)) in known {
            let group = groups.entry(why.clone()).or_default();
            group.why = why;
            match verdict {
                Verdict::Fail => group.fail.push(test),
                Verdict::Skip => group.skip.push(test),
                Verdict::Avoid => group.avoid.push(test),
                Verdict::Pass => unreachable!("only what does not pass is known"),
            }
        }
        for group in groups.values() {
            let group = toml::to_string_pretty(group).expect("texts and lists of texts");
            let _ = write!(text, "\n[[known]]\n{group}");
        }
        text
    }
}

/// Why a test fails, where its last words say so: it asked for a second process.
fn evident(text: &str) -> Option<&'static str> {
    if ["BGSAVE failed", "Can't execute an AOF background rewriting"].iter().any(|words| text.contains(words))
    {
        return Some("There is one process: BGSAVE and BGREWRITEAOF ask for fork.");
    }
    let refused =
        ["[Errno 38] Function not implemented", "fork/exec"].iter().any(|words| text.contains(words));
    let asked = [
        "fork_exec(",
        "os.fork()",
        "os.forkpty()",
        "os.spawn",
        "posix_spawn",
        "spawn_func(",
        "os.exec",
        "fork/exec",
    ];
    (refused && asked.iter().any(|call| text.contains(call)))
        .then_some("There is one process: fork and exec answer ENOSYS.")
}

/// Whether lists are to be written anew instead of held against.
pub fn is_rewriting() -> bool {
    env::var_os("SUITES_REWRITE").is_some()
}
