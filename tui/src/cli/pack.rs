//! Which files an image needs, as the program was seen to use them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bespoke_kernel::Payload;
use bespoke_kernel::fit::Keep;
use bespoke_kernel::oci::{FileKind, Image};
use bespoke_kernel::paths::{self, is_in, lies_in};
use bespoke_kernel::trace::Watched;
use bespoke_model::{Evidence, ImageSource};

use crate::backend;
use crate::presets::{Chain, Failure};

/// What the operating system makes: its devices and its state, and names as they are in the machine's network.
const MADE: [&str; 5] = ["/proc", "/dev", "/sys", "/etc/hosts", "/etc/resolv.conf"];
/// What programs make, on the host.
const TEMPORARY: [&str; 2] = ["/tmp", "/run"];
/// The loader's list of libraries is that of the machine that the program was on.
const LOADER: [&str; 2] = ["/etc/ld.so.cache", "/etc/ld.so.preload"];
/// What evidence has of files.
const FILE: &str = "file:";

fn is_made(path: &str) -> bool {
    MADE.iter().any(|dir| is_in(path, dir)) || LOADER.contains(&path)
}

/// Those of some paths that are files of this machine and that an image lacks, with their sizes: no directories, nothing that the operating
/// system makes, nothing that is in the image already.
pub fn of_host(paths: &BTreeSet<String>, payload: &Payload) -> Vec<Item> {
    let packed: Vec<PathBuf> =
        payload.files().filter_map(|(path, _)| std::fs::canonicalize(path).ok()).collect();
    let mut files = Vec::new();
    for path in paths.iter().filter(|path| !is_made(path) && !TEMPORARY.iter().any(|dir| is_in(path, dir))) {
        let (Ok(real), Ok(metadata)) = (std::fs::canonicalize(path), std::fs::metadata(path)) else {
            continue;
        };
        let known = payload.files().any(|(packed, _)| packed == path) || packed.contains(&real);
        if metadata.is_file() && !known {
            files.push(Item { path: path.clone(), bytes: metadata.len(), folder: false });
        }
    }
    files
}

/// What is packed.
#[derive(Debug)]
pub struct Item {
    /// Where it lies.
    pub path: String,
    /// The length of it, or of all that is in it.
    pub bytes: u64,
    /// It is a folder.
    pub folder: bool,
}

/// What a container image's part in an image became.
#[derive(Debug, Default)]
pub struct Packed {
    /// What it has more than before.
    pub more: Vec<Item>,
    /// What it no longer has.
    pub less: Vec<Item>,
}

/// Notes in the evidence which files of a container image were used, and puts those of all runs into the config: besides what it has, or instead
/// of that.
///
/// # Errors
/// When the image cannot be read.
pub fn of_image(
    chain: &mut Chain,
    evidence: &mut Evidence,
    seen: &Watched,
    keep: Keep,
) -> Result<Packed, Failure> {
    let config = chain.flattened();
    let Some(source) = config.image().cloned() else { return Ok(Packed::default()) };
    let kernel = |error| Failure::from_kernel(&error);
    let Some(image) = backend::image(chain)? else { return Ok(Packed::default()) };

    let home = config.program().and_then(|program| program.cwd.clone()).unwrap_or_else(|| "/".into());
    for path in present(&image, seen, &home) {
        evidence.add_seen(&format!("{FILE}{path}"), 1, 0, None);
    }
    let mut bare = config.clone();
    bare.set_image(&ImageSource { files: Vec::new(), folders: Vec::new(), ..source.clone() });
    let bare = Payload::load_from(&bare, &chain.dir, Some(&*image)).map_err(kernel)?;
    // The program and its libraries come by themselves.
    let own: BTreeSet<&str> = bare.files().map(|(path, _)| path).collect();
    let used = evidence.needs.iter().filter(|(_, witness)| witness.seen > 0);
    let used: Vec<&str> = used.filter_map(|(need, _)| need.strip_prefix(FILE)).collect();
    // A program may know a file by several names, and each has to lead there.
    let is_own = |path: &str| image.way(path).iter().all(|step| own.contains(step.as_str()));
    let mut files: BTreeMap<&str, u64> = BTreeMap::new();
    let mut folders: BTreeMap<&str, String> = BTreeMap::new();
    for path in used.into_iter().filter(|path| !is_own(path)) {
        match (image.kind(path, true), image.real_path(path)) {
            (Some(FileKind::File(bytes)), _) => drop(files.insert(path, bytes)),
            (Some(FileKind::Directory), Some(real)) => drop(folders.insert(path, real)),
            _ => {}
        }
    }
    let others: Vec<String> = folders.values().cloned().collect();
    folders.retain(|path, real| {
        !files.keys().any(|file| lies_in(file, path)) && !others.iter().any(|other| lies_in(other, real))
    });

    let mut next = source.clone();
    let names = |all: &BTreeMap<&str, u64>| all.keys().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    if keep == Keep::Seen {
        next.files = names(&files);
        next.folders = folders.keys().map(|path| (*path).to_owned()).collect();
    } else {
        let has = |path: &str| source.files.iter().any(|file| is_in(path, file));
        next.files.extend(names(&files).into_iter().filter(|path| !has(path)));
        let lacks = |path: &&&str| !has(path) && !source.folders.iter().any(|folder| folder == **path);
        next.folders.extend(folders.keys().filter(lacks).map(|path| (*path).to_owned()));
    }
    let is_bare = |path: &String| source.folders.contains(path) || next.folders.contains(path);
    let item = |path: &String| Item {
        path: path.clone(),
        bytes: if is_bare(path) { 0 } else { image.bytes_in(path) },
        folder: image.kind(path, true) == Some(FileKind::Directory),
    };
    let before: Vec<&String> = source.files.iter().chain(&source.folders).collect();
    let now: Vec<&String> = next.files.iter().chain(&next.folders).collect();
    let packed = Packed {
        more: now.iter().filter(|path| !before.contains(path)).map(|path| item(path)).collect(),
        less: before.iter().filter(|path| !now.contains(path)).map(|path| item(path)).collect(),
    };
    if next != source {
        chain.config.set_image(&next);
    }
    Ok(packed)
}

/// The paths that a program used and that are in an image. Relative ones start at a folder that it was in.
fn present(image: &Image, seen: &Watched, home: &str) -> BTreeSet<String> {
    let mut folders: BTreeSet<&str> = BTreeSet::from([home]);
    folders.extend(seen.looked.iter().map(String::as_str).filter(|path| path.starts_with('/')));
    folders.retain(|path| image.kind(path, true) == Some(FileKind::Directory));
    let mut found = BTreeSet::from([home.to_owned()]);
    for path in seen.files.iter().chain(&seen.looked) {
        if path.starts_with('/') {
            found.extend(paths::plain(path));
        } else {
            found.extend(folders.iter().filter_map(|folder| paths::plain(&format!("{folder}/{path}"))));
        }
    }
    found.retain(|path| path != "/" && !is_made(path) && image.kind(path, true).is_some());
    found
}
