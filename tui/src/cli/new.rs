//! `bespoke new`: from a program to a config that fits it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bespoke_kernel::program::{self, Language, Libc, Program, ProgramKind};
use bespoke_model::{Config, Tree};
use serde_json::json;

use super::args::New;
use super::{Done, Stop, print, print_json, resolve};
use crate::backend::Kernel;
use crate::presets::{self, Failure};

/// A part that a program is likely to need, and why.
struct Proposal {
    id: &'static str,
    why: &'static str,
}

/// What programs of a kind call before and around their `main`, as families of system calls and the parts behind them.
const EVERY: &[Proposal] = &[
    Proposal { id: "abi.write", why: "to print" },
    Proposal { id: "abi.read", why: "to read" },
    Proposal { id: "abi.descriptors", why: "to close and copy descriptors" },
    Proposal { id: "abi.tls", why: "thread-local storage, set up before main" },
    Proposal { id: "abi.open", why: "to open files" },
    Proposal { id: "abi.stat", why: "to look at files" },
    Proposal { id: "abi.terminal", why: "the C library asks whether it prints to a terminal" },
    Proposal { id: "abi.clock", why: "to tell the time" },
    Proposal { id: "abi.random", why: "for hash seeds and stack canaries" },
    Proposal { id: "memory.brk", why: "the C library's heap" },
    Proposal { id: "memory.mmap", why: "large allocations, and thread stacks" },
    Proposal { id: "memory.protect", why: "relocated data is made read-only" },
    Proposal { id: "sched.signal", why: "runtimes set their signal handlers up" },
];

const GLIBC: &[Proposal] = &[
    Proposal { id: "abi.limits", why: "glibc asks for the stack limit" },
    Proposal { id: "abi.system", why: "glibc asks for the kernel's name and release" },
    Proposal { id: "abi.links", why: "glibc finds its own path" },
];

const THREADS: &[Proposal] = &[
    Proposal { id: "sched.futex", why: "locks" },
    Proposal { id: "sched.clone", why: "threads" },
    Proposal { id: "sched.sleep", why: "waiting" },
    Proposal { id: "sched.yielding", why: "spinning locks give way" },
    Proposal { id: "sched.affinity", why: "the runtime counts processors" },
    Proposal { id: "abi.poll", why: "the runtime checks its standard descriptors" },
    Proposal { id: "abi.identity", why: "the runtime asks for thread ids" },
];

const GO: &[Proposal] = &[
    Proposal { id: "sched.timer", why: "Go's scheduler preempts with timers" },
    Proposal { id: "memory.advice", why: "Go's collector gives memory back" },
    Proposal { id: "abi.epoll", why: "Go waits for events with it, timers included" },
    Proposal { id: "abi.pipes", why: "Go wakes its waiting thread through one" },
    Proposal { id: "abi.limits", why: "Go raises its limit on open files" },
];

fn proposals(program: &Program) -> Vec<&'static Proposal> {
    let mut found: Vec<&'static Proposal> = EVERY.iter().collect();
    let glibc = program.libc == Some(Libc::Glibc);
    if glibc || matches!(program.kind, ProgramKind::Dynamic { .. }) {
        found.extend(GLIBC);
    }
    if program.language.is_some() || glibc {
        found.extend(THREADS);
    }
    if program.language == Some(Language::Go) {
        found.extend(GO);
    }
    found
}

/// A program in a few words.
pub fn describe(program: &Program) -> String {
    let kind = match &program.kind {
        ProgramKind::Static => "a static program".to_owned(),
        ProgramKind::StaticPie => "a static, position-independent program".to_owned(),
        ProgramKind::Dynamic { needed, .. } => format!("a dynamic program with {} libraries", needed.len()),
    };
    let language = match program.language {
        Some(Language::Go) => ", in Go",
        Some(Language::Rust) => ", in Rust",
        Some(Language::Cxx) => ", in C++",
        None => "",
    };
    let libc = match program.libc {
        Some(Libc::Glibc) => ", with glibc",
        Some(Libc::Musl) => ", with musl",
        None => "",
    };
    format!("{kind}{language}{libc}")
}

