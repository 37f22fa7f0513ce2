//! Commands that make and boot images: `build`, `run`.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use bespoke_kernel::oci::{NEEDED, is_reference, reference_for};
use bespoke_kernel::run::{self as machine, Accel, Machine, Options};
use serde_json::json;

use super::args::{AccelName, Build, MachineName, Run};
use super::{Done, Loaded, Stop, load, print, print_json};
use crate::backend;
use crate::presets::{self, Failure};
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
    let oci = args.format == "oci";
    if args.tag.is_some() && !oci {
        let failure = Failure::new("--tag names an OCI image");
        return Err(Stop::Usage(failure.hint("add --format oci")));
    }
    let usual = image_path(&args.config);
    let reference = match &args.tag {
        Some(tag) if !is_reference(tag) => {
            let failure = Failure::new(format!("`{tag}` is not an image's name"));
            return Err(Stop::Usage(
                failure.hint("write NAME:TAG in lower case, such as registry.example/redis:7"),
            ));
        }
        Some(tag) => tag.clone(),
        None => reference_for(&usual.file_stem().unwrap_or_default().to_string_lossy()),
    };
    let to = match &args.output {
        Some(output) => output.clone(),
        None if oci => usual.with_extension("oci.tar"),
        None => usual,
    };
    // A layout that is there already is written into.
    let folder = to.is_dir() || to.as_os_str().as_encoded_bytes().ends_with(b"/");
    let loaded = load(&args.config)?;
    let progress = std::io::stderr().is_terminal() && !args.json;
    if progress {
        let _ = write!(std::io::stderr(), "building {}\r", to.display());
    }
    let os = loaded.kernel.os();
    let result = match oci {
        true => backend::build_oci(os, &loaded.chain, &loaded.resolution, &to, folder, &reference),
        false => backend::build(os, &loaded.chain, &loaded.resolution, &to),
    };
    if progress {
        let blank = " ".repeat(text::width(&format!("building {}", to.display())));
        let _ = write!(std::io::stderr(), "{blank}\r");
    }
    let bytes = result?;
    let millis = start.elapsed().as_secs_f64() * 1000.0;
    let lacks = if oci { lacks(&loaded) } else { Vec::new() };
    if !lacks.is_empty() {
        let reasons: Vec<String> = lacks.iter().map(|(id, why)| format!("without {id} {why}")).collect();
        let ids: Vec<String> = lacks.iter().map(|(id, _)| format!("{id}=on")).collect();
        let warning = text::listed(&reasons);
        eprintln!("warning: urunc and kraft would start this image, but {warning}");
        eprintln!("hint: bespoke set {} {}", args.config, ids.join(" "));
    }
    if args.json {
        let mut said =
            json!({ "path": to, "image_bytes": bytes, "milliseconds": (millis * 10.0).round() / 10.0 });
        if oci {
            said["tag"] = json!(reference);
            said["lacks"] = json!(lacks.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        }
        print_json(&said);
    } else if oci {
        print(&format!("{}  {reference}, {} to boot  {millis:.0} ms\n", to.display(), text::bytes(bytes)));
    } else {
        print(&format!("{}  {}  {millis:.0} ms\n", to.display(), text::bytes(bytes)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Parts that an OCI image should have and does not, and why.
fn lacks(loaded: &Loaded) -> Vec<(&'static str, &'static str)> {
    let is_on = |id: &str| loaded.tree().find(id).is_some_and(|part| loaded.resolution.is_on(part));
    let needed = NEEDED.iter().filter(|(id, with, _)| !is_on(id) && with.is_none_or(is_on));
    needed.map(|(id, _, why)| (*id, *why)).collect()
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
    options.connected =
        args.net.parse().map_err(|error: machine::RunError| Stop::Usage(Failure::from_kernel(&error)))?;
    options.ports = written(&args.ports)?;
    options.drives = written(&args.disks)?;
    options.shares = written(&args.shares)?;
    options.vsock = written(args.vsock.as_slice())?.pop();
    let target = Path::new(&args.target);
    // The image of a config lives until the machine has stopped.
    let scratch;
    let head = if args.target.starts_with("preset:") { Vec::new() } else { head(target) };
    let image = if is_archive(target, &head) {
        let kernel = backend::kernel_of(target)?;
        scratch = scratch_folder()?;
        let image = scratch.path().join("image");
        std::fs::write(&image, kernel).map_err(|error| {
            Stop::no(format!("cannot write a temporary file: {}", presets::plain(&error)))
        })?;
        image
    } else if head.starts_with(b"\x7fELF") {
        if !is_image(&head) {
            let failure = Failure::new(format!("{} is a program, not an image or a config", args.target));
            return Err(Stop::No(
                failure.hint(format!("to write a config for it: bespoke new {}", args.target)),
            ));
        }
        target.to_path_buf()
    } else {
        let loaded = load(&args.target)?;
        scratch = scratch_folder()?;
        let image = scratch.path().join("image");
        let fits = backend::options(loaded.tree(), &loaded.resolution);
        let is_on = |id| loaded.tree().find(id).is_some_and(|part| loaded.resolution.is_on(part));
        for (given, id, what) in [
            (!args.disks.is_empty(), "fs.disk", "disk"),
            (!args.shares.is_empty(), "fs.share", "share"),
            (args.vsock.is_some(), "driver.virtio-vsock", "socket device"),
        ] {
            if given && !is_on(id) {
                let failure = Failure::new(format!("{id} is off: the program would not see the {what}"));
                return Err(Stop::No(failure.hint(format!("bespoke set {} {id}=on", args.target))));
            }
        }
        options.network = fits.network;
        options.entropy = fits.entropy;
        options.guest_address = fits.guest_address;
        backend::build(loaded.kernel.os(), &loaded.chain, &loaded.resolution, &image)?;
        image
    };
    super::machine::boot(&image, options, Duration::from_secs(args.grace))
}

fn scratch_folder() -> Result<tempfile::TempDir, Stop> {
    tempfile::Builder::new()
        .prefix("bespoke-run-")
        .tempdir()
        .map_err(|error| Stop::no(format!("cannot make a temporary folder: {}", presets::plain(&error))))
}

/// Whether it is an OCI layout: a folder with an index, or an archive.
fn is_archive(path: &Path, head: &[u8]) -> bool {
    let tar = head.get(257..262) == Some(b"ustar");
    tar || head.starts_with(b"\x1f\x8b") || path.join("index.json").is_file()
}

/// Ports to publish, disks and shares, as they are written.
pub fn written<T: FromStr<Err = machine::RunError>>(words: &[String]) -> Result<Vec<T>, Stop> {
    let parse = |word: &String| word.parse().map_err(|error| Stop::Usage(Failure::from_kernel(&error)));
    words.iter().map(parse).collect()
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
