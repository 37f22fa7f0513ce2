//! Writes a unikernel as an OCI image, so that registries carry it and runtimes that know unikernels start it.
//!
//! There is one layer, uncompressed: the bootable file at [`KERNEL`], and `urunc.json` beside it in the root. An index
//! leads to it twice, since two families of tools look for it under different platforms:
//!
//! - `linux/amd64`, which containerd and Kubernetes choose. [urunc](https://github.com/urunc-dev/urunc) finds what to start
//!   in the annotations `com.urunc.unikernel.*` that a runtime passes on, and else in `urunc.json` in the image's root: there in base64.
//!   Its list of guests is closed; `unikraft` is the entry whose machine fits: QEMU's PC with nothing that QEMU has to be told of, the file as
//!   `-kernel`, and a command line that [`NEEDED`] parts of ours read.
//! - `qemu/x86_64`, which `kraft` chooses, with `org.unikraft.*` annotations; `sh.kraftkit.version` on the index and on its pointer is what makes
//!   `kraft` look at an image at all, and its value does not count. It adds `Cmd` to the same command line, without the program.
//!
//! The program is the image's `Entrypoint` and its arguments are `Cmd`, so that who gives a container other arguments changes these alone.
//!
//! The bytes follow from the image and its description alone: every time in them is zero.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use tar::{EntryType, Header};

use super::digest::Digest;

/// Where the bootable file lies in the image. `kraft` looks nowhere else.
pub const KERNEL: &str = "/unikraft/bin/kernel";

/// What a machine of urunc or of `kraft` asks of a guest: a part, the one without which it does not matter, and what is lost without it.
/// There are PCI devices alone, QEMU has no device to leave by, and all there is to know comes by the command line.
pub const NEEDED: &[(&str, Option<&str>, &str)] = &[
    ("driver.virtio-pci", Some("driver.virtio"), "it would find no devices"),
    ("driver.acpi-poweroff", None, "the machine would start over when the program ends"),
    ("boot.unikraft", None, "it would not be given a container's own arguments and variables"),
    ("net.command-line", Some("net.ethernet"), "it would not be told its address"),
];

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The beginning of time.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A unikernel, on its way into an OCI image.
#[derive(Debug, Clone, Default)]
pub struct Unikernel {
    /// The bootable file.
    pub kernel: Vec<u8>,
    /// The image's name and tag, such as `redis:latest`; see [`is_reference`].
    pub reference: String,
    /// The program in it and its arguments, for whoever lists images: what is started is in the file.
    pub command: Vec<String>,
    /// The program's environment.
    pub env: Vec<String>,
    /// Its working directory.
    pub cwd: String,
}

/// Whether a text can be an image's name and tag: lower-case names between slashes, perhaps behind a host with a port,
/// and a tag behind a colon (the distribution specification's grammar).
pub fn is_reference(text: &str) -> bool {
    let (name, tag) = match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => return false,
    };
    let tag_fits = tag
        .bytes()
        .enumerate()
        .all(|(at, b)| b.is_ascii_alphanumeric() || b == b'_' || at > 0 && (b == b'.' || b == b'-'));
    let part_fits = |part: &str| {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        edge(part.bytes().next())
            && edge(part.bytes().last())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    let mut parts: Vec<&str> = name.split('/').collect();
    let host = parts[0].split_once(':').map_or(parts[0], |(host, _)| host);
    let port = parts[0].split_once(':').map(|(_, port)| port);
    if parts.len() > 1 && port.is_some_and(|port| port.parse::<u16>().is_ok()) {
        parts[0] = host;
    }
    (1..=128).contains(&tag.len()) && tag_fits && name.len() <= 255 && parts.into_iter().all(part_fits)
}

/// A name for an image, made from any text: a config's file name, say.
pub fn reference_for(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().map(plain).collect();
    let parts: Vec<&str> = name.split('-').filter(|part| !part.is_empty()).collect();
    let name = if parts.is_empty() { "unikernel".into() } else { parts.join("-") };
    format!("{name}:latest")
}

