//! What a program and its libraries can ask of the operating system, read from their instructions.
//!
//! 1. All instructions are read once ([`code`]): calls, addresses taken, `syscall` instructions.
//! 2. What can run is marked ([`reach`]): from entry points, from addresses in data, through calls, through names that are
//!    linked. A file whose functions cannot be told apart counts as a whole, and so do programs in Go, which find methods by tables.
//! 3. At each `syscall` that can run, values of registers are followed back ([`flow`]) to constants, through
//!    wrappers to their callers where need be ([`sites`]).
//!
//! The answer is what *may* happen: about twice what a run does. Nothing here trusts the files.

mod code;
mod elf;
mod flow;
mod reach;
mod sites;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::elf::Elf;
use self::reach::Object;

/// A file to scan: the program first, then its interpreter and libraries.
#[derive(Debug, Clone, Copy)]
pub struct Input<'d> {
    /// What to call it.
    pub name: &'d str,
    /// Its bytes.
    pub bytes: &'d [u8],
    /// It keeps tables of functions that are found by name or number, so that nothing in it can be ruled out.
    pub whole: bool,
}

/// Why a file cannot be scanned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Not an ELF executable or library for x86-64.
    #[error("it is no executable or library for x86-64 Linux; give an ELF program")]
    NotElf,
    /// Its headers contradict themselves.
    #[error("it is damaged: {0}; build or copy it again")]
    Malformed(&'static str),
}

/// Something that is needed, and where that shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// How many places there are.
    pub count: usize,
    /// The first of them, as `file: function+0x12`.
    pub places: Vec<String>,
}

/// Places that are kept for each need.
const PLACES: usize = 3;

impl Found {
    fn add(&mut self, place: impl FnOnce() -> String) {
        self.count += 1;
        if self.places.len() < PLACES {
            let place = place();
            if self.places.contains(&place) {
                self.count -= 1;
            } else {
                self.places.push(place);
            }
        }
    }
}

/// What a program can ask for.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// Needs, in the words of [`crate::need`].
    pub needs: BTreeMap<String, Found>,
    /// Places whose call could not be told.
    pub unknown: Found,
    /// Instructions that were read.
    pub instructions: u64,
    /// Functions that there are, and those that can run.
    pub functions: (usize, usize),
}

/// Scans a program with its libraries. `served` are beginnings of paths that somebody serves, with which texts that have
/// no end of their own are recognised. `progress` is told the bytes that were read, and of how many.
///
/// # Errors
/// When a file is no program or library, by its place in `inputs`.
pub fn scan(
    inputs: &[Input<'_>],
    served: &[&str],
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Scan, (usize, ScanError)> {
    let elves: Vec<Result<Elf<'_>, ScanError>> = inputs.iter().map(|input| Elf::read(input.bytes)).collect();
    let mut objects = Vec::with_capacity(inputs.len());
    for (at, (elf, input)) in elves.into_iter().zip(inputs).enumerate() {
        objects.push(Object::new(input, elf.map_err(|error| (at, error))?));
    }
    read_all(&mut objects, progress);
    objects.iter_mut().for_each(Object::divide);
    let reach = reach::mark(&objects);
    Ok(sites::resolve(&objects, &reach, served))
}

/// A short digest of a file's contents: tells whether it is still the one that was scanned.
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Pieces of code are handed out in about this size.
const PIECE: u64 = 256 << 10;

/// Reads the instructions of all files, on all processors.
fn read_all(objects: &mut [Object<'_>], progress: &(dyn Fn(u64, u64) + Sync)) {
    let mut pieces: Vec<(usize, Range<u64>)> = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        for range in &object.elf.code {
            let mut start = range.start;
            while start < range.end {
                // A piece ends where a function begins for certain; where that is not known it does not end.
                let from = object.known.partition_point(|known| *known < start + PIECE);
                let end = object.known.get(from).copied().unwrap_or(range.end).clamp(start + 1, range.end);
                pieces.push((at, start..end));
                start = end;
            }
        }
    }
    let total: u64 = pieces.iter().map(|(_, range)| range.end - range.start).sum();
    let (next, done) = (AtomicUsize::new(0), std::sync::atomic::AtomicU64::new(0));
    let read: Vec<Mutex<Option<code::Code>>> = pieces.iter().map(|_| Mutex::new(None)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(pieces.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((object, range)) = pieces.get(at) else { break };
                    let object = &objects[*object];
                    let code = code::read(&object.elf, range.clone(), &object.known);
                    if let Ok(mut place) = read[at].lock() {
                        *place = Some(code);
                    }
                    let size = range.end - range.start;
                    progress(done.fetch_add(size, Ordering::Relaxed) + size, total);
                }
            });
        }
    });
    for ((object, _), code) in pieces.iter().zip(read) {
        if let Ok(Some(code)) = code.into_inner() {
            objects[*object].code.append(code);
        }
    }
}
