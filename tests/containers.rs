//! From containers and to containers: an image of Redis, made here of this machine's files, becomes a machine that serves;
//! and machines become images again.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use bespoke_kernel::Payload;
use bespoke_kernel::oci::Digest;
use bespoke_model::Config;
use bespoke_tests::{Scratch, Server, run_in};
use serde_json::{Value, json};

const REDIS: &str = "/usr/bin/redis-server";

/// A layer: a tar archive.
struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_700_000_000);
        header
    }

    fn file(mut self, path: &str, mode: u32, bytes: &[u8]) -> Self {
        let mut header = Self::header(tar::EntryType::Regular, mode);
        header.set_size(bytes.len() as u64);
        self.0.append_data(&mut header, path, bytes).unwrap();
        self
    }

    fn folder(mut self, path: &str, mode: u32, owner: u32) -> Self {
        let mut header = Self::header(tar::EntryType::Directory, mode);
        header.set_uid(owner.into());
        header.set_gid(owner.into());
        header.set_size(0);
        self.0.append_data(&mut header, path, &[][..]).unwrap();
        self
    }

    fn link(mut self, path: &str, to: &str) -> Self {
        let mut header = Self::header(tar::EntryType::Symlink, 0o777);
        header.set_size(0);
        self.0.append_link(&mut header, path, to).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// The script of the official image, as far as it matters.
const ENTRYPOINT: &str = "#!/bin/sh\nset -e\nif [ \"$(id -u)\" = 0 ]; then chown redis .; fi\nexec \"$@\"\n";

/// An OCI layout of Redis in three layers, as one file.
fn redis_archive(folder: &Path) -> std::path::PathBuf {
    let mut config = Config::new("");
    config.set_program(&bespoke_model::Program { path: REDIS.into(), ..bespoke_model::Program::default() });
    let payload =
        Payload::load(&config, Path::new("/")).expect("redis-server is installed; tests/run does that");
    let mut base = Layer::new()
        .folder("usr/", 0o755, 0)
        .folder("usr/lib/", 0o755, 0)
        .link("lib", "usr/lib")
        .link("lib64", "usr/lib64")
        .link("bin", "usr/bin")
        .folder("tmp/", 0o1777, 0)
        .file("etc/passwd", 0o644, b"root:x:0:0::/root:/bin/sh\nredis:x:999:998::/data:/bin/false\n")
        .file("etc/group", 0o644, b"root:x:0:\nredis:x:998:\n")
        .file("etc/redis.conf.old", 0o644, b"port 1\n")
        .file("usr/share/manual/large", 0o644, &vec![b'm'; 3 << 20])
        .file("usr/bin/sh", 0o755, &fs::read("/bin/sh").unwrap());
    // Libraries lie behind the links above, as in the images of distributions.
    for (path, _) in payload.files().filter(|(path, _)| path.contains(".so")) {
        let real = format!("usr{path}").replace("usr/usr/", "usr/");
        base = base.file(&real, 0o755, &fs::read(path).unwrap());
    }
    let program = Layer::new()
        .file("usr/local/bin/redis-server", 0o755, &fs::read(REDIS).unwrap())
        .file("usr/local/bin/docker-entrypoint.sh", 0o755, ENTRYPOINT.as_bytes())
        .file(
            "usr/local/etc/redis.conf",
            0o644,
            b"port 6379\nbind 0.0.0.0\nprotected-mode no\nsave \"\"\ndir /data\n",
        )
        .file("etc/.wh.redis.conf.old", 0o644, b"");
    let data = Layer::new()
        .folder("data/", 0o755, 999)
        .file("usr/share/manual/.wh..wh..opq", 0o644, b"")
        .file("usr/share/manual/small", 0o644, b"m");

    let mut blobs: Vec<(String, Vec<u8>)> = Vec::new();
    let mut blob = |media: &str, bytes: Vec<u8>| -> Value {
        let digest = Digest::of(&bytes);
        let pointer = json!({ "mediaType": media, "digest": digest.to_string(), "size": bytes.len() });
        blobs.push((digest.blob_path(), bytes));
        pointer
    };
    let layer = "application/vnd.oci.image.layer.v1.tar";
    let mut layers = Vec::new();
    let mut diff_ids = Vec::new();
    for (bytes, squeeze) in [(base.bytes(), true), (program.bytes(), true), (data.bytes(), false)] {
        diff_ids.push(Digest::of(&bytes).to_string());
        layers.push(if squeeze {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&bytes).unwrap();
            blob(&format!("{layer}+gzip"), encoder.finish().unwrap())
        } else {
            blob(layer, bytes)
        });
    }
    let image = json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "REDIS_VERSION=7"],
            "Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["redis-server", "/usr/local/etc/redis.conf"],
            "WorkingDir": "/data", "ExposedPorts": { "6379/tcp": {} }, "Volumes": { "/data": {} },
        },
    });
    let image = blob("application/vnd.oci.image.config.v1+json", image.to_string().into_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": image, "layers": layers });
    let mut manifest = blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().into_bytes());
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "redis:7" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    let mut archive = Layer::new().file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#).file(
        "index.json",
        0o644,
        index.to_string().as_bytes(),
    );
    for (path, bytes) in blobs {
        archive = archive.file(&path, 0o644, &bytes);
    }
    let path = folder.join("redis.tar");
    fs::write(&path, archive.bytes()).unwrap();
    path
}

/// What the real client is told.
fn redis_cli(port: u16, words: &[&str]) -> String {
    let port = port.to_string();
    let output = Command::new("redis-cli").args(["-h", "127.0.0.1", "-p", &port]).args(words).output();
    String::from_utf8(output.expect("redis-cli is installed").stdout).unwrap().trim().to_owned()
}

