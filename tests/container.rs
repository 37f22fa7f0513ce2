//! Container images, made of this machine's files.

use crate::{Scratch, Server};
use bespoke_kernel::oci::Digest;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A layer: a tar archive.
pub struct Layer(tar::Builder<Vec<u8>>);

impl Default for Layer {
    fn default() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }
}

impl Layer {
    fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_700_000_000);
        header
    }

    /// With a file.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, bytes: &[u8]) -> Self {
        let mut header = Self::header(tar::EntryType::Regular, mode);
        header.set_size(bytes.len() as u64);
        self.0.append_data(&mut header, path, bytes).expect("memory");
        self
    }

    /// With a folder.
    #[must_use]
    pub fn folder(mut self, path: &str, mode: u32, owner: u32) -> Self {
        let mut header = Self::header(tar::EntryType::Directory, mode);
        header.set_uid(owner.into());
        header.set_gid(owner.into());
        header.set_size(0);
        self.0.append_data(&mut header, path, &[][..]).expect("memory");
        self
    }

    /// With a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, to: &str) -> Self {
        let mut header = Self::header(tar::EntryType::Symlink, 0o777);
        header.set_size(0);
        self.0.append_link(&mut header, path, to).expect("memory");
        self
    }

    /// With another name for a file.
    #[must_use]
    pub fn hard_link(mut self, path: &str, to: &str) -> Self {
        let mut header = Self::header(tar::EntryType::Link, 0o644);
        header.set_size(0);
        self.0.append_link(&mut header, path, to).expect("memory");
        self
    }

    /// The archive.
    pub fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("memory")
    }
}

/// An OCI layout as one file: layers, whether each is compressed, and how a container is started. The layers' bytes as they are in it.
pub fn write(to: &Path, tag: &str, layers: Vec<(Vec<u8>, bool)>, start: &Value) -> u64 {
    let mut blobs: Vec<(String, Vec<u8>)> = Vec::new();
    let mut blob = |media: &str, bytes: Vec<u8>| -> Value {
        let digest = Digest::of(&bytes);
        let pointer = json!({ "mediaType": media, "digest": digest.to_string(), "size": bytes.len() });
        blobs.push((digest.blob_path(), bytes));
        pointer
    };
    let media = "application/vnd.oci.image.layer.v1.tar";
    let mut pointers = Vec::new();
    let mut diff_ids = Vec::new();
    let mut size = 0;
    for (bytes, squeeze) in layers {
        diff_ids.push(Digest::of(&bytes).to_string());
        let (media, bytes) = if squeeze {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&bytes).expect("memory");
            (format!("{media}+gzip"), encoder.finish().expect("memory"))
        } else {
            (media.to_owned(), bytes)
        };
        size += bytes.len() as u64;
        pointers.push(blob(&media, bytes));
    }
    let image = json!({
        "architecture": "amd64", "os": "linux", "config": start,
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let image = blob("application/vnd.oci.image.config.v1+json", image.to_string().into_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": image, "layers": pointers });
    let mut manifest = blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().into_bytes());
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    let mut archive = Layer::default().file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#).file(
        "index.json",
        0o644,
        index.to_string().as_bytes(),
    );
    for (path, bytes) in blobs {
        archive = archive.file(&path, 0o644, &bytes);
    }
    fs::write(to, archive.bytes()).expect("a writable folder");
    size
}

/// A server in a container of Debian's packages, as they are installed here.
pub struct Container {
    /// Its name.
    pub what: &'static str,
    /// The packages that bring it.
    pub packages: &'static [&'static str],
    /// How it is started.
    pub start: Value,
    /// Arguments for a machine, in which there is one process.
    pub args: &'static [&'static str],
    /// What the scripts of its packages make at their installation.
    made: fn(Layer) -> Layer,
    /// Its port.
    pub port: u16,
    /// What it is asked.
    pub ask: &'static [u8],
    /// What is in the answer.
    pub reply: &'static str,
}

/// Redis.
pub fn redis() -> Container {
    Container {
        what: "Redis",
        packages: &["redis-server", "redis-tools"],
        start: json!({
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""],
            "WorkingDir": "/var/lib/redis", "ExposedPorts": { "6379/tcp": {} },
        }),
        args: &[],
        made: |layer| layer,
        port: 6379,
        ask: b"SET a b\r\nPING\r\n",
        reply: "+PONG",
    }
}

/// nginx with the page that it is installed with.
pub fn nginx() -> Container {
    Container {
        what: "nginx",
        packages: &["nginx-light", "nginx-common", "nginx"],
        start: json!({
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["nginx", "-g", "daemon off;"], "ExposedPorts": { "80/tcp": {} }, "StopSignal": "SIGQUIT",
        }),
        args: &["-g", "daemon off; master_process off;"],
        made: |layer| {
            let page = fs::read("/usr/share/nginx/html/index.html")
                .expect("nginx-common is installed; tests/run does that");
            layer.link("etc/nginx/sites-enabled/default", "/etc/nginx/sites-available/default").file(
                "var/www/html/index.nginx-debian.html",
                0o644,
                &page,
            )
        },
        port: 80,
        ask: b"GET / HTTP/1.0\r\n\r\n",
        reply: "Welcome to nginx!",
    }
}

