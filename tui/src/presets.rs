//! Where configs come from: presets that ship, presets of the user's own, and files; and what they extend.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use bespoke_model::{Config, Decisions, ImageSource, Program};

use crate::text;

/// The presets that ship: names and texts.
pub const SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/presets.rs"));

/// What went wrong, and what to do about it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The cause; more than one line when it shows a place in a text.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure.
    pub fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), hint: None }
    }

    /// A failure from an error of the kernel, which says what to do behind a semicolon.
    pub fn from_kernel(error: &dyn std::fmt::Display) -> Self {
        let text = plain_text(&error.to_string());
        match text.rsplit_once("; ") {
            Some((message, hint)) => Failure::new(message).hint(hint),
            None => Failure::new(text),
        }
    }

    /// The same failure with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A config and everything that it extends.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The config itself.
    pub config: Config,
    /// What it extends, the nearest first, each with the name it is extended by.
    pub below: Vec<(String, Config)>,
    /// The folder that its paths start from.
    pub dir: PathBuf,
}

impl Chain {
    /// The decisions of all of them, in layers.
    pub fn decisions(&self) -> Decisions {
        let below: Vec<(&str, &Config)> =
            self.below.iter().map(|(name, config)| (name.as_str(), config)).collect();
        Decisions::from_config(&self.config, &below)
    }

    /// The config's program, or else the nearest one below.
    pub fn program(&self) -> Option<&Program> {
        self.config.program().or_else(|| self.below.iter().find_map(|(_, config)| config.program()))
    }

    /// The config's container image, or else the nearest one below.
    pub fn image(&self) -> Option<&ImageSource> {
        self.config.image().or_else(|| self.below.iter().find_map(|(_, config)| config.image()))
    }

    /// The program in a few words, when it is a file that can be looked at.
    pub fn about(&self) -> Option<String> {
        let path = &self.program()?.path;
        if path.starts_with("demo:") {
            return Some("a demo that comes with bespoke".to_owned());
        }
        // To look at it takes reading the whole image.
        if self.image().is_some() {
            return None;
        }
        if let Some(root) = self.program().and_then(|program| program.root.as_ref()) {
            let root = bespoke_kernel::Sysroot::open(&self.dir.join(root)).ok()?;
            return Some(text::program(&root.inspect(Path::new(path)).ok()?.0));
        }
        let bytes = fs::read(self.dir.join(path)).ok()?;
        Some(text::program(&bespoke_kernel::program::inspect(&bytes).ok()?))
    }

    /// The config with what it inherits besides decisions written into it: the program, when it names none.
    pub fn flattened(&self) -> Config {
        let mut config = self.config.clone();
        if config.program().is_none()
            && let Some(program) = self.program()
        {
            config.set_program(program);
        }
        if config.image().is_none()
            && let Some(image) = self.image()
        {
            config.set_image(image);
        }
        for (_, below) in &self.below {
            for (guest, host) in below.files() {
                if !config.files().contains_key(guest) && !config.texts().contains_key(guest) {
                    config.set_file(guest, Some(host));
                }
            }
            for (guest, contents) in below.texts() {
                if !config.files().contains_key(guest) && !config.texts().contains_key(guest) {
                    config.set_text(guest, Some(contents));
                }
            }
        }
        config
    }
}

/// The folder for the user's own presets.
fn own_dir() -> Option<PathBuf> {
    Some(crate::app::keymap::user_file()?.with_file_name("presets"))
}

/// The names of all presets: those that ship, then the user's own.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut own: Vec<String> = own_dir()
        .and_then(|dir| fs::read_dir(dir).ok())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .filter(|name| SHIPPED.iter().all(|(shipped, _)| shipped != name))
        .collect();
    own.sort();
    names.extend(own);
    names
}

