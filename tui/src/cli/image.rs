//! `bespoke new --image`: from a container image to a config.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use bespoke_kernel::fit::Keep;
use bespoke_kernel::oci::{self, FileKind, Image, Launch, Limits, Pick, Wanted};
use bespoke_kernel::program::{self, Program};
use bespoke_kernel::{Payload, Sizer};
use bespoke_model::{Config, Evidence, ImageSource};
use serde_json::json;

use super::args::New;
use super::new::{parse, relative, target};
use super::{Done, Stop, print, print_json};
use crate::backend::Kernel;
use crate::fit;
use crate::presets::{self, Failure};
use crate::text;

/// `bespoke new --image`.
pub fn new(args: &New, archive: &Path) -> Done {
    let limits = limits(args)?;
    let progress = std::io::stderr().is_terminal() && !args.json;
    let line = format!("reading {}", archive.display());
    if progress {
        let _ = write!(std::io::stderr(), "{line}\r");
    }
    let pick = Pick { tag: args.tag.clone(), id: None };
    let opened = Image::open(archive, &pick, limits);
    if progress {
        let _ = write!(std::io::stderr(), "{}\r", " ".repeat(text::width(&line)));
    }
    let image = opened.map_err(|error| {
        let failure = Failure::from_kernel(&error);
        Stop::No(Failure { message: format!("{}: {}", archive.display(), failure.message), ..failure })
    })?;
    if image.kind(oci::KERNEL, true).is_some() && image.kind("/urunc.json", true).is_some() {
        let failure = Failure::new(format!("{} holds a unikernel already", archive.display()));
        return Err(Stop::No(failure.hint(format!("to boot it: bespoke run {}", archive.display()))));
    }

    let command = args.program.as_ref().map(|program| {
        let mut words = vec![program.to_string_lossy().into_owned()];
        words.extend(args.args.iter().cloned());
        words
    });
    let mut launch = Launch::of(&image, command.as_deref())
        .map_err(|error| Failure::from_kernel(&plain(&error.to_string())))?;
    if command.is_none() && !args.args.is_empty() {
        launch.args.clone_from(&args.args);
    }
    let bytes = image
        .read_file(&launch.path)
        .map_err(|error| Stop::no(format!("cannot read {}: {}", launch.path, presets::plain(&error))))?;
    let inspected = program::inspect(&bytes).map_err(|error| {
        let failure = Failure::from_kernel(&error);
        Stop::No(Failure { message: format!("{} in the image: {}", launch.path, failure.message), ..failure })
    })?;
    let name = plain(launch.path.rsplit('/').next().unwrap_or("program"));
    let to = target(args, &name)?;

    let mut source = ImageSource {
        archive: relative(archive, &to),
        id: Some(image.id().to_string()),
        max_size: args.max_size.as_ref().map(|_| limits.bytes),
        max_files: args.max_files,
        ..ImageSource::default()
    };
    let libraries = libraries(&image, &source, &launch)?;
    let wanted = match args.all_files {
        true => Vec::new(),
        false => oci::wanted(&image, &launch, &bytes, &libraries),
    };
    source.files = wanted.iter().map(|wanted| wanted.path.clone()).collect();
    if args.all_files {
        source.files.push("/".into());
    } else {
        source.folders = oci::folders(&image, &bytes);
    }

    let kernel = Kernel::new();
    let tree = &kernel.os().tree;
    let text = Text { args, archive, image: &image, source: &source, launch: &launch, program: &inspected }
        .write(&libraries, &wanted);
    let chain = parse(&to, &text)?;
    let payload = Payload::load_from(&chain.flattened(), presets::dir_of(&to), Some(&image))
        .map_err(|error| Failure::from_kernel(&error))?;
    let packed = payload.contents();
    let mut evidence = Evidence::default();
    let scanned = fit::scan(kernel.os(), &payload, &mut evidence)?;
    let sizer = Sizer::new(kernel.os(), &payload);
    let fitted = fit::rewrite(kernel.os(), &chain, &evidence, Keep::Found, Some(&sizer))?;
    presets::write(&to, fitted.config.text())?;
    fit::keep(&to, &evidence)?;

    let (whole, entries) = image.size();
    if args.json {
        print_json(&json!({
            "config": to,
            "image": archive,
            "id": image.id().to_string(),
            "program": launch.path,
            "args": launch.args,
            "about": text::program(&inspected),
            "notes": launch.notes,
            "ports": image.start().ports().collect::<Vec<_>>(),
            "evidence": fit::evidence_path(&to),
            "parts": fitted.fit.proposals.iter().filter(|p| !p.needs.is_empty())
                .map(|p| tree.node(p.part).id.as_str()).collect::<Vec<_>>(),
            "unserved": fitted.fit.unserved,
            "processes": fitted.fit.processes,
            "scan": super::fit::scan_json(&scanned),
            "libraries": libraries,
            "files": wanted.iter().map(|w| json!({ "path": w.path, "bytes": w.bytes, "why": w.why })).collect::<Vec<_>>(),
            "image_bytes": whole,
            "image_files": entries,
            "packed_bytes": packed,
            "skipped": image.skipped().iter().map(|s| json!({ "name": s.name, "why": s.why })).collect::<Vec<_>>(),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("{}  {}, {}\n", to.display(), plain(&launch.path), text::program(&inspected)));
    for note in &launch.notes {
        print(&format!("note: {}\n", plain(note)));
    }
    print(&format!("{}\n", scanned.words()));
    print(&super::fit::warnings(&fitted.fit, &evidence));
    print(&format!(
        "of {} in {} of the image {} are packed{}\n",
        text::human(whole),
        text::count(usize::try_from(entries).unwrap_or(usize::MAX), "file"),
        text::human(packed),
        if args.all_files { "" } else { "; --all-files packs all" }
    ));
    let publish: String =
        ports(&image).into_iter().take(1).map(|port| format!(" -p {port}:{port}")).collect();
    print(&format!(
        "next: `bespoke run {0}{publish}` boots it, `bespoke {0}` shows what is in it\n",
        to.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn limits(args: &New) -> Result<Limits, Stop> {
    let mut limits = Limits::default();
    if let Some(size) = &args.max_size {
        limits.bytes = text::parse_size(size).filter(|bytes| *bytes > 0).ok_or_else(|| {
            Stop::Usage(Failure::new(format!("`{size}` is not a size")).hint("write a size such as 16G"))
        })?;
        // Who says how large it may be does not mind how it is compressed.
        limits.ratio = u64::MAX;
    }
    limits.files = args.max_files.unwrap_or(limits.files);
    Ok(limits)
}

/// The ports that an image says it listens at.
fn ports(image: &Image) -> Vec<u16> {
    let number = |port: &str| port.split('/').next().and_then(|port| port.parse().ok());
    image.start().ports().filter_map(number).collect()
}

/// The libraries that the program brings along.
fn libraries(image: &Image, source: &ImageSource, launch: &Launch) -> Result<Vec<String>, Failure> {
    let mut config = Config::new("");
    config.set_image(source);
    config.set_program(&bespoke_model::Program {
        path: launch.path.clone(),
        ..bespoke_model::Program::default()
    });
    let payload = Payload::load_from(&config, Path::new("/"), Some(image))
        .map_err(|error| Failure::from_kernel(&error))?;
    let own = image.real_path(&launch.path).unwrap_or_default();
    let library = |path: &str| {
        path != own
            && matches!(image.kind(path, false), Some(FileKind::File(_)))
            && path.rsplit('/').next().is_some_and(|name| name.contains(".so"))
    };
    Ok(payload.files().map(|(path, _)| path.to_owned()).filter(|path| library(path)).collect())
}

/// What the config is written from.
struct Text<'a> {
    args: &'a New,
    archive: &'a Path,
    image: &'a Image,
    source: &'a ImageSource,
    launch: &'a Launch,
    program: &'a Program,
}

impl Text<'_> {
    fn write(&self, libraries: &[String], wanted: &[Wanted]) -> String {
        let quote = |text: &str| toml::Value::from(text).to_string();
        let list = |items: &[String]| -> String {
            let items: Vec<String> = items.iter().map(|item| quote(item)).collect();
            format!("[{}]", items.join(", "))
        };
        let name = self.launch.path.rsplit('/').next().unwrap_or_default();
        let mut out = format!(
            "# {}: {}, from the container image {}.\n",
            plain(name),
            text::program(self.program),
            self.archive.file_name().unwrap_or_default().to_string_lossy()
        );
        for note in &self.launch.notes {
            out.push_str(&format!("# {}\n", plain(note)));
        }
        for port in self.image.start().ports() {
            out.push_str(&format!("# It listens at {}.\n", plain(port)));
        }
        if !libraries.is_empty() {
            out.push_str("# Each build finds these in the image, by itself, and packs them:\n");
            out.extend(libraries.iter().map(|path| format!("#   {}\n", plain(path))));
        }
        let preset = self.args.preset.strip_prefix("preset:").unwrap_or(&self.args.preset);
        out.push_str(&format!("schema = 1\nextends = {}\n\n", quote(&format!("preset:{preset}"))));

        out.push_str(&format!("[image]\narchive = {}\n", quote(&self.source.archive)));
        if let Some(id) = &self.source.id {
            out.push_str(&format!("id = {}  # a build refuses any other\n", quote(id)));
        }
        if let Some(size) = self.source.max_size {
            out.push_str(&format!("max-size = {size}\n"));
        }
        if let Some(files) = self.source.max_files {
            out.push_str(&format!("max-files = {files}\n"));
        }
        if self.args.all_files {
            out.push_str("files = [\"/\"]  # all of it; `without = [\"/usr/share/doc\"]` leaves some out\n");
        } else {
            out.push_str("files = [  # packed besides the program and its libraries\n");
            let width = wanted.iter().map(|wanted| quote(&wanted.path).len()).max().unwrap_or(0);
            for Wanted { path, why, bytes } in wanted {
                let path = format!("{},", quote(path));
                out.push_str(&format!(
                    "    {path:<0$}  # {1}; {2}\n",
                    width + 1,
                    text::human(*bytes),
                    plain(why)
                ));
            }
            out.push_str("]\n");
        }
        if !self.source.folders.is_empty() {
            out.push_str(&format!(
                "folders = {}  # there, without what is in them\n",
                list(&self.source.folders)
            ));
        }

        out.push_str(&format!("\n[program]\npath = {}\n", quote(&self.launch.path)));
        if !self.launch.args.is_empty() {
            out.push_str(&format!("args = {}\n", list(&self.launch.args)));
        }
        if !self.launch.env.is_empty() {
            out.push_str(&format!("env = {}\n", list(&self.launch.env)));
        }
        if self.launch.cwd != "/" {
            out.push_str(&format!("cwd = {}\n", quote(&self.launch.cwd)));
        }
        if let Some((uid, gid)) = self.launch.user {
            out.push_str(&format!("user = \"{uid}:{gid}\"\n"));
        }
        out.push_str("\n# [files]\n# \"/etc/app.conf\" = \"app.conf\"  # path in the image = path here; goes before the container's\n\n");
        out.push_str("[set]\n\"fs.root\" = \"memory\"  # a container's root may be written to\n");
        out
    }
}

/// A text from the image in one line, which neither ends a comment nor moves a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
