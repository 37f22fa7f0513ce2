//! Archives made by hand, honest and otherwise.

mod hostile;
mod random;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tar::{EntryType, Header};

use super::*;

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Squeeze {
    No,
    Gzip,
    Zstd,
}

fn squeeze(bytes: &[u8], how: Squeeze) -> Vec<u8> {
    match how {
        Squeeze::No => bytes.to_vec(),
        Squeeze::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Squeeze::Zstd => {
            ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
        }
    }
}

/// A tar archive, entry by entry; names are taken as they are, however wrong.
#[derive(Default, Clone)]
pub(super) struct Tarball(Vec<u8>);

impl Tarball {
    fn header(kind: EntryType, name: &[u8], link: &[u8], size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(1000);
        header.set_gid(100);
        header.set_mtime(1_700_000_000);
        header.set_size(size);
        let raw = header.as_old_mut();
        let (name, link) = (&name[..name.len().min(100)], &link[..link.len().min(100)]);
        raw.name[..name.len()].copy_from_slice(name);
        raw.linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        header
    }

    fn raw(mut self, header: &Header, data: &[u8]) -> Self {
        self.0.extend(header.as_bytes());
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn entry(self, kind: EntryType, name: impl AsRef<[u8]>, link: &str, data: &[u8]) -> Self {
        let header = Self::header(kind, name.as_ref(), link.as_bytes(), data.len() as u64);
        self.raw(&header, data)
    }

    pub(super) fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, "", data)
    }

    pub(super) fn dir(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", b"")
    }

    pub(super) fn link(self, name: &str, to: &str) -> Self {
        self.entry(EntryType::Symlink, name, to, b"")
    }

    fn hard(self, name: &str, to: &str) -> Self {
        self.entry(EntryType::Link, name, to, b"")
    }

    /// What says more of the next entry.
    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            data.extend(format!("{length} {key}=").into_bytes());
            data.extend(*value);
            data.push(b'\n');
        }
        self.entry(EntryType::XHeader, "pax", "", &data)
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.0[..], &[0; 1024]].concat()
    }
}