/// The text of a preset, and whether it ships.
pub fn text(name: &str) -> Option<(String, bool)> {
    if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        return Some(((*text).to_owned(), true));
    }
    if !good_name(name) {
        return None;
    }
    let path = own_dir()?.join(format!("{name}.toml"));
    Some((fs::read_to_string(path).ok()?, false))
}

fn good_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
}

/// Where a copy goes that the user calls `name`: a path is a path, a name is a preset of their own.
///
/// # Errors
/// When a preset cannot have that name, in words.
pub fn place(name: &str) -> Result<PathBuf, String> {
    if name.contains('/') || name.ends_with(".toml") {
        return Ok(PathBuf::from(name));
    }
    if !good_name(name) {
        return Err(format!("`{name}` cannot be a preset's name: use letters, digits and hyphens"));
    }
    if SHIPPED.iter().any(|(shipped, _)| *shipped == name) {
        return Err(format!("the preset `{name}` ships with bespoke; choose another name"));
    }
    match own_dir() {
        Some(dir) => Ok(dir.join(format!("{name}.toml"))),
        None => Err("there is no home folder to keep presets in".to_owned()),
    }
}

fn no_preset(name: &str) -> Failure {
    let names = names();
    let failure = Failure::new(format!("there is no preset `{name}`"));
    match bespoke_model::did_you_mean(name, names.iter().map(String::as_str)) {
        Some(hint) => failure.hint(hint),
        None => failure.hint(format!("the presets are {}", names.join(", "))),
    }
}

/// Reads a config: a file, or `preset:NAME`; and what it extends.
///
/// # Errors
/// When it cannot be read or is no config.
pub fn load(spec: &str) -> Result<Chain, Failure> {
    if let Some(name) = spec.strip_prefix("preset:") {
        let (text, _) = text(name).ok_or_else(|| no_preset(name))?;
        return chain(parse(spec, &text)?, Path::new("."));
    }
    let path = Path::new(spec);
    let text = read(path)?;
    chain(parse(spec, &text)?, dir_of(path))
}

/// The folder that a file lies in.
pub fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}

fn parse(name: &str, text: &str) -> Result<Config, Failure> {
    Config::parse(name, text).map_err(|diagnostics| Failure::new(strip_error(&diagnostics.to_string())))
}

/// Diagnostics say `error: ` themselves; so does whoever prints a failure.
pub fn strip_error(text: &str) -> String {
    text.strip_prefix("error: ").unwrap_or(text).to_owned()
}