/// Finds a program as a shell would.
fn find(given: &Path) -> Result<PathBuf, Failure> {
    if given.exists() {
        return Ok(given.to_path_buf());
    }
    if given.components().count() == 1
        && let Some(paths) = std::env::var_os("PATH")
        && let Some(found) =
            std::env::split_paths(&paths).map(|dir| dir.join(given)).find(|path| path.is_file())
    {
        return Ok(found);
    }
    Err(Failure::new(format!("there is no program {}", given.display())))
}

/// `bespoke new`.
pub fn new(args: &New) -> Done {
    let path = find(&args.program)?;
    let bytes = std::fs::read(&path)
        .map_err(|error| Stop::no(format!("cannot read {}: {}", path.display(), presets::plain(&error))))?;
    let program = program::inspect(&bytes).map_err(|error| {
        let failure = Failure::from_kernel(&error);
        Stop::No(Failure { message: format!("{}: {}", path.display(), failure.message), ..failure })
    })?;
    let name = path.file_name().map_or_else(|| "program".into(), |n| n.to_string_lossy().into_owned());
    let to = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.toml")));
    if to.exists() && !args.force {
        let failure = Failure::new(format!("{} exists", to.display()));
        return Err(Stop::No(failure.hint("--force overwrites it; -o names another file")));
    }
    let kernel = Kernel::new();
    let tree = &kernel.os().tree;
    let preset = args.preset.strip_prefix("preset:").unwrap_or(&args.preset);
    let text = write(tree, &name, &relative(&path, &to), &program, preset);
    let config = Config::parse(&to.to_string_lossy(), &text)
        .map_err(|d| Stop::no(presets::strip_error(&d.to_string())))?;
    let chain = presets::chain(config, presets::dir_of(&to))?;
    resolve(tree, &chain)?;
    presets::write(&to, &text)?;
    if args.json {
        print_json(&json!({
            "config": to,
            "program": path,
            "about": describe(&program),
            "parts": proposals(&program).iter().map(|p| p.id).filter(|id| tree.find(id).is_some()).collect::<Vec<_>>(),
        }));
    } else {
        print(&format!("{}  {}\n", to.display(), describe(&program)));
        if let ProgramKind::Dynamic { .. } = program.kind {
            print(
                "its libraries are not collected yet: list them under [files], or link the program statically\n",
            );
        }
        print(&format!("next: bespoke run {0}, or bespoke {0} to look at it\n", to.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The program's path as the config says it: absolute ones stay, others start at the config's folder.
fn relative(program: &Path, config: &Path) -> String {
    let dir = presets::dir_of(config);
    if program.is_absolute() || dir == Path::new(".") {
        return program.to_string_lossy().into_owned();
    }
    let absolute = std::path::absolute(program).unwrap_or_else(|_| program.to_path_buf());
    absolute.to_string_lossy().into_owned()
}

fn write(tree: &Tree, name: &str, path: &str, program: &Program, preset: &str) -> String {
    let quote = |text: &str| toml::Value::from(text).to_string();
    let mut out = format!("# {name}: {}.\n", describe(program));
    out.push_str(
        "# [fit] is what programs of this kind need; it gives way to what you decide under [set].\n",
    );
    out.push_str("schema = 1\n");
    out.push_str(&format!(
        "extends = {}\n\n[program]\npath = {}\n\n[fit]\n",
        quote(&format!("preset:{preset}")),
        quote(path)
    ));
    let mut seen: Vec<&str> = Vec::new();
    for proposal in proposals(program) {
        if tree.find(proposal.id).is_some() && !seen.contains(&proposal.id) {
            seen.push(proposal.id);
            let line = format!("\"{}\" = true", proposal.id);
            out.push_str(&format!("{line:<28} # {}\n", proposal.why));
        }
    }
    out
}
