//! The program and the files of an image, read from the host and looked at.

mod container;
mod libraries;
mod sysroot;

pub use sysroot::Sysroot;

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bespoke_model::Config;

use crate::embedded;
use crate::layout::Appended;
use crate::oci::{Image, ImageError};
use crate::paths::{self, lies_in};
use crate::program::{self, Program, ProgramError};
use crate::root::{Attributes, Builder, FileId, Root, S_IFDIR, S_IFLNK, S_IFREG};
use crate::users::{self, NoUser};

/// Why a payload cannot be packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The program cannot be started.
    #[error("{}: {error}", path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// Why.
        error: ProgramError,
    },
    /// A file of the host cannot be read.
    #[error("{} cannot be read: {error}; correct the path, or build or install it first", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The program is not on this machine, and the config knows where it comes from.
    #[error("{} is not there; install {package}, the package of Debian and Ubuntu that brings it, or name another program with `path`", path.display())]
    Missing {
        /// The program.
        path: PathBuf,
        /// The package that brings it.
        package: String,
    },
    /// The container image cannot be read, or is not to be trusted.
    #[error("{}: {error}", path.display())]
    Image {
        /// The archive.
        path: PathBuf,
        /// Why.
        error: Box<ImageError>,
    },
    /// Not there.
    #[error("{path} is not in the container image; correct the path, or take it out")]
    NotInImage {
        /// The path.
        path: String,
    },
    /// No such demo.
    #[error("there is no demo program `{0}`; there is demo:hello")]
    NoDemo(String),
    /// A library that is not where the program's interpreter looks.
    #[error("{needed_by} needs {library}, which is nowhere; install it, or give it under [files]")]
    NoLibrary {
        /// What is missing.
        library: String,
        /// The program or library that asks for it.
        needed_by: String,
    },
    /// A guest path that cannot be one.
    #[error("`{path}` cannot be a path in the image: {why}")]
    GuestPath {
        /// The path.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// A user or group by a name that the image does not know.
    #[error(transparent)]
    NoUser(#[from] NoUser),
    /// Two things at one place.
    #[error("{0}; take one of them out of [files]")]
    Clash(String),
    /// A file that means nothing in an image.
    #[error("{} is a socket, which an image cannot hold; leave it out", path.display())]
    Socket {
        /// The file.
        path: PathBuf,
    },
    /// A text that cannot be passed to a program.
    #[error("{what} of the program holds a zero byte; take it out")]
    Nul {
        /// Which.
        what: &'static str,
    },
}

/// The program and the files of an image.
#[derive(Debug, Clone)]
pub struct Payload {
    root: Root,
    start: Start,
    program: Option<Program>,
    program_table: Vec<u8>,
    program_share: u64,
}

/// What the machine is called when nobody says.
const HOSTNAME: &str = "bespoke";

/// Where installed programs lie (Filesystem Hierarchy Standard 3.0): one that is there may count on its own place.
const INSTALLED: [&str; 6] = ["/usr", "/opt", "/bin", "/sbin", "/lib", "/srv"];

/// What the guest starts.
#[derive(Debug, Clone, Default)]
struct Start {
    /// The program's file, no link to it.
    path: Option<String>,
    /// What it is called: `argv[0]`.
    name: Option<String>,
    cwd: String,
    args: Vec<String>,
    env: Vec<String>,
    /// User and group.
    owner: (u32, u32),
    /// The machine's name, where the config gives one.
    hostname: Option<String>,
}

impl Payload {
    /// Neither a program nor files: to measure the OS alone.
    pub fn empty() -> Self {
        Self::new(Builder::default(), Start { cwd: "/".into(), ..Start::default() }, None)
    }

    /// Reads what a config names; its relative paths start at `base_dir`.
    ///
    /// A file given under `[text]` is root's, and older than any other. One given under `[files]` is followed when it is a symbolic link; a directory brings all that is in it,
    /// and links in it stay links. Owners, permissions and times are the host's. An installed program (named by an absolute path below `/usr`, `/opt`, …)
    /// lies where it lies on the host, with a link when it is named by one; any other at `/bin/` and its file name; and either where `[files]` puts that same file. A dynamic program brings its interpreter and the
    /// libraries that it asks for by name, as far as `[files]` does not have them; so do shared objects under `[files]`, which it may load.
    ///
    /// A program with a `root` and its libraries are taken from that folder, and the program lies where it lies there: see [`Sysroot`].
    ///
    /// With an `[image]` the program and its libraries are that container image's, and lie where they lie there, with
    /// the links that lead to them; what is under `[files]` goes before what the image has at the same place.
    ///
    /// # Errors
    /// When a file cannot be read, or the program cannot be started: see [`PayloadError`].
    pub fn load(config: &Config, base_dir: &Path) -> Result<Self, PayloadError> {
        let image = Self::open_image(config, base_dir)?;
        Self::load_from(config, base_dir, image.as_ref())
    }

    /// Opens a config's container image, when it has one.
    ///
    /// # Errors
    /// When it cannot be read, or is not to be trusted.
    pub fn open_image(config: &Config, base_dir: &Path) -> Result<Option<Image>, PayloadError> {
        config.image().map(|source| container::open(source, base_dir)).transpose()
    }

    /// Does the same with the config's container image, which was opened before.
    ///
    /// # Errors
    /// As [`Payload::load`].
    pub fn load_from(config: &Config, base_dir: &Path, image: Option<&Image>) -> Result<Self, PayloadError> {
        let mut builder = Builder::default();
        let program = config.program().filter(|program| !program.path.is_empty());
        let demo = program.and_then(|program| program.path.strip_prefix("demo:"));
        let boxed = image.filter(|_| demo.is_none()).zip(program);
        let rooted = program.filter(|_| demo.is_none() && image.is_none());
        let rooted = rooted.and_then(|program| Some((program, base_dir.join(program.root.as_ref()?))));
        let host = program.filter(|_| demo.is_none() && image.is_none() && rooted.is_none());
        let host = host.map(|program| base_dir.join(&program.path));
        let identity = host.as_deref().and_then(identity);
        if let (Some(host), Some(package)) = (&host, program.and_then(|program| program.package.as_ref()))
            && !host.exists()
        {
            return Err(PayloadError::Missing { path: host.clone(), package: package.clone() });
        }
        let mut guest = None;
        for (path, from) in config.files() {
            let mut path = guest_path(path)?;
            if let Some(image) = image {
                path = container::place(&mut builder, image, &path)?;
            }
            let from = base_dir.join(from);
            if identity.is_some() && identity == self::identity(&from) {
                guest = Some(path.clone());
            }
            add_tree(&mut builder, &path, &from, true)?;
        }
        for (path, contents) in config.texts() {
            let mut path = guest_path(path)?;
            if let Some(image) = image {
                path = container::place(&mut builder, image, &path)?;
            }
            add(&mut builder, &path, Attributes::made(S_IFREG | 0o644), contents.clone().into_bytes())?;
        }

        if let (Some(image), Some(source)) = (image, config.image()) {
            container::add_files(&mut builder, image, source)?;
        }
        let mut start = Start { cwd: "/".into(), ..Start::default() };
        let mut inspected = None;
        if let Some((image, program)) = boxed {
            let path = guest_path(&program.path)?;
            let missing = |_| PayloadError::NotInImage { path: path.clone() };
            let bytes = image.read_file(&path).map_err(missing)?;
            let real = image.real_path(&path).unwrap_or_default();
            let bytes = builder.data(&real).map_or(bytes, <[u8]>::to_vec);
            let looked = program::inspect(&bytes)
                .map_err(|error| PayloadError::Program { path: path.clone().into(), error })?;
            container::add_way(&mut builder, image, &path)?;
            libraries::add(
                &mut builder,
                libraries::Source::Image(image),
                &looked.kind,
                Path::new(&real),
                &real,
            )?;
            inspected = Some(looked);
            start = Start::of(program, real, path, &builder)?;
        } else if let Some((program, folder)) = rooted {
            let sysroot = Sysroot::open(&folder)?;
            let path = guest_path(&format!("/{}", program.path.trim_start_matches('/')))?;
            // One that was given for its place is started in its stead, and may want other libraries.
            let (looked, real) = match builder.data(&path) {
                Some(bytes) => {
                    let error = |error| PayloadError::Program { path: path.clone().into(), error };
                    (program::inspect(bytes).map_err(error)?, PathBuf::from(&path))
                }
                None => {
                    let (looked, bytes) = sysroot.inspect(Path::new(&path))?;
                    let real = sysroot.real_path(Path::new(&path)).map_err(read(&folder))?;
                    if !builder.contains(&path) {
                        let (attributes, _) = sysroot.file(&real).map_err(read(&folder))?;
                        add(&mut builder, &path, attributes, bytes)?;
                    }
                    (looked, real)
                }
            };
            libraries::add(&mut builder, libraries::Source::Sysroot(&sysroot), &looked.kind, &real, &path)?;
            inspected = Some(looked);
            start = Start::of(program, path.clone(), path, &builder)?;
        } else if let Some(program) = program {
            let (name, attributes, bytes) = match (demo, &host) {
                (Some(name), _) => {
                    let bytes = embedded::demo(name).ok_or_else(|| PayloadError::NoDemo(name.into()))?;
                    (name.to_owned(), Attributes::made(S_IFREG | 0o755), bytes)
                }
                (None, host) => {
                    let host = host.clone().unwrap_or_default();
                    let metadata = fs::metadata(&host).map_err(read(&host))?;
                    if metadata.is_dir() {
                        let error = std::io::ErrorKind::IsADirectory.into();
                        return Err(PayloadError::Read { path: host, error });
                    }
                    let bytes = fs::read(&host).map_err(read(&host))?;
                    let name = host.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    (name, attributes(&metadata), bytes)
                }
            };
            let path = host.clone().unwrap_or_else(|| program.path.clone().into());
            inspected =
                Some(program::inspect(&bytes).map_err(|error| PayloadError::Program { path, error })?);
            let real = host.as_deref().map(|host| fs::canonicalize(host).map_err(read(host))).transpose()?;
            let installed = real.as_deref().and_then(|real| installed(&program.path, real));
            let (at, called) = match (guest, installed) {
                (Some(guest), _) => (guest.clone(), guest),
                (None, Some((at, called))) => {
                    let (at, called) = (guest_path(&at)?, guest_path(&called)?);
                    // A folder under `[files]` may have brought both.
                    if builder.data(&at) != Some(&bytes) {
                        add(&mut builder, &at, attributes, bytes)?;
                    }
                    if !builder.contains(&called) {
                        let link = Attributes::made(S_IFLNK | 0o777);
                        add(&mut builder, &called, link, at.clone().into_bytes())?;
                    }
                    (at, called)
                }
                (None, None) => {
                    let at = guest_path(&format!("/bin/{name}"))?;
                    add(&mut builder, &at, attributes, bytes)?;
                    (at.clone(), at)
                }
            };
            // Libraries may be beside the file, and never are beside a link to it.
            if let (Some(Program { kind, .. }), Some(real)) = (&inspected, &real) {
                libraries::add(&mut builder, libraries::Source::Host, kind, real, &at)?;
            }
            start = Start::of(program, at, called, &builder)?;
        }
        Ok(Self::new(builder, start, inspected))
    }

    fn new(builder: Builder, start: Start, program: Option<Program>) -> Self {
        let root = builder.finish();
        let program_share = start.path.as_deref().map_or(0, |path| root.share_of(path));
        let program_table = start.table();
        Self { root, start, program, program_table, program_share }
    }

    /// Starts the program with other arguments.
    ///
    /// # Errors
    /// When one holds a zero byte.
    pub fn set_args(&mut self, args: Vec<String>) -> Result<(), PayloadError> {
        let start = Start { args, ..self.start.clone() };
        start.check()?;
        self.program_table = start.table();
        self.start = start;
        Ok(())
    }

    /// The program, looked at.
    pub fn program(&self) -> Option<&Program> {
        self.program.as_ref()
    }

    /// Where the program's file lies in the image.
    pub fn program_path(&self) -> Option<&str> {
        self.start.path.as_deref()
    }

    /// Every executable and library in the image's root, with its contents: the program first, then by path.
    pub fn elf_files(&self) -> Vec<(&str, &[u8])> {
        // ET_EXEC and ET_DYN, for x86-64: there are object files in packages of languages.
        let is_code = |data: &[u8]| {
            data[4..].first() == Some(&2) && matches!(data.get(16..20), Some([2 | 3, 0, 62, 0]))
        };
        let own = self.program_path();
        let files = self.root.elf_files().filter(|(path, data)| Some(*path) == own || is_code(data));
        let mut files: Vec<(&str, &[u8])> = files.collect();
        files.sort_by_key(|(path, _)| Some(*path) != self.program_path());
        files
    }

    /// Every path in the image's root, with the length of its data.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.root.files().map(|(path, _, size)| (path, size))
    }

    /// The length of all files in the image's root together; one that has several names counts once.
    pub fn contents(&self) -> u64 {
        self.root.contents()
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn program_table(&self) -> &[u8] {
        &self.program_table
    }

    pub(crate) fn appended(&self) -> Appended {
        Appended { root: self.root.size(), program_table: self.program_table.len() as u64 }
    }

    /// The bytes of the root that are there for the program.
    pub(crate) fn program_share(&self) -> u64 {
        self.program_share
    }

    /// The bytes of the root that are there for other files.
    pub(crate) fn files_share(&self) -> u64 {
        self.root.share() - self.program_share
    }
}

impl Start {
    /// The start of the program whose file is at `path`, called `name`.
    fn of(
        program: &bespoke_model::Program,
        path: String,
        name: String,
        files: &Builder,
    ) -> Result<Self, PayloadError> {
        let data = |path: &str| files.data(path).map(<[u8]>::to_vec);
        let owner = program.user.as_deref().map(|user| users::owner(user, data)).transpose()?;
        let start = Self {
            path: Some(path),
            name: Some(name),
            cwd: program.cwd.clone().unwrap_or_else(|| "/".into()),
            args: program.args.clone(),
            env: program.env.clone(),
            owner: owner.unwrap_or_default(),
            hostname: program.hostname.clone(),
        };
        start.check()?;
        Ok(start)
    }

    fn check(&self) -> Result<(), PayloadError> {
        let nul = |texts: &[String]| texts.iter().any(|text| text.contains('\0'));
        if nul(&self.args) {
            return Err(PayloadError::Nul { what: "an argument" });
        }
        if nul(&self.env) {
            return Err(PayloadError::Nul { what: "a variable" });
        }
        if self.cwd.contains('\0') {
            return Err(PayloadError::Nul { what: "the working directory" });
        }
        Ok(())
    }

    /// The table "program".
    fn table(&self) -> Vec<u8> {
        let mut table = Vec::new();
        let argc = self.name.iter().len() + self.args.len();
        table.extend((argc as u32).to_le_bytes());
        table.extend((self.env.len() as u32).to_le_bytes());
        table.extend(self.owner.0.to_le_bytes());
        table.extend(self.owner.1.to_le_bytes());
        let path = self.path.as_deref().unwrap_or("");
        let hostname = self.hostname.as_deref().unwrap_or(HOSTNAME);
        let texts = [path, &self.cwd, hostname].into_iter().chain(self.name.as_deref());
        for text in texts.chain(self.args.iter().chain(&self.env).map(String::as_str)) {
            table.extend(text.as_bytes());
            table.push(0);
        }
        table
    }
}

fn read(path: &Path) -> impl FnOnce(std::io::Error) -> PayloadError + use<> {
    let path = path.to_owned();
    move |error| PayloadError::Read { path, error }
}

/// The file of an installed program, and the name that the config gives it. None: it lies elsewhere, or is named from the config's folder.
fn installed(path: &str, real: &Path) -> Option<(String, String)> {
    let (real, called) = (real.to_str()?, paths::plain(path)?);
    let below = |path: &str| INSTALLED.iter().any(|folder| lies_in(path, folder));
    (below(real) && below(&called)).then(|| (real.to_owned(), called))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().filter(Metadata::is_file).map(|m| (m.dev(), m.ino()))
}

fn attributes(metadata: &Metadata) -> Attributes {
    Attributes {
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: metadata.mtime(),
        mtime_nsec: metadata.mtime_nsec() as u32,
        rdev: metadata.rdev(),
    }
}

/// An absolute path in one spelling.
fn guest_path(path: &str) -> Result<String, PayloadError> {
    let wrong = |why| PayloadError::GuestPath { path: path.escape_default().to_string(), why };
    if !path.starts_with('/') {
        return Err(wrong("it does not begin with /"));
    }
    if path.contains('\0') {
        return Err(wrong("it holds a zero byte"));
    }
    let mut clean = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if part == "." || part == ".." {
            return Err(wrong("it has a . or .. in it"));
        }
        if part.len() > 255 {
            return Err(wrong("a name in it is longer than 255 bytes"));
        }
        clean.push('/');
        clean.push_str(part);
    }
    if clean.len() > 4095 {
        return Err(wrong("it is longer than 4095 bytes"));
    }
    Ok(if clean.is_empty() { "/".into() } else { clean })
}

