//! From containers and to containers: an image of Redis, made here of this machine's files, becomes a machine that serves;
//! and machines become images again.

use std::fs;
use std::path::Path;
use std::process::Command;

use bespoke_kernel::Payload;
use bespoke_model::Config;
use bespoke_tests::clients::{REDIS_READY, curl_text, redis};
use bespoke_tests::container::{self, Layer};
use bespoke_tests::{PATIENCE, Scratch, Server, run_in};
use serde_json::{Value, json};

const REDIS: &str = "/usr/bin/redis-server";

/// The script of the official image, as far as it matters.
const ENTRYPOINT: &str = "#!/bin/sh\nset -e\nif [ \"$(id -u)\" = 0 ]; then chown redis .; fi\nexec \"$@\"\n";

/// An OCI layout of Redis in three layers, as one file.
fn redis_archive(folder: &Path) -> std::path::PathBuf {
    let mut config = Config::new("");
    config.set_program(&bespoke_model::Program { path: REDIS.into(), ..bespoke_model::Program::default() });
    let payload =
        Payload::load(&config, Path::new("/")).expect("redis-server is installed; tests/run does that");
    let mut base = Layer::default()
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
    let program = Layer::default()
        .file("usr/local/bin/redis-server", 0o755, &fs::read(REDIS).unwrap())
        .file("usr/local/bin/docker-entrypoint.sh", 0o755, ENTRYPOINT.as_bytes())
        .file(
            "usr/local/etc/redis.conf",
            0o644,
            b"port 6379\nbind 0.0.0.0\nprotected-mode no\nsave \"\"\ndir /data\n",
        )
        .file("etc/.wh.redis.conf.old", 0o644, b"");
    let data = Layer::default()
        .folder("data/", 0o755, 999)
        .file("usr/share/manual/.wh..wh..opq", 0o644, b"")
        .file("usr/share/manual/small", 0o644, b"m");

    let start = json!({
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "REDIS_VERSION=7"],
        "Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["redis-server", "/usr/local/etc/redis.conf"],
        "WorkingDir": "/data", "ExposedPorts": { "6379/tcp": {} }, "Volumes": { "/data": {} },
    });
    let layers = vec![(base.bytes(), true), (program.bytes(), true), (data.bytes(), false)];
    let path = folder.join("redis.tar");
    container::write(&path, "redis:7", layers, &start);
    path
}

fn serves(server: &Server) {
    assert_eq!(redis(server, &["ping"]), ["PONG"]);
    assert_eq!(redis(server, &["set", "from", "a container"]), ["OK"]);
    assert_eq!(redis(server, &["get", "from"]), ["a container"]);
    assert_eq!(redis(server, &["config", "get", "dir"]), ["dir", "/data"]);
}

/// The archive of Redis, and a config for it as `bespoke new` writes it; what that printed.
fn redis_config() -> (Scratch, String) {
    let scratch = Scratch::new("");
    redis_archive(scratch.path());
    let made = scratch.run(&["new", "--image", "redis.tar", "-o", "app.toml", "--force"]);
    assert_eq!(made.status, 0, "{}", made.err);
    (scratch, made.out)
}