impl Unikernel {
    /// Every file of the image's layout, in the order in which they are written.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut blobs = Vec::new();
        let layer_bytes = self.layer();
        let diff_id = Digest::of(&layer_bytes);
        let mut layer = blob(&mut blobs, LAYER, layer_bytes);
        let linux = self.configuration("linux", "amd64", &diff_id);
        let config_path = Digest::of(&linux).blob_path();
        let config = blob(&mut blobs, CONFIG, linux);
        let mut annotations = self.annotations();
        annotations.extend(self.urunc().into_iter().map(|(key, value)| (key, json!(value))));
        let for_urunc = manifest(&mut blobs, &config, &layer, annotations, "linux", "amd64");

        layer["annotations"] = json!({ "org.unikraft.kernel.image": KERNEL });
        let mut config = blob(&mut blobs, CONFIG, self.configuration("qemu", "x86_64", &diff_id));
        config["platform"] = json!({ "os": "qemu", "architecture": "x86_64" });
        let mut annotations = self.annotations();
        annotations.extend(kraft(&self.reference));
        let mut for_kraft = manifest(&mut blobs, &config, &layer, annotations, "qemu", "x86_64");
        for_kraft["annotations"] = Value::Object(kraft(&self.reference));

        let mut annotations = self.annotations();
        annotations.insert(KRAFT.into(), json!(MADE_BY));
        let index = json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": [for_urunc, for_kraft], "annotations": annotations,
        });
        let mut index = blob(&mut blobs, INDEX, bytes(&index));
        let tag = self.reference.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        index["annotations"] = json!({ "io.containerd.image.name": full(&self.reference), "org.opencontainers.image.ref.name": tag });
        let top = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [index] });

        // What older versions of `docker load` read.
        let layer_path = diff_id.blob_path();
        let saved = json!([{ "Config": config_path, "RepoTags": [self.reference], "Layers": [layer_path] }]);
        let mut files = vec![
            ("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".into(), bytes(&top)),
            ("manifest.json".into(), bytes(&saved)),
        ];
        blobs.sort();
        files.extend(blobs);
        files
    }

    fn annotations(&self) -> Map<String, Value> {
        let mut annotations = Map::new();
        annotations.insert("org.opencontainers.image.created".into(), json!(CREATED));
        annotations.insert("org.opencontainers.image.title".into(), json!(name(&self.reference)));
        annotations
    }

    fn configuration(&self, os: &str, architecture: &str, diff_id: &Digest) -> Vec<u8> {
        let mut start = json!({});
        if let Some((program, args)) = self.command.split_first() {
            start["Entrypoint"] = json!([program]);
            start["Cmd"] = json!(args);
        }
        if !self.env.is_empty() {
            start["Env"] = json!(self.env);
        }
        if !self.cwd.is_empty() {
            start["WorkingDir"] = json!(self.cwd);
        }
        bytes(&json!({
            "created": CREATED, "architecture": architecture, "os": os, "config": start,
            "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
            "history": [{ "created": CREATED, "created_by": MADE_BY }],
        }))
    }

    /// What urunc is to know of it.
    fn urunc(&self) -> Vec<(String, String)> {
        let command = self.command.join(" ");
        URUNC
            .iter()
            .chain(&[("cmdline", command.as_str())])
            .map(|(key, value)| (format!("com.urunc.unikernel.{key}"), (*value).to_owned()))
            .collect()
    }

    fn layer(&self) -> Vec<u8> {
        let encoded = |(key, value): (String, String)| (key, json!(BASE64_STANDARD.encode(value)));
        let urunc: Map<String, Value> = self.urunc().into_iter().map(encoded).collect();
        let mut out = Vec::new();
        let mut above = String::new();
        let path = KERNEL.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            above.clear();
            above.push_str(&path[..=at]);
            member(&mut out, EntryType::Directory, &above, 0o755, b"");
        }
        member(&mut out, EntryType::Regular, path, 0o755, &self.kernel);
        member(&mut out, EntryType::Regular, "urunc.json", 0o644, &bytes(&Value::Object(urunc)));
        end(&mut out);
        out
    }

    /// The image as one file, an OCI layout in a tar archive. `docker load` and `podman load` take it, older ones too.
    pub fn to_tar(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for folder in ["blobs/", "blobs/sha256/"] {
            member(&mut out, EntryType::Directory, folder, 0o755, b"");
        }
        for (name, data) in self.files() {
            member(&mut out, EntryType::Regular, &name, 0o644, &data);
        }
        end(&mut out);
        out
    }

    /// Writes the image as a folder, an OCI layout. What has the same name there is replaced, other blobs stay.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_folder(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder.join("blobs/sha256"))?;
        // What points at others comes after them, so that a reader never follows a pointer to nothing.
        for (name, data) in self.files().into_iter().rev() {
            if name == "manifest.json" {
                continue; // means nothing in a folder
            }
            let path = folder.join(name);
            let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(folder))?;
            io::Write::write_all(&mut file, &data)?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            file.as_file().set_permissions(mode)?;
            file.persist(&path)?;
        }
        Ok(())
    }
}

