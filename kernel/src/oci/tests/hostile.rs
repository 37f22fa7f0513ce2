//! Archives that somebody made to do harm.

use super::*;

/// The error of an image of these layers, which must be of the kind that an attack gets.
fn refused(tars: &[Tarball], expected: &str) {
    match layers(tars) {
        Ok(image) => panic!("taken, where `{expected}` was expected:\n{}", shown(&image)),
        Err(error @ ImageError::Hostile { .. }) => {
            assert!(error.to_string().contains(expected), "{error}, where `{expected}` was expected");
        }
        Err(error) => panic!("{error}, where `{expected}` was expected"),
    }
}

fn tar() -> Tarball {
    Tarball::default()
}

#[test]
fn names_that_lead_elsewhere() {
    for name in ["../x", "a/../../x", "a/..", "..", "a/b/../c", "./../x"] {
        refused(&[tar().file(name, b"x")], "leads upwards");
        refused(&[tar().dir(name)], "leads upwards");
        refused(&[tar().link(name, "x")], "leads upwards");
        refused(&[tar().file("x", b"x").hard("y", name)], "cannot be a file of the image");
    }
    for name in ["/etc/passwd", "//x", "/"] {
        refused(&[tar().file(name, b"x")], "begins with /");
        refused(&[tar().file("x", b"x").hard("y", name)], "cannot be a file of the image");
    }
    refused(&[tar().file("", b"x")], "has no name");
    refused(&[tar().file(".", b"x")], "takes the place of the root");
    refused(&[tar().link("./", "/tmp")], "takes the place of the root");
    refused(&[tar().link("x", "")], "links to nothing");
}

#[test]
fn links_planted_to_write_or_read_outside() {
    // A link that leads out of the image on the host leads inside the image here.
    let outside = Scratch::new();
    let secret = outside.write("secret", b"of the host");
    let folder = outside.0.path().to_str().unwrap();
    let up = format!("{}{}", "../".repeat(10), &folder[1..]);
    for to in [folder, up.as_str()] {
        let image = layers(&[tar().link("out", to), tar().file("out/secret", b"planted")]).unwrap();
        assert_eq!(std::fs::read(&secret).unwrap(), b"of the host");
        assert_eq!(image.read_file(&format!("{folder}/secret")).unwrap(), b"planted");
        let image = layers(&[tar().link("out", to)]).unwrap();
        assert!(image.read_file("/out/secret").is_err());
        assert!(image.read_file("/out").is_err());
    }
    let file = secret.to_str().unwrap();
    let image = layers(&[tar().link("out", file)]).unwrap();
    assert!(image.read_file("/out").is_err());
    refused(&[tar().hard("y", &file[1..])], "what is not there");
    // The same within one layer, by a folder that becomes a link.
    let image =
        layers(&[tar().dir("d"), tar().link("d", folder), tar().file("d/secret", b"planted")]).unwrap();
    assert_eq!(image.kind("/d", false), Some(FileKind::Link));
    assert_eq!(std::fs::read(&secret).unwrap(), b"of the host");
}

#[test]
fn circles_of_links() {
    let circle = tar().link("a", "b").link("b", "a").link("c", "c/x");
    refused(&[circle.clone().file("a/x", b"")], "lead in a circle");
    refused(&[circle.clone(), tar().file("c/x", b"")], "lead in a circle");
    refused(&[circle.clone(), tar().file("a/.wh.x", b"")], "lead in a circle");
    refused(&[circle.clone(), tar().hard("d", "a/x")], "lead in a circle");
    let image = layers(&[circle]).unwrap();
    assert!(image.read_file("/a").is_err());
    assert!(image.entries("/c/y").is_err());
    assert_eq!(image.kind("/a", false), Some(FileKind::Link));
}

#[test]
fn names_that_come_twice() {
    refused(&[tar().file("x", b"1").file("x", b"2")], "comes twice");
    refused(&[tar().file("x", b"1").file("./x", b"2")], "comes twice");
    refused(&[tar().file("x", b"1").link("x", "y")], "comes twice");
    refused(&[tar().file("x", b"1").hard("x", "x")], "comes twice");
    refused(&[tar().dir("x").file("x", b"1")], "comes twice");
    refused(&[tar().link("d", "e").file("e/x", b"1").file("d/x", b"2")], "comes twice");
    refused(&[tar().file("x/y", b"1").file("x", b"1")], "a file here and a folder there");
    let again = tar().dir("x").file("x/y", b"1").dir("x");
    assert_eq!(shown(&layers(&[again]).unwrap()), "/x /\n/x/y 1\n", "a folder may be named again");
}

