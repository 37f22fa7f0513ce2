//! How `bespoke fit` watches a program: on the host, through a log, or in the guest.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bespoke_kernel::learn::{self, Learnt};
use bespoke_kernel::run::{self as machine, Options, RunError};
use bespoke_kernel::trace::{self, Watched};
use bespoke_kernel::{Os, Payload};
use bespoke_model::{Config, Decision, ParamType, Value};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::args::Fit;
use super::{Stop, build, resolve};
use crate::backend;
use crate::presets::{self, Chain, Failure};
use crate::text;

/// Set when a signal asks for an end. The program that is watched gets the signals of a terminal itself.
fn stop_asked() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::new(format!("cannot wait for signals: {}", presets::plain(&error))))?;
    }
    Ok(stop)
}

/// Runs a command, or the config's own program, on the host.
pub fn on_host(args: &Fit, chain: &Chain) -> Result<Watched, Stop> {
    let stop = stop_asked()?;
    if !args.args.is_empty() {
        let command: Vec<OsString> = args.args.iter().map(OsString::from).collect();
        return Ok(trace::watch(&command, None, &stop).map_err(|error| Failure::from_kernel(&error))?);
    }
    let program = chain.program().cloned().unwrap_or_default();
    if program.path.is_empty() || program.path.starts_with("demo:") {
        let failure = Failure::new("the config names no program that could be run here");
        return Err(Stop::No(failure.hint("give a command: bespoke fit CONFIG --trace -- COMMAND")));
    }
    let path = std::path::absolute(chain.dir.join(&program.path)).unwrap_or_default();
    let command: Vec<OsString> =
        std::iter::once(path.into_os_string()).chain(program.args.iter().map(OsString::from)).collect();
    Ok(trace::watch(&command, Some(&program.env), &stop).map_err(|error| Failure::from_kernel(&error))?)
}

/// Reads a log of strace.
pub fn from_log(log: &Path) -> Result<Watched, Failure> {
    let bytes = std::fs::read(log).map_err(|error| {
        Failure::new(format!("cannot read {}: {}", log.display(), presets::plain(&error)))
    })?;
    trace::strace::read(&String::from_utf8_lossy(&bytes)).map_err(|error| {
        let failure = Failure::from_kernel(&error);
        Failure { message: format!("{}: {}", log.display(), failure.message), ..failure }
    })
}

/// What a run in the guest came to.
pub struct Learning {
    /// What was told.
    pub learnt: Learnt,
    /// The program's exit status, when it ended by itself.
    pub status: Option<i32>,
}

/// Boots the program and takes down what it uses. `everything`: with every part on; else with those of the config.
pub fn in_guest(os: &'static Os, args: &Fit, chain: &Chain, everything: bool) -> Result<Learning, Stop> {
    let limit = match &args.time {
        None => None,
        Some(time) => match (ParamType::Duration { min: 1, max: u64::MAX }).parse(time) {
            Ok(Value::Duration(nanoseconds)) => Some(Duration::from_nanos(nanoseconds)),
            _ => {
                let failure = Failure::new(format!("`{time}` is not a time"));
                return Err(Stop::Usage(failure.hint("write a time such as 30s or 2min")));
            }
        },
    };
    let chain = learning(chain, everything)?;
    let resolution = resolve(&os.tree, &chain)?;
    let scratch = tempfile::Builder::new()
        .prefix("bespoke-learn-")
        .tempdir()
        .map_err(|error| Stop::no(format!("cannot make a temporary folder: {}", presets::plain(&error))))?;
    let (image, report) = (scratch.path().join("image"), scratch.path().join("report"));
    backend::build(os, &chain, &resolution, &image)?;
    let mut options = Options {
        args: args.args.clone(),
        ports: build::written(&args.ports)?,
        deadline: limit,
        extra: learn::machine(&report),
        ..backend::options(&os.tree, &resolution)
    };
    if let Some(memory) = &args.memory {
        options.memory = text::parse_size(memory).filter(|bytes| *bytes >= 1 << 20).ok_or_else(|| {
            Stop::Usage(
                Failure::new(format!("`{memory}` is not a size of a machine"))
                    .hint("write a size such as 64M"),
            )
        })?;
    }
    let stop = stop_asked()?;
    let running = machine::start(&image, &options).map_err(|error| Failure::from_kernel(&error))?;
    let (stopper, over) = (running.stopper(), Arc::new(AtomicBool::new(false)));
    let watch = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            while !over.load(Ordering::Relaxed) {
                if stop.load(Ordering::Relaxed) {
                    stopper.stop();
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let outcome = running.wait();
    over.store(true, Ordering::Relaxed);
    let _ = watch.join();
    let status = match outcome {
        Ok(outcome) => Some(outcome.status),
        // Servers do not end by themselves.
        Err(RunError::Stopped | RunError::Hung { .. }) => None,
        Err(error) => return Err(Stop::No(Failure::from_kernel(&error))),
    };
    let report = std::fs::read(&report).unwrap_or_default();
    let learnt = learn::read(&String::from_utf8_lossy(&report));
    if learnt.evidence.needs.is_empty() {
        let failure = Failure::new("the guest told nothing of its program");
        return Err(Stop::No(
            failure.hint("does `bespoke run` boot it? give it more memory with -m, or more time"),
        ));
    }
    Ok(Learning { learnt, status })
}

/// The config as it is booted for learning. What the user pinned stays.
fn learning(chain: &Chain, everything: bool) -> Result<Chain, Failure> {
    let mut config = chain.config.clone();
    let mut decide = |id: &str, decision: Decision| {
        if config.get(id).is_none() {
            config.set_fit(id, Some(decision));
        }
    };
    if everything {
        let (text, _) = presets::text("everything").unwrap_or_default();
        let all = Config::parse("everything", &text)
            .map_err(|problems| Failure::new(presets::strip_error(&problems.to_string())))?;
        for (id, decision) in all.set_entries() {
            decide(id, decision.clone());
        }
        decide("sched.policy", "preemptive".into());
        // What the program asks there could not be seen.
        decide("abi.vdso", Decision::OFF);
    }
    decide("debug.log", Decision::OFF);
    decide("debug.learn", Decision::ON);
    Ok(Chain { config, ..chain.clone() })
}

/// Files that a program opened on the host and that an image needs, with their sizes: no directories, nothing that the
/// operating system makes, nothing that is in the image already.
pub fn to_pack(watched: &Watched, payload: &Payload) -> Vec<(PathBuf, u64)> {
    const MADE: [&str; 5] = ["/proc/", "/dev/", "/sys/", "/tmp/", "/run/"];
    // The loader's list of libraries is the host's.
    const HOST: [&str; 2] = ["/etc/ld.so.cache", "/etc/ld.so.preload"];
    let packed: Vec<PathBuf> =
        payload.files().filter_map(|(path, _)| std::fs::canonicalize(path).ok()).collect();
    let mut files = Vec::new();
    for path in &watched.files {
        if MADE.iter().any(|dir| path.starts_with(dir)) || HOST.contains(&path.as_str()) {
            continue;
        }
        let (Ok(real), Ok(metadata)) = (std::fs::canonicalize(path), std::fs::metadata(path)) else {
            continue;
        };
        let known = payload.files().any(|(packed, _)| packed == path) || packed.contains(&real);
        if metadata.is_file() && !known {
            files.push((PathBuf::from(path), metadata.len()));
        }
    }
    files
}
