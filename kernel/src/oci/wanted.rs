//! Which files of an image its program is likely to want, besides its libraries, and why.
//!
//! A container's image holds a whole distribution. What the program itself names, what is called after it, and what its command,
//! its environment and its volumes name is proposed; the rest is left out. Everything proposed is a line of the config,
//! so that a person can take it out or add to it.

use std::collections::{BTreeMap, BTreeSet};

use super::{FileKind, Image, Launch};
use crate::paths::{is_in, lies_in};

/// A file or folder of an image that the program is likely to want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it lies.
    pub path: String,
    /// Why.
    pub why: String,
    /// The length of all files in it.
    pub bytes: u64,
}

/// Folders that belong to no program: what lies in them is wanted by name, never as a whole.
const GENERAL: &[&str] = &[
    "/bin",
    "/boot",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/tmp",
    "/usr",
    "/var",
    "/usr/bin",
    "/usr/games",
    "/usr/include",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/include",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/local/share",
    "/usr/sbin",
    "/usr/share",
    "/usr/share/locale",
    "/usr/src",
    "/usr/lib/locale",
    "/usr/lib/x86_64-linux-gnu",
    "/var/cache",
    "/lib/x86_64-linux-gnu",
    "/var/lib",
    "/var/local",
    "/var/log",
    "/var/run",
    "/var/spool",
    "/var/tmp",
    "/etc/init.d",
    "/etc/default",
];

/// What the C library looks into for names of users, hosts and services. `/etc/hosts` and `/etc/resolv.conf` are not the image's: whoever
/// starts a container puts those of its network there.
const NAMES: &[&str] = &[
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/timezone",
];

/// Places of the certificates that TLS libraries trust.
const CERTIFICATES: &[&str] =
    &["/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ssl/cert.pem", "/usr/lib/ssl", "/etc/pki/tls"];

/// What a program is likely to want of its image. `program` is its text, `libraries` are the paths of those that it brings.
pub fn wanted(image: &Image, launch: &Launch, program: &[u8], libraries: &[String]) -> Vec<Wanted> {
    let mut found = Found { image, paths: BTreeMap::new() };
    for path in NAMES {
        found.add(path, "names of users, hosts and services");
    }
    let encrypts = libraries.iter().any(|path| path.contains("/libssl") || path.contains("/libgnutls"))
        || memchr::memmem::find(program, b"/etc/ssl/certs").is_some();
    for path in CERTIFICATES.iter().filter(|_| encrypts) {
        found.add(path, "certificates that TLS trusts");
    }
    if launch.cwd != "/" {
        found.add(&launch.cwd, "its working directory");
    }
    for volume in image.start().volumes() {
        found.add(volume, "a volume of the image");
    }
    for word in &launch.args {
        for path in paths(word.as_bytes()) {
            found.add(&path, "an argument names it");
        }
    }
    for (name, value) in launch.env.iter().filter_map(|var| var.split_once('=')) {
        if name != "PATH" && name != "LD_LIBRARY_PATH" && name != "HOME" {
            for path in value.split(':').filter(|path| path.starts_with('/')) {
                found.add(path, &format!("the environment names it ({name})"));
            }
        }
    }
    let real = image.real_path(&launch.path).unwrap_or_default();
    found.called_after(&real);
    // A name without a version, which leads to one with it, says less.
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    if !last(&real).starts_with(&last(&launch.path)) {
        found.called_after(&launch.path);
    }
    for path in paths(program) {
        found.add(&path, "the program names it");
        // A file that it makes lies in a folder that must be there.
        if image.kind(&path, true).is_none()
            && let Some((above, _)) = path.rsplit_once('/')
        {
            found.add(above, "the program names a file in it");
        }
    }
    found.named_by_configuration();
    // These come by themselves.
    let brought =
        |path: &str| image.real_path(path).is_some_and(|path| path == real || libraries.contains(&path));
    found.paths.retain(|path, _| !brought(path));
    found.finish()
}

/// Folders of an image in which its program is likely to make files, and that are there without what is in them.
pub fn folders(image: &Image, program: &[u8]) -> Vec<String> {
    const MADE_IN: [&str; 5] = ["/tmp", "/run", "/var/run", "/var/tmp", "/var/lock"];
    let mut folders: BTreeSet<String> = MADE_IN.map(str::to_owned).into();
    // What belongs to it alone is wanted with all that is in it.
    let missing = paths(program).into_iter().filter(|path| image.kind(path, true).is_none());
    folders.extend(missing.filter_map(|path| {
        let (above, _) = path.rsplit_once('/')?;
        GENERAL.contains(&above).then(|| above.to_owned())
    }));
    folders.retain(|path| image.kind(path, true) == Some(FileKind::Directory));
    folders.into_iter().collect()
}

