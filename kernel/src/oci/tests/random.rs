//! Archives that nobody thought of.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Names that collide, lead through links and hide each other.
fn names() -> impl Strategy<Value = String> {
    let step = prop::sample::select(vec!["a", "b", "c", ".wh.a", ".wh..wh..opq", "..", ".", "", ".wh.", "é"]);
    prop::collection::vec(step, 1..4).prop_map(|steps| steps.join("/"))
}

fn entries() -> impl Strategy<Value = Vec<(u8, String, String)>> {
    prop::collection::vec((0u8..6, names(), names()), 0..8)
}

fn tarball(entries: &[(u8, String, String)]) -> Tarball {
    entries.iter().fold(Tarball::default(), |tar, (kind, name, other)| match kind {
        0 | 5 => tar.file(name, other.as_bytes()),
        1 => tar.dir(name),
        2 => tar.link(name, other),
        3 => tar.hard(name, other),
        _ => tar.entry(EntryType::Fifo, name, "", b""),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn layers_of_any_entries_end_in_a_tree_or_an_error(all in prop::collection::vec(entries(), 1..4)) {
        let tars: Vec<Tarball> = all.iter().map(|entries| tarball(entries)).collect();
        let Ok(image) = layers(&tars) else { return Ok(()) };
        let listing = listing(&image);
        let paths: BTreeSet<&str> = listing.iter().map(|(path, _)| path.as_str()).collect();
        prop_assert_eq!(paths.len(), listing.len(), "each path once");
        for (path, _) in &listing {
            prop_assert!(!path.contains(".wh."), "{path}: a whiteout is no file");
            prop_assert!(path.split('/').skip(1).all(|step| !matches!(step, "" | "." | "..")), "{path}");
            let parent = path.rsplit_once('/').unwrap().0;
            prop_assert!(parent.is_empty() || paths.contains(parent), "{path} lies nowhere");
            // Whatever leads anywhere leads inside.
            if let Some(real) = image.real_path(path) {
                prop_assert!(real == "/" || paths.contains(real.as_str()), "{path} leads to {real}");
            }
            let _ = image.read_file(path);
        }
        prop_assert_eq!(image.size().1, listing.len() as u64 + 1);
    }

    /// Without links and whiteouts the last layer that names a file wins, as in a plain map.
    #[test]
    fn plain_layers_lie_over_each_other(all in prop::collection::vec(prop::collection::btree_map("[ab]/[cd]", "[a-z]{0,4}", 0..4), 1..5)) {
        let tar = |files: &BTreeMap<String, String>| {
            files.iter().fold(Tarball::default(), |tar, (name, text)| tar.file(name, text.as_bytes()))
        };
        let image = layers(&all.iter().map(tar).collect::<Vec<_>>()).unwrap();
        let mut expected = BTreeMap::new();
        for files in &all {
            expected.extend(files.iter().map(|(name, text)| (format!("/{name}"), text.clone())));
        }
        let found: BTreeMap<String, String> = listing(&image).into_iter().filter(|(_, what)| what != "/").collect();
        prop_assert_eq!(found, expected);
    }

    /// A changed byte is an error, or changes nothing that counts.
    #[test]
    fn damaged_archives_never_panic_or_pass(
        how in prop::sample::select(vec![Squeeze::No, Squeeze::Gzip, Squeeze::Zstd]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut layout = Layout::new();
        let packed: Vec<(Tarball, Squeeze)> = sample().into_iter().map(|tar| (tar, how)).collect();
        let manifest = layout.image("linux/amd64", json!({}), &packed);
        let mut bytes = layout.named(manifest, "test", None).tar();
        for (at, byte) in &edits {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(image) = open_bytes(&bytes) {
            prop_assert_eq!(shown(&image), SAMPLE);
        }
    }

    /// The readers of what has no digest: raw layers, and headers in any order.
    #[test]
    fn damaged_layers_never_panic(
        all in entries(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        kind in any::<u8>(),
    ) {
        let mut tar = tarball(&all).pax(&[("path", b"a/b"), ("mtime", b"1.5"), ("size", b"3")]);
        tar = tar.entry(EntryType::new(kind), "x", "y", b"123");
        let mut bytes = tar.0;
        for (at, byte) in &edits {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
            // Checksums made right again, so that the damage is looked at.
            let header = at / 512 * 512;
            bytes[header + 148..header + 156].fill(b' ');
            let sum: u32 = bytes[header..header + 512].iter().map(|b| u32::from(*b)).sum();
            bytes[header + 148..header + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let _ = layers(&[Tarball(bytes)]);
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..3000), magic in 0usize..4) {
        let head: &[u8] = [&b""[..], &[0x1f, 0x8b, 8, 0], &[0x28, 0xb5, 0x2f, 0xfd], &[0x50, 0x2a, 0x4d, 0x18]][magic];
        prop_assert!(open_bytes(&[head, &bytes].concat()).is_err());
    }
}