fn serves(server: &Server) {
    assert_eq!(redis_cli(server.port, &["ping"]), "PONG");
    assert_eq!(redis_cli(server.port, &["set", "from", "a container"]), "OK");
    assert_eq!(redis_cli(server.port, &["get", "from"]), "a container");
    assert_eq!(redis_cli(server.port, &["config", "get", "dir"]), "dir\n/data");
}

#[test]
fn a_container_of_redis_becomes_a_machine_that_serves() {
    let scratch = Scratch::new("");
    redis_archive(scratch.path());
    let made = scratch.run(&["new", "--image", "redis.tar", "-o", "app.toml", "--force"]);
    assert_eq!(made.status, 0, "{}", made.err);
    assert!(
        made.out.contains("note: /usr/local/bin/docker-entrypoint.sh is a script of the shell"),
        "{}",
        made.out
    );
    assert!(made.out.contains("-p 6379:6379"), "{}", made.out);
    let config = fs::read_to_string(scratch.path().join("app.toml")).unwrap();
    for line in [
        "archive = \"redis.tar\"",
        "path = \"/usr/local/bin/redis-server\"",
        "args = [\"/usr/local/etc/redis.conf\"]",
        "cwd = \"/data\"",
        "\"/usr/local/etc/redis.conf\",",
        "# It listens at 6379/tcp.",
    ] {
        assert!(config.contains(line), "no `{line}` in\n{config}");
    }
    assert!(!config.contains("/usr/share/manual"), "{config}");
    let server = Server::start(&scratch, 6379, "Ready to accept connections", &[]);
    serves(&server);
    drop(server);

    // The same config makes the same bytes, and no other image passes for this one.
    let build = |to: &str| {
        let built = scratch.run(&["build", "app.toml", "-o", to]);
        assert_eq!(built.status, 0, "{}", built.err);
        fs::read(scratch.path().join(to)).unwrap()
    };
    assert!(build("one.img") == build("two.img"));
    let other = config.replace("id = \"sha256:", "id = \"sha256:0");
    fs::write(scratch.path().join("other.toml"), &other[..other.len()]).unwrap();
    let refused = scratch.run(&["build", "other.toml", "-o", "three.img"]);
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("no image with the id sha256:0"), "{}", refused.err);
    assert!(refused.err.contains("redis:7 (linux/amd64)"), "{}", refused.err);
}

#[test]
fn a_machine_becomes_an_image_and_boots_from_it() {
    let scratch = Scratch::new("schema = 1\nextends = \"preset:hello\"\n");
    let ran = |args: &[&str]| {
        let run = scratch.run(args);
        assert_eq!(run.status, 0, "{args:?}: {}", run.err);
        run.out
    };
    ran(&["build", "app.toml", "-o", "app.img"]);
    ran(&["build", "app.toml", "--format", "oci"]);
    ran(&["build", "app.toml", "--format", "oci", "--tag", "registry.example/hello:1", "-o", "layout/"]);
    let elf = fs::read(scratch.path().join("app.img")).unwrap();
    for place in ["app.oci.tar", "layout"] {
        let image = bespoke_kernel::oci::Image::open(
            &scratch.path().join(place),
            &bespoke_kernel::oci::Pick::default(),
            bespoke_kernel::oci::Limits::default(),
        )
        .unwrap();
        assert!(
            image.read_file(bespoke_kernel::oci::KERNEL).unwrap() == elf,
            "{place}: the very bytes that boot"
        );
        assert_eq!(ran(&["run", place]), ran(&["run", "app.img"]));
        let refused = scratch.run(&["new", "--image", place]);
        assert!(refused.err.contains("holds a unikernel already"), "{}", refused.err);
    }
    ran(&["build", "app.toml", "--format", "oci", "-o", "again.tar"]);
    let read = |name: &str| fs::read(scratch.path().join(name)).unwrap();
    assert!(read("app.oci.tar") == read("again.tar"));
}

/// What the tools of others say of our images.
#[test]
fn skopeo_takes_our_images() {
    let scratch = Scratch::new("schema = 1\nextends = \"preset:hello\"\n");
    let built = scratch.run(&["build", "app.toml", "--format", "oci", "--tag", "hello:1"]);
    assert_eq!(built.status, 0, "{}", built.err);
    let skopeo = |args: &[&str]| {
        let output = Command::new("skopeo").current_dir(scratch.path()).args(args).output().expect("skopeo");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let policy = "--insecure-policy";
    for (platform, os) in [
        (["--override-os=linux", "--override-arch=amd64"], "linux"),
        (["--override-os=qemu", "--override-arch=x86_64"], "qemu"),
    ] {
        let said = skopeo(&[&[policy][..], &platform, &["inspect", "oci-archive:app.oci.tar"]].concat());
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["Os"], os);
        assert_eq!(said["Layers"].as_array().unwrap().len(), 1);
    }
    skopeo(&[policy, "copy", "--all", "oci-archive:app.oci.tar", "oci:copy:hello"]);
    skopeo(&[policy, "copy", "docker-archive:app.oci.tar", "oci:docker:hello"]);
    skopeo(&[policy, "copy", "oci-archive:app.oci.tar", "docker-archive:saved.tar:hello:2"]);
    for place in ["copy", "docker", "saved.tar"] {
        let run = run_in(scratch.path(), &["run", place]);
        assert_eq!(run.status, 0, "{place}: {}", run.err);
    }
}