struct Found<'i> {
    image: &'i Image,
    paths: BTreeMap<String, String>,
}

impl Found<'_> {
    fn add(&mut self, path: &str, why: &str) {
        let path = path.trim_end_matches('/');
        let system = ["/proc", "/sys", "/dev"].iter().any(|own| is_in(path, own));
        let steps = path.split('/').skip(1);
        if path.is_empty()
            || system
            || GENERAL.contains(&path)
            || !steps.clone().all(|step| !matches!(step, "" | "." | ".."))
        {
            return;
        }
        let general = |real: String| real == "/" || GENERAL.contains(&real.as_str());
        if self.image.kind(path, true).is_none() || self.image.real_path(path).is_some_and(general) {
            return;
        }
        self.paths.entry(path.to_owned()).or_insert_with(|| why.to_owned());
    }

    /// Folders by the name of the program, where such folders are: `/etc/nginx`, `/usr/local/lib/python3.11`.
    fn called_after(&mut self, program: &str) {
        let name = program.rsplit('/').next().unwrap_or_default();
        let versionless = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
        let first = versionless.split('-').next().unwrap_or_default();
        let prefix =
            program.split("/bin/").next().filter(|prefix| prefix.starts_with("/usr")).unwrap_or("/usr");
        let places = [
            "/etc",
            "/usr/lib",
            "/usr/share",
            "/var/lib",
            "/var/log",
            "/var/cache",
            "/usr/lib/x86_64-linux-gnu",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain(["lib", "share", "etc"].map(|dir| format!("{prefix}/{dir}")));
        for place in places {
            let names: Vec<String> = self.image.names(&place).into_iter().map(str::to_owned).collect();
            for folder in names {
                let version = folder.strip_prefix(versionless).unwrap_or("-");
                let numbered = version.chars().all(|c| c.is_ascii_digit() || c == '.');
                // Of several versions of a language the other ones are not meant.
                let other =
                    numbered && version.contains('.') && name != versionless && !name.starts_with(&folder);
                if first.len() > 2 && (folder == first || numbered && !other) {
                    self.add(&format!("{place}/{folder}"), "it is called after the program");
                }
            }
        }
    }

    /// What the configuration names that is wanted already: pages, certificates, further configuration.
    fn named_by_configuration(&mut self) {
        /// No configuration that a person wrote is longer.
        const LONGEST: u64 = 256 << 10;
        /// How many of them are read.
        const MOST: usize = 1000;
        let mut left: Vec<String> = self.paths.keys().cloned().collect();
        let mut known: BTreeSet<String> = left.iter().cloned().collect();
        let mut read = 0;
        while let Some(path) = left.pop() {
            let configures =
                |path: &str| path.starts_with("/etc/") || path.contains("/etc/") || path.ends_with(".conf");
            match self.image.kind(&path, true) {
                Some(FileKind::Directory) if configures(&path) => {
                    let inside = self.image.names(&path).into_iter().map(|name| format!("{path}/{name}"));
                    left.extend(inside.filter(|path| known.insert(path.clone())).collect::<Vec<_>>());
                }
                Some(FileKind::File(length)) if configures(&path) && length <= LONGEST && read < MOST => {
                    read += 1;
                    let Ok(text) = self.image.read_file(&path) else { continue };
                    // Not what is remarked, nor what is no text.
                    let Ok(text) = std::str::from_utf8(&text) else { continue };
                    let lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
                    for named in lines.flat_map(|line| paths(line.as_bytes())) {
                        if known.insert(named.clone()) {
                            self.add(&named, &format!("{path} names it"));
                            left.extend(self.paths.contains_key(&named).then_some(named));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Without what lies in another one's folder.
    fn finish(self) -> Vec<Wanted> {
        let mut kept: Vec<Wanted> = Vec::new();
        for (path, why) in self.paths {
            if !kept.iter().any(|above| lies_in(&path, &above.path)) {
                let bytes = self.image.bytes_in(&path);
                kept.push(Wanted { path, why, bytes });
            }
        }
        kept
    }
}

/// The absolute paths that stand in a text, or between other bytes of a program.
fn paths(text: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let in_path = |b: &u8| b.is_ascii_alphanumeric() || b"/._-+@".contains(b);
    let mut at = 0;
    while let Some(start) = memchr::memchr(b'/', &text[at..]).map(|offset| at + offset) {
        let end = text[start..].iter().position(|b| !in_path(b)).map_or(text.len(), |length| start + length);
        at = end.max(start + 1);
        // `a/b` and `https://…` are no paths.
        if start > 0
            && (in_path(&text[start - 1]) || text[start - 1] == b':' && text[start..].starts_with(b"//"))
        {
            continue;
        }
        let path = &text[start..end];
        if (4..=200).contains(&path.len())
            && let Ok(path) = std::str::from_utf8(path)
        {
            found.push(path.trim_end_matches(['/', '.']).to_owned());
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::tests::{Tarball, image_of};
    use serde_json::json;

    #[test]
    fn paths_are_found_among_other_bytes() {
        let text = b"\0/etc/nginx/nginx.conf\0%s/mime.types https://nginx.org/en/docs a/b --pid=/var/run/nginx.pid,/x //\0/usr/share/x.";
        assert_eq!(paths(text), ["/etc/nginx/nginx.conf", "/usr/share/x", "/var/run/nginx.pid"]);
    }

    #[test]
    fn what_the_program_names_is_proposed_and_the_rest_is_not() {
        let tar = Tarball::default()
            .file("etc/passwd", b"root")
            .file("etc/nginx/nginx.conf", b"root /var/www;\n  # /usr/share/man;\ninclude /etc/nginx/sites/*;")
            .file("etc/nginx/sites/one", b"certificate /opt/key.pem; log /var/log/nginx/log;")
            .file("opt/key.pem", b"key")
            .file("var/www/index.html", b"<html>")
            .file("etc/apt/sources.list", b"apt")
            .file("etc/ssl/certs/ca.pem", b"pem")
            .file("usr/sbin/nginx", b"\x7fELF \0/etc/nginx/nginx.conf\0/var/log/nginx/error.log\0/usr/share/doc\0/etc\0/dev/null\0")
            .file("usr/share/nginx/html/index.html", b"<p>")
            .file("usr/share/doc/x", b"doc")
            .dir("var/log/nginx")
            .dir("run")
            .file("usr/share/man/man1/x", b"man")
            .file("srv/site/a", b"abc")
            .file("var/lib/dpkg/status", b"dpkg")
            .file("data/x", b"1");
        let image = image_of(
            json!({ "Cmd": ["nginx", "-p", "/srv/site", "-x=/nowhere"], "Volumes": { "/data": {} }, "Env": ["A=/var/lib", "PATH=/usr/sbin"] }),
            &[tar],
        );
        let launch = Launch::of(&image, None).unwrap();
        let program = image.read_file(&launch.path).unwrap();
        assert_eq!(folders(&image, &program), ["/run"]);
        assert_eq!(folders(&image, b"\0/var/log/other.log\0/nowhere/x"), ["/run", "/var/log"]);
        let found = wanted(&image, &launch, &program, &["/usr/lib/libssl.so.3".into()]);
        let shown: Vec<(&str, u64)> =
            found.iter().map(|wanted| (wanted.path.as_str(), wanted.bytes)).collect();
        assert_eq!(
            shown,
            [
                ("/data", 1),
                ("/etc/nginx", 111),
                ("/etc/passwd", 4),
                ("/etc/ssl/certs", 3),
                ("/opt/key.pem", 3),
                ("/srv/site", 3),
                ("/usr/share/doc", 3),
                ("/usr/share/nginx", 3),
                ("/var/log/nginx", 0),
                ("/var/www", 6),
            ]
        );
    }

    #[test]
    fn a_language_brings_its_own_version() {
        let tar = Tarball::default()
            .file("usr/local/bin/python3.11", b"\x7fELF")
            .link("usr/local/bin/python", "python3.11")
            .file("usr/local/lib/python3.11/os.py", b"os")
            .file("usr/local/lib/python3.9/os.py", b"os")
            .file("usr/lib/python3/dist-packages/x.py", b"x")
            .file("usr/local/lib/pythonic/x.py", b"x");
        let image = image_of(json!({ "Cmd": ["python", "x.py"], "Env": ["PATH=/usr/local/bin"] }), &[tar]);
        let launch = Launch::of(&image, None).unwrap();
        let found = wanted(&image, &launch, b"", &[]);
        let shown: Vec<&str> = found.iter().map(|wanted| wanted.path.as_str()).collect();
        assert_eq!(shown, ["/usr/lib/python3", "/usr/local/lib/python3.11"]);
    }
}
