//! The command line.

pub mod args;
mod build;
pub use build::{image_path, written};
mod decide;
mod disk;
mod fit;
mod image;
mod machine;
mod new;
mod pack;
mod preset;
mod show;
mod watch;

use std::ffi::OsStr;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use clap::CommandFactory as _;

use bespoke_model::{Resolution, Tree};

use self::args::{Cli, Command};
use crate::backend::Kernel;
use crate::presets::{self, Chain, Failure};
use crate::resolved::resolve;
use crate::text;

/// Why a command ends without having done what was asked.
#[derive(Debug)]
pub enum Stop {
    /// The answer is no: exit status 1.
    No(Failure),
    /// What was asked makes no sense: exit status 2.
    Usage(Failure),
    /// The answer is no, and it has been given.
    Silent,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::No(failure)
    }
}

impl Stop {
    /// The answer is no.
    pub fn no(message: impl Into<String>) -> Self {
        Stop::No(Failure::new(message))
    }
}

/// How a command ends.
pub type Done = Result<ExitCode, Stop>;

/// Says so when a first word is a slip for a command: by itself it would be taken for a config.
pub fn misspelt(word: &OsStr) -> Option<ExitCode> {
    let word = word.to_str().filter(|word| word.chars().all(|c| c.is_ascii_alphabetic()))?;
    let cli = Cli::command();
    let names: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    if word == "help" || names.contains(&word) || Path::new(word).exists() {
        return None;
    }
    let meant = bespoke_model::closest(word, names)?;
    let failure = Failure::new(format!("there is no command `{word}`, nor a config of that name"));
    eprint!("{}", render(&failure.hint(format!("did you mean `bespoke {meant}`?"))));
    Some(ExitCode::from(2))
}

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        None => crate::ui::open(&cli.open),
        Some(Command::List(args)) => show::list(&args),
        Some(Command::Set(args)) => decide::set(&args),
        Some(Command::Build(args)) => build::build(&args),
        Some(Command::Run(args)) => build::run(&args),
        Some(Command::Disk(args)) => disk::disk(&args),
        Some(Command::Check(args)) => decide::check(&args),
        Some(Command::Size(args)) => show::size(&args),
        Some(Command::Explain(args)) => show::explain(&args),
        Some(Command::Diff(args)) => show::diff(&args),
        Some(Command::New(args)) => new::new(&args),
        Some(Command::Fit(args)) => fit::fit(&args),
        Some(Command::Preset(args)) => preset::preset(&args),
    };
    let (failure, code) = match done {
        Ok(code) => return code,
        Err(Stop::Silent) => return ExitCode::from(1),
        Err(Stop::No(failure)) => (failure, 1),
        Err(Stop::Usage(failure)) => (failure, 2),
    };
    eprint!("{}", render(&failure));
    ExitCode::from(code)
}

/// A failure as it is printed: the cause, and a hint when there is one.
pub fn render(failure: &Failure) -> String {
    let red = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let (on, off) = if red { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let mut out = format!("{on}error{off}: {}\n", failure.message.trim_end());
    if let Some(hint) = &failure.hint {
        out.push_str(&format!("hint: {hint}\n"));
    }
    out
}

/// Prints to standard output. A reader that went away (`| head`) is no failure.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a value as JSON.
pub fn print_json(value: &serde_json::Value) {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    print(&text);
}

/// A config with everything that follows from it.
pub struct Loaded {
    /// The library OS.
    pub kernel: Rc<Kernel>,
    /// The config and what it extends.
    pub chain: Chain,
    /// What follows.
    pub resolution: Resolution,
}

impl Loaded {
    /// The tree.
    pub fn tree(&self) -> &'static Tree {
        &self.kernel.os().tree
    }
}

/// Loads a config, checks every decision in it, and resolves it.
pub fn load(spec: &str) -> Result<Loaded, Stop> {
    let kernel = Rc::new(Kernel::new());
    let chain = presets::load(spec)?;
    let resolution = resolve(&kernel.os().tree, &chain)?;
    Ok(Loaded { kernel, chain, resolution })
}

/// Columns that line up.
pub fn columns(rows: &[Vec<String>], right: &[usize]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|c| rows.iter().filter_map(|r| r.get(c)).map(|cell| text::width(cell)).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, cell) in row.iter().enumerate() {
            if c > 0 {
                line.push_str("  ");
            }
            if right.contains(&c) {
                line.push_str(&text::pad_left(cell, widths[c]));
            } else {
                line.push_str(&text::pad(cell, widths[c]));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
