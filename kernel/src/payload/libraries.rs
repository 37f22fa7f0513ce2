//! Finds what a dynamic program is started by and with.
//!
//! Libraries go where the guest's interpreter looks without a cache: where it looks on the host too, or else beside
//! the C library.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use memchr::memmem;

use crate::oci::Image;
use crate::paths;
use crate::program::{self, ProgramKind};
use crate::root::Builder;

use super::{PayloadError, Sysroot, add as add_file, add_tree, container, guest_path};

/// Where glibc's interpreter looks by itself, on the distributions there are.
const GLIBC: &[&str] =
    &["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
/// Where musl's does.
const MUSL: &[&str] = &["/lib", "/usr/local/lib", "/usr/lib"];

/// The library that glibc loads by name, to unwind the stack of a thread that ends like this: without it the program is aborted.
const UNWINDER: &str = "libgcc_s.so.1";
const UNWOUND_BY: [&[u8]; 2] = [b"\0pthread_exit\0", b"\0pthread_cancel\0"];

/// Whether a file asks for a function that unwinds the stack: its name stands among those of its dynamic symbols.
fn unwinds(bytes: &[u8]) -> bool {
    UNWOUND_BY.iter().any(|name| memmem::find(bytes, name).is_some())
}

/// Where libraries are taken from.
#[derive(Clone, Copy)]
pub(super) enum Source<'i> {
    /// This machine.
    Host,
    /// A container image.
    Image(&'i Image),
    /// A folder with the root of another system.
    Sysroot(&'i Sysroot),
}

impl Source<'_> {
    fn read(self, path: &Path) -> std::io::Result<Vec<u8>> {
        match self {
            Source::Host => fs::read(path),
            Source::Image(image) => image.read_file(&path.to_string_lossy()),
            Source::Sysroot(root) => root.read(path),
        }
    }

    /// Whether it is a library for this processor.
    fn usable(self, path: &Path) -> bool {
        self.read(path).is_ok_and(|bytes| program::libraries(&bytes).is_ok())
    }

    /// Packs a file, unless there is one at that place.
    fn pack(self, builder: &mut Builder, guest: &str, from: &Path) -> Result<(), PayloadError> {
        match self {
            Source::Host | Source::Sysroot(_) if builder.contains(guest) => Ok(()),
            Source::Sysroot(root) => {
                let read = |error| PayloadError::Read { path: root.at(from), error };
                let (attributes, data) = root.file(from).map_err(read)?;
                add_file(builder, guest, attributes, data)
            }
            Source::Host => add_tree(builder, guest, from, true),
            // Found beyond where the guest's interpreter looks: put there, under that name.
            Source::Image(image) if Path::new(guest) != from => {
                let guest = container::place(builder, image, guest)?;
                let read = |error| PayloadError::Read { path: from.to_owned(), error };
                let mut entries = image.entries(&from.to_string_lossy()).map_err(read)?;
                match entries.pop() {
                    Some(entry) if !builder.contains(&guest) => {
                        add_file(builder, &guest, entry.attributes, image.data(&entry).map_err(read)?)
                    }
                    _ => Ok(()),
                }
            }
            Source::Image(image) => container::add_way(builder, image, guest).map(drop),
        }
    }

    /// The bytes of what is packed at a path.
    fn packed(self, builder: &Builder, guest: &str) -> Vec<u8> {
        let at = match self {
            Source::Host | Source::Sysroot(_) => None,
            Source::Image(image) => image.real_path(guest),
        };
        builder.data(at.as_deref().unwrap_or(guest)).unwrap_or_default().to_vec()
    }

    /// The directories that `/etc/ld.so.conf` and the files beside it list.
    fn configured(self) -> Vec<PathBuf> {
        let folder = "/etc/ld.so.conf.d";
        let mut files = vec![PathBuf::from("/etc/ld.so.conf")];
        match self {
            Source::Host => {
                let entries = fs::read_dir(folder).into_iter().flatten();
                files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
            }
            Source::Sysroot(root) => {
                files.extend(
                    root.names(Path::new(folder)).into_iter().map(|name| Path::new(folder).join(name)),
                );
            }
            Source::Image(image) => {
                files.extend(image.names(folder).into_iter().map(|name| Path::new(folder).join(name)));
            }
        }
        files.sort();
        let texts = files.iter().filter_map(|file| String::from_utf8(self.read(file).ok()?).ok());
        let lines: Vec<String> =
            texts.flat_map(|text| text.lines().map(String::from).collect::<Vec<_>>()).collect();
        lines.into_iter().filter(|line| line.starts_with('/')).map(PathBuf::from).collect()
    }
}

/// Adds the interpreter and all libraries of a dynamic program, and those that packed plug-ins need. `host` is its file, `guest` its path in the image.
pub(super) fn add(
    builder: &mut Builder,
    source: Source<'_>,
    kind: &ProgramKind,
    host: &Path,
    guest: &str,
) -> Result<(), PayloadError> {
    let ProgramKind::Dynamic { interp, needed, runpath } = kind else { return Ok(()) };
    let interp = guest_path(interp)?;
    source.pack(builder, &interp, Path::new(&interp))?;
    let musl = interp.contains("ld-musl");
    let search =
        Search { source, directories: if musl { MUSL } else { GLIBC }, configured: source.configured() };
    // musl's interpreter is its C library; glibc's is asked for by name as well.
    let mut known: BTreeSet<String> = interp.rsplit('/').next().map(String::from).into_iter().collect();
    if musl {
        known.extend(["libc.so", "libc.musl-x86_64.so.1"].map(String::from));
    }

    let mut queue = VecDeque::from([Asking {
        name: guest.to_owned(),
        host: host.parent().unwrap_or(Path::new("/")).to_owned(),
        guest: directory(guest).to_owned(),
        needed: needed.clone(),
        runpath: runpath.clone(),
        must_have: true,
    }]);
    // Plug-ins that the program may load at run time: what the host lacks, they lack there as well.
    for (path, data) in builder.elf_files().filter(|(path, _)| *path != guest) {
        let Ok((needed, runpath)) = program::libraries(data) else { continue };
        queue.push_back(Asking {
            name: path.to_owned(),
            host: directory(path).into(),
            guest: directory(path).to_owned(),
            needed,
            runpath,
            must_have: false,
        });
    }
    while let Some(asking) = queue.pop_front() {
        let is_c_library = musl || asking.name.ends_with("/libc.so.6");
        let unwinder = (!is_c_library && unwinds(&source.packed(builder, &asking.name)))
            .then(|| (UNWINDER.to_owned(), false));
        let needed = asking.needed.iter().map(|library| (library.clone(), asking.must_have));
        for (library, must_have) in needed.chain(unwinder) {
            if !known.insert(library.clone()) {
                continue;
            }
            let found = search.find(&library, &asking, builder);
            let Some(Found { host, guest }) = found else {
                if !must_have {
                    continue;
                }
                let needed_by = asking.name;
                return Err(PayloadError::NoLibrary { library, needed_by });
            };
            let guest = guest_path(&guest)?;
            source.pack(builder, &guest, &host)?;
            let bytes = source.packed(builder, &guest);
            let (needed, runpath) = program::libraries(&bytes)
                .map_err(|error| PayloadError::Program { path: host.clone(), error })?;
            let host = host.parent().unwrap_or(Path::new("/")).to_owned();
            let directory = directory(&guest).to_owned();
            queue.push_back(Asking { name: guest, host, guest: directory, needed, runpath, must_have });
        }
    }
    Ok(())
}

/// A file that asks for libraries.
struct Asking {
    name: String,
    /// Its directory on the host.
    host: PathBuf,
    /// Its directory in the image.
    guest: String,
    needed: Vec<String>,
    runpath: Option<String>,
    /// Whether a library that cannot be found is an error.
    must_have: bool,
}

struct Found {
    host: PathBuf,
    guest: String,
}

struct Search<'i> {
    source: Source<'i>,
    directories: &'static [&'static str],
    /// Directories that only the host's cache knows.
    configured: Vec<PathBuf>,
}