fn add(builder: &mut Builder, path: &str, attributes: Attributes, data: Vec<u8>) -> Result<(), PayloadError> {
    builder.add(path, attributes, data).map_err(|clash| PayloadError::Clash(clash.to_string()))
}

/// Adds a name of a file that may have others.
fn add_name(
    builder: &mut Builder,
    path: &str,
    attributes: Attributes,
    data: Vec<u8>,
    file: Option<FileId>,
) -> Result<(), PayloadError> {
    builder.add_name(path, attributes, data, file).map_err(|clash| PayloadError::Clash(clash.to_string()))
}

/// Adds a file of the host, and all that is in it.
fn add_tree(builder: &mut Builder, guest: &str, host: &Path, follow: bool) -> Result<(), PayloadError> {
    let metadata = if follow { fs::metadata(host) } else { fs::symlink_metadata(host) };
    let metadata = metadata.map_err(read(host))?;
    let attributes = attributes(&metadata);
    let data = if attributes.is(S_IFREG) {
        fs::read(host).map_err(read(host))?
    } else if attributes.is(S_IFLNK) {
        fs::read_link(host).map_err(read(host))?.into_os_string().into_vec()
    } else if attributes.is(0o140_000) {
        return Err(PayloadError::Socket { path: host.to_owned() });
    } else {
        Vec::new()
    };
    let file = (metadata.nlink() > 1).then(|| (metadata.dev(), metadata.ino()));
    add_name(builder, guest, attributes, data, file)?;
    if attributes.is(S_IFDIR) {
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(host).map_err(read(host))? {
            let entry = entry.map_err(read(host))?;
            names.insert(entry.file_name(), entry.path());
        }
        for (name, host) in names {
            let Some(name) = name.to_str() else {
                let path = host.to_string_lossy().into_owned();
                return Err(PayloadError::GuestPath { path, why: "its name is not UTF-8" });
            };
            let inside = if guest == "/" { format!("/{name}") } else { format!("{guest}/{name}") };
            add_tree(builder, &guest_path(&inside)?, &host, false)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn load(dir: &Path, text: &str) -> Result<Payload, PayloadError> {
        let config =
            Config::parse("test.toml", &format!("schema = 1\n{text}")).unwrap_or_else(|e| panic!("{e}"));
        Payload::load(&config, dir)
    }

    fn strings(table: &[u8]) -> Vec<&str> {
        let text = std::str::from_utf8(&table[16..]).unwrap();
        text.strip_suffix('\0').unwrap().split('\0').collect()
    }

    #[test]
    fn the_demo_is_a_program() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[program]\npath = \"demo:hello\"\nargs = [\"a b\", \"\"]\nenv = [\"X=1\"]\ncwd = \"/tmp\"\nuser = \"5:6\"\nhostname = \"h\"";
        let mut payload = load(dir.path(), text).unwrap();
        assert_eq!(payload.program_path(), Some("/bin/hello"));
        let table = payload.program_table();
        assert_eq!(&table[..16], [3, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0]);
        assert_eq!(strings(table), ["/bin/hello", "/tmp", "h", "/bin/hello", "a b", "", "X=1"]);
        payload.set_args(vec!["z".into()]).unwrap();
        assert_eq!(strings(payload.program_table()), ["/bin/hello", "/tmp", "h", "/bin/hello", "z", "X=1"]);
        assert!(payload.set_args(vec!["a\0b".into()]).is_err());
        assert_eq!(strings(payload.program_table())[4], "z", "unchanged by what was refused");
        let unknown = load(dir.path(), "[program]\npath = \"demo:quake\"").unwrap_err();
        assert!(unknown.to_string().contains("demo:hello"), "{unknown}");
    }

    #[test]
    fn a_folder_brings_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let site = dir.path().join("site");
        std::fs::create_dir_all(site.join("deep/empty")).unwrap();
        std::fs::write(site.join("deep/page"), "text").unwrap();
        std::fs::set_permissions(site.join("deep/page"), std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink("deep/page", site.join("link")).unwrap();
        symlink("site/link", dir.path().join("outer")).unwrap();
        let payload = load(dir.path(), "[files]\n\"/srv\" = \"site\"\n\"/etc/motd\" = \"outer\"").unwrap();
        let files: Vec<_> = payload.root().files().map(|(path, a, size)| (path, a.mode, size)).collect();
        let link = files.iter().find(|f| f.0 == "/srv/link").unwrap();
        assert_eq!((link.1 & 0o170_000, link.2), (S_IFLNK, 9));
        let page = files.iter().find(|f| f.0 == "/srv/deep/page").unwrap();
        assert_eq!((page.1, page.2), (S_IFREG | 0o640, 4));
        let followed = files.iter().find(|f| f.0 == "/etc/motd").unwrap();
        assert_eq!((followed.1 & 0o170_000, followed.2), (S_IFREG, 4), "a link given by name is followed");
        assert!(files.iter().any(|f| f.0 == "/srv/deep/empty" && f.1 & 0o170_000 == S_IFDIR));
        let host = std::fs::metadata(site.join("deep/page")).unwrap();
        let packed = payload.root().files().find(|(path, ..)| *path == "/srv/deep/page").unwrap().1;
        assert_eq!((packed.uid, packed.mtime), (host.uid(), host.mtime()));
        assert_eq!(payload.program_share(), 0);
        assert_eq!(payload.files_share(), payload.root().share());
    }

    #[test]
    fn the_program_lies_where_files_put_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("prog"), embedded::demo("hello").unwrap()).unwrap();
        let at_bin = load(dir.path(), "[program]\npath = \"prog\"").unwrap();
        assert_eq!(at_bin.program_path(), Some("/bin/prog"));
        let placed = load(dir.path(), "[program]\npath = \"prog\"\n[files]\n\"/opt/p\" = \"prog\"").unwrap();
        assert_eq!(placed.program_path(), Some("/opt/p"));
        assert!(placed.files().all(|(path, _)| path != "/bin/prog"));
        assert_eq!(at_bin.files_share(), 0, "/bin is there for the program alone");
    }

    #[test]
    fn an_installed_program_keeps_its_place() {
        let dir = tempfile::tempdir().unwrap();
        // What is a link on some distributions, and a program on all.
        let real = std::fs::canonicalize("/bin/sh").unwrap();
        let payload = load(dir.path(), "[program]\npath = \"/bin/sh\"\nargs = [\"-c\"]").unwrap();
        assert_eq!(payload.program_path(), real.to_str());
        let table = strings(payload.program_table());
        assert_eq!((table[0], table[3]), (real.to_str().unwrap(), "/bin/sh"));
        let kinds: Vec<_> = payload.root().files().map(|(path, a, _)| (path, a.mode & 0o170_000)).collect();
        assert!(kinds.contains(&(real.to_str().unwrap(), S_IFREG)), "{kinds:?}");
        assert!(real == Path::new("/bin/sh") || kinds.contains(&("/bin/sh", S_IFLNK)), "{kinds:?}");
        // By another way to the same place, and where a folder brings it.
        let around = load(dir.path(), "[program]\npath = \"/usr/../bin/./sh\"").unwrap();
        assert_eq!(around.program_path(), real.to_str());
        std::fs::create_dir(dir.path().join("few")).unwrap();
        std::fs::copy(&real, dir.path().join("few").join(real.file_name().unwrap())).unwrap();
        let text = format!("[program]\npath = \"/bin/sh\"\n[files]\n{:?} = \"few\"", real.parent().unwrap());
        assert_eq!(load(dir.path(), &text).unwrap().program_path(), real.to_str());
    }

    #[test]
    fn a_program_beside_its_config_lies_at_bin_wherever_that_is() {
        // Below a place of installed programs too, and however the config is named.
        let dir = tempfile::tempdir_in("/opt").unwrap();
        std::fs::write(dir.path().join("prog"), embedded::demo("hello").unwrap()).unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let near = load(dir.path(), "[program]\npath = \"prog\"").unwrap();
        let above = load(&dir.path().join("sub"), "[program]\npath = \"../prog\"").unwrap();
        assert_eq!((near.program_path(), above.program_path()), (Some("/bin/prog"), Some("/bin/prog")));
    }

    #[test]
    fn a_file_given_for_the_program_of_a_root_is_the_program() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/bin")).unwrap();
        // A dynamic program, whose libraries the root lacks.
        std::fs::copy("/proc/self/exe", dir.path().join("root/bin/app")).unwrap();
        std::fs::write(dir.path().join("mine"), embedded::demo("hello").unwrap()).unwrap();
        let program = "[program]\nroot = \"root\"\npath = \"/bin/app\"\n";
        assert!(load(dir.path(), program).is_err());
        let payload = load(dir.path(), &format!("{program}[files]\n\"/bin/app\" = \"mine\"")).unwrap();
        assert_eq!(payload.program().unwrap().kind, program::ProgramKind::Static);
        let files: Vec<&str> = payload.files().map(|(path, _)| path).collect();
        assert_eq!(files, ["/", "/bin", "/bin/app"]);
        assert_eq!(payload.contents(), embedded::demo("hello").unwrap().len() as u64);
    }

    #[test]
    fn names_of_one_file_stay_names_of_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        std::fs::write(folder.join("a"), "0123456789").unwrap();
        std::fs::hard_link(folder.join("a"), folder.join("deep/b")).unwrap();
        std::fs::write(folder.join("c"), "0123456789").unwrap();
        let payload = load(dir.path(), "[files]\n\"/data\" = \"data\"").unwrap();
        assert_eq!(payload.contents(), 20);
        assert!(payload.files().filter(|(_, size)| *size == 10).count() == 3);
    }

    #[test]
    fn every_fault_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("script"), "#!/bin/sh\n").unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        std::fs::write(dir.path().join("dir/file"), "x").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let cases = [
            ("[program]\npath = \"missing\"", "missing cannot be read: "),
            ("[program]\npath = \"script\"", "is a script for /bin/sh"),
            ("[program]\npath = \".\"", "cannot be read: is a directory"),
            ("[files]\n\"/a\" = \"missing\"", "missing cannot be read: "),
            ("[files]\n\"/a\" = \"socket\"", "is a socket"),
            ("[files]\n\"/a\" = \"file\"\n\"/a/b\" = \"file\"", "/a is not a directory, but /a/b lies in it"),
            ("[files]\n\"/a\" = \"dir\"\n\"/a/file\" = \"file\"", "/a/file is given twice"),
        ];
        for (text, expected) in cases {
            let message = load(dir.path(), text).map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(expected), "expected `{expected}`, got `{message}`");
        }
        let long = format!("/{}", "x".repeat(256));
        for path in ["relative", "/a\0b", "/a/../b", "/./a", long.as_str()] {
            assert!(matches!(guest_path(path), Err(PayloadError::GuestPath { .. })), "{path:?}");
        }
        assert_eq!(guest_path("//a///b/").unwrap(), "/a/b");
        assert_eq!(guest_path("/").unwrap(), "/");
    }
}