#[test]
fn whiteouts_that_hide_more_than_a_name() {
    let below = tar().file("a/b", b"1");
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..", "a/.wh."] {
        refused(&[below.clone(), tar().file(name, b"")], "hides nothing");
    }
    refused(&[below.clone(), tar().file(".wh.a/b", b"")], "lies in a whiteout");
    refused(&[below.clone(), tar().file(".wh..wh..opq/b", b"")], "lies in a whiteout");
    // A whiteout through a link hides in the folder that the link leads to, and nothing outside.
    let linked = tar().file("real/x", b"1").link("to", "real").link("out", "../../../real");
    let image = layers(&[linked.clone(), tar().file("to/.wh.x", b"")]).unwrap();
    assert_eq!(shown(&image), "/out -> ../../../real\n/real /\n/to -> real\n");
    let image = layers(&[linked, tar().file("out/.wh..wh..opq", b"")]).unwrap();
    assert_eq!(shown(&image), "/out -> ../../../real\n/real /\n/to -> real\n");
    // Whiteouts in the lowest layer have nothing to hide.
    assert_eq!(shown(&layers(&[tar().file(".wh.x", b"").file("x", b"1")]).unwrap()), "/x 1\n");
}

#[test]
fn hard_links_to_what_they_cannot_share() {
    refused(&[tar().hard("x", "y").file("y", b"")], "what is not there");
    refused(&[tar().dir("d").hard("x", "d")], "a hard link to a folder");
    refused(&[tar().hard("x", "./")], "cannot be a file");
    let below = tar().file("y", b"1");
    refused(&[below, tar().file(".wh.y", b"").hard("x", "y")], "what is not there");
}

#[test]
fn names_without_end() {
    let name = "n".repeat(256);
    refused(&[tar().pax(&[("path", name.as_bytes())]).file("x", b"")], "longer than 255 bytes");
    let path = "n/".repeat(2048);
    refused(&[tar().pax(&[("path", path.as_bytes())]).file("x", b"")], "longer than 4095 bytes");
    refused(&[tar().pax(&[("linkpath", path.as_bytes())]).link("x", "y")], "longer than 4095 bytes");
    refused(&[tar().pax(&[("path", b"a\0b")]).file("x", b"")], "zero byte");
    refused(&[tar().pax(&[("linkpath", b"a\0b")]).link("x", "y")], "zero byte");
    refused(&[tar().entry(EntryType::GNULongName, "l", "", b"a\0b\0").file("x", b"")], "zero byte");
    // Folders that nest through links beyond any path.
    let deep = "d/".repeat(400);
    let mut nested = tar().pax(&[("path", deep.as_bytes())]).dir("x").link("l", &"d/".repeat(49));
    nested = nested.pax(&[("linkpath", deep.as_bytes())]).link("m", "x");
    refused(&[nested, tar().pax(&[("path", format!("m/{deep}x").as_bytes())]).file("x", b"")], "too deep");
}

#[test]
fn headers_that_say_two_things_or_nothing() {
    refused(&[tar().pax(&[("path", b"a"), ("path", b"b")]).file("x", b"")], "one thing twice");
    refused(&[tar().pax(&[("mtime", b"soon")]).file("x", b"")], "its time is no time");
    refused(&[tar().pax(&[("GNU.sparse.major", b"1")]).file("x", b"")], "sparse in a way");
    refused(&[tar().pax(&[("uid", b"4294967296")]).file("x", b"")], "owner is out of range");
    let malformed = |tar: Tarball| match layers(&[tar]) {
        Err(ImageError::Malformed { .. }) => {}
        other => panic!("{other:?}"),
    };
    malformed(tar().entry(EntryType::XHeader, "pax", "", b"99 path=x\n").file("x", b""));
    malformed(tar().pax(&[("path", b"a")]));
    malformed(tar().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("x", b""));
    let mut header = Tarball::header(EntryType::Regular, b"x", b"", 0);
    header.as_mut_bytes()[0] = b'y';
    malformed(tar().raw(&header, b""));
    // A file that is said to be longer than its layer.
    malformed(tar().raw(&Tarball::header(EntryType::Regular, b"x", b"", 1 << 40), b"short"));
    // A name that fills the memory.
    malformed(tar().entry(EntryType::GNULongName, "l", "", &vec![b'a'; 2 << 20]).file("x", b""));
    malformed(tar().pax(&[("comment", &vec![b'a'; 2 << 20])]).file("x", b""));
}

