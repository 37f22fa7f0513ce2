//! What a program asks of the kernel as it runs on the host: watched by [`ptrace`](watch), or read from a [log of strace](strace::read).

mod host;
pub mod strace;

use std::collections::{BTreeMap, BTreeSet};

use bespoke_model::Evidence;

use crate::need::{self, Made};
use crate::paths;

pub use host::watch;

/// Why a program could not be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The command is not there.
    #[error("there is no program {0}; give its path, or a name that the shell would find")]
    NoProgram(String),
    /// It could not be started.
    #[error("{program} cannot be started: {error}; try it without being watched")]
    Start {
        /// The program.
        program: String,
        /// Why.
        error: std::io::Error,
    },
    /// The kernel does not let it be watched.
    #[error(
        "the program cannot be watched: {0}; where ptrace is forbidden, give a log of strace with --strace, or use --learn"
    )]
    Forbidden(nix::errno::Errno),
    /// A log has nothing in it that strace writes.
    #[error("there is no system call in the log; make it with `strace -f -o FILE COMMAND`")]
    NoCalls,
}

/// What was seen of a program.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    /// Its needs.
    pub evidence: Evidence,
    /// Files that it opened for reading, by the names that it used; made absolute where that was possible.
    pub files: BTreeSet<String>,
    /// What else has to be there: paths that it looked at and that were there, and folders in which it made something.
    pub looked: BTreeSet<String>,
    /// Absolute paths that it looked for and that were not there.
    pub missing: BTreeSet<String>,
    /// What it ended with: its status, or 128 and the signal. `None`: a log does not say.
    pub status: Option<i32>,
}

/// Calls of a program, as they come in.
#[derive(Debug, Default)]
struct Recorder {
    needs: BTreeMap<String, (u64, u64, Option<String>)>,
    files: BTreeSet<String>,
    looked: BTreeSet<String>,
    missing: BTreeSet<String>,
}

impl Recorder {
    /// A call with its outcome: an error's name, when it failed. `directory` is where a relative path starts.
    fn call(
        &mut self,
        name: &str,
        made: &dyn Made,
        error: Option<&str>,
        directory: &dyn Fn() -> Option<String>,
    ) {
        let mut note = |word: String| {
            let (seen, failed, first) = self.needs.entry(word).or_default();
            *seen += 1;
            if let Some(error) = error {
                *failed += 1;
                first.get_or_insert_with(|| error.to_owned());
            }
        };
        note(format!("call:{name}"));
        for word in need::flavours(name, made).iter().filter_map(|word| need::general(word)) {
            note(word);
        }
        let Some(argument) = need::path_argument(name) else { return };
        let Some(Some(path)) = made.texts(argument).into_iter().next() else { return };
        let path =
            if path.starts_with('/') { Some(path) } else { directory().map(|dir| format!("{dir}/{path}")) };
        let Some(path) = path.as_deref().and_then(paths::plain) else { return };
        match error {
            Some("ENOENT") => drop(self.missing.insert(path)),
            Some(_) => {}
            None => match need::touched(name, made, &path) {
                need::Touched::Opened => drop(self.files.insert(path)),
                need::Touched::Looked(at) => drop(self.looked.insert(at.to_owned())),
            },
        }
    }

    fn finish(self, status: Option<i32>) -> Watched {
        let mut evidence = Evidence { runs: 1, ..Evidence::default() };
        for (word, (seen, failed, error)) in &self.needs {
            evidence.add_seen(word, *seen, *failed, error.as_deref());
        }
        let missing = &self.missing - &self.files;
        Watched { evidence, files: self.files, looked: self.looked, missing, status }
    }
}
