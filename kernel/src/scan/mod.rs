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
    /// Files besides the program that are no libraries, by name, and why.
    pub skipped: Vec<(String, ScanError)>,
}

/// Scans a program with its libraries. `served` are beginnings of paths that somebody serves, with which texts that have
/// no end of their own are recognised. `progress` is told the bytes that were read, and of how many.
///
/// # Errors
/// When the program is none.
pub fn scan(
    inputs: &[Input<'_>],
    served: &[&str],
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Scan, ScanError> {
    let mut objects = Vec::with_capacity(inputs.len());
    let mut skipped = Vec::new();
    for (input, elf) in inputs.iter().zip(on_all_processors(inputs, |input| Elf::read(input.bytes))) {
        match elf {
            Ok(elf) => objects.push(Object::new(input, elf)),
            // Beside the program lie files of all kinds; one that only looks like a library is none.
            Err(error) if !objects.is_empty() => skipped.push((input.name.to_owned(), error)),
            Err(error) => return Err(error),
        }
    }
    read_all(&mut objects, progress);
    let starts = on_all_processors(&objects, Object::divide);
    for (object, starts) in objects.iter_mut().zip(starts) {
        object.begin_at(starts);
    }
    let reach = reach::mark(&objects);
    Ok(Scan { skipped, ..sites::resolve(&objects, &reach, served) })
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
    let done = std::sync::atomic::AtomicU64::new(0);
    let read = on_all_processors(&pieces, |(object, range)| {
        let object = &objects[*object];
        let code = code::read(&object.elf, range.clone(), &object.known);
        let size = range.end - range.start;
        progress(done.fetch_add(size, Ordering::Relaxed) + size, total);
        code
    });
    for ((object, _), code) in pieces.iter().zip(read) {
        objects[*object].code.append(code);
    }
}

/// Does a piece of work for each item, on all processors; the results in the order of the items.
fn on_all_processors<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let next = AtomicUsize::new(0);
    let turn = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break done };
            done.push((at, work(item)));
        }
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(turn)).collect();
        let mut all = turn();
        for other in others {
            match other.join() {
                Ok(more) => all.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}
