//! How `bespoke fit` watches a program: on the host, through a log, or in the guest.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bespoke_kernel::Os;
use bespoke_kernel::learn::{self, Learnt};
use bespoke_kernel::run::{Options, RunError};
use bespoke_kernel::trace::{self, Watched};
use bespoke_model::{Config, Decision, ImageSource, ParamType, Value};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::args::Fit;
use super::{Stop, build, machine};
use crate::backend;
use crate::presets::{self, Chain, Failure};
use crate::resolved::resolve;
use crate::text;

/// How long a program that is asked to end may take.
const GRACE: Duration = Duration::from_secs(10);
/// Beside the image, a machine for learning has this much memory.
const ROOM: u64 = 64 << 20;

/// Becomes the number of the signal that asks for an end, or SIGTERM when the time is over.
fn ending(limit: Option<Duration>) -> Result<Arc<AtomicUsize>, Failure> {
    let asked = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(signal, Arc::clone(&asked), signal as usize)
            .map_err(|error| Failure::new(format!("cannot wait for signals: {}", presets::plain(&error))))?;
    }
    if let Some(limit) = limit {
        let asked = Arc::clone(&asked);
        std::thread::spawn(move || {
            std::thread::sleep(limit);
            asked.store(SIGTERM as usize, Ordering::Relaxed);
        });
    }
    Ok(asked)
}

/// How long a program is watched at most.
fn limit(args: &Fit) -> Result<Option<Duration>, Stop> {
    let Some(time) = &args.time else { return Ok(None) };
    match (ParamType::Duration { min: 1, max: u64::MAX }).parse(time) {
        Ok(Value::Duration(nanoseconds)) => Ok(Some(Duration::from_nanos(nanoseconds))),
        _ => {
            let failure = Failure::new(format!("`{time}` is not a time"));
            Err(Stop::Usage(failure.hint("write a time such as 30s or 2min")))
        }
    }
}

