//! Bespoke: an operating system cut to fit one program.
//!
//! This binary shows and asks. What may be chosen is decided by `bespoke-model`, what an image is by `bespoke-kernel`.
#![forbid(unsafe_code)]

mod app;
mod backend;
mod cli;
mod fit;
mod presets;
mod resolved;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod ui;
mod view;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if let Some(code) = words.get(1).and_then(|word| cli::misspelt(word)) {
        return code;
    }
    cli::run(cli::args::Cli::parse_from(words))
}