fn read(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    match fs::read(path) {
        Ok(bytes) if bytes.starts_with(b"\x7fELF") => {
            Err(Failure::new(format!("{shown} is a program or an image, not a config"))
                .hint(format!("to write a config for a program: bespoke new {shown}")))
        }
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|_| Failure::new(format!("{shown} is not a config: it is not text"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let failure = Failure::new(format!("there is no file {shown}"));
            let name = path.to_string_lossy();
            Err(if SHIPPED.iter().any(|(preset, _)| *preset == name) {
                failure.hint(format!("did you mean the preset, `preset:{name}`?"))
            } else {
                failure.hint(
                    "`bespoke new PROGRAM` writes a config; `bespoke preset list` lists those that ship",
                )
            })
        }
        Err(error) => Err(Failure::new(format!("cannot read {shown}: {}", plain(&error)))),
    }
}

/// Follows what a config extends.
///
/// # Errors
/// When something in the chain cannot be read, is no config, or extends itself.
pub fn chain(config: Config, dir: &Path) -> Result<Chain, Failure> {
    let mut below: Vec<(String, Config)> = Vec::new();
    let mut next = config.extends().map(|name| (name.to_owned(), dir.to_path_buf()));
    let mut seen: Vec<PathBuf> = Vec::new();
    while let Some((name, from)) = next {
        let (text, key, inside) = match name.strip_prefix("preset:") {
            Some(preset) => {
                let (text, _) = text(preset).ok_or_else(|| {
                    let failure = no_preset(preset);
                    // At the place where it stands, when that is the config itself.
                    match below.is_empty() {
                        true => {
                            let at = config.problem_at("", "extends", true, failure.message);
                            Failure { message: strip_error(&at.to_string()), hint: failure.hint }
                        }
                        false => failure,
                    }
                })?;
                (text, PathBuf::from(&name), from)
            }
            None => {
                let path = from.join(&name);
                let inside = dir_of(&path).to_path_buf();
                (read(&path)?, path.canonicalize().unwrap_or_else(|_| path.clone()), inside)
            }
        };
        if seen.contains(&key) || below.len() >= 32 {
            return Err(Failure::new(format!("{} extends itself, through {name}", config.file())));
        }
        seen.push(key);
        let layer = parse(&name, &text)?;
        next = layer.extends().map(|further| (further.to_owned(), inside));
        below.push((name, layer));
    }
    Ok(Chain { config, below, dir: dir.to_path_buf() })
}

/// The config as it must be to mean the same in another folder: paths that start at its own are written anew.
pub fn relocated(chain: &Chain, to: &Path) -> Config {
    let mut config = chain.config.clone();
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let (Ok(from), Ok(to)) = (real(&chain.dir), real(to)) else { return config };
    if from == to {
        return config;
    }
    let moved = |path: &str| -> Option<String> {
        if path.is_empty() || Path::new(path).is_absolute() {
            return None;
        }
        let whole = std::path::absolute(from.join(path)).ok()?;
        let shown = whole.strip_prefix(&to).unwrap_or(&whole);
        Some(shown.to_string_lossy().into_owned())
    };
    if let Some(extended) = config.extends().filter(|name| !name.starts_with("preset:")).and_then(moved) {
        config.set_extends(Some(&extended));
    }
    let boxed = config.image().is_some();
    if let Some(image) = config.image()
        && let Some(archive) = moved(&image.archive)
    {
        let image = ImageSource { archive, ..image.clone() };
        config.set_image(&image);
    }
    if let Some(program) = config.program()
        && let Some(root) = program.root.as_ref().and_then(|root| moved(root))
    {
        let program = Program { root: Some(root), ..program.clone() };
        config.set_program(&program);
    }
    let boxed = boxed || config.program().is_some_and(|program| program.root.is_some());
    if let Some(program) = config.program().filter(|program| !boxed && !program.path.starts_with("demo:"))
        && let Some(path) = moved(&program.path)
    {
        let program = Program { path, ..program.clone() };
        config.set_program(&program);
    }
    let files: Vec<(String, String)> =
        config.files().iter().filter_map(|(guest, host)| Some((guest.clone(), moved(host)?))).collect();
    for (guest, host) in files {
        config.set_file(&guest, Some(&host));
    }
    config
}

/// Writes a file beside its place and moves it there, so that there is never half of one.
///
/// # Errors
/// When it cannot be written; nothing is left behind.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("cannot write {}: {}", path.display(), plain(&error)));
    write_bytes(path, text.as_bytes()).map_err(failed)
}

/// Does the same with any bytes.
///
/// # Errors
/// When it cannot be written; nothing is left behind.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // A link stays a link: what it points to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut file = tempfile::Builder::new().prefix(".bespoke-").tempfile_in(dir_of(&target))?;
    file.write_all(bytes)?;
    let mode = match fs::metadata(&target) {
        Ok(meta) => meta.permissions(),
        Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

/// The text of an error without the operating system's number for it, and without the names of temporary files.
fn plain_text(text: &str) -> String {
    let mut text = text.to_owned();
    for (from, to) in [(" (os error ", ")"), (" at path \"", "\"")] {
        while let Some(start) = text.find(from) {
            let Some(length) = text[start + from.len()..].find(to) else { break };
            text.replace_range(start..start + from.len() + length + to.len(), "");
        }
    }
    text
}

/// An error of the operating system without its number.
pub fn plain(error: &std::io::Error) -> String {
    let text = plain_text(&error.to_string());
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}