/// An image in an OCI layout; each part may be spoiled before it is written.
struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
    more: Vec<(String, Vec<u8>)>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn layer_type(how: Squeeze) -> &'static str {
    match how {
        Squeeze::No => "application/vnd.oci.image.layer.v1.tar",
        Squeeze::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Squeeze::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

impl Layout {
    fn new() -> Self {
        Self { blobs: BTreeMap::new(), manifests: Vec::new(), more: Vec::new() }
    }

    fn blob(&mut self, media: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes);
        let descriptor = json!({ "mediaType": media, "digest": digest.to_string(), "size": bytes.len() });
        self.blobs.insert(digest.blob_path(), bytes);
        descriptor
    }

    fn image(&mut self, platform: &str, start: Value, layers: &[(Tarball, Squeeze)]) -> Value {
        let (os, architecture) = platform.split_once('/').unwrap();
        let diff_ids: Vec<String> =
            layers.iter().map(|(tar, _)| Digest::of(&tar.bytes()).to_string()).collect();
        let config = json!({
            "architecture": architecture, "os": os, "config": start,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.blob(CONFIG, config.to_string().into_bytes());
        let layers: Vec<Value> = layers
            .iter()
            .map(|(tar, how)| self.blob(layer_type(*how), squeeze(&tar.bytes(), *how)))
            .collect();
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        self.blob(MANIFEST, manifest.to_string().into_bytes())
    }

    fn named(mut self, mut descriptor: Value, name: &str, platform: Option<&str>) -> Self {
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        if let Some((os, architecture)) = platform.and_then(|platform| platform.split_once('/')) {
            descriptor["platform"] = json!({ "os": os, "architecture": architecture });
        }
        self.manifests.push(descriptor);
        self
    }

    fn members(&self) -> Vec<(String, Vec<u8>)> {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests });
        let mut members = vec![
            ("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".into(), index.to_string().into_bytes()),
        ];
        members.extend(self.blobs.iter().map(|(path, bytes)| (path.clone(), bytes.clone())));
        members.extend(self.more.iter().cloned());
        members
    }

    fn tar(&self) -> Vec<u8> {
        let mut tar = Tarball::default().dir("blobs/");
        for (name, bytes) in self.members() {
            tar = tar.file(&name, &bytes);
        }
        tar.bytes()
    }
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn open(path: &Path) -> Result<Image, ImageError> {
    Image::open(path, &Pick::default(), Limits::default())
}

fn open_bytes(bytes: &[u8]) -> Result<Image, ImageError> {
    let scratch = Scratch::new();
    open(&scratch.write("image.tar", bytes))
}

/// An image that is started so, opened.
pub(super) fn image_of(start: Value, layers: &[Tarball]) -> Image {
    let layers: Vec<(Tarball, Squeeze)> = layers.iter().map(|tar| (tar.clone(), Squeeze::No)).collect();
    let mut layout = Layout::new();
    let manifest = layout.image("linux/amd64", start, &layers);
    open_bytes(&layout.named(manifest, "test", None).tar()).unwrap()
}

/// An image of these layers, opened.
fn layers(layers: &[Tarball]) -> Result<Image, ImageError> {
    let layers: Vec<(Tarball, Squeeze)> = layers.iter().map(|tar| (tar.clone(), Squeeze::No)).collect();
    let mut layout = Layout::new();
    let manifest = layout.image("linux/amd64", json!({}), &layers);
    open_bytes(&layout.named(manifest, "test", None).tar())
}

/// Every path with what is there: contents, `-> target`, or `/`.
fn listing(image: &Image) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut left = image.inside(image.entries("/").unwrap().last().unwrap());
    left.reverse();
    while let Some(entry) = left.pop() {
        let data = String::from_utf8_lossy(&image.data(&entry).unwrap()).into_owned();
        let shown = match image.kind(&entry.path, false).unwrap() {
            FileKind::Directory => "/".into(),
            FileKind::Link => format!("-> {data}"),
            _ => data,
        };
        let mut inside = image.inside(&entry);
        out.push((entry.path, shown));
        inside.reverse();
        left.extend(inside);
    }
    out
}

fn shown(image: &Image) -> String {
    listing(image).iter().map(|(path, what)| format!("{path} {what}\n")).collect()
}

fn sample() -> Vec<Tarball> {
    vec![
        Tarball::default()
            .dir("./")
            .dir("etc/")
            .file("etc/passwd", b"root:x:0:0\n")
            .file("etc/old", b"old")
            .dir("usr/lib/")
            .link("lib", "usr/lib")
            .file("usr/lib/libc.so", b"c library")
            .dir("cache/")
            .file("cache/a", b"a")
            .file("cache/b", b"b"),
        Tarball::default()
            .file("etc/.wh.old", b"")
            .file("lib/libz.so", b"z library")
            .file("cache/.wh..wh..opq", b"")
            .file("cache/c", b"c")
            .hard("bin/z", "usr/lib/libz.so"),
    ]
}

const SAMPLE: &str = "/bin /\n/bin/z z library\n/cache /\n/cache/c c\n/etc /\n/etc/passwd root:x:0:0\n\n/lib -> usr/lib\n\
    /usr /\n/usr/lib /\n/usr/lib/libc.so c library\n/usr/lib/libz.so z library\n";

