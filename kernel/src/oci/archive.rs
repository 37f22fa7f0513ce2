//! The outer archive: a tar file, compressed or not, or the folder that it would unpack to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{ImageError, shown};
use super::layer::steps;
use super::limits;
use super::storage::{Extent, Spool};
use super::tarball::{self, Kind};

/// Members of an archive, by name.
#[derive(Debug)]
pub(super) enum Archive {
    Tar(BTreeMap<String, Member>),
    Folder(PathBuf),
}

#[derive(Debug)]
pub(super) enum Member {
    File(Extent),
    /// `docker save` links layers that two images share.
    Link(String),
}

impl Archive {
    /// Opens an archive or a folder.
    pub(super) fn open(path: &Path, spool: &Spool) -> Result<Self, ImageError> {
        let what = "the archive";
        let failed = |error| ImageError::Read { what: what.into(), error };
        if std::fs::metadata(path).map_err(failed)?.is_dir() {
            return Ok(Self::Folder(path.canonicalize().map_err(failed)?));
        }
        let archive = spool.unfold(Extent::of_file(path, what)?, what)?;
        let mut members = BTreeMap::new();
        tarball::skim(archive.reader(), what, |meta| {
            let hostile = |why| ImageError::Hostile { layer: what.into(), name: shown(&meta.name), why };
            let name = match steps(&meta.name).map_err(hostile)? {
                Some(steps) if !steps.is_empty() => steps.join("/"),
                Some(_) => return Ok(()),
                None => return Err(hostile("its name is not UTF-8")),
            };
            let member = match meta.kind {
                Kind::Directory => return Ok(()),
                Kind::File if meta.sparse => return Err(hostile("it has holes")),
                Kind::File => Member::File(
                    archive
                        .part(meta.at, meta.size)
                        .ok_or_else(|| ImageError::malformed(&name, "it ends early"))?,
                ),
                Kind::SymbolicLink => Member::Link(
                    target(&name, &meta.link).ok_or_else(|| hostile("it leads out of the archive"))?,
                ),
                Kind::HardLink => Member::Link(
                    target("", &meta.link).ok_or_else(|| hostile("it leads out of the archive"))?,
                ),
                Kind::Pipe | Kind::Device | Kind::Other(_) => return Err(hostile("it is no file")),
            };
            if members.len() >= limits::MEMBERS {
                return Err(ImageError::malformed(what, "it has more than 20000 members"));
            }
            match members.insert(name, member) {
                None => Ok(()),
                // Readers disagree on which of two counts, and so could be shown different images.
                Some(_) => Err(hostile("it comes twice")),
            }
        })?;
        Ok(Self::Tar(members))
    }

    /// A member, when there is one.
    pub(super) fn find(&self, name: &str) -> Result<Option<Extent>, ImageError> {
        let no_name =
            |why| ImageError::Hostile { layer: "the archive".into(), name: shown(name.as_bytes()), why };
        let mut at = match steps(name.as_bytes()).map_err(no_name)? {
            Some(steps) if !steps.is_empty() => steps.join("/"),
            _ => return Err(no_name("it has no name")),
        };
        match self {
            Archive::Tar(members) => {
                for _ in 0..limits::LINKS {
                    match members.get(&at) {
                        None => return Ok(None),
                        Some(Member::File(extent)) => return Ok(Some(extent.clone())),
                        Some(Member::Link(to)) => at.clone_from(to),
                    }
                }
                Err(no_name("it lies behind links that lead in a circle"))
            }
            Archive::Folder(folder) => {
                let real = match folder.join(&at).canonicalize() {
                    Ok(real) => real,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(ImageError::Read { what: at, error }),
                };
                if !real.starts_with(folder) {
                    return Err(no_name("it leads out of the archive"));
                }
                Extent::of_file(&real, &at).map(Some)
            }
        }
    }

    /// A document, when there is one.
    pub(super) fn document(&self, name: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let Some(extent) = self.find(name)? else { return Ok(None) };
        if extent.length() > limits::DOCUMENT {
            return Err(ImageError::malformed(name, "it is larger than 4 MiB"));
        }
        extent.bytes().map(Some).map_err(|error| ImageError::malformed(name, error))
    }
}

/// Where a link of the member `name` leads, when that is inside.
fn target(name: &str, link: &[u8]) -> Option<String> {
    let link = std::str::from_utf8(link).ok()?;
    if link.starts_with('/') {
        return None;
    }
    let mut steps: Vec<&str> = name.split('/').collect();
    steps.pop();
    for step in link.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()?),
            step => steps.push(step),
        }
    }
    (!steps.is_empty()).then(|| steps.join("/"))
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn links_stay_inside() {
        assert_eq!(target("a/layer.tar", b"../b/layer.tar").as_deref(), Some("b/layer.tar"));
        assert_eq!(target("", b"b/layer.tar").as_deref(), Some("b/layer.tar"));
        assert_eq!(target("a/b/c", b"./d").as_deref(), Some("a/b/d"));
        for out in [&b"../../x"[..], b"/etc/passwd", b"..", b"a/../../..", b"\xff"] {
            assert_eq!(target("a/layer.tar", out), None);
        }
    }
}
