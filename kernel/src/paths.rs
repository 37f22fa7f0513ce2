//! Absolute paths of a guest, as texts.

/// Whether a path is a folder's or lies in it.
pub fn is_in(path: &str, folder: &str) -> bool {
    path == folder || lies_in(path, folder)
}

/// Whether a path lies in a folder, at whatever depth.
pub fn lies_in(path: &str, folder: &str) -> bool {
    match path.strip_prefix(folder) {
        Some(rest) if folder == "/" => !rest.is_empty(),
        Some(rest) => rest.starts_with('/'),
        None => false,
    }
}

/// An absolute path without `.`, `..` and empty parts; none for one that is not absolute.
pub fn plain(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.strip_prefix('/')?.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_count() {
        assert!(is_in("/a/b", "/a") && is_in("/a", "/a") && is_in("/a", "/") && is_in("/", "/"));
        assert!(lies_in("/a/b/c", "/a") && lies_in("/a", "/"));
        assert!(!is_in("/ab", "/a") && !lies_in("/a", "/a") && !lies_in("/", "/") && !is_in("/", "/a"));
    }

    #[test]
    fn paths_become_plain() {
        assert_eq!(plain("/a/./b//../c/").as_deref(), Some("/a/c"));
        assert_eq!(plain("/../..").as_deref(), Some("/"));
        assert_eq!(plain("a/b"), None);
    }
}
