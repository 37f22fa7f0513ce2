//! Applies layers to a tree, in order: the rules of the image specification (`layer.md`), and no kindness beyond them.
//!
//! Names are relative, without `..`; links on the way to a name are followed inside the tree, as container runtimes do.
//! A whiteout (`.wh.NAME`, or `.wh..wh..opq` for all of a folder) hides what layers below brought, wherever in its layer
//! it stands. Extended attributes are not kept: the guest has none.

use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;

use super::error::{ImageError, shown};
use super::limits;
use super::storage::{Extent, Spool};
use super::tarball::{self, Kind, Meta};
use super::tree::{Content, Fault, Node, Tree};
use crate::root::{Attributes, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// What an old storage driver kept for itself.
const META: &str = ".wh..wh.";

/// An entry that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name, escaped.
    pub name: String,
    /// Why.
    pub why: &'static str,
}

/// Applies a layer. `reader` gives the archive that lies in `archive`, from its beginning.
pub(super) fn apply(
    tree: &mut Tree,
    reader: impl Read,
    archive: &Extent,
    number: usize,
    what: &str,
    spool: &Spool,
    skipped: &mut Vec<Skipped>,
) -> Result<(), ImageError> {
    let mut layer = Layer { tree, archive, number, what, spool, skipped };
    tarball::walk(reader, what, |meta, data| layer.entry(&meta, data))
}

struct Layer<'a> {
    tree: &'a mut Tree,
    archive: &'a Extent,
    number: usize,
    what: &'a str,
    spool: &'a Spool,
    skipped: &'a mut Vec<Skipped>,
}