/// What urunc is to know of every image of ours.
const URUNC: &[(&str, &str)] = &[
    ("unikernelType", "unikraft"),
    // From 0.16.1 on the address is told as `netdev.ip=`.
    ("unikernelVersion", "0.17.0"),
    ("hypervisor", "qemu"),
    ("binary", KERNEL),
    // Nothing of the container's root is for the guest; the second is the first's older name.
    ("mountRootfs", "false"),
    ("useDMBlock", "false"),
];
const KRAFT: &str = "sh.kraftkit.version";
const MADE_BY: &str = concat!("bespoke-", env!("CARGO_PKG_VERSION"));

fn kraft(reference: &str) -> Map<String, Value> {
    let mut annotations = Map::new();
    let mut put = |key: &str, value: &str| drop(annotations.insert(key.into(), json!(value)));
    put(KRAFT, MADE_BY);
    put("org.unikraft.image.name", name(reference));
    put("org.unikraft.kernel.image", KERNEL);
    put("org.unikraft.kernel.arch", "x86_64");
    put("org.unikraft.kernel.plat", "qemu");
    annotations
}

fn name(reference: &str) -> &str {
    reference.rsplit_once(':').map_or(reference, |(name, _)| name)
}

/// The reference with the registry that is meant when none is said.
fn full(reference: &str) -> String {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => reference.into(),
        Some(_) => format!("docker.io/{reference}"),
        None => format!("docker.io/library/{reference}"),
    }
}

/// A document's bytes; its keys are in order, since a map of JSON is sorted.
fn bytes(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

/// Adds a blob; what points at it.
fn blob(blobs: &mut Vec<(String, Vec<u8>)>, media: &str, data: Vec<u8>) -> Value {
    let digest = Digest::of(&data);
    let pointer = json!({ "mediaType": media, "digest": digest.to_string(), "size": data.len() });
    blobs.push((digest.blob_path(), data));
    pointer
}

fn manifest(
    blobs: &mut Vec<(String, Vec<u8>)>,
    config: &Value,
    layer: &Value,
    annotations: Map<String, Value>,
    os: &str,
    architecture: &str,
) -> Value {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer], "annotations": annotations,
    });
    let mut pointer = blob(blobs, MANIFEST, bytes(&manifest));
    pointer["platform"] = json!({ "os": os, "architecture": architecture });
    pointer
}

