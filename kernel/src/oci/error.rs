//! Why a container image is not taken.

/// Why a container image cannot be read, or is not trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The archive, or the temporary file that it is unpacked into, cannot be read or written.
    #[error("{what} cannot be read: {error}; correct the path, or save the image again")]
    Read {
        /// The archive, or a part of it.
        what: String,
        /// Why.
        error: std::io::Error,
    },
    /// There is no room, most likely.
    #[error("{} cannot be written: {error}; make room, or set TMPDIR to a folder that has some", std::env::temp_dir().join("(a temporary file)").display())]
    Temporary {
        /// Why.
        error: std::io::Error,
    },
    /// Neither of the two layouts.
    #[error(
        "the file holds neither manifest.json nor index.json; give what `docker save` writes, or an OCI layout"
    )]
    NotAnImage,
    /// It ends too early, or its parts contradict each other.
    #[error("{what} is cut off or malformed: {why}; save the image again")]
    Malformed {
        /// Which part.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A document or layer that is named but not there.
    #[error(
        "{0} is named by the image but is not in the archive; save the image again, with all of its layers"
    )]
    Missing(String),
    /// What is there is not what was promised.
    #[error(
        "{what} is not what the image says it is: {found} instead of {expected}; do not trust this file, fetch it again"
    )]
    Digest {
        /// Which part.
        what: String,
        /// What the image says.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A digest in a form that names nothing.
    #[error("`{0}` is not a digest; the image is damaged or forged, fetch it again")]
    BadDigest(String),
    /// A document or layer of a kind that is not known here.
    #[error("{what} has the media type `{media}`, which {why}; convert the image, for example by skopeo")]
    MediaType {
        /// Which part.
        what: String,
        /// What it says it is.
        media: String,
        /// What is wrong with that.
        why: &'static str,
    },
    /// No image for this machine, or none by that name.
    #[error("no image {wanted}; there is {}", listed(found))]
    NoSuchImage {
        /// What was looked for.
        wanted: String,
        /// What is there.
        found: Vec<String>,
    },
    /// More than one image would do.
    #[error("there is more than one image; choose one by --tag: {}", listed(found))]
    Ambiguous {
        /// What is there.
        found: Vec<String>,
    },
    /// More than what we are ready to unpack.
    #[error(
        "the image has more than {limit} {what}, which may be an attack; raise {setting} under [image] when you trust it"
    )]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
        /// The key that raises it.
        setting: &'static str,
    },
    /// A name that no honest layer has.
    #[error("{layer} has the entry `{name}`: {why}; do not trust this image")]
    Hostile {
        /// The layer.
        layer: String,
        /// The entry, escaped.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn listed(found: &[String]) -> String {
    if found.is_empty() { "none".into() } else { found.join(", ") }
}

impl ImageError {
    pub(super) fn malformed(what: impl Into<String>, why: impl ToString) -> Self {
        // Readers quote what they read: that is nothing for a terminal.
        let why = why.to_string();
        let why = match why.contains("when getting cksum") {
            true => "there is no header of a tar archive where one should be".to_owned(),
            false => shown(why.lines().next().unwrap_or_default().as_bytes()),
        };
        Self::Malformed { what: what.into(), why }
    }

    pub(super) fn media(what: impl Into<String>, media: &str, why: &'static str) -> Self {
        Self::MediaType { what: what.into(), media: shown(media.as_bytes()), why }
    }
}

/// A name from an archive as it can be printed: escaped, and not endless.
pub(super) fn shown(name: &[u8]) -> String {
    const MOST: usize = 120;
    let text = String::from_utf8_lossy(&name[..name.len().min(MOST)]);
    let dots = if name.len() > MOST { "…" } else { "" };
    text.escape_debug().chain(dots.chars()).collect()
}
