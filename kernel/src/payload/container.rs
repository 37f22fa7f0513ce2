//! Packs what comes from a container image.

use std::path::Path;

use bespoke_model::ImageSource;

use crate::oci::{Entry, FileKind, Image, Limits, Pick};
use crate::paths::is_in;
use crate::root::{Builder, S_IFDIR};

use super::{PayloadError, add_name, guest_path};

/// Opens the image that a config names.
pub(super) fn open(source: &ImageSource, base_dir: &Path) -> Result<Image, PayloadError> {
    let path = base_dir.join(&source.archive);
    let pick = Pick { tag: source.tag.clone(), id: source.id.clone() };
    Image::open(&path, &pick, limits(source))
        .map_err(|error| PayloadError::Image { path, error: Box::new(error) })
}

/// What a config allows an image to unpack to. Who says how large it may be does not mind how it is compressed.
fn limits(source: &ImageSource) -> Limits {
    let usual = Limits::default();
    Limits {
        bytes: source.max_size.unwrap_or(usual.bytes),
        files: source.max_files.unwrap_or(usual.files),
        ratio: if source.max_size.is_some() { u64::MAX } else { usual.ratio },
    }
}

/// Adds what the config wants of the image, besides the program.
pub(super) fn add_files(
    builder: &mut Builder,
    image: &Image,
    source: &ImageSource,
) -> Result<(), PayloadError> {
    let missing = |path: &&String| image.kind(path, true).is_none();
    if let Some(path) = source.files.iter().chain(&source.folders).find(missing) {
        return Err(PayloadError::NotInImage { path: path.clone() });
    }
    for path in &source.folders {
        add_way(builder, image, path)?;
    }
    for path in &source.files {
        for (at, entry) in add_way(builder, image, path)? {
            if at && !excluded(source, &entry.path) {
                add_inside(builder, image, &entry, source)?;
            }
        }
    }
    Ok(())
}

fn excluded(source: &ImageSource, path: &str) -> bool {
    source.without.iter().any(|out| is_in(path, out))
}

/// Adds what a path needs to lead where it leads in the image: its folders, the links on its way, and what is at its end.
/// The entries that were added; true for the last one.
pub(super) fn add_way(
    builder: &mut Builder,
    image: &Image,
    path: &str,
) -> Result<Vec<(bool, Entry)>, PayloadError> {
    let read = |error| PayloadError::Read { path: path.into(), error };
    let entries = image.entries(path).map_err(read)?;
    let last = entries.len().saturating_sub(1);
    let mut added = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let above = entry.path.rsplit_once('/').map_or("", |(above, _)| above);
        for (at, _) in above.match_indices('/').skip(1).chain([(above.len(), "")]).filter(|(at, _)| *at > 0) {
            for folder in image.entries(&above[..at]).map_err(read)? {
                put(builder, image, &folder)?;
            }
        }
        put(builder, image, &entry)?;
        added.push((index == last, entry));
    }
    Ok(added)
}

fn add_inside(
    builder: &mut Builder,
    image: &Image,
    entry: &Entry,
    source: &ImageSource,
) -> Result<(), PayloadError> {
    for inside in image.inside(entry) {
        if !excluded(source, &inside.path) {
            put(builder, image, &inside)?;
            add_inside(builder, image, &inside, source)?;
        }
    }
    Ok(())
}

/// Adds one entry, unless something else was put there before.
fn put(builder: &mut Builder, image: &Image, entry: &Entry) -> Result<(), PayloadError> {
    if builder.contains(&entry.path) && !entry.attributes.is(S_IFDIR) {
        return Ok(());
    }
    let path = guest_path(&entry.path)?;
    let data = image.data(entry).map_err(|error| PayloadError::Read { path: path.clone().into(), error })?;
    add_name(builder, &path, entry.attributes, data, image.file_id(entry))
}

/// Where a path of `[files]` lies among the files of an image, whose folders may be links; these are packed with it.
pub(super) fn place(builder: &mut Builder, image: &Image, path: &str) -> Result<String, PayloadError> {
    let mut above = path;
    while let Some((rest, _)) = above.rsplit_once('/').filter(|(rest, _)| !rest.is_empty()) {
        above = rest;
        if image.kind(above, true) == Some(FileKind::Directory) {
            add_way(builder, image, above)?;
            let real = image.real_path(above).unwrap_or_default();
            let real = if real == "/" { "" } else { &real };
            return Ok(format!("{real}{}", &path[above.len()..]));
        }
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_whole_names() {
        let source = |out: &[&str]| ImageSource {
            without: out.iter().map(|path| (*path).to_owned()).collect(),
            ..ImageSource::default()
        };
        assert!(excluded(&source(&["/usr/share/doc"]), "/usr/share/doc"));
        assert!(excluded(&source(&["/usr/share/doc"]), "/usr/share/doc/x"));
        assert!(!excluded(&source(&["/usr/share/doc"]), "/usr/share/document"));
        assert!(excluded(&source(&["/"]), "/etc"));
        assert!(!excluded(&source(&[]), "/etc"));
    }
}