/// Runs a command, or the config's own program, on the host.
pub fn on_host(args: &Fit, chain: &Chain) -> Result<Watched, Stop> {
    let limit = limit(args)?;
    if !args.args.is_empty() {
        let command: Vec<OsString> = args.args.iter().map(OsString::from).collect();
        let asked = ending(limit)?;
        return Ok(trace::watch(&command, None, &asked).map_err(|error| Failure::from_kernel(&error))?);
    }
    let program = chain.program().cloned().unwrap_or_default();
    if chain.image().is_some() || program.root.is_some() {
        let place = if chain.image().is_some() { "a container image" } else { "another system's root" };
        let failure = Failure::new(format!("the program lies in {place} and cannot be run here"));
        return Err(Stop::No(failure.hint(
            "--learn boots it; or watch it where it runs, with `strace -f -o FILE`, and give that with --strace FILE",
        )));
    }
    if program.path.is_empty() || program.path.starts_with("demo:") {
        let failure = Failure::new("the config names no program that could be run here");
        return Err(Stop::No(failure.hint("give a command: bespoke fit CONFIG --trace -- COMMAND")));
    }
    let path = std::path::absolute(chain.dir.join(&program.path)).unwrap_or_default();
    let command: Vec<OsString> =
        std::iter::once(path.into_os_string()).chain(program.args.iter().map(OsString::from)).collect();
    let asked = ending(limit)?;
    Ok(trace::watch(&command, Some(&program.env), &asked).map_err(|error| Failure::from_kernel(&error))?)
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

/// Boots the program and takes down what it uses. `everything`: with every part on; else with those of the config.
pub fn in_guest(os: &'static Os, args: &Fit, chain: &Chain, everything: bool) -> Result<Learnt, Stop> {
    let limit = limit(args)?;
    let chain = learning(os, chain, everything)?;
    let resolution = resolve(&os.tree, &chain)?;
    let scratch = tempfile::Builder::new()
        .prefix("bespoke-learn-")
        .tempdir()
        .map_err(|error| Stop::no(format!("cannot make a temporary folder: {}", presets::plain(&error))))?;
    let (image, report) = (scratch.path().join("image"), scratch.path().join("report"));
    let bytes = backend::build(os, &chain, &resolution, &image)?;
    let mut options = Options {
        args: args.args.clone(),
        ports: build::written(&args.ports)?,
        extra: learn::machine(&report),
        ..backend::options(&os.tree, &resolution)
    };
    // All the files of a container take more than is usual.
    options.memory = options.memory.max((bytes + bytes / 4 + ROOM).next_multiple_of(1 << 20));
    if let Some(memory) = &args.memory {
        options.memory = text::parse_size(memory).filter(|bytes| *bytes >= 1 << 20).ok_or_else(|| {
            Stop::Usage(
                Failure::new(format!("`{memory}` is not a size of a machine"))
                    .hint("write a size such as 64M"),
            )
        })?;
    }
    let ended = machine::attend(&image, options, GRACE, limit)?;
    let status = match ended.result {
        Ok(outcome) => Some(outcome.status),
        // It would not end, or is not made to be asked.
        Err(RunError::Stopped) => None,
        Err(error) => return Err(Stop::No(Failure::from_kernel(&error))),
    };
    let report = std::fs::read(&report).unwrap_or_default();
    let mut learnt = learn::read(&String::from_utf8_lossy(&report));
    if learnt.watched.evidence.needs.is_empty() {
        let failure = Failure::new("the guest told nothing of its program");
        return Err(Stop::No(
            failure.hint("does `bespoke run` boot it? give it more memory with -m, or more time"),
        ));
    }
    (learnt.watched.status, learnt.asked) = (status, ended.asked);
    Ok(learnt)
}

/// Decides what the user has not pinned.
fn decide(config: &mut Config, id: &str, decision: Decision) {
    if config.get(id).is_none() {
        config.set_fit(id, Some(decision));
    }
}

/// The config as it is booted for learning. What the user pinned stays, and what cannot be beside that is left out.
fn learning(os: &Os, chain: &Chain, everything: bool) -> Result<Chain, Failure> {
    let mut config = chain.config.clone();
    if everything {
        config.clear_fit();
    }
    decide(&mut config, "debug.log", Decision::OFF);
    decide(&mut config, "debug.learn", Decision::ON);
    if !everything {
        return Ok(Chain { config, ..chain.clone() });
    }
    // What the program asks there could not be seen.
    decide(&mut config, "abi.vdso", Decision::OFF);
    // What of the image it wants is to be seen.
    if let Some(image) = chain.image() {
        config.set_image(&ImageSource { files: vec!["/".into()], ..image.clone() });
    }
    let (text, _) = presets::text("everything").unwrap_or_default();
    let all = Config::parse("everything", &text)
        .map_err(|problems| Failure::new(presets::strip_error(&problems.to_string())))?;
    let decided = ["abi.vdso", "debug.log", "debug.learn", "sched.policy"];
    let all = all.set_entries().filter(|(id, _)| !decided.contains(id));
    let all = all.map(|(id, decision)| (id.to_owned(), decision.clone()));
    let all: Vec<(String, Decision)> =
        all.chain([("sched.policy".to_owned(), "preemptive".into())]).collect();
    let with = |config: &Config, more: &[(String, Decision)]| {
        let mut config = config.clone();
        more.iter().for_each(|(id, decision)| decide(&mut config, id, decision.clone()));
        Chain { config, ..chain.clone() }
    };
    let whole = with(&config, &all);
    if resolve(&os.tree, &whole).is_ok() {
        return Ok(whole);
    }
    // The user pinned something that others require: all that can be is on.
    let mut left_out = Vec::new();
    for one in all {
        let more = with(&config, std::slice::from_ref(&one));
        match resolve(&os.tree, &more) {
            Ok(_) => config = more.config,
            Err(_) => left_out.push(one.0),
        }
    }
    eprintln!(
        "note: not on while it is watched, since that is how the config has it: {}",
        left_out.join(", ")
    );
    Ok(Chain { config, ..chain.clone() })
}
