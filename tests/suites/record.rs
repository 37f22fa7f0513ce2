//! What a whole run gave so far, kept so that one that was broken off goes on.

use crate::expected::{Outcome, Verdict};
use bespoke_tests::workspace;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::{env, fs};

/// Outcomes of modules in `target/suites/NAME`, a file for each; or none are kept.
pub struct Record {
    folder: Option<PathBuf>,
    resumes: bool,
}

impl Record {
    /// Keeps nothing.
    pub const NONE: Self = Self { folder: None, resumes: false };

    /// Keeps what modules of a suite give. With `SUITES_RESUME` set, modules that an earlier run came to the end of are not run again.
    pub fn of_suite(name: &str) -> Self {
        let folder = workspace().join("target/suites").join(name);
        fs::create_dir_all(&folder).expect("target/ is writable");
        Self { folder: Some(folder), resumes: env::var_os("SUITES_RESUME").is_some() }
    }

    fn file(&self, module: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(module.replace('/', "-") + ".json"))
    }

    /// What a module gave in an earlier run.
    fn kept(&self, module: &str) -> Option<BTreeMap<String, Outcome>> {
        let text = fs::read_to_string(self.file(module).filter(|_| self.resumes)?).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn keep(&self, module: &str, outcomes: &BTreeMap<String, Outcome>) {
        if let Some(file) = self.file(module) {
            let text = serde_json::to_string_pretty(outcomes).expect("texts");
            // Written whole or not at all.
            let part = file.with_extension("part");
            fs::write(&part, text).and_then(|()| fs::rename(&part, &file)).expect("target/ is writable");
        }
    }
}

/// Runs modules of a suite, a machine for each processor or as many as `SUITES_MACHINES` says at a time, and tells how each did.
pub fn each(
    modules: &[String],
    record: &Record,
    run: impl Fn(&String) -> BTreeMap<String, Outcome> + Sync,
) -> BTreeMap<String, Outcome> {
    let all = Mutex::new(BTreeMap::new());
    let queue = Mutex::new(modules.iter());
    let next = || queue.lock().expect("nobody panics with it").next();
    let asked = env::var("SUITES_MACHINES")
        .ok()
        .map(|machines| machines.parse().expect("SUITES_MACHINES is a number"));
    let machines = asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for _ in 0..machines {
            scope.spawn(|| {
                while let Some(module) = next() {
                    let outcomes = record.kept(module).unwrap_or_else(|| {
                        let outcomes = run(module);
                        record.keep(module, &outcomes);
                        outcomes
                    });
                    let passed = outcomes.values().filter(|outcome| outcome.verdict == Verdict::Pass).count();
                    println!("{module}: {passed} of {} passed", outcomes.len());
                    all.lock().expect("nobody panics with it").extend(outcomes);
                }
            });
        }
    });
    all.into_inner().expect("nobody panics with it")
}