impl Layer<'_> {
    fn entry(&mut self, meta: &Meta, data: &mut dyn Read) -> Result<(), ImageError> {
        let hostile = |why| ImageError::Hostile { layer: self.what.to_owned(), name: shown(&meta.name), why };
        let steps = match steps(&meta.name).map_err(hostile)? {
            Some(steps) => steps,
            None => return self.skip(meta, "its name is not UTF-8"),
        };
        let Some((name, above)) = steps.split_last() else {
            return match meta.kind {
                Kind::Directory => {
                    let root = self.tree.node_mut(Tree::ROOT);
                    root.attributes = attributes(meta, S_IFDIR);
                    Ok(())
                }
                _ => Err(hostile("it takes the place of the root")),
            };
        };
        if above.iter().any(|step| step.starts_with(WHITEOUT)) {
            return Err(hostile("it lies in a whiteout"));
        }
        let fault = |fault| self.fault(&meta.name, fault);
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return match self.tree.find(above.join("/").as_bytes(), true) {
                Ok(_) if *name != OPAQUE && name.starts_with(META) => Ok(()),
                Ok(folder) if *name == OPAQUE => {
                    let inside: Vec<String> =
                        self.tree.children(folder).map(|(name, _)| name.to_owned()).collect();
                    for name in &inside {
                        self.tree.remove(folder, name, self.number);
                    }
                    Ok(())
                }
                Ok(_) if matches!(hidden, "" | "." | "..") => Err(hostile("it hides nothing")),
                Ok(folder) => {
                    self.tree.remove(folder, hidden, self.number);
                    Ok(())
                }
                // Nothing to hide.
                Err(Fault::NotFound | Fault::NotADirectory) => Ok(()),
                Err(other) => Err(fault(other)),
            };
        }

        let (kind, content) = match meta.kind {
            Kind::Directory => (S_IFDIR, Content::Directory(BTreeMap::new())),
            Kind::File => (S_IFREG, Content::File(Rc::new(self.data(meta, data)?))),
            Kind::SymbolicLink if meta.link.is_empty() => return Err(hostile("it links to nothing")),
            Kind::SymbolicLink => (S_IFLNK, Content::Link(meta.link.as_slice().into())),
            Kind::Pipe => (S_IFIFO, Content::Pipe),
            Kind::HardLink => {
                let to = self.linked(meta)?;
                return self.place(meta, above, name, to);
            }
            Kind::Device => return self.skip(meta, "it is a device, and the guest has its own"),
            Kind::Other(_) => return self.skip(meta, "it is of a kind that only some archiver knows"),
        };
        let node = Node { attributes: attributes(meta, kind), content, layer: self.number, implied: false };
        self.place(meta, above, name, node)
    }

    /// A file's data, where it lies.
    fn data(&self, meta: &Meta, data: &mut dyn Read) -> Result<Extent, ImageError> {
        let cut =
            || ImageError::malformed(format!("{}: `{}`", self.what, shown(&meta.name)), "it ends early");
        if !meta.sparse {
            return self.archive.part(meta.at, meta.size).ok_or_else(cut);
        }
        let kept = self.spool.keep(data, self.what)?;
        if kept.length() == meta.size { Ok(kept) } else { Err(cut()) }
    }

    /// The file that a hard link names, under another name.
    fn linked(&self, meta: &Meta) -> Result<Node, ImageError> {
        let hostile = |why| ImageError::Hostile { layer: self.what.to_owned(), name: shown(&meta.name), why };
        let steps = match steps(&meta.link) {
            Ok(Some(steps)) if !steps.is_empty() => steps,
            _ => return Err(hostile("it links to what cannot be a file of the image")),
        };
        match self.tree.find(steps.join("/").as_bytes(), false).map(|id| self.tree.node(id)) {
            Ok(Node { content: Content::Directory(_), .. }) => Err(hostile("it is a hard link to a folder")),
            Ok(node) => Ok(Node { layer: self.number, implied: false, ..node.clone() }),
            Err(Fault::NotFound | Fault::NotADirectory) => {
                Err(hostile("it is a hard link to what is not there"))
            }
            Err(other) => Err(self.fault(&meta.name, other)),
        }
    }

    /// Puts an entry where its name says.
    fn place(&mut self, meta: &Meta, above: &[&str], name: &str, node: Node) -> Result<(), ImageError> {
        let hostile = |why| ImageError::Hostile { layer: self.what.to_owned(), name: shown(&meta.name), why };
        let number = self.number;
        let made = self.tree.make_directory(above.join("/").as_bytes(), number);
        let folder = made.map_err(|fault| self.fault(&meta.name, fault))?;
        if let Some(old) = self.tree.child(folder, name) {
            let is_folder = |node: &Node| matches!(node.content, Content::Directory(_));
            let known = self.tree.node_mut(old);
            if is_folder(known) && is_folder(&node) {
                known.attributes = node.attributes;
                known.layer = number;
                known.implied = false;
                return Ok(());
            }
            if known.layer == number && !known.implied {
                return Err(hostile("it comes twice in one layer"));
            }
            if self.tree.touched(old, number) {
                return Err(hostile("it is a file here and a folder there"));
            }
        }
        let put = self.tree.put(folder, name, node);
        put.map(drop).map_err(|fault| self.fault(&meta.name, fault))
    }

    fn skip(&mut self, meta: &Meta, why: &'static str) -> Result<(), ImageError> {
        self.skipped.push(Skipped { name: shown(&meta.name), why });
        Ok(())
    }

    fn fault(&self, name: &[u8], fault: Fault) -> ImageError {
        let why = match fault {
            Fault::NotFound => "its folder is not there",
            Fault::NotADirectory => "it lies in what is not a folder",
            Fault::Loop => "it lies behind links that lead in a circle",
            Fault::TooDeep => "it lies too deep",
            Fault::TooMany => {
                let limit = self.spool.limits().files;
                return ImageError::TooMuch { what: "files", limit, setting: "max-files" };
            }
        };
        ImageError::Hostile { layer: self.what.to_owned(), name: shown(name), why }
    }
}

fn attributes(meta: &Meta, kind: u32) -> Attributes {
    Attributes {
        mode: kind | meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        mtime: meta.mtime,
        mtime_nsec: meta.mtime_nsec,
        rdev: 0,
    }
}

/// The steps of a name, none for the root itself; nothing when it is not UTF-8.
pub(super) fn steps(name: &[u8]) -> Result<Option<Vec<&str>>, &'static str> {
    if name.is_empty() {
        return Err("it has no name");
    }
    if name.starts_with(b"/") {
        return Err("its name begins with /");
    }
    let mut steps = Vec::new();
    for step in name.split(|b| *b == b'/') {
        match step {
            b"" | b"." => {}
            b".." => return Err("its name leads upwards"),
            step if step.len() > limits::NAME => return Err("a name in it is longer than 255 bytes"),
            step => steps.push(step),
        }
    }
    let texts: Result<Vec<&str>, _> = steps.into_iter().map(std::str::from_utf8).collect();
    Ok(texts.ok())
}