impl Search<'_> {
    fn find(&self, library: &str, asking: &Asking, builder: &Builder) -> Option<Found> {
        if library.contains('/') {
            return library.starts_with('/').then(|| Found { host: library.into(), guest: library.into() });
        }
        for entry in asking.runpath.iter().flat_map(|path| path.split(':')).filter(|entry| !entry.is_empty())
        {
            let origin = |with: &str| entry.replace("${ORIGIN}", with).replace("$ORIGIN", with);
            let host = PathBuf::from(origin(&asking.host.to_string_lossy())).join(library);
            let guest = paths::plain(&format!("/{}/{library}", origin(&asking.guest))).unwrap_or_default();
            if builder.contains(&guest) || self.source.usable(&host) {
                return Some(Found { host, guest });
            }
        }
        for directory in self.directories {
            let guest = format!("{directory}/{library}");
            if builder.contains(&guest) || self.source.usable(Path::new(&guest)) {
                return Some(Found { host: guest.clone().into(), guest });
            }
        }
        let host =
            self.configured.iter().map(|dir| dir.join(library)).find(|path| self.source.usable(path))?;
        Some(Found { host, guest: format!("{}/{library}", self.directories[0]) })
    }
}

fn directory(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((directory, _)) => directory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bespoke_model::{Config, Program};

    use crate::Payload;

    fn config(path: &str, files: &str) -> Config {
        let mut config = Config::parse("x", &format!("schema = 1\n[files]\n{files}")).unwrap();
        config.set_program(&Program { path: path.into(), ..Program::default() });
        config
    }

    #[test]
    fn a_dynamic_program_brings_what_it_needs() {
        let payload = Payload::load(&config("/proc/self/exe", ""), Path::new("/")).unwrap();
        let Some(ProgramKind::Dynamic { interp, needed, .. }) = payload.program().map(|p| p.kind.clone())
        else {
            panic!("this test is a dynamic program");
        };
        let files: Vec<&str> = payload.files().map(|(path, _)| path).collect();
        assert!(files.contains(&interp.as_str()), "{files:?}");
        assert!(!needed.is_empty());
        for library in needed {
            let is_interp = interp.ends_with(&format!("/{library}"));
            assert!(
                is_interp || files.iter().any(|f| f.ends_with(&format!("/{library}"))),
                "{library}: {files:?}"
            );
        }
    }

    #[test]
    fn a_given_library_is_kept() {
        let interp = match program::inspect(&fs::read("/proc/self/exe").unwrap()).unwrap().kind {
            ProgramKind::Dynamic { interp, .. } => interp,
            other => panic!("{other:?}"),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "another interpreter").unwrap();
        let files = format!("\"{interp}\" = \"{}\"\n", file.path().display());
        let payload = Payload::load(&config("/proc/self/exe", &files), Path::new("/")).unwrap();
        let size = payload.files().find(|(path, _)| *path == interp).unwrap().1;
        assert_eq!(size, "another interpreter".len() as u64);
    }

    #[test]
    fn a_missing_library_is_named() {
        let mut builder = Builder::default();
        let interp = tempfile::NamedTempFile::new().unwrap();
        let kind = ProgramKind::Dynamic {
            interp: interp.path().to_str().unwrap().into(),
            needed: vec!["libnowhere.so.7".into()],
            runpath: Some("$ORIGIN/../lib:/nowhere".into()),
        };
        let error = add(&mut builder, Source::Host, &kind, Path::new("/opt/x/bin/p"), "/bin/p").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/bin/p needs libnowhere.so.7"), "{text}");
    }

    #[test]
    fn paths_relative_to_the_program_move_with_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("bin")).unwrap();
        fs::create_dir_all(dir.path().join("lib")).unwrap();
        let library = dir.path().join("lib/libown.so");
        fs::copy("/proc/self/exe", &library).unwrap();
        let asking = Asking {
            name: "/bin/p".into(),
            host: dir.path().join("bin"),
            guest: "/bin".into(),
            needed: vec![],
            runpath: Some("/nowhere:$ORIGIN/../lib".into()),
            must_have: true,
        };
        let search = Search { source: Source::Host, directories: GLIBC, configured: vec![] };
        let found = search.find("libown.so", &asking, &Builder::default()).unwrap();
        assert_eq!(found.guest, "/lib/libown.so");
        assert_eq!(fs::canonicalize(found.host).unwrap(), fs::canonicalize(library).unwrap());
    }
}