#[test]
fn every_layout_and_packing_reads_the_same() {
    let scratch = Scratch::new();
    let start = json!({
        "User": "redis", "Env": ["A=1"], "Entrypoint": ["entry"], "Cmd": null, "WorkingDir": "/data",
        "ExposedPorts": { "6379/tcp": {} }, "Volumes": { "/data": {} }, "Healthcheck": { "Test": ["NONE"] },
    });
    let mut ids = Vec::new();
    for how in [Squeeze::No, Squeeze::Gzip, Squeeze::Zstd] {
        let mut layout = Layout::new();
        let packed: Vec<(Tarball, Squeeze)> = sample().into_iter().map(|tar| (tar, how)).collect();
        let manifest = layout.image("linux/amd64", start.clone(), &packed);
        let layout = layout.named(manifest, "latest", None);
        for (name, bytes) in layout.members() {
            scratch.write(&format!("{how:?}/{name}"), &bytes);
        }
        let mut places = vec![scratch.0.path().join(format!("{how:?}"))];
        for outer in [Squeeze::No, Squeeze::Gzip, Squeeze::Zstd] {
            places.push(scratch.write(&format!("{how:?}-{outer:?}.tar"), &squeeze(&layout.tar(), outer)));
        }
        for place in places {
            let image = open(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
            assert_eq!(shown(&image), SAMPLE, "{}", place.display());
            assert_eq!(image.start().user, "redis");
            assert_eq!(image.start().ports().collect::<Vec<_>>(), ["6379/tcp"]);
            assert_eq!(image.start().volumes().collect::<Vec<_>>(), ["/data"]);
            assert!(image.start().cmd.is_empty());
            ids.push(image.id().clone());
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "the id is of what is in an image, not of how it is packed");
}

fn saved(layers: &[Tarball], tags: &[&str]) -> Vec<(String, Vec<u8>)> {
    let diff_ids: Vec<String> = layers.iter().map(|tar| Digest::of(&tar.bytes()).to_string()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["sh"], "Env": null },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
    .to_string()
    .into_bytes();
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n:064}/layer.tar")).collect();
    let manifest = json!([{ "Config": config_name, "RepoTags": tags, "Layers": names }]);
    let mut members: Vec<(String, Vec<u8>)> =
        names.into_iter().zip(layers.iter().map(Tarball::bytes)).collect();
    members.push((config_name, config));
    members.push(("manifest.json".into(), manifest.to_string().into_bytes()));
    members
}

fn pack(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    members.iter().fold(Tarball::default(), |tar, (name, bytes)| tar.file(name, bytes)).bytes()
}

#[test]
fn what_older_docker_saved_reads_too() {
    let image = open_bytes(&pack(&saved(&sample(), &["redis:7"]))).unwrap();
    assert_eq!(shown(&image), SAMPLE);
    assert_eq!(image.start().cmd, ["sh"]);
    // A layer that two images share is a link.
    let mut members = saved(&sample(), &["redis:7"]);
    let (first, bytes) = members.remove(0);
    let mut tar = Tarball::default().link(&first, "../shared/layer.tar").file("shared/layer.tar", &bytes);
    for (name, bytes) in &members {
        tar = tar.file(name, bytes);
    }
    assert_eq!(shown(&open_bytes(&tar.bytes()).unwrap()), SAMPLE);
}

#[test]
fn of_several_images_one_is_chosen() {
    let layer = |text: &str| vec![(Tarball::default().file("which", text.as_bytes()), Squeeze::Gzip)];
    let mut layout = Layout::new();
    let arm = layout.image("linux/arm64", json!({}), &layer("arm"));
    let seven = layout.image("linux/amd64", json!({}), &layer("seven"));
    let eight = layout.image("linux/amd64", json!({}), &layer("eight"));
    let windows = json!({ "mediaType": MANIFEST, "digest": format!("sha256:{}", "0".repeat(64)), "size": 1 });
    // As Docker's content store writes it: an index that names platforms, not all of them there, and an attestation.
    let mut inner = Vec::new();
    for (mut descriptor, os, architecture) in
        [(arm, "linux", "arm64"), (seven, "linux", "amd64"), (windows, "windows", "amd64")]
    {
        descriptor["platform"] = json!({ "os": os, "architecture": architecture });
        inner.push(descriptor);
    }
    inner.push(json!({ "mediaType": MANIFEST, "digest": format!("sha256:{}", "1".repeat(64)), "size": 1,
        "platform": { "os": "unknown", "architecture": "unknown" } }));
    let index = json!({ "schemaVersion": 2, "manifests": inner }).to_string().into_bytes();
    let index = layout.blob(INDEX, index);
    let layout = layout.named(index, "docker.io/library/redis:7", None).named(
        eight,
        "docker.io/library/redis:8",
        Some("linux/amd64"),
    );
    let scratch = Scratch::new();
    let path = scratch.write("many.tar", &layout.tar());
    let open = |tag: Option<&str>, id: Option<&str>| {
        let pick = Pick { tag: tag.map(Into::into), id: id.map(Into::into) };
        Image::open(&path, &pick, Limits::default())
    };
    let which = |image: Image| String::from_utf8(image.read_file("/which").unwrap()).unwrap();
    for tag in ["7", "redis:7", "library/redis:7", "docker.io/library/redis:7"] {
        assert_eq!(which(open(Some(tag), None).unwrap()), "seven", "{tag}");
    }
    let eight = open(Some("redis:8"), None).unwrap();
    let id = eight.id().to_string();
    assert_eq!(which(eight), "eight");
    assert_eq!(which(open(None, Some(&id)).unwrap()), "eight");

    let ambiguous = open(None, None).unwrap_err();
    assert!(matches!(&ambiguous, ImageError::Ambiguous { found } if found.len() == 2), "{ambiguous}");
    let missing = open(Some("9"), None).unwrap_err().to_string();
    for part in ["called 9 for linux/amd64", "redis:7 (linux/arm64)", "redis:8 (linux/amd64)"] {
        assert!(missing.contains(part), "{missing}");
    }
    assert!(matches!(open(Some("edis:7"), None), Err(ImageError::NoSuchImage { .. })));
    let forged = format!("sha256:{}", "2".repeat(64));
    assert!(matches!(open(None, Some(&forged)), Err(ImageError::NoSuchImage { .. })));
}

#[test]
fn an_entry_keeps_its_owner_mode_and_time() {
    let mut header = Tarball::header(EntryType::Regular, b"file", b"", 1);
    header.set_mode(0o104_750);
    header.set_cksum();
    let mut blank = Tarball::header(EntryType::Regular, b"blank", b"", 0);
    let old = blank.as_old_mut();
    (old.uid, old.gid, old.mtime) = ([0; 8], [b' '; 8], [0; 12]);
    blank.set_cksum();
    let tar = Tarball::default()
        .pax(&[("mtime", b"1350244992.25"), ("uid", b"70000"), ("SCHILY.xattr.user.x", b"\0\xff")])
        .raw(&header, b"x")
        .dir("folder/")
        .raw(&blank, b"")
        .entry(EntryType::Fifo, "pipe", "", b"")
        .entry(EntryType::Char, "dev/null", "", b"")
        .entry(EntryType::Regular, b"\xff\xfe", "", b"")
        .entry(EntryType::new(b'V'), "volume", "", b"");
    let image = layers(&[tar]).unwrap();
    let file = image.entries("/file").unwrap().remove(0).attributes;
    assert_eq!((file.mode, file.uid, file.gid), (0o104_750, 70_000, 100));
    assert_eq!((file.mtime, file.mtime_nsec), (1_350_244_992, 250_000_000));
    let blank = image.entries("/blank").unwrap().remove(0).attributes;
    assert_eq!((blank.uid, blank.gid, blank.mtime), (0, 0, 0));
    assert_eq!(image.mode("/folder"), Some(0o755));
    assert_eq!(image.kind("/pipe", true), Some(FileKind::Other));
    assert_eq!(image.kind("/dev/null", true), None);
    let skipped: Vec<&str> = image.skipped().iter().map(|skipped| skipped.name.as_str()).collect();
    assert_eq!(skipped, ["dev/null", "\u{fffd}\u{fffd}", "volume"]);
}

#[test]
fn long_names_and_holes_are_read() {
    let long = format!("{}/{}", "folder".repeat(30), "name".repeat(50));
    let gnu_name = |name: &str| [name.as_bytes(), b"\0"].concat();
    let mut sparse = Tarball::header(EntryType::GNUSparse, b"holes", b"", 512);
    {
        let gnu = sparse.as_gnu_mut().unwrap();
        let octal = |field: &mut [u8; 12], value: u64| {
            field.copy_from_slice(format!("{value:011o}\0").as_bytes());
        };
        octal(&mut gnu.sparse[0].offset, 1 << 20);
        octal(&mut gnu.sparse[0].numbytes, 512);
        octal(&mut gnu.realsize, (1 << 20) + 512);
    }
    sparse.set_cksum();
    let tar = Tarball::default()
        .entry(EntryType::GNULongName, "././@LongLink", "", &gnu_name(&long))
        .file("cut", b"gnu")
        .pax(&[("path", format!("{long}-pax").as_bytes())])
        .file("cut", b"pax")
        .entry(EntryType::GNULongLink, "././@LongLink", "", &gnu_name(&format!("/{long}")))
        .link("link", "cut")
        .raw(&sparse, &[7; 512]);
    let image = layers(&[tar]).unwrap();
    assert_eq!(image.read_file(&format!("/{long}")).unwrap(), b"gnu");
    assert_eq!(image.read_file(&format!("/{long}-pax")).unwrap(), b"pax");
    assert_eq!(image.read_file("/link").unwrap(), b"gnu");
    let holes = image.read_file("/holes").unwrap();
    assert_eq!((holes.len(), holes[0], holes[1 << 20]), ((1 << 20) + 512, 0, 7));
}

#[test]
fn layers_replace_what_is_below() {
    let below = Tarball::default().file("a/b/c", b"1").file("file", b"1").link("link", "a").dir("other/");
    let above = Tarball::default().file("a", b"2").file("file/in", b"2");
    let error = layers(&[below.clone(), above]).unwrap_err();
    assert!(error.to_string().contains("`file/in`: it lies in what is not a folder"), "{error}");
    let above =
        Tarball::default().file("a", b"2").dir("file").file("file/in", b"2").dir("link").file("link/x", b"2");
    let image = layers(&[below.clone(), above]).unwrap();
    assert_eq!(shown(&image), "/a 2\n/file /\n/file/in 2\n/link /\n/link/x 2\n/other /\n");

    // A whiteout hides what is below, and never what its own layer brings, whichever comes first.
    for swap in [false, true] {
        let new = |tar: Tarball| tar.file("a/b/new", b"2");
        let hide = |tar: Tarball| tar.file(".wh.a", b"").file(".wh.nothing", b"").file("no/.wh.such", b"");
        let tar = Tarball::default();
        let above = if swap { hide(new(tar)) } else { new(hide(tar)) };
        let image = layers(&[below.clone(), above]).unwrap();
        assert_eq!(shown(&image), "/a /\n/a/b /\n/a/b/new 2\n/file 1\n/link -> a\n/other /\n", "{swap}");
    }
    // An opaque root leaves only what comes with it.
    let above = Tarball::default().file("only", b"2").file(".wh..wh..opq", b"").file(".wh..wh.plnk/x", b"");
    let error = layers(&[below.clone(), above]).unwrap_err();
    assert!(error.to_string().contains("it lies in a whiteout"), "{error}");
    let above = Tarball::default().file("only", b"2").file(".wh..wh..opq", b"").dir(".wh..wh.plnk");
    assert_eq!(shown(&layers(&[below, above]).unwrap()), "/only 2\n");
}

#[test]
fn what_a_path_needs_is_found() {
    let image = layers(&sample()).unwrap();
    let paths = |path: &str| -> Vec<String> {
        image.entries(path).unwrap().into_iter().map(|entry| entry.path).collect()
    };
    assert_eq!(paths("/lib/libz.so"), ["/lib", "/usr/lib/libz.so"]);
    assert_eq!(image.real_path("/lib/../lib/libc.so").as_deref(), Some("/usr/lib/libc.so"));
    assert_eq!(image.names("/usr/lib"), ["libc.so", "libz.so"]);
    // A file of two names counts once.
    assert_eq!(image.size(), (9 + 9 + 1 + 11, 12));
    assert!(image.read_file("/lib").is_err());
    assert!(image.read_file("/nowhere").is_err());
}