/// Those of README's table.
pub fn all() -> Vec<Container> {
    vec![redis(), nginx()]
}

impl Container {
    /// Writes `image.tar`; the bytes of its layer. `whole`: with the packages that every Debian has.
    pub fn write(&self, folder: &Path, whole: bool) -> u64 {
        let mut layer = Layer::default();
        for link in ["bin", "sbin", "lib", "lib64"] {
            layer = layer.link(link, &format!("usr/{link}"));
        }
        for (path, metadata) in files(&packages(self.packages, whole)) {
            let name = path.strip_prefix("/").expect("it is absolute").to_string_lossy().into_owned();
            layer = if metadata.is_dir() {
                layer.folder(&format!("{name}/"), metadata.mode() & 0o7777, metadata.uid())
            } else if metadata.is_symlink() {
                layer.link(&name, &fs::read_link(&path).expect("a link").to_string_lossy())
            } else {
                match fs::read(&path) {
                    Ok(bytes) => layer.file(&name, metadata.mode() & 0o7777, &bytes),
                    // What only root may read is no matter here.
                    Err(_) => continue,
                }
            };
        }
        for file in ["/etc/passwd", "/etc/group"] {
            layer = layer.file(&file[1..], 0o644, &fs::read(file).expect("it is on every machine"));
        }
        layer = layer.folder("tmp/", 0o1777, 0).folder("run/", 0o755, 0);
        layer = (self.made)(layer);
        write(
            &folder.join("image.tar"),
            &format!("{}:1", self.what.to_lowercase()),
            vec![(layer.bytes(), true)],
            &self.start,
        )
    }

    /// `bespoke new --image`, as `app.toml`; what it printed.
    #[track_caller]
    pub fn new_config(&self, scratch: &Scratch, more: &[&str]) -> String {
        let mut command = vec!["new", "--image", "image.tar", "-o", "app.toml", "--force"];
        command.extend(more);
        if !self.args.is_empty() {
            command.push("--");
            command.extend(self.args);
        }
        let made = scratch.run(&command);
        assert_eq!(made.status, 0, "{}: {}", self.what, made.err);
        made.out
    }

    /// Whether the server in a machine answers.
    pub fn answers(&self, server: &Server) -> bool {
        server.answers(self.ask, self.reply)
    }

    /// Boots it, and asks it.
    #[track_caller]
    pub fn check(&self, scratch: &Scratch) {
        let server = Server::start(scratch, self.port, "", &["-m", "128M"]);
        assert!(self.answers(&server), "{}: {}", self.what, server.said());
    }

    /// Has it watched in a guest while it is asked; what was said.
    #[track_caller]
    pub fn learn(&self, scratch: &Scratch) -> String {
        let server = Server::command(scratch, &["fit", "app.toml", "--learn"], self.port, "");
        let answers = self.answers(&server);
        let (status, said) = server.end("TERM");
        assert!(answers && status == Some(0), "{}: {status:?} {said}", self.what);
        said
    }
}

/// Packages with what they depend on, of those that are installed; with those that every Debian has, on demand.
fn packages(wanted: &[&str], whole: bool) -> BTreeSet<String> {
    let format = "-f=${Package}\t${Essential}\t${Priority}\t${Pre-Depends}, ${Depends}\n";
    let listed = Command::new("dpkg-query").args(["-W", format]).output().expect("dpkg-query runs");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let known: BTreeMap<&str, (bool, &str)> = listed
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            Some((
                *fields.first()?,
                (fields.get(1) == Some(&"yes") || fields.get(2) == Some(&"required"), *fields.get(3)?),
            ))
        })
        .collect();
    let everywhere = known.iter().filter(|(_, (essential, _))| whole && *essential);
    let mut left: Vec<&str> = wanted.iter().copied().chain(everywhere.map(|(name, _)| *name)).collect();
    let mut all = BTreeSet::new();
    while let Some(package) = left.pop() {
        let Some((_, depends)) = known.get(package) else { continue };
        if all.insert(package.to_owned()) {
            // Of alternatives the one that is there.
            let names = depends.split([',', '|']).filter_map(|one| one.split_whitespace().next());
            left.extend(names.map(|name| name.split(':').next().unwrap_or(name)));
        }
    }
    all
}

/// The files of packages, by the paths that have no links in them.
fn files(packages: &BTreeSet<String>) -> BTreeMap<PathBuf, fs::Metadata> {
    let listed = Command::new("dpkg-query").arg("-L").args(packages).output().expect("dpkg-query runs");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let mut files = BTreeMap::new();
    for path in listed.lines().filter(|line| line.starts_with('/')).map(Path::new) {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let Ok(above) = fs::canonicalize(above) else { continue };
        let path = above.join(name);
        // The root's own links are made by hand.
        let of_root = above == Path::new("/");
        match fs::symlink_metadata(&path) {
            Ok(metadata) if !(of_root && metadata.is_symlink()) => drop(files.insert(path, metadata)),
            _ => {}
        }
    }
    files
}
