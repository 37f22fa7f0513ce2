//! The packed root: a read-only file tree as one block of bytes, used in place by the guest.
//!
//! ELF files come first, each from a page boundary on, so that their pages can be mapped as they are; then the index,
//! the paths, and the other files without padding. `ARCHITECTURE.md` has the format.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::layout::{PAGE, align_up};
use crate::paths::lies_in;
use crate::program;

const HEADER: u64 = 32;
const ENTRY: u64 = 64;
const MAGIC: &[u8; 8] = b"BSPKROOT";
const VERSION: u32 = 1;

pub(crate) const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFDIR: u32 = 0o040_000;
pub(crate) const S_IFREG: u32 = 0o100_000;
pub(crate) const S_IFLNK: u32 = 0o120_000;
pub(crate) const S_IFIFO: u32 = 0o010_000;

/// What there is to know about a file but its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) mtime_nsec: u32,
    pub(crate) rdev: u64,
}

impl Attributes {
    /// Of what the host does not have: owned by root, from the beginning of time.
    pub(crate) fn made(mode: u32) -> Self {
        Self { mode, ..Self::default() }
    }

    pub(crate) fn is(&self, kind: u32) -> bool {
        self.mode & S_IFMT == kind
    }
}

/// What tells a file from others where it comes from: names with the same one are names of one file (hard links).
pub(crate) type FileId = (u64, u64);

#[derive(Debug, Clone)]
struct Entry {
    attributes: Attributes,
    data: Arc<[u8]>,
    file: Option<FileId>,
    /// It is another name of a file that comes earlier, by its place among the entries.
    same: Option<usize>,
    /// Made because something lies in it.
    implied: bool,
    nlink: u32,
    data_at: u64,
    path_at: u64,
    /// The bytes of the root that are its own: data with padding, index entry, path.
    share: u64,
}

/// Why a file cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Clash {
    #[error("{0} is given twice")]
    Twice(String),
    #[error("{0} is not a directory, but {1} lies in it")]
    NotADirectory(String, String),
}

/// A file tree, being collected.
#[derive(Debug, Clone, Default)]
pub(crate) struct Builder {
    entries: BTreeMap<String, Entry>,
}

impl Builder {
    /// Adds a file, directory or link at an absolute path.
    pub(crate) fn add(&mut self, path: &str, attributes: Attributes, data: Vec<u8>) -> Result<(), Clash> {
        self.add_name(path, attributes, data, None)
    }

    /// Does the same with a name of a file that may have others.
    pub(crate) fn add_name(
        &mut self,
        path: &str,
        attributes: Attributes,
        data: Vec<u8>,
        file: Option<FileId>,
    ) -> Result<(), Clash> {
        let mut parent = path;
        while let Some((above, _)) = parent.rsplit_once('/') {
            if parent == "/" {
                break;
            }
            parent = if above.is_empty() { "/" } else { above };
            let made = || Entry::new(Attributes::made(S_IFDIR | 0o755), Vec::new(), true);
            let entry = self.entries.entry(parent.to_owned()).or_insert_with(made);
            if !entry.attributes.is(S_IFDIR) {
                return Err(Clash::NotADirectory(parent.into(), path.into()));
            }
        }
        let entry = Entry { file, ..Entry::new(attributes, data, false) };
        match self.entries.get_mut(path) {
            None => {
                self.entries.insert(path.to_owned(), entry);
            }
            Some(old) if attributes.is(S_IFDIR) && old.attributes.is(S_IFDIR) => {
                if old.implied {
                    *old = entry;
                }
            }
            Some(old) if old.implied => {
                return Err(Clash::NotADirectory(path.into(), "another file".into()));
            }
            Some(_) => return Err(Clash::Twice(path.into())),
        }
        Ok(())
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// The contents of a file that was added.
    pub(crate) fn data(&self, path: &str) -> Option<&[u8]> {
        self.entries.get(path).filter(|entry| entry.attributes.is(S_IFREG)).map(|entry| &*entry.data)
    }

    /// Every ELF file that was added.
    pub(crate) fn elf_files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let files = self.entries.iter().map(|(path, entry)| (path.as_str(), &*entry.data));
        files.filter(|(_, data)| data.starts_with(b"\x7fELF"))
    }

