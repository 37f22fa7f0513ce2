//! What components register for a hook has the hook's own type. The two meet at link time, where no compiler looks: here their sources are
//! compared.

use std::collections::BTreeMap;
use std::path::Path;

/// A type as it is written somewhere.
struct Written<'t> {
    text: &'t str,
    file: &'t str,
    whole: &'t str,
}

/// Every use of a macro in a file: the hook that it names and the type that it gives it, up to `end`.
fn uses<'t>(file: &'t str, whole: &'t str, opening: &str, end: &str) -> Vec<(&'t str, Written<'t>)> {
    whole
        .match_indices(opening)
        // The macros' own documentation.
        .filter(|(at, _)| !whole[..*at].ends_with('`'))
        .filter_map(|(at, _)| {
            let rest = &whole[at + opening.len()..];
            let (_, rest) = rest.split_once('"')?;
            let (hook, rest) = rest.split_once("\":")?;
            let (text, _) = rest.split_once(end)?;
            Some((hook, Written { text, file, whole }))
        })
        .collect()
}

/// A type's words and signs, without the modules that its names are in, and with `aliases` for what they stand for.
fn tokens(text: &str, aliases: &dyn Fn(&str) -> Option<Vec<String>>) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '\'';
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { 1 };
        let (token, after) = rest.split_at(length);
        rest = after.trim_start();
        if let Some(behind) = rest.strip_prefix("::") {
            rest = behind.trim_start();
            continue;
        }
        // A comma before the end is the formatter's.
        if matches!(token, ")" | "]" | ">") && tokens.last().is_some_and(|last| last == ",") {
            tokens.pop();
        }
        tokens.extend(aliases(token).unwrap_or_else(|| vec![token.to_owned()]));
    }
    if tokens.last().is_some_and(|last| last == ",") {
        tokens.pop();
    }
    tokens
}

impl Written<'_> {
    fn plain(&self) -> Vec<String> {
        tokens(self.text, &|_| None)
    }

    /// With the aliases of its own file.
    fn resolved(&self) -> Vec<String> {
        tokens(self.text, &|name| {
            let (_, rest) = self.whole.split_once(&format!("type {name} = "))?;
            Some(tokens(rest.split_once(";\n")?.0, &|_| None))
        })
    }

    fn is(&self, other: &Self) -> bool {
        self.plain() == other.plain() || self.resolved() == other.resolved()
    }
}

/// What does not fit, one line each.
fn misfits(files: &BTreeMap<String, String>) -> Vec<String> {
    let of = |opening, end| {
        let all = files.iter().filter(|(file, _)| !file.ends_with("compose.rs"));
        all.flat_map(move |(file, whole)| uses(file, whole, opening, end)).collect::<Vec<_>>()
    };
    let (hooks, registrations) = (of("hook!(", ");"), of("register!(", "= {"));
    assert!(hooks.len() > 100 && registrations.len() > 100 || files.len() < 10, "the sources are not found");
    let mut misfits = Vec::new();
    for (hook, written) in registrations.iter().chain(&hooks) {
        let mut known = hooks.iter().filter(|(name, _)| name == hook).peekable();
        if known.peek().is_none() {
            misfits.push(format!("{}: nobody has the hook {hook}", written.file));
        }
        for (_, other) in known.filter(|(_, other)| !written.is(other)) {
            misfits.push(format!(
                "{}: {hook} is {}, and {} in {}",
                written.file,
                written.text.trim(),
                other.text.trim(),
                other.file
            ));
        }
    }
    misfits
}

fn read(folder: &Path, into: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("the sources of the library OS").flatten() {
        let path = entry.path();
        if path.is_dir() {
            read(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.insert(path.display().to_string(), std::fs::read_to_string(&path).expect("text"));
        }
    }
}

#[test]
fn registrations_have_the_types_of_their_hooks() {
    let mut files = BTreeMap::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("os/src"), &mut files);
    let misfits = misfits(&files);
    assert!(misfits.is_empty(), "\n{}", misfits.join("\n"));
}

#[test]
fn other_types_and_names_are_found() {
    let file = |text: &str| BTreeMap::from([("one.rs".to_owned(), text.to_owned())]);
    let hook = "crate::hook!(fn all() -> \"it\": fn(&a::Name, u64) -> Option<Mac>);\ntype Mac = [u8; 6];\n";
    for (registration, is_right) in [
        ("crate::register!(\"it\": fn(&Name, u64) -> Option<[u8; 6]> = { 1 => f });", true),
        ("crate::register!(\"it\": fn(\n    &b::c::Name,\n    u64,\n) -> Option<Mac> = { 1 => f });", true),
        ("crate::register!(\"it\": fn(&Name, u32) -> Option<Mac> = { 1 => f });", false),
        ("crate::register!(\"it\": fn(&Name, u64) -> Option<[u8; 7]> = { 1 => f });", false),
        ("crate::register!(\"its\": fn(&Name, u64) -> Option<Mac> = { 1 => f });", false),
    ] {
        assert_eq!(misfits(&file(&format!("{hook}{registration}"))).is_empty(), is_right, "{registration}");
    }
}
