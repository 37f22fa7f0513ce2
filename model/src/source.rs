//! `[image]`: a container image that the program and its files come from.

use std::ops::Range;

use serde::Serialize;

use crate::document::Table;
use crate::reader::{Reader, Scalar};
use crate::value::{ParamType, Value};

/// A container image that the program and its files come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImageSource {
    /// What `docker save` wrote, or an OCI layout: a file or a folder, relative to the config.
    pub archive: String,
    /// The image's name, when there are several.
    pub tag: Option<String>,
    /// The image's id. A build refuses any other.
    pub id: Option<String>,
    /// What of the image is packed besides the program and its libraries: paths in it, with all that is in them.
    pub files: Vec<String>,
    /// Folders that are there without what is in them.
    pub folders: Vec<String>,
    /// What of that is not packed.
    pub without: Vec<String>,
    /// How many bytes it may unpack to, instead of what is usual.
    pub max_size: Option<u64>,
    /// How many files it may have, instead of what is usual.
    pub max_files: Option<u64>,
}

pub(crate) const KEYS: &[&str] =
    &["archive", "tag", "id", "files", "folders", "without", "max-size", "max-files"];

/// Reads the table.
pub(crate) fn read(r: &mut Reader<'_>, table: &Table<'_>, key: Option<Range<usize>>) -> ImageSource {
    r.only(table, KEYS, "[image]");
    let text = |r: &mut Reader<'_>, key: &str| -> Option<String> {
        let (text, span) = r.string(table, key)?;
        if text.is_empty() {
            r.error(span, format!("`{key}` is empty"));
        }
        Some(text.into_owned())
    };
    let archive = text(r, "archive");
    let (tag, id) = (text(r, "tag"), text(r, "id"));
    if let (None, None, Some(span)) = (&archive, table.get("archive"), key) {
        r.error(span, "[image] has no `archive`").hint =
            Some("add `archive = \"…\"`: what `docker save` wrote, relative to this file".into());
    }
    let mut paths = |key: &str| -> Vec<String> {
        let found = r.strings(table, key);
        for (path, span) in &found {
            let clean = &**path == "/"
                || path.strip_prefix('/').is_some_and(|rest| {
                    rest.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\0')
                });
            if !clean {
                r.error(span.clone(), format!("`{path}` is not a path in the image")).hint =
                    Some("absolute, without `.`, `..`, doubled or trailing slashes".into());
            }
        }
        found.into_iter().map(|(path, _)| path.into_owned()).collect()
    };
    let (files, folders, without) = (paths("files"), paths("folders"), paths("without"));
    let mut number = |key: &str, size: bool| -> Option<u64> {
        let item = table.get(key)?;
        let found = match r.scalar(item, key)? {
            Scalar::Int(n) => u64::try_from(n).ok(),
            Scalar::Text(text) if size => {
                match (ParamType::Size { min: 1, max: u64::MAX, step: 1 }).parse(&text) {
                    Ok(Value::Size(bytes)) => Some(bytes),
                    _ => None,
                }
            }
            _ => None,
        };
        let found = found.filter(|n| *n > 0);
        if found.is_none() {
            let what = if size { "a size, such as \"16GiB\"" } else { "a number above zero" };
            r.error(item.span.clone(), format!("`{key}` must be {what}"));
        }
        found
    };
    let (max_size, max_files) = (number("max-size", true), number("max-files", false));
    ImageSource {
        archive: archive.unwrap_or_default(),
        tag,
        id,
        files,
        folders,
        without,
        max_size,
        max_files,
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn read(text: &str) -> Result<Config, String> {
        Config::parse("x.toml", text).map_err(|d| d.to_string())
    }

    #[test]
    fn an_image_is_read() {
        let text = "schema = 1\n[image]\narchive = \"redis.tar\"\nid = \"sha256:1\"\nfiles = [\"/etc\", \"/\"]\nmax-size = \"16GiB\"\nmax-files = 7\n";
        let config = read(text).unwrap();
        let image = config.image().unwrap();
        assert_eq!(
            (image.archive.as_str(), image.id.as_deref(), image.tag.as_deref()),
            ("redis.tar", Some("sha256:1"), None)
        );
        assert_eq!(image.files, ["/etc", "/"]);
        assert_eq!((image.max_size, image.max_files), (Some(16 << 30), Some(7)));
        assert!(read("schema = 1\n").unwrap().image().is_none());
    }

    #[test]
    fn an_image_is_changed_in_place() {
        let mut config = read("schema = 1\n[image]\narchive = \"a.tar\" # saved\n").unwrap();
        let mut image = config.image().unwrap().clone();
        image.archive = "b.tar".into();
        image.files.push("/etc".into());
        config.set_image(&image);
        assert_eq!(config.text(), "schema = 1\n[image]\narchive = \"b.tar\" # saved\nfiles = [\"/etc\"]\n");
        image.folders = vec!["/a".into(), "/b".into(), "/c".into(), "/d".into()];
        config.set_image(&image);
        assert!(
            config.text().ends_with("folders = [\n    \"/a\",\n    \"/b\",\n    \"/c\",\n    \"/d\",\n]\n"),
            "{}",
            config.text()
        );
        image.folders.clear();
        config.set_image(&image);
        assert_eq!(config.image(), Some(&image));
        let before = read("schema = 1\n[image]\narchive = \"a.tar\"\n").unwrap();
        let keys: Vec<String> =
            before.diff(&config).into_iter().map(|d| format!("{}.{}", d.table, d.key)).collect();
        assert_eq!(keys, ["image.archive", "image.files"]);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (line, expected) in [
            ("tag = \"x\"", "[image] has no `archive`"),
            ("archive = \"\"", "`archive` is empty"),
            ("archive = 7", "`archive` must be a string"),
            ("archive = \"a\"\narchives = 1", "unknown key `archives`"),
            ("archive = \"a\"\nfiles = [\"etc\"]", "`etc` is not a path in the image"),
            ("archive = \"a\"\nfiles = [\"/etc/../x\"]", "is not a path in the image"),
            ("archive = \"a\"\nwithout = [\"/etc/\"]", "is not a path in the image"),
            ("archive = \"a\"\nmax-size = \"much\"", "`max-size` must be a size"),
            ("archive = \"a\"\nmax-size = 0", "`max-size` must be a size"),
            ("archive = \"a\"\nmax-files = -1", "`max-files` must be a number"),
        ] {
            let text = read(&format!("schema = 1\n[image]\n{line}\n")).unwrap_err();
            assert!(text.contains(expected), "{line}: {text}");
        }
    }
}