#[test]
fn more_than_is_allowed() {
    let too_much = |layout: &Layout, limits: Limits, expected: &str| {
        let scratch = Scratch::new();
        match Image::open(&scratch.write("x.tar", &layout.tar()), &Pick::default(), limits) {
            Err(ImageError::TooMuch { setting, .. }) => assert_eq!(setting, expected),
            other => panic!("{other:?}"),
        }
    };
    let layout = |layers: &[(Tarball, Squeeze)]| {
        let mut layout = Layout::new();
        let manifest = layout.image("linux/amd64", json!({}), layers);
        layout.named(manifest, "test", None)
    };
    // 200 MiB of zeros, which fold into next to nothing.
    let zeros = tar().file("zeros", &vec![0; 200 << 20]);
    let bomb = layout(&[(zeros, Squeeze::Zstd)]);
    too_much(&bomb, Limits::default(), "max-size");
    let trusted = Limits { ratio: u64::MAX, ..Limits::default() };
    let scratch = Scratch::new();
    let image = Image::open(&scratch.write("x.tar", &bomb.tar()), &Pick::default(), trusted).unwrap();
    assert_eq!(image.size().0, 200 << 20);
    too_much(&bomb, Limits { bytes: 100 << 20, ..trusted }, "max-size");
    // The same twice counts twice.
    let half = tar().file("zeros", &vec![0; 20 << 20]);
    let twice = layout(&[(half.clone(), Squeeze::Zstd), (half, Squeeze::Gzip)]);
    too_much(&twice, Limits { bytes: 30 << 20, ..trusted }, "max-size");
    // Holes that are said to be large.
    let mut sparse = Tarball::header(EntryType::GNUSparse, b"holes", b"", 0);
    {
        let gnu = sparse.as_gnu_mut().unwrap();
        gnu.sparse[0].offset.copy_from_slice(b"77777777777\0");
        gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
        gnu.realsize.copy_from_slice(b"77777777777\0");
    }
    sparse.set_cksum();
    too_much(
        &layout(&[(tar().raw(&sparse, b""), Squeeze::No)]),
        Limits { bytes: 1 << 20, ..trusted },
        "max-size",
    );
    // Many files, and many folders that are only implied.
    let many = (0..2000).fold(tar(), |tar, n| tar.file(&format!("f{n}"), b""));
    too_much(&layout(&[(many, Squeeze::Gzip)]), Limits { files: 1000, ..Limits::default() }, "max-files");
    let deep = (0..20)
        .fold(tar(), |tar, n| tar.pax(&[("path", format!("{n}/{}", "d/".repeat(100)).as_bytes())]).dir("x"));
    too_much(&layout(&[(deep, Squeeze::Gzip)]), Limits { files: 1000, ..Limits::default() }, "max-files");
}

fn honest() -> Layout {
    let mut layout = Layout::new();
    let manifest = layout.image("linux/amd64", json!({}), &[(tar().file("x", b"1"), Squeeze::Gzip)]);
    layout.named(manifest, "test", None)
}

/// The blob that holds this text, or is a layer.
fn blob_with(layout: &mut Layout, text: Option<&str>) -> (String, Vec<u8>) {
    let holds = |bytes: &[u8]| match text {
        Some(text) => bytes.first() == Some(&b'{') && String::from_utf8_lossy(bytes).contains(text),
        None => bytes.first() != Some(&b'{'),
    };
    layout.blobs.iter().find(|(_, bytes)| holds(bytes)).map(|(k, v)| (k.clone(), v.clone())).unwrap()
}

