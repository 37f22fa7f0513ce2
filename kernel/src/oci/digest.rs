//! Digests, and readers that compute them.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};

use super::error::{ImageError, shown};

/// The digest of a document or layer, as the image specification writes it: `sha256:…` or `sha512:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Digest {
    /// The SHA-256 digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut state = State::new(Algorithm::Sha256);
        state.update(bytes);
        state.finish()
    }

    /// Where a layout keeps what has this digest.
    pub fn blob_path(&self) -> String {
        format!("blobs/{}/{}", self.algorithm.name(), self.hex)
    }

    /// The digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl FromStr for Digest {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let bad = || ImageError::BadDigest(shown(text.as_bytes()));
        let (algorithm, hex) = match text.split_once(':').ok_or_else(bad)? {
            ("sha256", hex) if hex.len() == 64 => (Algorithm::Sha256, hex),
            ("sha512", hex) if hex.len() == 128 => (Algorithm::Sha512, hex),
            _ => return Err(bad()),
        };
        // It becomes a part of a path: nothing but digits.
        if !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(bad());
        }
        Ok(Self { algorithm, hex: hex.to_owned() })
    }
}

enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl State {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    fn finish(self) -> Digest {
        let digits = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
        match self {
            State::Sha256(state) => {
                Digest { algorithm: Algorithm::Sha256, hex: digits(state.finalize().as_slice()) }
            }
            State::Sha512(state) => {
                Digest { algorithm: Algorithm::Sha512, hex: digits(state.finalize().as_slice()) }
            }
        }
    }
}

/// Reads, and holds what was read against a digest and a size.
pub(super) struct Checked<R> {
    inner: R,
    state: State,
    read: u64,
}

impl<R: Read> Checked<R> {
    /// A reader that computes the kind of digest that `expected` is.
    pub(super) fn new(inner: R, expected: &Digest) -> Self {
        Self { inner, state: State::new(expected.algorithm), read: 0 }
    }

    /// Reads what is left, and compares.
    pub(super) fn finish(
        mut self,
        what: &str,
        expected: &Digest,
        size: Option<u64>,
    ) -> Result<(), ImageError> {
        io::copy(&mut self, &mut io::sink()).map_err(|error| ImageError::malformed(what, error))?;
        if let Some(size) = size.filter(|size| *size != self.read) {
            return Err(ImageError::Digest {
                what: what.into(),
                expected: format!("{size} bytes"),
                found: format!("{} bytes", self.read),
            });
        }
        let found = self.state.finish();
        if found != *expected {
            return Err(ImageError::Digest {
                what: what.into(),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
        Ok(())
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.state.update(&into[..count]);
        self.read += count as u64;
        Ok(count)
    }
}
