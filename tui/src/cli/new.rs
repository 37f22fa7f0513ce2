//! `bespoke new`: from a program to a config that fits it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bespoke_kernel::fit::Keep;
use bespoke_kernel::program::{self, Program};
use bespoke_kernel::{Payload, Sysroot, named};
use bespoke_model::{Config, Evidence};
use serde_json::json;

use super::args::New;
use super::{Done, Stop, print, print_json};
use crate::app::doc::Backend as _;
use crate::backend::Kernel;
use crate::fit;
use crate::presets::{self, Chain, Failure};
use crate::text;

/// Paths that are told in a line.
const SHOWN: usize = 4;

/// Finds a program as a shell would.
fn find(given: &Path) -> Result<PathBuf, Failure> {
    if given.exists() {
        return Ok(given.to_path_buf());
    }
    if given.components().count() == 1
        && let Some(found) = program::in_path(given)
    {
        return Ok(found);
    }
    let failure = Failure::new(format!("there is no program {}", given.display()));
    Err(failure.hint("give its path, or a name that the shell would find; is it installed?"))
}

/// `bespoke new`.
pub fn new(args: &New) -> Done {
    if let Some(archive) = &args.image {
        return super::image::new(args, archive);
    }
    let given = args.program.clone().unwrap_or_default();
    let (path, program, bytes) = match &args.root {
        Some(folder) => in_root(folder, &given)?,
        None => here(&given)?,
    };
    let name = path.file_name().map_or_else(|| "program".into(), |n| n.to_string_lossy().into_owned());
    let to = target(args, &name)?;
    let kernel = Kernel::new();
    let tree = &kernel.os().tree;
    let preset = args.preset.strip_prefix("preset:").unwrap_or(&args.preset);
    let head = Head {
        name: &name,
        path: match &args.root {
            Some(_) => path.to_string_lossy().into_owned(),
            None => relative(&path, &to),
        },
        root: args.root.as_ref().map(|root| relative(root, &to)),
        args: &args.args,
        about: text::program(&program),
        preset,
    };
    let mut chain = parse(&to, &write(&head, &Ok(Vec::new())))?;
    let payload = kernel.payload(&chain);
    let libraries =
        payload.as_ref().map(|payload| libraries(payload)).map_err(|failure| failure.message.clone());
    chain = parse(&to, &write(&head, &libraries))?;
    let mut evidence = Evidence::default();
    let scanned = match &payload {
        Ok(payload) => fit::scan(kernel.os(), payload, &mut evidence)?,
        // Its libraries are not all there: what the program itself says is better than nothing.
        Err(_) => {
            let own = path.to_string_lossy();
            fit::scan_files(kernel.os(), &program, &[(&own, &bytes)], &mut evidence)?
        }
    };
    let measure = kernel.measure(&chain).ok();
    let fitted = fit::rewrite(kernel.os(), &chain, &evidence, Keep::Found, measure.as_deref())?;
    // A file of another system may have a namesake here, which says nothing.
    let named = match &payload {
        Ok(payload) if args.root.is_none() => named::paths(payload, &args.args, Path::exists),
        _ => Vec::new(),
    };
    presets::write(&to, fitted.config.text())?;
    fit::keep(&to, &evidence)?;
    if args.json {
        print_json(&json!({
            "config": to,
            "evidence": fit::evidence_path(&to),
            "program": path,
            "about": text::program(&program),
            "parts": fitted.fit.proposals.iter().filter(|p| !p.needs.is_empty())
                .map(|p| tree.node(p.part).id.as_str()).collect::<Vec<_>>(),
            "unserved": fitted.fit.unserved,
            "processes": fitted.fit.processes,
            "libraries": libraries.as_ref().unwrap_or(&Vec::new()),
            "not_packed": named,
            "scan": super::fit::scan_json(&scanned),
        }));
    } else {
        print(&format!("{}  {}\n", to.display(), text::program(&program)));
        print(&format!("{}\n", scanned.words()));
        if let Err(why) = &libraries {
            print(&format!("it cannot be packed yet: {why}\n"));
        }
        print(&super::fit::warnings(&fitted.fit, &evidence));
        if !named.is_empty() {
            let mut words: Vec<String> = named.iter().take(SHOWN).cloned().collect();
            if named.len() > SHOWN {
                words.push(format!("{} more", named.len() - SHOWN));
            }
            print(&format!(
                "it names what is here and not in the image: {}; if it wants that, `bespoke fit {} --trace` runs it here and packs what it opens\n",
                text::listed(&words),
                to.display()
            ));
        }
        print(&format!(
            "next: `bespoke run {0}` boots it, `bespoke fit {0} --learn` finds out what it really uses\n",
            to.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// A program of this machine: its path, what it is, and its bytes.
fn here(given: &Path) -> Result<(PathBuf, Program, Vec<u8>), Failure> {
    let path = find(given)?;
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::new(format!("cannot read {}: {}", path.display(), presets::plain(&error)))
    })?;
    let program = program::inspect(&bytes).map_err(|error| {
        let failure = Failure::from_kernel(&error);
        Failure { message: format!("{}: {}", path.display(), failure.message), ..failure }
    })?;
    Ok((path, program, bytes))
}

/// A program of another system: its path there, what it is, and its bytes.
fn in_root(folder: &Path, given: &Path) -> Result<(PathBuf, Program, Vec<u8>), Failure> {
    let root = Sysroot::open(folder).map_err(|error| Failure::from_kernel(&error))?;
    let Some(path) = root.find(given) else {
        let failure =
            Failure::new(format!("there is no program {} in {}", given.display(), folder.display()));
        return Err(failure.hint("give its path from that folder; its links lead nowhere else"));
    };
    let (program, bytes) = root.inspect(&path).map_err(|error| Failure::from_kernel(&error))?;
    Ok((path, program, bytes))
}

/// Where the config goes, unless something is there.
pub fn target(args: &New, name: &str) -> Result<PathBuf, Stop> {
    let to = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.toml")));
    if to.exists() && !args.force {
        let failure = Failure::new(format!("{} exists", to.display()));
        return Err(Stop::No(failure.hint("--force overwrites it; -o names another file")));
    }
    Ok(to)
}

/// A config's text with what it extends.
pub fn parse(to: &Path, text: &str) -> Result<Chain, Failure> {
    let config = Config::parse(&to.to_string_lossy(), text)
        .map_err(|d| Failure::new(presets::strip_error(&d.to_string())))?;
    presets::chain(config, presets::dir_of(to))
}

/// The program's path as the config says it: absolute ones stay, others start at the config's folder.
pub fn relative(program: &Path, config: &Path) -> String {
    let dir = presets::dir_of(config);
    if program.is_absolute() || dir == Path::new(".") {
        return program.to_string_lossy().into_owned();
    }
    let absolute = std::path::absolute(program).unwrap_or_else(|_| program.to_path_buf());
    absolute.to_string_lossy().into_owned()
}

/// The libraries that a program brings along.
fn libraries(payload: &Payload) -> Vec<String> {
    let own = payload.program_path().unwrap_or_default();
    let library =
        |path: &str| path != own && path.rsplit('/').next().is_some_and(|name| name.contains(".so"));
    payload.files().map(|(path, _)| path.to_owned()).filter(|path| library(path)).collect()
}

/// What a config says about its program.
struct Head<'a> {
    name: &'a str,
    path: String,
    root: Option<String>,
    args: &'a [String],
    about: String,
    preset: &'a str,
}

fn write(head: &Head, libraries: &Result<Vec<String>, String>) -> String {
    let quote = |text: &str| toml::Value::from(text).to_string();
    let mut out = format!("# {}: {}.\n", head.name, head.about);
    match libraries {
        Ok(files) if files.is_empty() => {}
        Ok(files) => {
            out.push_str("# Each build finds these for it, by itself, and packs them:\n");
            out.extend(files.iter().map(|path| format!("#   {path}\n")));
            out.push_str("# What it opens by name as it runs is not among them: list that under [files].\n");
        }
        Err(why) => out.push_str(&format!("# Its libraries were not found: {why}.\n")),
    }
    out.push_str("schema = 1\n");
    out.push_str(&format!(
        "extends = {}\n\n[program]\npath = {}\n",
        quote(&format!("preset:{}", head.preset)),
        quote(&head.path)
    ));
    if let Some(root) = &head.root {
        out.push_str(&format!("root = {}  # `path` and its libraries lie in there\n", quote(root)));
    }
    match head.args {
        [] => out.push_str("# args = [\"--port\", \"6379\"]\n"),
        args => {
            let args: Vec<String> = args.iter().map(|arg| quote(arg)).collect();
            out.push_str(&format!("args = [{}]\n", args.join(", ")));
        }
    }
    // As init(1) and containers have it: many programs do not start without.
    out.push_str("env = [\"HOME=/\"]\n\n");
    out.push_str("# [files]\n# \"/etc/app.conf\" = \"app.conf\"  # path in the image = path here\n\n");
    out
}