    /// Lays the tree out.
    pub(crate) fn finish(mut self) -> Root {
        let made = || Entry::new(Attributes::made(S_IFDIR | 0o755), Vec::new(), true);
        self.entries.entry("/".into()).or_insert_with(made);
        // A directory has a link from itself, one from above, and one from each directory in it.
        let mut links: BTreeMap<String, u32> = BTreeMap::new();
        for (path, entry) in &self.entries {
            if entry.attributes.is(S_IFDIR) && path != "/" {
                *links.entry(parent_of(path).to_owned()).or_default() += 1;
            }
        }
        for (path, entry) in &mut self.entries {
            if entry.attributes.is(S_IFDIR) {
                entry.nlink = 2 + links.get(path).copied().unwrap_or(0);
            }
        }
        self.join_names();

        let mut at = 0;
        let mut last_elf: Option<String> = None;
        let elf: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, e)| e.is_elf() && e.same.is_none())
            .map(|(path, _)| path.clone())
            .collect();
        let close = |entries: &mut BTreeMap<String, Entry>, path: Option<String>, end: u64| {
            if let Some(entry) = path.and_then(|path| entries.get_mut(&path)) {
                entry.share += end - entry.data_at;
            }
        };
        for path in elf {
            at = align_up(at, PAGE);
            close(&mut self.entries, last_elf.take(), at);
            if let Some(entry) = self.entries.get_mut(&path) {
                entry.data_at = at;
                at += entry.data.len() as u64;
            }
            last_elf = Some(path);
        }
        let index_at = align_up(at, 8);
        close(&mut self.entries, last_elf, index_at);
        at = index_at + HEADER + ENTRY * self.entries.len() as u64;
        for (path, entry) in &mut self.entries {
            entry.path_at = at;
            at += path.len() as u64;
            entry.share += ENTRY + path.len() as u64;
        }
        for entry in self.entries.values_mut().filter(|entry| !entry.is_elf() && entry.same.is_none()) {
            entry.data_at = at;
            at += entry.data.len() as u64;
            entry.share += entry.data.len() as u64;
        }
        let mut entries: Vec<(String, Entry)> = self.entries.into_iter().collect();
        for at in 0..entries.len() {
            if let Some(first) = entries[at].1.same {
                entries[at].1.data_at = entries[first].1.data_at;
            }
        }
        Root { entries, index_at, size: at }
    }

    /// Finds the names of one file: its contents count for the first of them.
    fn join_names(&mut self) {
        let mut names: HashMap<FileId, Vec<usize>> = HashMap::new();
        let mut entries: Vec<&mut Entry> = self.entries.values_mut().collect();
        for (at, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.attributes.is(S_IFREG)) {
            if let Some(file) = entry.file {
                names.entry(file).or_default().push(at);
            }
        }
        for names in names.values().filter(|names| names.len() > 1) {
            let (first, data) = (names[0], entries[names[0]].data.clone());
            for at in names {
                let entry = &mut entries[*at];
                entry.nlink = names.len() as u32;
                entry.attributes.rdev = first as u64 + 1;
                if *at != first {
                    entry.same = Some(first);
                    entry.data = data.clone();
                }
            }
        }
    }
}

fn parent_of(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

impl Entry {
    fn new(attributes: Attributes, data: Vec<u8>, implied: bool) -> Self {
        let data = data.into();
        Self { attributes, data, file: None, same: None, implied, nlink: 1, data_at: 0, path_at: 0, share: 0 }
    }

    fn is_elf(&self) -> bool {
        self.attributes.is(S_IFREG) && program::is_elf(&self.data)
    }
}

/// A file tree, laid out.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    entries: Vec<(String, Entry)>,
    index_at: u64,
    size: u64,
}

impl Root {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Where the header stands.
    pub(crate) fn index_at(&self) -> u64 {
        self.index_at
    }

