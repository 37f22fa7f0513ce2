//! A folder of the host with the root of another system in it.
//!
//! Links are followed as by a process whose root the folder is: absolute ones begin at the folder, and `..` stops there. Nothing outside of
//! it is read, whatever its links say.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::program::{self, Program};
use crate::root::Attributes;

use super::{PayloadError, attributes};

/// How many links Linux follows (`path_resolution(7)`).
const LINKS: usize = 40;

/// A folder of the host with the root of another system in it.
#[derive(Debug, Clone)]
pub struct Sysroot {
    folder: PathBuf,
}

impl Sysroot {
    /// The system whose root a folder is.
    ///
    /// # Errors
    /// When it is no folder.
    pub fn open(folder: &Path) -> Result<Self, PayloadError> {
        let read = |error| PayloadError::Read { path: folder.to_owned(), error };
        if !fs::metadata(folder).map_err(read)?.is_dir() {
            return Err(read(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// A path's name on the host, for messages.
    pub(super) fn at(&self, path: &Path) -> PathBuf {
        self.folder.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The path without links in it.
    ///
    /// # Errors
    /// When it leads nowhere, or links lead in a circle.
    pub fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        let mut trail = PathBuf::new();
        let mut pending = parts(path);
        let mut links = 0;
        while let Some(part) = pending.pop() {
            if part == ".." {
                trail.pop();
                continue;
            }
            // No step of the trail is a link, so the host follows none.
            let here = self.folder.join(&trail).join(&part);
            let metadata = fs::symlink_metadata(&here)?;
            if !metadata.is_symlink() {
                if !pending.is_empty() && !metadata.is_dir() {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
                trail.push(part);
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(io::Error::from_raw_os_error(nix::libc::ELOOP));
            }
            let target = fs::read_link(&here)?;
            if target.is_absolute() {
                trail.clear();
            }
            pending.extend(parts(&target));
        }
        Ok(Path::new("/").join(trail))
    }

    fn metadata(&self, path: &Path) -> io::Result<(PathBuf, Metadata)> {
        let host = self.at(&self.real_path(path)?);
        let metadata = fs::symlink_metadata(&host)?;
        Ok((host, metadata))
    }

    /// A file's contents, and what else is known of it.
    pub(super) fn file(&self, path: &Path) -> io::Result<(Attributes, Vec<u8>)> {
        let (host, metadata) = self.metadata(path)?;
        match (metadata.is_file(), metadata.is_dir()) {
            (true, _) => Ok((attributes(&metadata), fs::read(host)?)),
            (_, true) => Err(io::ErrorKind::IsADirectory.into()),
            // To read from a pipe or a device may never end.
            _ => Err(io::Error::other("it is no ordinary file")),
        }
    }

    /// A file's contents.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.file(path).map(|(_, data)| data)
    }

    /// The names in a folder.
    pub(super) fn names(&self, path: &Path) -> Vec<OsString> {
        let Ok((host, _)) = self.metadata(path) else { return Vec::new() };
        fs::read_dir(host).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.file_name())).collect()
    }

    /// Finds a program: by its path in the root, by the host's name for that, or by its name as the system's shell would. Its path in the root.
    pub fn find(&self, given: &Path) -> Option<PathBuf> {
        let is_file = |path: &Path| self.metadata(path).is_ok_and(|(_, metadata)| metadata.is_file());
        let inside = |path: &Path| {
            let folder = fs::canonicalize(&self.folder).ok()?;
            // The program's own name may be a link, which means something in the root only.
            let above =
                fs::canonicalize(path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new(".")))
                    .ok()?;
            Some(Path::new("/").join(above.strip_prefix(folder).ok()?).join(path.file_name()?))
        };
        if given.components().count() == 1 && !given.is_absolute() {
            const PLACES: [&str; 6] =
                ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
            return PLACES.iter().map(|place| Path::new(place).join(given)).find(|path| is_file(path));
        }
        let rooted = Path::new("/").join(given);
        if is_file(&rooted) {
            return Some(rooted);
        }
        inside(given).filter(|path| is_file(path))
    }

    /// Looks at a program, and answers with its bytes too.
    ///
    /// # Errors
    /// When it is not there or cannot be started.
    pub fn inspect(&self, path: &Path) -> Result<(Program, Vec<u8>), PayloadError> {
        let at = self.at(path);
        let bytes = self.read(path).map_err(|error| PayloadError::Read { path: at.clone(), error })?;
        let program = program::inspect(&bytes).map_err(|error| PayloadError::Program { path: at, error })?;
        Ok((program, bytes))
    }
}

/// The steps of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let step = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        _ => None,
    };
    let mut parts: Vec<OsString> = path.components().filter_map(step).collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, Sysroot) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("root");
        fs::create_dir_all(folder.join("usr/lib")).unwrap();
        fs::write(dir.path().join("secret"), "host").unwrap();
        fs::write(folder.join("secret"), "guest").unwrap();
        fs::write(folder.join("usr/lib/libx.so.1.2"), "x").unwrap();
        symlink("usr/lib", folder.join("lib")).unwrap();
        symlink("libx.so.1.2", folder.join("usr/lib/libx.so.1")).unwrap();
        symlink("/usr/lib/libx.so.1", folder.join("usr/lib/libx.so")).unwrap();
        symlink("../../../../../secret", folder.join("up")).unwrap();
        symlink(dir.path().join("secret"), folder.join("out")).unwrap();
        symlink("/b", folder.join("a")).unwrap();
        symlink("a", folder.join("b")).unwrap();
        symlink("/../..", folder.join("top")).unwrap();
        let sysroot = Sysroot::open(&folder).unwrap();
        (dir, sysroot)
    }

    #[test]
    fn links_stay_inside() {
        let (dir, root) = root();
        let read = |path: &str| root.read(Path::new(path)).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(read("/lib/libx.so").unwrap(), "x");
        assert_eq!(root.real_path(Path::new("lib/libx.so")).unwrap(), Path::new("/usr/lib/libx.so.1.2"));
        assert_eq!(read("/up").unwrap(), "guest");
        assert_eq!(read("/../../secret").unwrap(), "guest");
        assert_eq!(read("/top/secret").unwrap(), "guest");
        assert_eq!(read("/out").unwrap_err().kind(), io::ErrorKind::NotFound, "{}", dir.path().display());
        assert_eq!(read("/a").unwrap_err().raw_os_error(), Some(nix::libc::ELOOP));
        assert_eq!(read("/a/x").unwrap_err().raw_os_error(), Some(nix::libc::ELOOP));
        assert_eq!(read("/secret/x").unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(read("/lib").unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(Sysroot::open(&dir.path().join("secret")).is_err());
    }

    #[test]
    fn programs_are_found_by_all_their_names() {
        let (dir, root) = root();
        let folder = dir.path().join("root");
        fs::create_dir_all(folder.join("usr/bin")).unwrap();
        fs::write(folder.join("usr/bin/app"), "x").unwrap();
        symlink("/usr/bin/app", folder.join("usr/bin/alias")).unwrap();
        for given in ["app", "/usr/bin/app", "usr/bin/app", folder.join("usr/bin/app").to_str().unwrap()] {
            assert_eq!(root.find(Path::new(given)).as_deref(), Some(Path::new("/usr/bin/app")), "{given}");
        }
        let alias = folder.join("usr/bin/alias");
        assert_eq!(root.find(&alias).as_deref(), Some(Path::new("/usr/bin/alias")));
        for given in ["none", "/secret/x", dir.path().join("secret").to_str().unwrap(), "/lib"] {
            assert_eq!(root.find(Path::new(given)), None, "{given}");
        }
    }
}