#[test]
fn blobs_that_are_not_what_they_should_be() {
    assert!(open_bytes(&honest().tar()).is_ok());
    let parts = [Some("schemaVersion"), Some("diff_ids"), None];
    for part in parts {
        // Changed, cut, longer, and gone.
        let spoil: [fn(&mut Vec<u8>); 3] = [
            |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            },
            |bytes| bytes.truncate(bytes.len() - 1),
            |bytes| bytes.push(b' '),
        ];
        for change in spoil {
            let mut layout = honest();
            let (path, mut bytes) = blob_with(&mut layout, part);
            change(&mut bytes);
            layout.blobs.insert(path, bytes);
            let error = open_bytes(&layout.tar()).unwrap_err();
            assert!(matches!(error, ImageError::Digest { .. }), "{part:?}: {error}");
        }
        let mut layout = honest();
        let (path, _) = blob_with(&mut layout, part);
        layout.blobs.remove(&path);
        let error = open_bytes(&layout.tar()).unwrap_err();
        let gone = matches!(error, ImageError::Missing(_) | ImageError::NoSuchImage { .. });
        assert!(gone, "{part:?}: {error}");
    }
    // A layer that has the right digest but unfolds to something else than the configuration says.
    let mut layout = Layout::new();
    let one = layout.image("linux/amd64", json!({}), &[(tar().file("x", b"1"), Squeeze::Gzip)]);
    let two = layout.image("linux/amd64", json!({}), &[(tar().file("x", b"2"), Squeeze::Gzip)]);
    let read = |layout: &Layout, descriptor: &Value| -> Value {
        let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
        serde_json::from_slice(&layout.blobs[&digest.blob_path()]).unwrap()
    };
    let mut mixed = read(&layout, &one);
    mixed["layers"] = read(&layout, &two)["layers"].clone();
    let manifest = layout.blob(MANIFEST, mixed.to_string().into_bytes());
    let error = open_bytes(&layout.named(manifest, "test", None).tar()).unwrap_err();
    assert!(matches!(error, ImageError::Digest { .. }), "{error}");
    // And what older Docker saved.
    let mut members = saved(&sample(), &[]);
    members[0].1[600] ^= 1;
    assert!(matches!(
        open_bytes(&pack(&members)),
        Err(ImageError::Digest { .. } | ImageError::Malformed { .. })
    ));
    let mut members = saved(&sample(), &[]);
    let config = members.len() - 2;
    members[config].1.push(b' ');
    assert!(matches!(open_bytes(&pack(&members)), Err(ImageError::Digest { .. })));
}

#[test]
fn digests_and_media_types_that_name_something_else() {
    let spoiled = |change: &dyn Fn(&mut Value)| {
        let mut layout = honest();
        let (_, bytes) = blob_with(&mut layout, Some("schemaVersion"));
        let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
        change(&mut manifest);
        layout.manifests.clear();
        let manifest = layout.blob(MANIFEST, manifest.to_string().into_bytes());
        open_bytes(&layout.named(manifest, "test", None).tar()).unwrap_err()
    };
    let digests = [
        "sha256:../../../../etc/passwd".to_owned(),
        format!("sha256:{}", "A".repeat(64)),
        format!("sha256:{}", "a".repeat(63)),
        format!("md5:{}", "a".repeat(32)),
        format!("sha256:{}/../x", "a".repeat(59)),
        String::new(),
    ];
    for digest in digests {
        for place in [vec!["config"], vec!["layers", "0"]] {
            let error = spoiled(&|manifest: &mut Value| {
                let pointer = format!("/{}/digest", place.join("/"));
                *manifest.pointer_mut(&pointer).unwrap() = json!(digest);
            });
            assert!(matches!(error, ImageError::BadDigest(_)), "{digest}: {error}");
        }
    }
    for media in [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "text/html",
    ] {
        let error = spoiled(&|manifest: &mut Value| manifest["layers"][0]["mediaType"] = json!(media));
        assert!(matches!(error, ImageError::MediaType { .. }), "{media}: {error}");
    }
    let error = spoiled(&|manifest: &mut Value| {
        manifest["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json")
    });
    assert!(matches!(error, ImageError::MediaType { .. }), "{error}");
    let error = spoiled(&|manifest: &mut Value| manifest["layers"][0]["size"] = json!(u64::MAX));
    assert!(matches!(error, ImageError::Digest { .. }), "{error}");
    let error = spoiled(&|manifest: &mut Value| manifest["layers"] = json!([]));
    assert!(matches!(error, ImageError::Malformed { .. }), "{error}");
    let error = spoiled(&|manifest: &mut Value| manifest["layers"] = json!("none"));
    assert!(matches!(error, ImageError::Malformed { .. }), "{error}");
}

