//! Finds the images in an archive, and chooses one.

use super::archive::Archive;
use super::digest::{Checked, Digest};
use super::documents::{Configuration, Descriptor, Index, Manifest, Platform, Saved};
use super::error::{ImageError, shown};
use super::limits;
use super::storage::Extent;

/// Which image of an archive is meant; one for Linux on x86-64 in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pick {
    /// Its name, or the end of it: `redis:7`, or `7`.
    pub tag: Option<String>,
    /// Its id, as `docker images` shows it: the digest of its configuration.
    pub id: Option<String>,
}

/// An image in an archive.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) names: Vec<String>,
    pub(super) os: String,
    pub(super) architecture: String,
    /// Missing when the archive has only a pointer to it.
    pub(super) found: Option<Found>,
    /// What points at it.
    digest: String,
}

#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: Digest,
    pub(super) configuration: Configuration,
    pub(super) layers: Vec<Layer>,
}

/// A layer, where it lies.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) extent: Extent,
    /// What it is as it lies there, when the image says so.
    pub(super) digest: Option<Digest>,
}

impl Candidate {
    fn fits(&self) -> bool {
        self.os == "linux" && matches!(self.architecture.as_str(), "amd64" | "x86_64")
    }

    fn is_called(&self, tag: &str) -> bool {
        let wanted = plain(tag);
        self.names.iter().map(|name| plain(name)).any(|name| {
            name == wanted
                || name.strip_suffix(":latest") == Some(wanted)
                || name.strip_suffix(wanted).is_some_and(|rest| rest.ends_with([':', '/']))
        })
    }

    fn describe(&self) -> String {
        let name = match self.names.first() {
            Some(name) => shown(name.as_bytes()),
            None => shown(self.digest.as_bytes()),
        };
        format!("{name} ({}/{})", shown(self.os.as_bytes()), shown(self.architecture.as_bytes()))
    }
}

/// A name without what Docker leaves out when it prints it.
fn plain(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// The one image that is meant.
pub(super) fn choose(candidates: Vec<Candidate>, pick: &Pick) -> Result<Found, ImageError> {
    let described = |candidates: &[Candidate]| {
        let mut all: Vec<String> = candidates.iter().map(Candidate::describe).collect();
        all.dedup();
        all.truncate(20);
        all
    };
    let everything = described(&candidates);
    let mut wanted = "for linux/amd64".to_owned();
    if let Some(tag) = &pick.tag {
        wanted = format!("called {} {wanted}", shown(tag.as_bytes()));
    }
    if let Some(id) = &pick.id {
        wanted = format!("with the id {} {wanted}", shown(id.as_bytes()));
    }
    let fits = |candidate: &Candidate| {
        let id = candidate.found.as_ref().map(|found| found.id.to_string());
        candidate.fits()
            && pick.tag.as_ref().is_none_or(|tag| candidate.is_called(tag))
            && pick.id.as_ref().is_none_or(|wanted| id.as_ref() == Some(wanted))
    };
    let mut left: Vec<Candidate> = candidates.into_iter().filter(fits).collect();
    let id = |candidate: &Candidate| candidate.found.as_ref().map(|found| found.id.clone());
    left.dedup_by_key(|candidate| id(candidate));
    if left.len() > 1 {
        return Err(ImageError::Ambiguous { found: described(&left) });
    }
    match left.pop() {
        None => Err(ImageError::NoSuchImage { wanted, found: everything }),
        Some(Candidate { found: Some(found), .. }) => Ok(found),
        Some(Candidate { digest, .. }) => Err(ImageError::Missing(shown(digest.as_bytes()))),
    }
}

/// Every image of an archive.
pub(super) fn candidates(archive: &Archive) -> Result<Vec<Candidate>, ImageError> {
    // What `docker save` writes today has both; only this one has digests of all that it names.
    if let Some(index) = archive.document("index.json")? {
        let mut finder = Finder { archive, found: Vec::new(), documents: 0 };
        finder.index(&index, "index.json", &[], 0)?;
        return Ok(finder.found);
    }
    let Some(saved) = archive.document("manifest.json")? else { return Err(ImageError::NotAnImage) };
    let saved: Vec<Saved> = parse(&saved, "manifest.json")?;
    if saved.len() > limits::DOCUMENTS {
        return Err(ImageError::malformed("manifest.json", "it names more than 1000 images"));
    }
    saved.into_iter().map(|saved| old(archive, saved)).collect()
}

fn parse<'d, T: serde::Deserialize<'d>>(bytes: &'d [u8], what: &str) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::malformed(what, error))
}

/// An image of `manifest.json`.
fn old(archive: &Archive, saved: Saved) -> Result<Candidate, ImageError> {
    let missing = |name: &str| ImageError::Missing(shown(name.as_bytes()));
    let bytes = archive.document(&saved.config)?.ok_or_else(|| missing(&saved.config))?;
    let id = Digest::of(&bytes);
    // Its name is its digest, with the oldest tools an arbitrary one.
    let name = saved.config.rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix(".json").unwrap_or(name);
    if let Ok(expected) = format!("sha256:{name}").parse::<Digest>()
        && expected != id
    {
        let (expected, found) = (expected.to_string(), id.to_string());
        return Err(ImageError::Digest { what: "the configuration".into(), expected, found });
    }
    let configuration: Configuration = parse(&bytes, "the configuration")?;
    let mut layers = Vec::new();
    for name in &saved.layers {
        layers.push(Layer { extent: archive.find(name)?.ok_or_else(|| missing(name))?, digest: None });
    }
    Ok(Candidate {
        names: saved.repo_tags,
        os: configuration.os.clone(),
        architecture: configuration.architecture.clone(),
        digest: id.to_string(),
        found: Some(Found { id, configuration, layers }),
    })
}

struct Finder<'a> {
    archive: &'a Archive,
    found: Vec<Candidate>,
    documents: usize,
}