    /// Every path, with its attributes and the length of its data.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, Attributes, u64)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry.attributes, entry.data.len() as u64))
    }

    /// The length of all files together; one that has several names counts once.
    pub(crate) fn contents(&self) -> u64 {
        let own = self.entries.iter().filter(|(_, entry)| entry.same.is_none());
        own.map(|(_, entry)| entry.data.len() as u64).sum()
    }

    /// Every ELF file, with its contents.
    pub(crate) fn elf_files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.is_elf())
            .map(|(path, entry)| (path.as_str(), &*entry.data))
    }

    /// The bytes that are there for the file at `program` alone: its own, and those of directories that were made
    /// and hold nothing else.
    pub(crate) fn share_of(&self, program: &str) -> u64 {
        let only_for_it = |dir: &str| {
            let mut files = self.entries.iter().filter(|(path, e)| !e.implied && lies_in(path, dir));
            lies_in(program, dir) && files.all(|(path, _)| path == program)
        };
        let own = |(path, entry): &&(String, Entry)| {
            path == program || entry.implied && path != "/" && only_for_it(path)
        };
        self.entries.iter().filter(own).map(|(_, entry)| entry.share).sum()
    }

    /// The bytes of the files: everything but the header and the entry of `/`.
    pub(crate) fn share(&self) -> u64 {
        self.size - HEADER - ENTRY - 1
    }

    /// Writes the tree to the beginning of `out`, which is zeroed and long enough.
    pub(crate) fn write(&self, out: &mut [u8]) {
        let mut index = Vec::with_capacity((HEADER + ENTRY * self.entries.len() as u64) as usize);
        index.extend(MAGIC);
        index.extend(VERSION.to_le_bytes());
        index.extend((self.entries.len() as u32).to_le_bytes());
        index.extend((self.index_at + HEADER).to_le_bytes());
        index.extend(self.size.to_le_bytes());
        for (path, entry) in &self.entries {
            let a = &entry.attributes;
            index.extend(entry.path_at.to_le_bytes());
            for word in [path.len() as u32, a.mode, a.uid, a.gid] {
                index.extend(word.to_le_bytes());
            }
            index.extend((entry.data.len() as u64).to_le_bytes());
            index.extend(entry.data_at.to_le_bytes());
            index.extend(a.mtime.to_le_bytes());
            index.extend(a.mtime_nsec.to_le_bytes());
            index.extend(entry.nlink.to_le_bytes());
            index.extend(a.rdev.to_le_bytes());
            let put = |out: &mut [u8], at: u64, bytes: &[u8]| {
                out[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
            };
            put(out, entry.path_at, path.as_bytes());
            if entry.same.is_none() {
                put(out, entry.data_at, &entry.data);
            }
        }
        let at = self.index_at as usize;
        out[at..at + index.len()].copy_from_slice(&index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: u64) -> u64 {
        u64::from_le_bytes(bytes[at as usize..at as usize + 8].try_into().unwrap())
    }

    fn half(bytes: &[u8], at: u64) -> u32 {
        u32::from_le_bytes(bytes[at as usize..at as usize + 4].try_into().unwrap())
    }

    /// Reads the format as the guest does, from nothing but the bytes.
    fn read(bytes: &[u8], index_at: u64) -> Vec<(String, u32, Vec<u8>, u64, u32)> {
        let header = index_at;
        assert_eq!(&bytes[header as usize..][..8], MAGIC);
        assert_eq!(half(bytes, header + 8), 1);
        assert_eq!(word(bytes, header + 24), bytes.len() as u64);
        let entries = word(bytes, header + 16);
        (0..u64::from(half(bytes, header + 12)))
            .map(|n| {
                let at = entries + 64 * n;
                let path = &bytes[word(bytes, at) as usize..][..half(bytes, at + 8) as usize];
                let (size, data) = (word(bytes, at + 24), word(bytes, at + 32));
                let contents = bytes[data as usize..][..size as usize].to_vec();
                let path = String::from_utf8(path.to_vec()).unwrap();
                (path, half(bytes, at + 12), contents, data, half(bytes, at + 52))
            })
            .collect()
    }

    fn pack(builder: Builder) -> (Root, Vec<u8>) {
        let root = builder.finish();
        let mut bytes = vec![0; root.size() as usize];
        root.write(&mut bytes);
        (root, bytes)
    }

    fn file(mode: u32) -> Attributes {
        Attributes { mode: S_IFREG | mode, uid: 1000, gid: 100, mtime: -5, mtime_nsec: 7, rdev: 0 }
    }

    #[test]
    fn a_tree_reads_back() {
        let mut builder = Builder::default();
        let elf = [b"\x7fELF".as_slice(), &[7; 5000]].concat();
        builder.add("/bin/a", file(0o755), elf.clone()).unwrap();
        builder.add("/etc/deep/conf", file(0o600), b"x = 1\n".to_vec()).unwrap();
        builder.add("/lib/b.so", file(0o644), elf.clone()).unwrap();
        builder.add("/link", Attributes::made(S_IFLNK | 0o777), b"etc/deep".to_vec()).unwrap();
        let (root, bytes) = pack(builder);
        let files = read(&bytes, root.index_at());
        let paths: Vec<&str> = files.iter().map(|f| f.0.as_str()).collect();
        assert_eq!(
            paths,
            ["/", "/bin", "/bin/a", "/etc", "/etc/deep", "/etc/deep/conf", "/lib", "/lib/b.so", "/link"]
        );
        assert_eq!(files[2].2, elf);
        assert_eq!((files[2].1, files[2].3), (S_IFREG | 0o755, 0));
        assert_eq!((&files[7].2, files[7].3 % PAGE), (&elf, 0));
        assert_eq!(files[5].2, b"x = 1\n");
        assert_eq!(files[8].2, b"etc/deep");
        assert_eq!((files[0].4, files[3].4, files[2].4), (5, 3, 1), "link counts");
        // Attributes of the file itself, where the format says.
        let at = word(&bytes, root.index_at() + 16) + 64 * 5;
        assert_eq!((half(&bytes, at + 16), half(&bytes, at + 20)), (1000, 100));
        assert_eq!((word(&bytes, at + 40) as i64, half(&bytes, at + 48)), (-5, 7));
    }

    #[test]
    fn shares_add_up_to_the_whole() {
        let elf = [b"\x7fELF".as_slice(), &[7; 5000]].concat();
        let mut builder = Builder::default();
        builder.add("/bin/a", file(0o755), elf.clone()).unwrap();
        builder.add("/bin/b", file(0o755), elf).unwrap();
        builder.add("/etc/conf", file(0o600), b"x = 1\n".to_vec()).unwrap();
        let (root, _) = pack(builder);
        let all: u64 = root.entries.iter().map(|(_, e)| e.share).sum();
        assert_eq!(all + HEADER, root.size(), "every byte is somebody's");
        assert_eq!(root.share() + HEADER + ENTRY + 1, root.size());
        // "/bin" is there for "/bin/b" too, "/etc" only for its file.
        assert_eq!(root.share_of("/bin/a"), 8192 + 64 + 6);
        assert_eq!(root.share_of("/etc/conf"), 6 + 64 + 9 + 64 + 4);
    }

    #[test]
    fn a_file_of_several_names_is_there_once() {
        let elf = [b"\x7fELF".as_slice(), &[7; 5000]].concat();
        let pack_with = |files: [Option<FileId>; 5]| {
            let mut builder = Builder::default();
            let names = ["/bin/a", "/bin/b", "/etc/one", "/etc/two", "/usr/three"];
            for (at, (name, file)) in names.into_iter().zip(files).enumerate() {
                let data = if at < 2 { elf.clone() } else { b"text".to_vec() };
                let attributes = Attributes::made(S_IFREG | 0o644);
                builder.add_name(name, attributes, data, file).unwrap();
            }
            pack(builder)
        };
        let (apart, _) = pack_with([None; 5]);
        let ids = [(1, 1), (1, 1), (1, 2), (1, 2), (1, 2)].map(Some);
        let (root, bytes) = pack_with(ids);
        assert_eq!(root.size(), apart.size() - 8192 - 2 * 4);
        assert_eq!((root.contents(), apart.contents()), (5004 + 4, 2 * 5004 + 3 * 4));
        let all: u64 = root.entries.iter().map(|(_, e)| e.share).sum();
        assert_eq!(all + HEADER, root.size(), "every byte is somebody's");
        let files = read(&bytes, root.index_at());
        let numbered = |path: &str| {
            let at = files.iter().position(|file| file.0 == path).unwrap();
            let rdev = word(&bytes, word(&bytes, root.index_at() + 16) + 64 * at as u64 + 56);
            (at as u64 + 1, files[at].4, rdev, files[at].2.len())
        };
        let (one, links, first, length) = numbered("/etc/one");
        assert_eq!((links, first, length), (3, one, 4));
        for path in ["/etc/two", "/usr/three"] {
            assert_eq!(numbered(path), (numbered(path).0, 3, one, 4), "{path}");
        }
        assert_eq!(numbered("/bin/b").2, numbered("/bin/a").0);
        assert_eq!(root.elf_files().count(), 2);
    }

    #[test]
    fn an_empty_root_has_its_directory() {
        let (root, bytes) = pack(Builder::default());
        let files = read(&bytes, root.index_at());
        assert_eq!((files.len(), files[0].0.as_str(), files[0].1), (1, "/", S_IFDIR | 0o755));
        assert_eq!((root.size(), root.share()), (97, 0));
    }

    #[test]
    fn clashes_are_refused() {
        let mut builder = Builder::default();
        builder.add("/a", file(0o644), vec![]).unwrap();
        assert_eq!(builder.add("/a", file(0o644), vec![]), Err(Clash::Twice("/a".into())));
        let inside = builder.add("/a/b", file(0o644), vec![]);
        assert_eq!(inside, Err(Clash::NotADirectory("/a".into(), "/a/b".into())));
        builder.add("/d/e", file(0o644), vec![]).unwrap();
        assert!(builder.add("/d", file(0o644), vec![]).is_err());
        builder.add("/d", Attributes::made(S_IFDIR | 0o700), vec![]).unwrap();
        let (root, _) = pack(builder);
        let dir = root.files().find(|(path, ..)| *path == "/d").unwrap();
        assert_eq!(dir.1.mode, S_IFDIR | 0o700, "a directory given later replaces the one that was made");
    }
}
