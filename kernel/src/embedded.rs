//! What the build put into this library: the library OS, compiled once, and the demo program.

use std::sync::OnceLock;

use bespoke_model::{Source, Tree};

use crate::os::{LoadError, Os};

static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/os.o.lz4"));
static DEMO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/demo.lz4"));
/// `(id, file, text)` of every component's declaration.
static DECLARATIONS: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/declarations.rs"));

/// The declarations of the library OS, as the model takes them.
pub fn declarations() -> impl Iterator<Item = Source<'static>> {
    DECLARATIONS.iter().map(|&(id, file, text)| Source { id, file, text })
}

/// The compiled library OS: a relocatable ELF file.
///
/// # Panics
/// When this library was damaged.
pub fn object_bytes() -> Vec<u8> {
    unpack(OBJECT)
}

/// A demo program, by name.
pub(crate) fn demo(name: &str) -> Option<Vec<u8>> {
    (name == "hello").then(|| unpack(DEMO))
}

fn unpack(bytes: &[u8]) -> Vec<u8> {
    lz4_flex::decompress_size_prepended(bytes).expect("the build compressed it")
}

impl Os {
    /// The library OS that this library was built with. The first call unpacks and reads it: a few milliseconds.
    ///
    /// # Panics
    /// When the declarations and the code contradict each other; the tests of this library rule that out.
    pub fn embedded() -> &'static Os {
        static EMBEDDED: OnceLock<Os> = OnceLock::new();
        EMBEDDED.get_or_init(|| load().unwrap_or_else(|error| panic!("the embedded library OS: {error}")))
    }
}

fn load() -> Result<Os, LoadError> {
    let sources: Vec<Source<'_>> = declarations().collect();
    let tree = Tree::load(&sources).map_err(|problems| LoadError::Tree(problems.to_string()))?;
    Os::from_parts(object_bytes(), tree)
}