/// Indexes inside indexes; one is usual.
const NESTED: usize = 4;

impl Finder<'_> {
    fn index(&mut self, bytes: &[u8], what: &str, names: &[String], depth: usize) -> Result<(), ImageError> {
        let index: Index = parse(bytes, what)?;
        if depth > NESTED {
            return Err(ImageError::malformed(what, "indexes lie in indexes without end"));
        }
        let alone = index.manifests.len() == 1;
        for descriptor in &index.manifests {
            self.documents += 1;
            if self.documents > limits::DOCUMENTS {
                return Err(ImageError::malformed(what, "it leads to more than 1000 documents"));
            }
            let mut names = names.to_vec();
            for key in ["io.containerd.image.name", "org.opencontainers.image.ref.name"] {
                names.extend(descriptor.annotations.get(key).filter(|name| !name.is_empty()).cloned());
            }
            match descriptor.media_type.as_str() {
                "application/vnd.oci.image.index.v1+json"
                | "application/vnd.docker.distribution.manifest.list.v2+json" => {
                    if let Some(bytes) = self.document(descriptor, "an index")? {
                        self.index(&bytes, "an index", &names, depth + 1)?;
                    }
                }
                "application/vnd.oci.image.manifest.v1+json"
                | "application/vnd.docker.distribution.manifest.v2+json" => {
                    self.manifest(descriptor, names, alone)?;
                }
                other if alone => {
                    return Err(ImageError::media(what, other, "is not that of an image"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn manifest(
        &mut self,
        descriptor: &Descriptor,
        names: Vec<String>,
        alone: bool,
    ) -> Result<(), ImageError> {
        let platform = descriptor.platform.clone();
        let (mut os, mut architecture) = match platform {
            Some(Platform { os, architecture, variant }) if variant.is_empty() => (os, architecture),
            Some(Platform { os, architecture, variant }) => (os, format!("{architecture}/{variant}")),
            None => (String::new(), String::new()),
        };
        // Attestations stand beside images, for a platform that is none.
        if os == "unknown" {
            return Ok(());
        }
        let mut found = None;
        if let Some(bytes) = self.document(descriptor, "a manifest")? {
            let manifest: Manifest = parse(&bytes, "a manifest")?;
            let kind = manifest.config.media_type.as_str();
            let known = [
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.docker.container.image.v1+json",
            ];
            if !known.contains(&kind) {
                if !alone {
                    return Ok(());
                }
                return Err(ImageError::media("the configuration", kind, "is not that of an image"));
            }
            let read = self.read(&manifest)?;
            if let Some(read) = &read
                && os.is_empty()
            {
                os.clone_from(&read.configuration.os);
                architecture.clone_from(&read.configuration.architecture);
            }
            found = read;
        }
        let digest = descriptor.digest.clone();
        self.found.push(Candidate { names, os, architecture, found, digest });
        Ok(())
    }

    /// The image of a manifest, when it is all there.
    fn read(&self, manifest: &Manifest) -> Result<Option<Found>, ImageError> {
        let Some(bytes) = self.document(&manifest.config, "the configuration")? else { return Ok(None) };
        let configuration: Configuration = parse(&bytes, "the configuration")?;
        let mut layers = Vec::new();
        for descriptor in &manifest.layers {
            let digest: Digest = descriptor.digest.parse()?;
            let Some(extent) = self.archive.find(&digest.blob_path())? else { return Ok(None) };
            media_type(&descriptor.media_type, &extent)?;
            if extent.length() != descriptor.size {
                return Err(ImageError::Digest {
                    what: format!("the layer {digest}"),
                    expected: format!("{} bytes", descriptor.size),
                    found: format!("{} bytes", extent.length()),
                });
            }
            layers.push(Layer { extent, digest: Some(digest) });
        }
        Ok(Some(Found { id: manifest.config.digest.parse()?, configuration, layers }))
    }

    /// A document that was checked against what points at it; nothing when it is not there.
    fn document(&self, descriptor: &Descriptor, what: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let digest: Digest = descriptor.digest.parse()?;
        let Some(bytes) = self.archive.document(&digest.blob_path())? else { return Ok(None) };
        Checked::new(&bytes[..], &digest).finish(what, &digest, Some(descriptor.size))?;
        Ok(Some(bytes))
    }
}

/// Holds a layer's media type against how it is packed.
fn media_type(media: &str, extent: &Extent) -> Result<(), ImageError> {
    use super::compress::Packing;
    const LAYERS: &[(&str, Packing)] = &[
        ("application/vnd.oci.image.layer.v1.tar", Packing::Plain),
        ("application/vnd.oci.image.layer.v1.tar+gzip", Packing::Gzip),
        ("application/vnd.oci.image.layer.v1.tar+zstd", Packing::Zstd),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", Packing::Plain),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Packing::Gzip),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Packing::Zstd),
        ("application/vnd.docker.image.rootfs.diff.tar", Packing::Plain),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", Packing::Gzip),
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", Packing::Zstd),
    ];
    let known = LAYERS.iter().find(|(name, _)| *name == media);
    let Some((_, packing)) = known else {
        return Err(ImageError::media("a layer", media, "is not that of a layer of files"));
    };
    let found = extent.packing().map_err(|error| ImageError::malformed("a layer", error))?;
    match found == *packing {
        true => Ok(()),
        false => Err(ImageError::media("a layer", media, "is not how it is packed")),
    }
}
