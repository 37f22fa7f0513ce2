//! Commands that make and boot images: `build`, `run`.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use bespoke_kernel::run::{self as machine, Accel, Machine, Options, Publish};
use serde_json::json;

use super::args::{AccelName, Build, MachineName, Run};
use super::{Done, Stop, load, print, print_json};
use crate::backend;
use crate::presets::Failure;
use crate::text;

/// Where the image of a config goes when nobody says.
pub fn image_path(config: &str) -> PathBuf {
    match config.strip_prefix("preset:") {
        Some(name) => PathBuf::from(format!("{name}.img")),
        None => Path::new(config).with_extension("img"),
    }
}

/// `bespoke build`.
pub fn build(args: &Build) -> Done {
    let start = Instant::now();
    let to = args.output.clone().unwrap_or_else(|| image_path(&args.config));
    let loaded = load(&args.config)?;
    let progress = std::io::stderr().is_terminal() && !args.json;
    if progress {
        let _ = write!(std::io::stderr(), "building {}\r", to.display());
    }
    let result = backend::build(loaded.kernel.os(), &loaded.chain, &loaded.resolution, &to);
    if progress {
        let blank = " ".repeat(text::width(&format!("building {}", to.display())));
        let _ = write!(std::io::stderr(), "{blank}\r");
    }
    let bytes = result?;
    let millis = start.elapsed().as_secs_f64() * 1000.0;
    if args.json {
        print_json(
            &json!({ "path": to, "image_bytes": bytes, "milliseconds": (millis * 10.0).round() / 10.0 }),
        );
    } else {
        print(&format!("{}  {}  {millis:.0} ms\n", to.display(), text::bytes(bytes)));
    }
    Ok(ExitCode::SUCCESS)
}

/// `bespoke run`.
pub fn run(args: &Run) -> Done {
    let mut options = Options {
        args: args.args.clone(),
        machine: match args.machine {
            MachineName::Microvm => Machine::Microvm,
            MachineName::Q35 => Machine::Q35,
        },
        accel: match args.accel {
            AccelName::Auto => Accel::Auto,
            AccelName::Tcg => Accel::Tcg,
            AccelName::Kvm => Accel::Kvm,
        },
        ..Options::default()
    };
    if let Some(memory) = &args.memory {
        options.memory = match text::parse_size(memory) {
            Some(bytes) if bytes >= 1 << 20 => bytes,
            Some(_) => {
                let failure = Failure::new(format!("{memory} is too little memory for a machine"));
                return Err(Stop::Usage(failure.hint("1M is the least; write 64M for 64 MiB")));
            }
            None => {
                let failure = Failure::new(format!("`{memory}` is not a size"));
                return Err(Stop::Usage(failure.hint("write a size such as 64M")));
            }
        };
    }
    options.ports = ports(&args.ports)?;
    options.connected =
        args.net.parse().map_err(|error: machine::RunError| Stop::Usage(Failure::from_kernel(&error)))?;
    let target = Path::new(&args.target);
    // The image of a config lives until the machine has stopped.
    let scratch;
    let head = if args.target.starts_with("preset:") { Vec::new() } else { head(target) };
    let image = if head.starts_with(b"\x7fELF") {
        if !is_image(&head) {
            let failure = Failure::new(format!("{} is a program, not an image or a config", args.target));
            return Err(Stop::No(
                failure.hint(format!("to write a config for it: bespoke new {}", args.target)),
            ));
        }
        target.to_path_buf()
    } else {
        let loaded = load(&args.target)?;
        scratch = tempfile::Builder::new().prefix("bespoke-run-").tempdir().map_err(|error| {
            Stop::no(format!("cannot make a temporary folder: {}", crate::presets::plain(&error)))
        })?;
        let image = scratch.path().join("image");
        let fits = backend::options(loaded.tree(), &loaded.resolution);
        options.network = fits.network;
        options.guest_address = fits.guest_address;
        backend::build(loaded.kernel.os(), &loaded.chain, &loaded.resolution, &image)?;
        image
    };
    let outcome = machine::run(&image, &options).map_err(|error| Failure::from_kernel(&error))?;
    Ok(ExitCode::from(outcome.status as u8))
}

/// Ports to publish, as they are written.
pub fn ports(written: &[String]) -> Result<Vec<Publish>, Stop> {
    let parse = |port: &String| {
        port.parse().map_err(|error: machine::RunError| Stop::Usage(Failure::from_kernel(&error)))
    };
    written.iter().map(parse).collect()
}

/// The first bytes of a file, as many as hold an image's note.
fn head(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = std::fs::File::open(path).and_then(|file| file.take(1 << 16).read_to_end(&mut bytes));
    bytes
}

/// Whether a file that is ELF says where it is to be entered by a virtual machine monitor.
fn is_image(head: &[u8]) -> bool {
    // The note's type, then its name: XEN_ELFNOTE_PHYS32_ENTRY of "Xen".
    memchr::memmem::find(head, b"\x12\0\0\0Xen\0").is_some()
}