#[test]
fn archives_that_lie_about_themselves() {
    assert!(matches!(open_bytes(&tar().file("x", b"").bytes()), Err(ImageError::NotAnImage)));
    assert!(matches!(open_bytes(b""), Err(ImageError::NotAnImage)));
    assert!(matches!(open_bytes(b"not a tar file at all"), Err(ImageError::Malformed { .. })));
    let hostile = |tar: Tarball, expected: &str| match open_bytes(&tar.bytes()) {
        Err(error @ ImageError::Hostile { .. }) => assert!(error.to_string().contains(expected), "{error}"),
        other => panic!("{expected}: {other:?}"),
    };
    hostile(tar().file("../index.json", b"{}"), "leads upwards");
    hostile(tar().file("/index.json", b"{}"), "begins with /");
    hostile(tar().file("index.json", b"{}").file("./index.json", b"{}"), "comes twice");
    hostile(tar().link("index.json", "/etc/passwd"), "leads out of the archive");
    hostile(tar().link("index.json", "../../etc/passwd"), "leads out of the archive");
    hostile(tar().hard("index.json", "../x"), "leads out of the archive");
    hostile(tar().link("index.json", "b").link("b", "index.json"), "lead in a circle");
    hostile(tar().entry(EntryType::Fifo, "index.json", "", b""), "it is no file");
    let saved = |config: &str, layer: &str| {
        tar().file("manifest.json", json!([{ "Config": config, "Layers": [layer] }]).to_string().as_bytes())
    };
    hostile(saved("../../etc/passwd", "x"), "leads upwards");
    hostile(saved("/etc/passwd", "x"), "begins with /");
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": [] } }).to_string();
    hostile(saved("c", "../../etc/passwd").file("c", config.as_bytes()), "leads upwards");
    let malformed = |tar: Tarball| match open_bytes(&tar.bytes()) {
        Err(ImageError::Malformed { .. }) => {}
        other => panic!("{other:?}"),
    };
    malformed(tar().file("index.json", b"[").file("manifest.json", b"[]"));
    malformed(tar().file("index.json", "[".repeat(100_000).as_bytes()));
    malformed(tar().file("index.json", &vec![b' '; 5 << 20]));
    // An index that leads to itself cannot be made, but one that goes deep can.
    let mut layout = Layout::new();
    let mut inner = layout.image("linux/amd64", json!({}), &[(tar(), Squeeze::No)]);
    for _ in 0..10 {
        let index = json!({ "schemaVersion": 2, "manifests": [inner] }).to_string().into_bytes();
        inner = layout.blob(INDEX, index);
    }
    assert!(matches!(open_bytes(&layout.named(inner, "x", None).tar()), Err(ImageError::Malformed { .. })));
}

#[test]
fn a_folder_whose_links_lead_out() {
    let layout = honest();
    let scratch = Scratch::new();
    for (name, bytes) in layout.members() {
        scratch.write(&format!("layout/{name}"), &bytes);
    }
    let folder = scratch.0.path().join("layout");
    assert!(open(&folder).is_ok());
    let (layer, bytes) = blob_with(&mut honest(), None);
    let outside = scratch.write("outside", &bytes);
    std::fs::remove_file(folder.join(&layer)).unwrap();
    std::os::unix::fs::symlink(&outside, folder.join(&layer)).unwrap();
    let error = open(&folder).unwrap_err();
    assert!(error.to_string().contains("leads out of the archive"), "{error}");
    std::fs::remove_file(folder.join(&layer)).unwrap();
    std::fs::create_dir(folder.join(&layer)).unwrap();
    assert!(matches!(open(&folder), Err(ImageError::Read { .. })));
    assert!(matches!(open(Path::new("/nowhere/at/all")), Err(ImageError::Read { .. })));
    assert!(matches!(open(Path::new("/dev/null")), Err(ImageError::Read { .. })));
}

#[test]
fn what_is_cut_off_anywhere_is_refused() {
    let mut layout = Layout::new();
    let packed: Vec<(Tarball, Squeeze)> = sample().into_iter().map(|tar| (tar, Squeeze::Gzip)).collect();
    let manifest = layout.image("linux/amd64", json!({}), &packed);
    let whole = layout.named(manifest, "test", None).tar();
    // The last 1024 bytes only say that the end is here.
    for keep in (0..whole.len() - 1024).step_by(97) {
        assert!(open_bytes(&whole[..keep]).is_err(), "{keep} of {}", whole.len());
        let packed = squeeze(&whole, Squeeze::Gzip);
        if keep < packed.len() {
            assert!(open_bytes(&packed[..keep]).is_err(), "{keep} of {}, packed", packed.len());
        }
    }
}