#[test]
fn a_container_of_redis_becomes_a_machine_that_serves() {
    let (scratch, said) = redis_config();
    assert!(said.contains("note: /usr/local/bin/docker-entrypoint.sh is a script of the shell"), "{said}");
    assert!(said.contains("-p 6379:6379"), "{said}");
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
    let server = Server::start(&scratch, 6379, REDIS_READY, &[]);
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

/// What of a container the program uses is learnt in a guest that has all of it, and the image has that and no more.
#[test]
fn a_container_is_learnt_with_its_files() {
    let (scratch, _) = redis_config();
    let learn = |more: &[&str], folder: &str| {
        let command = [&["fit", "app.toml", "--learn"], more].concat();
        let server = Server::command(&scratch, &command, 6379, REDIS_READY);
        assert_eq!(redis(&server, &["config", "get", "dir"]), ["dir", folder]);
        assert_eq!(redis(&server, &["set", "from", "a container"]), ["OK"]);
        let (status, said) = server.end("TERM");
        assert_eq!(status, Some(0), "{said}");
        said
    };
    let config = || fs::read_to_string(scratch.path().join("app.toml")).unwrap();
    let image = |text: &str| {
        let config = Config::parse("app.toml", text).unwrap();
        let source = config.image().unwrap();
        (source.files.clone(), source.folders.clone())
    };
    assert!(config().contains("\"/etc/passwd\","), "{}", config());
    let said = learn(&[], "/data");
    // It opens its configuration, writes in its folder, and never asks who it is.
    assert_eq!(
        image(&config()),
        (vec!["/usr/local/etc/redis.conf".into()], vec!["/data".into()]),
        "{said}{}",
        config()
    );
    assert!(said.contains("no longer packed, since it was not used: /etc/passwd  "), "{said}");
    // What a later run uses is packed besides.
    let said = learn(&["--", "/usr/local/etc/redis.conf", "--dir", "/usr/share"], "/usr/share");
    let (files, folders) = image(&config());
    assert_eq!(files, ["/usr/local/etc/redis.conf"]);
    assert_eq!(folders, ["/data", "/usr/share"], "{said}");
    let server = Server::start(&scratch, 6379, REDIS_READY, &[]);
    serves(&server);
    let refused = scratch.run(&["fit", "app.toml", "--trace"]);
    assert!(refused.status == 1 && refused.err.contains("lies in a container image"), "{}", refused.err);
}

#[test]
fn a_container_of_nginx_becomes_a_machine_that_serves() {
    let nginx = container::nginx();
    let scratch = Scratch::new("");
    nginx.write(scratch.path(), false);
    let said = nginx.new_config(&scratch, &[]);
    assert!(said.contains("-p 80:80"), "{said}");
    nginx.check(&scratch);
    let size = |scratch: &Scratch| scratch.sizes("app.toml")["image_bytes"].as_u64().unwrap();
    let before = size(&scratch);
    let said = nginx.learn(&scratch);
    let config = fs::read_to_string(scratch.path().join("app.toml")).unwrap();
    for file in
        ["/etc/nginx/nginx.conf", "/etc/nginx/sites-enabled/default", "/var/www/html/index.nginx-debian.html"]
    {
        assert!(config.contains(&format!("\"{file}\"")), "{file}: {said}{config}");
    }
    assert!(!config.contains("fastcgi.conf"), "{config}");
    assert!(size(&scratch) < before, "{} of {before} bytes", size(&scratch));
    let server = Server::start(&scratch, 80, "", &["-m", "128M"]);
    assert!(nginx.answers(&server), "{}", server.said());
    assert!(curl_text(&server, &[":/"]).contains("Welcome to nginx!"));
    assert_eq!(curl_text(&server, &["-o", "/dev/null", "-w", "%{http_code}", ":/missing"]), "404");
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

/// A file with several names is in the image once, and is one file to the program.
#[test]
fn hard_links_of_layers_stay_links() {
    let scratch = Scratch::new("");
    let large: Vec<u8> = (0..200_000u32).map(|n| (n * 7) as u8).collect();
    let base = Layer::default()
        .file(
            "bin/busybox",
            0o755,
            &fs::read("/bin/busybox").expect("busybox is installed; tests/run does that"),
        )
        .file("data/a", 0o644, &large)
        .hard_link("data/b", "data/a")
        .file("data/other", 0o644, &large);
    let above = Layer::default().folder("data/deep/", 0o755, 0).hard_link("data/deep/c", "data/b");
    let start = json!({
        "Cmd": ["/bin/busybox", "stat", "-c", "%h %i %s", "/data/a", "/data/b", "/data/deep/c", "/data/other"],
    });
    container::write(
        &scratch.path().join("image.tar"),
        "links:1",
        vec![(base.bytes(), true), (above.bytes(), false)],
        &start,
    );
    let made = scratch.run(&["new", "--image", "image.tar", "-o", "app.toml", "--force"]);
    assert_eq!(made.status, 0, "{}", made.err);
    let files = scratch.sizes("app.toml")["files_bytes"].as_u64().expect("a number");
    assert!((400_000..410_000).contains(&files), "{files}: two files, one of them with three names");
    // In a root that can be written to, and in one that cannot.
    for root in ["memory", "packed"] {
        assert_eq!(scratch.run(&["set", "app.toml", &format!("fs.root={root}")]).status, 0);
        let run = scratch.run(&["run", "app.toml"]);
        let lines: Vec<Vec<&str>> = run.out.lines().map(|line| line.split(' ').collect()).collect();
        assert_eq!((run.status, lines.len()), (0, 4), "{}{}", run.out, run.err);
        assert!(lines[..3].iter().all(|line| line[..] == ["3", lines[0][1], "200000"]), "{root}: {lines:?}");
        assert!(lines[3][0] == "1" && lines[3][1] != lines[0][1], "{root}: {lines:?}");
    }
    // What is written by one name is read by another.
    let script = "echo written > /data/a; read -r line < /data/deep/c; echo \"$line\"";
    assert_eq!(scratch.run(&["set", "app.toml", "fs.root=memory"]).status, 0);
    let run = scratch.run(&["run", "app.toml", "--", "sh", "-c", script]);
    assert_eq!((run.status, run.out.as_str()), (0, "written\n"), "{}", run.err);
}

/// Boots a file as others do; what came on the console, once the machine turned itself off.
fn boot_as_others_do(image: &Path, more: &[&str], command_line: &str) -> String {
    let card = "virtio-net-pci,netdev=net0,host_mtu=1500,mac=52:54:00:12:34:56";
    let output = Command::new("timeout")
        .args([
            "--kill-after=5",
            &PATIENCE.as_secs().to_string(),
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-m",
            "256M",
        ])
        .args(["-display", "none", "-vga", "none", "-monitor", "none", "-serial", "stdio", "-kernel"])
        .arg(image)
        .args(["-netdev", "user,id=net0", "-device", card])
        .args(more)
        .args(["-append", command_line])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("timeout(1) runs");
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert_eq!(output.status.code(), Some(0), "it does not turn itself off: {said}");
    said
}

/// Our images in the machines of urunc and `kraft`, with the command lines that these write: all of their options that do not want
/// rights or the processor's own virtualisation.
#[test]
fn an_image_is_told_by_urunc_and_by_kraft() {
    let program = bespoke_tests::program("told.c", "musl");
    let scratch = Scratch::new(&format!(
        "schema = 1\nextends = \"preset:everything\"\n[program]\npath = {program:?}\n\
         args = [\"-g\", \"daemon off;\"]\nenv = [\"HOME=/\", \"KEPT=1\"]\n[set]\n\"net.dhcp\" = false\n"
    ));
    let name = format!("/bin/{}", program.file_name().unwrap().to_string_lossy());
    let built = scratch.run(&["build", "app.toml", "--format", "oci"]);
    assert!(built.status == 0 && built.err.is_empty(), "{}", built.err);
    let oci = bespoke_kernel::oci::Image::open(
        &scratch.path().join("app.oci.tar"),
        &bespoke_kernel::oci::Pick::default(),
        bespoke_kernel::oci::Limits::default(),
    )
    .unwrap();
    assert_eq!((oci.start().entrypoint.len(), oci.start().cmd.len()), (1, 2));
    let image = scratch.path().join("kernel");
    fs::write(&image, oci.read_file(bespoke_kernel::oci::KERNEL).unwrap()).unwrap();
    let own = "argument: -g\nargument: daemon off;\n";
    let told = "address: 10.0.2.77\nmask: 255.255.255.128\nresolv.conf: nameserver 8.8.8.8\n";

    // urunc, of today and of 2025: arguments as the image has them, which nobody quotes.
    let variables = "env.vars=[ PATH=/usr/bin:/bin HOME=/root OPTIONS=-a -b ]";
    let address = "netdev.ip=10.0.2.77/25:10.0.2.2:8.8.8.8";
    let known =
        "variable: HOME=/root\nvariable: KEPT=1\nvariable: PATH=/usr/bin:/bin\nvariable: OPTIONS=-a -b\n";
    for line in [
        format!("Unikraft  {variables} {address}    -- {name} -g daemon off;"),
        format!("{name} {variables} {address}    -- -g daemon off;"),
    ] {
        let said = boot_as_others_do(&image, &[], &line);
        assert!(said.contains(&format!("{own}{known}{told}told\n")), "{line}: {said}");
    }
    // Without a network, and with other arguments.
    let line = format!("Unikraft   netdev.ip=/24::8.8.8.8    -- {name} --port 7000");
    let said = boot_as_others_do(&image, &[], &line);
    let kept = "variable: HOME=/\nvariable: KEPT=1\n";
    let usual = "address: 10.0.2.15\nmask: 255.255.255.0\n";
    assert!(said.contains(&format!("argument: --port\nargument: 7000\n{kept}{usual}")), "{said}");

    // `kraft`, in a network and without one: then all that there is are arguments.
    let more = [
        "-machine",
        "q35",
        "-device",
        "pvpanic",
        "-no-reboot",
        "-parallel",
        "none",
        "-rtc",
        "base=utc",
        "-smp",
        "cpus=1,threads=1,sockets=1",
    ];
    let line = "netdev.ip=10.0.2.77/25:10.0.2.2:8.8.8.8::name:domain env.vars=[ \"A=b c\" ] -- \"it's\" x ";
    let said = boot_as_others_do(&image, &more, line);
    let expected = format!("argument: it's\nargument: x\n{kept}variable: A=b c\n{told}");
    assert!(said.contains(&expected), "{said}");
    let said = boot_as_others_do(&image, &more, "-g daemon off; ");
    assert!(said.contains(&format!("{own}{kept}{usual}")), "{said}");

    // An image that would not understand says so when it is built.
    fs::write(scratch.path().join("small.toml"), "schema = 1\nextends = \"preset:hello\"\n").unwrap();
    let built = scratch.run(&["build", "small.toml", "--format", "oci"]);
    assert!(
        built.status == 0 && built.err.contains("without boot.unikraft it would not be given"),
        "{}",
        built.err
    );
    let mended: Vec<&str> =
        built.err.lines().filter_map(|line| line.strip_prefix("hint: bespoke ")).collect();
    let mended: Vec<&str> = mended[0].split(' ').collect();
    assert_eq!(scratch.run(&mended).status, 0, "{mended:?}");
    let built = scratch.run(&["build", "small.toml", "--format", "oci"]);
    assert!(built.status == 0 && built.err.is_empty(), "{}", built.err);
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
