//! How much of an archive we are ready to unpack. The numbers here are for archives whose maker is not known.

/// Bounds on what an archive may unfold to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all layers and of the archive itself, once uncompressed: [`Limits::BYTES`] unless said otherwise.
    pub bytes: u64,
    /// Files of all layers, counted before later layers remove some: [`Limits::FILES`] unless said otherwise.
    pub files: u64,
    /// How many times its own size a compressed part may unfold to, beyond [`Limits::ANY_RATIO`] bytes.
    pub ratio: u64,
}

impl Limits {
    /// 8 GiB: the largest images that people run are below it.
    pub const BYTES: u64 = 8 << 30;
    /// A million.
    pub const FILES: u64 = 1_000_000;
    /// 200: file trees compress to a third, logs of zeros to a thousandth.
    pub const RATIO: u64 = 200;
    /// 64 MiB may unfold from however little.
    pub const ANY_RATIO: u64 = 64 << 20;

    /// The bytes that a compressed part of this length may unfold to.
    pub(super) fn unfolded(&self, packed: u64) -> u64 {
        self.bytes.min(packed.saturating_mul(self.ratio).max(Self::ANY_RATIO))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: Self::BYTES, files: Self::FILES, ratio: Self::RATIO }
    }
}

/// The largest document (index, manifest, configuration); real ones are below 100 KiB.
pub(super) const DOCUMENT: u64 = 4 << 20;
/// The most layers; Docker itself allows 127.
pub(super) const LAYERS: usize = 500;
/// The most documents that an index may lead to.
pub(super) const DOCUMENTS: usize = 1000;
/// The most members of the outer archive: layers, documents, and folders for them.
pub(super) const MEMBERS: usize = 20_000;
/// The bytes that one entry's headers may take, long names and extended attributes included.
pub(super) const HEADERS: u64 = 1 << 20;
/// A path, as on Linux.
pub(super) const PATH: usize = 4095;
/// A name, as on Linux.
pub(super) const NAME: usize = 255;
/// Symbolic links on the way to one file, as on Linux.
pub(super) const LINKS: usize = 40;