/// Adds a member to a tar archive.
fn member(out: &mut Vec<u8>, kind: EntryType, name: &str, mode: u32, data: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    // The names here are our own, and short.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(data.len() as u64);
    header.set_cksum();
    out.extend(header.as_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// Ends a tar archive.
fn end(out: &mut Vec<u8>) {
    out.resize(out.len() + 1024, 0);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use oci_spec::image as spec;

    use super::*;
    use crate::oci::{Image, Limits, Pick};

    fn sample() -> Unikernel {
        Unikernel {
            kernel: (0..300_000u32).map(|n| (n * 7) as u8).collect(),
            reference: "registry.example:5000/team/redis:7.0".into(),
            command: ["/usr/bin/redis-server", "--port", "6379"].map(Into::into).into(),
            env: vec!["HOME=/".into()],
            cwd: "/data".into(),
        }
    }

    const FOR_URUNC: [(&str, &str); 7] = [
        ("com.urunc.unikernel.binary", "/unikraft/bin/kernel"),
        ("com.urunc.unikernel.cmdline", "/usr/bin/redis-server --port 6379"),
        ("com.urunc.unikernel.hypervisor", "qemu"),
        ("com.urunc.unikernel.mountRootfs", "false"),
        ("com.urunc.unikernel.unikernelType", "unikraft"),
        ("com.urunc.unikernel.unikernelVersion", "0.17.0"),
        ("com.urunc.unikernel.useDMBlock", "false"),
    ];
    const FOR_KRAFT: [(&str, &str); 5] = [
        ("org.unikraft.image.name", "registry.example:5000/team/redis"),
        ("org.unikraft.kernel.arch", "x86_64"),
        ("org.unikraft.kernel.image", "/unikraft/bin/kernel"),
        ("org.unikraft.kernel.plat", "qemu"),
        ("sh.kraftkit.version", MADE_BY),
    ];

    fn plain(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// Annotations without those of the specification itself.
    fn own<'a>(all: impl IntoIterator<Item = (&'a String, &'a String)>) -> BTreeMap<String, String> {
        let all = all.into_iter().filter(|(key, _)| !key.starts_with("org.opencontainers."));
        all.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    #[test]
    fn it_is_an_image_as_the_specification_has_it() {
        let unikernel = sample();
        let folder = tempfile::tempdir().unwrap();
        unikernel.write_folder(folder.path()).unwrap();
        let path = |name: &str| folder.path().join(name);
        let blob = |digest: &spec::Digest| path(&format!("blobs/sha256/{}", digest.digest()));
        let layout = spec::OciLayout::from_file(path("oci-layout")).unwrap();
        assert_eq!(layout.image_layout_version(), "1.0.0");
        let top = spec::ImageIndex::from_file(path("index.json")).unwrap();
        assert_eq!(top.manifests().len(), 1);
        let check = |descriptor: &spec::Descriptor| {
            let data = std::fs::read(blob(descriptor.digest())).unwrap();
            assert_eq!(Digest::of(&data).to_string(), descriptor.digest().to_string());
            assert_eq!(data.len() as u64, descriptor.size());
        };
        let named = &top.manifests()[0];
        check(named);
        let annotations = named.annotations().clone().unwrap();
        assert_eq!(annotations["org.opencontainers.image.ref.name"], "7.0");
        let index = spec::ImageIndex::from_file(blob(named.digest())).unwrap();
        assert_eq!(*index.media_type(), Some(spec::MediaType::ImageIndex));
        assert!(index.annotations().as_ref().unwrap().contains_key("sh.kraftkit.version"));
        let mut platforms = Vec::new();
        for descriptor in index.manifests() {
            check(descriptor);
            let manifest = spec::ImageManifest::from_file(blob(descriptor.digest())).unwrap();
            assert_eq!(manifest.schema_version(), 2);
            check(manifest.config());
            assert_eq!(*manifest.config().media_type(), spec::MediaType::ImageConfig);
            assert_eq!(manifest.layers().len(), 1);
            let layer = &manifest.layers()[0];
            check(layer);
            assert_eq!(*layer.media_type(), spec::MediaType::ImageLayer);
            let config = spec::ImageConfiguration::from_file(blob(manifest.config().digest())).unwrap();
            assert_eq!(config.rootfs().diff_ids(), &[layer.digest().to_string()]);
            let start = config.config().clone().unwrap();
            assert_eq!(start.entrypoint().as_deref().unwrap(), ["/usr/bin/redis-server"]);
            assert_eq!(start.cmd().as_deref().unwrap(), ["--port", "6379"]);
            assert_eq!(start.working_dir().as_deref(), Some("/data"));
            let platform = descriptor.platform().clone().unwrap();
            assert_eq!((platform.os(), platform.architecture()), (config.os(), config.architecture()));
            platforms.push(format!("{}/{}", config.os(), config.architecture()));
            let said = manifest.annotations().clone().unwrap();
            if *config.os() == spec::Os::Linux {
                assert_eq!(own(&said), plain(&FOR_URUNC));
            } else {
                assert_eq!(own(&said), plain(&FOR_KRAFT));
                assert_eq!(own(descriptor.annotations().as_ref().unwrap()), plain(&FOR_KRAFT));
                let platform = manifest.config().platform().clone().unwrap();
                assert_eq!(platform.os().to_string(), "qemu", "kraft reads it here");
                let layer = layer.annotations().clone().unwrap();
                assert_eq!(layer["org.unikraft.kernel.image"], KERNEL);
            }
        }
        assert_eq!(platforms, ["linux/amd64", "qemu/x86_64"]);
    }

    #[test]
    fn it_reads_back_byte_for_byte() {
        let unikernel = sample();
        let folder = tempfile::tempdir().unwrap();
        let tar = folder.path().join("image.tar");
        std::fs::write(&tar, unikernel.to_tar()).unwrap();
        unikernel.write_folder(&folder.path().join("layout")).unwrap();
        let mut ids = Vec::new();
        for place in [tar.clone(), folder.path().join("layout")] {
            for tag in
                [None, Some("7.0"), Some("team/redis:7.0"), Some("registry.example:5000/team/redis:7.0")]
            {
                let pick = Pick { tag: tag.map(Into::into), id: None };
                let image = Image::open(&place, &pick, Limits::default()).unwrap();
                assert!(image.read_file(KERNEL).unwrap() == unikernel.kernel);
                assert_eq!([&image.start().entrypoint[..], &image.start().cmd].concat(), unikernel.command);
                assert_eq!(image.mode(KERNEL), Some(0o755));
                let urunc: BTreeMap<String, String> =
                    serde_json::from_slice(&image.read_file("/urunc.json").unwrap()).unwrap();
                assert_eq!(urunc["com.urunc.unikernel.hypervisor"], "cWVtdQ==");
                let decoded = |(key, value): (String, String)| {
                    (key, String::from_utf8(BASE64_STANDARD.decode(value).unwrap()).unwrap())
                };
                let decoded: BTreeMap<String, String> = urunc.into_iter().map(decoded).collect();
                assert_eq!(decoded, plain(&FOR_URUNC));
                ids.push(image.id().clone());
            }
        }
        ids.dedup();
        assert_eq!(ids.len(), 1);
        // What older versions of Docker see.
        let mut old = Vec::new();
        let mut archive = tar::Archive::new(std::fs::File::open(&tar).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut data = Vec::new();
            io::Read::read_to_end(&mut entry, &mut data).unwrap();
            if name != "index.json" && !name.ends_with('/') {
                member(&mut old, EntryType::Regular, &name, 0o644, &data);
            }
        }
        end(&mut old);
        std::fs::write(&tar, old).unwrap();
        let pick = Pick { tag: Some(unikernel.reference.clone()), id: Some(ids[0].to_string()) };
        let image = Image::open(&tar, &pick, Limits::default()).unwrap();
        assert!(image.read_file(KERNEL).unwrap() == unikernel.kernel);
    }

    #[test]
    fn the_same_image_makes_the_same_bytes() {
        assert!(sample().to_tar() == sample().to_tar());
        let other = Unikernel { cwd: "/".into(), ..sample() };
        assert!(sample().to_tar() != other.to_tar());
    }

    #[test]
    fn references_are_told_from_other_texts() {
        for good in
            ["redis:7", "a/b/c:latest", "localhost:5000/x:1", "r.example.org/x_y/z-1.2:V1.0-rc_1", "a__b:1"]
        {
            assert!(is_reference(good), "{good}");
            assert!(full(good).contains('/') && full(good).ends_with(good));
        }
        let long = format!("x:{}", "1".repeat(129));
        for bad in [
            "", "redis", "Redis:7", "redis:", ":7", "a//b:1", "-a:1", "a/:1", "x:a b", "x:-1", "a:1/b", &long,
        ] {
            assert!(!is_reference(bad), "{bad}");
        }
        for (text, made) in [
            ("redis", "redis:latest"),
            ("My App.v2", "my-app-v2:latest"),
            ("__", "unikernel:latest"),
            ("ä", "unikernel:latest"),
        ] {
            assert_eq!(reference_for(text), made);
            assert!(is_reference(made));
        }
    }
}
