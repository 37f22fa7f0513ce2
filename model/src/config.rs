//! A config: the file that holds what was decided, and nothing that follows from it.
//!
//! The text is kept as it was written. Every change edits the text in place, so comments and formatting survive, and the
//! typed view is read from the text again, so the two cannot disagree.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Serialize;
use toml_edit::{DocumentMut, Item as EditItem, Table, value as edit_value};

use crate::decision::Decision;
use crate::diagnostics::{Diagnostic, Diagnostics, Location};
use crate::document::{self, Placed};
use crate::reader::Reader;
use crate::source::{self, ImageSource};

/// The version of the config format that this crate writes.
pub const SCHEMA: i64 = 1;

/// The program that the image runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Program {
    /// The program's file, relative to the config, or `demo:NAME`.
    pub path: String,
    /// A folder, relative to the config, with the root of the system that the program belongs to: `path` is a path in it, and so are its libraries.
    pub root: Option<String>,
    /// Its arguments, without its own name.
    pub args: Vec<String>,
    /// Its environment, as `NAME=value`.
    pub env: Vec<String>,
    /// Its working directory; `/` when nothing is said.
    pub cwd: Option<String>,
    /// Whom it runs as: `user` or `user:group`, each a number or a name of the image's `/etc/passwd` and `/etc/group`; root when nothing is said.
    pub user: Option<String>,
    /// The name of the machine.
    pub hostname: Option<String>,
    /// The package that brings the program, by its name in Debian and Ubuntu: told when the program is not there.
    pub package: Option<String>,
}

/// Of a key and of its value.
type Spans = (Range<usize>, Range<usize>);

#[derive(Clone, Debug, Default)]
struct View {
    schema: i64,
    name: Option<String>,
    extends: Option<String>,
    program: Option<Program>,
    files: BTreeMap<String, String>,
    texts: BTreeMap<String, String>,
    image: Option<ImageSource>,
    set: BTreeMap<String, Decision>,
    fit: BTreeMap<String, Decision>,
    /// Where things stand in the text, for messages: keyed `table.key`, the spans of key and value.
    spans: BTreeMap<(&'static str, String), Spans>,
}

/// A config. `Display` (and so `to_string`) gives the text to save.
#[derive(Clone, Debug)]
pub struct Config {
    file: String,
    text: String,
    doc: DocumentMut,
    view: View,
}

impl PartialEq for Config {
    fn eq(&self, other: &Config) -> bool {
        self.text == other.text && self.file == other.file
    }
}

impl Eq for Config {}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Config {
    /// Reads a config. `file` is its name for messages. Ids are not checked here: see [`crate::Tree::check`].
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn parse(file: &str, text: &str) -> Result<Config, Diagnostics> {
        let view = read(file, text).map_err(|problems| *problems)?;
        let doc = text.parse::<DocumentMut>().map_err(|e| {
            let message = e.message().trim().replace('\n', ", ");
            Diagnostics(vec![Diagnostic::at(file, text, e.span().unwrap_or(0..0), message)])
        })?;
        Ok(Config { file: file.to_string(), text: text.to_string(), doc, view })
    }

    /// A config in which nothing is decided.
    pub fn new(file: &str) -> Config {
        Config::parse(file, "schema = 1\n").expect("a constant that is a config")
    }

    /// The file's name for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The same config under another name.
    #[must_use]
    pub fn with_file(mut self, file: &str) -> Config {
        self.file = file.to_string();
        self
    }

    /// The version of the format that the file says it has.
    pub fn schema(&self) -> i64 {
        self.view.schema
    }

    /// The name of the config, when it has one.
    pub fn name(&self) -> Option<&str> {
        self.view.name.as_deref()
    }

    /// What the config extends: `preset:NAME`, or a file relative to it.
    pub fn extends(&self) -> Option<&str> {
        self.view.extends.as_deref()
    }

    /// The program, when the config names one.
    pub fn program(&self) -> Option<&Program> {
        self.view.program.as_ref()
    }

    /// Files to pack: path in the guest to path on the host (relative to the config).
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.view.files
    }

    /// Small files that stand in the config itself: path in the guest to contents.
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.view.texts
    }

    /// The container image that the program and its files come from, when the config names one.
    pub fn image(&self) -> Option<&ImageSource> {
        self.view.image.as_ref()
    }

    /// What the user pinned, in the order of ids.
    pub fn set_entries(&self) -> impl Iterator<Item = (&str, &Decision)> {
        self.view.set.iter().map(|(id, d)| (id.as_str(), d))
    }

    /// What fitting proposed, in the order of ids.
    pub fn fit_entries(&self) -> impl Iterator<Item = (&str, &Decision)> {
        self.view.fit.iter().map(|(id, d)| (id.as_str(), d))
    }

    /// What the user pinned for an id.
    pub fn get(&self, id: &str) -> Option<&Decision> {
        self.view.set.get(id)
    }

    /// What fitting proposed for an id.
    pub fn get_fit(&self, id: &str) -> Option<&Decision> {
        self.view.fit.get(id)
    }

    /// Pins an id, or takes the pin back.
    pub fn set(&mut self, id: &str, decision: Option<Decision>) {
        self.edit("set", id, decision);
    }

    /// Changes what fitting proposed for an id.
    pub fn set_fit(&mut self, id: &str, decision: Option<Decision>) {
        self.edit("fit", id, decision);
    }

    /// Forgets everything that fitting proposed.
    pub fn clear_fit(&mut self) {
        self.doc.remove("fit");
        self.refresh();
    }

    /// Names what the config extends, or stops extending.
    pub fn set_extends(&mut self, extends: Option<&str>) {
        self.edit_root("extends", extends.map(Into::into));
    }

    /// Names the config.
    pub fn set_name(&mut self, name: Option<&str>) {
        self.edit_root("name", name.map(Into::into));
    }

    /// Replaces the program. Keys that do not change keep their formatting.
    pub fn set_program(&mut self, program: &Program) {
        let before = self.view.program.clone().unwrap_or_default();
        let text = |t: &Option<String>| t.as_deref().map(toml_edit::Value::from);
        let wanted = [
            ("path", before.path != program.path, Some(program.path.as_str().into())),
            ("root", before.root != program.root, text(&program.root)),
            ("args", before.args != program.args, list(&program.args)),
            ("env", before.env != program.env, list(&program.env)),
            ("cwd", before.cwd != program.cwd, text(&program.cwd)),
            ("user", before.user != program.user, text(&program.user)),
            ("hostname", before.hostname != program.hostname, text(&program.hostname)),
            ("package", before.package != program.package, text(&program.package)),
        ];
        for (key, changed, to) in wanted {
            if changed {
                put(self.doc.as_table_mut(), "program", key, to, false);
            }
        }
        self.refresh();
    }

    /// Replaces the container image. Keys that do not change keep their formatting.
    pub fn set_image(&mut self, image: &ImageSource) {
        let before = self.view.image.clone().unwrap_or_default();
        let size = |n: Option<u64>| n.and_then(|n| i64::try_from(n).ok()).map(toml_edit::Value::from);
        let wanted = [
            ("archive", before.archive != image.archive, Some(image.archive.as_str().into())),
            ("tag", before.tag != image.tag, image.tag.as_deref().map(Into::into)),
            ("id", before.id != image.id, image.id.as_deref().map(Into::into)),
            ("files", before.files != image.files, list(&image.files)),
            ("folders", before.folders != image.folders, list(&image.folders)),
            ("without", before.without != image.without, list(&image.without)),
            ("max-size", before.max_size != image.max_size, size(image.max_size)),
            ("max-files", before.max_files != image.max_files, size(image.max_files)),
        ];
        for (key, changed, to) in wanted {
            if changed {
                put(self.doc.as_table_mut(), "image", key, to, false);
            }
        }
        self.refresh();
    }

    /// Packs a host file at a guest path, or no longer.
    pub fn set_file(&mut self, guest: &str, host: Option<&str>) {
        put(self.doc.as_table_mut(), "files", guest, host.map(Into::into), true);
        self.refresh();
    }

    /// Packs a text at a guest path, or no longer.
    pub fn set_text(&mut self, guest: &str, contents: Option<&str>) {
        put(self.doc.as_table_mut(), "text", guest, contents.map(Into::into), true);
        self.refresh();
    }

    fn edit(&mut self, table: &'static str, id: &str, decision: Option<Decision>) {
        let known = if table == "set" { self.view.set.get(id) } else { self.view.fit.get(id) };
        if known == decision.as_ref() {
            return; // an unchanged value keeps its spelling: 0x10 stays 0x10
        }
        let to = decision.map(|d| match d {
            Decision::Bool(v) => toml_edit::Value::from(v),
            Decision::Int(v) => v.into(),
            Decision::Text(v) => v.into(),
        });
        put(self.doc.as_table_mut(), table, id, to, true);
        self.refresh();
    }

    fn edit_root(&mut self, key: &str, to: Option<toml_edit::Value>) {
        match to {
            Some(v) => assign(self.doc.as_table_mut(), key, v),
            None => drop(self.doc.remove(key)),
        }
        self.refresh();
    }

    fn refresh(&mut self) {
        self.text = self.doc.to_string();
        if let Ok(view) = read(&self.file, &self.text) {
            self.view = view;
        } else {
            // Only typed values are put into a text that was valid, so this cannot be reached; were it reached, the
            // text would still be what gets saved, and reading it again would report the problem.
            debug_assert!(false, "an edit broke the config:\n{}", self.text);
        }
    }

    /// Changes `[set]` or `[fit]`.
    pub(crate) fn change(&mut self, table: &'static str, id: &str, decision: Option<Decision>) {
        self.edit(table, id, decision);
    }

    /// Moves a decision to another id, with its comments; one that is there already stays.
    pub(crate) fn rename(&mut self, table: &'static str, from: &str, to: &str) {
        let Some(entries) = self.doc.get_mut(table).and_then(EditItem::as_table_mut) else {
            return self.rename_inline(table, from, to);
        };
        let was_sorted = entries.iter().map(|(k, _)| k).is_sorted();
        let Some((key, item)) = entries.remove_entry(from) else { return };
        if !entries.contains_key(to) {
            let key = toml_edit::Key::new(to).with_leaf_decor(key.leaf_decor().clone());
            entries.insert_formatted(&key, item);
            if was_sorted {
                entries.sort_values();
            }
        }
        self.refresh();
    }

    fn rename_inline(&mut self, table: &'static str, from: &str, to: &str) {
        let entries = self.doc.get_mut(table).and_then(EditItem::as_table_like_mut);
        if let Some(entries) = entries
            && let Some(item) = entries.remove(from)
            && !entries.contains_key(to)
        {
            entries.insert(to, item);
        }
        self.refresh();
    }

    /// Makes an entry as another config has it, spelling and comments included.
    pub(crate) fn take(&mut self, table: &'static str, key: &str, from: &Config) {
        let theirs = match table {
            "" => from.doc.get(key),
            table => from.doc.get(table).and_then(EditItem::as_table_like).and_then(|t| t.get(key)),
        };
        let value = theirs.and_then(EditItem::as_value).cloned();
        match (table, value) {
            ("", Some(value)) => assign(self.doc.as_table_mut(), key, value),
            ("", None) => drop(self.doc.remove(key)),
            (table, value) => put(self.doc.as_table_mut(), table, key, value, table != "program"),
        }
        self.refresh();
    }

    /// The text as it would be saved.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the value decided for an id stands, `[set]` before `[fit]`.
    pub fn location(&self, id: &str) -> Option<Location> {
        let spans = &self.view.spans;
        let found = spans.get(&("set", id.to_string())).or_else(|| spans.get(&("fit", id.to_string())));
        found.map(|(_, value)| Location::new(&self.text, value.clone()))
    }

    /// A problem at an entry of a table (`set`, `fit`, `files`, `text`, `image`, `program`, or the empty name for the top), at its key or at its value.
    pub fn problem_at(&self, table: &'static str, key: &str, at_value: bool, message: String) -> Diagnostic {
        match self.view.spans.get(&(table, key.to_string())) {
            Some((k, v)) => {
                let span = if at_value { v.clone() } else { k.clone() };
                Diagnostic::at(&self.file, &self.text, span, message)
            }
            None => Diagnostic::new(crate::Severity::Error, &self.file, message),
        }
    }
}

/// Changes a value and keeps what surrounds it: the comment behind it, the space before it.
fn assign(table: &mut dyn toml_edit::TableLike, key: &str, mut to: toml_edit::Value) {
    if let Some(EditItem::Value(old)) = table.get_mut(key) {
        let comment = |v: &toml_edit::Value| {
            v.decor().suffix().and_then(|s| s.as_str()).is_some_and(|s| !s.trim().is_empty())
        };
        // A value that brings its own comment keeps it where there is none yet.
        if comment(old) || !comment(&to) {
            *to.decor_mut() = old.decor().clone();
        }
        *old = to;
    } else {
        table.insert(key, edit_value(to));
    }
}

/// A list of texts, one a line when they are many paths; an empty one is left out.
fn list(items: &[String]) -> Option<toml_edit::Value> {
    const IN_A_LINE: usize = 3;
    let mut array: toml_edit::Array = items.iter().map(String::as_str).collect();
    if items.len() > IN_A_LINE && items.iter().all(|item| item.starts_with('/')) {
        for item in array.iter_mut() {
            item.decor_mut().set_prefix("\n    ");
        }
        array.set_trailing_comma(true);
        array.set_trailing("\n");
    }
    (!items.is_empty()).then(|| array.into())
}

/// Changes an entry of a table, making the table when needed and removing it when the last entry goes.
fn put(doc: &mut Table, table: &str, key: &str, to: Option<toml_edit::Value>, sorted: bool) {
    let Some(to) = to else {
        if let Some(entries) = doc.get_mut(table).and_then(EditItem::as_table_like_mut) {
            entries.remove(key);
        }
        return;
    };
    let entries = doc.entry(table).or_insert_with(|| EditItem::Table(Table::new()));
    let Some(entries) = entries.as_table_like_mut() else { return };
    let was_sorted = entries.iter().map(|(k, _)| k).is_sorted();
    let new = !entries.contains_key(key);
    assign(entries, key, to);
    // A file whose entries are in order is kept in order; one that a person arranged is left as they arranged it.
    if sorted && new && was_sorted {
        entries.sort_values();
    }
}

fn read(file: &str, text: &str) -> Result<View, Box<Diagnostics>> {
    let (mut r, root) = Reader::new(file, text);
    let mut view = View { schema: SCHEMA, ..View::default() };
    r.only(
        &root,
        &["schema", "name", "extends", "program", "image", "files", "text", "set", "fit"],
        "a config",
    );
    for (key, span, item) in root.entries() {
        view.spans.insert(("", key.to_string()), (span, item.span.clone()));
    }
    if let Some(item) = root.get("schema") {
        match r.scalar(item, "schema") {
            Some(crate::reader::Scalar::Int(n)) if n > SCHEMA => {
                r.error(
                    item.span.clone(),
                    format!("the config has schema {n}; this program knows up to {SCHEMA}"),
                )
                .hint = Some("it was written by a newer bespoke: use that one".into());
            }
            Some(crate::reader::Scalar::Int(n)) if n >= 1 => view.schema = n,
            Some(_) => {
                r.error(item.span.clone(), "`schema` is a whole number, 1 or more");
            }
            None => {}
        }
    }
    view.name = r.string(&root, "name").map(|(t, _)| t.into_owned());
    view.extends = match r.string(&root, "extends") {
        Some((t, span)) if t.trim().is_empty() || t == "preset:" => {
            r.error(span, "`extends` names nothing").hint =
                Some("`preset:NAME`, or the path of a config".into());
            None
        }
        other => other.map(|(t, _)| t.into_owned()),
    };
    if let Some(table) = r.table(&root, "program") {
        r.only(table, &["path", "root", "args", "env", "cwd", "user", "hostname", "package"], "[program]");
        for (key, span, item) in table.entries() {
            view.spans.insert(("program", key.to_string()), (span, item.span.clone()));
        }
        let path = match r.string(table, "path") {
            Some((path, span)) => {
                if path.is_empty() {
                    r.error(span, "`path` is empty");
                }
                path.into_owned()
            }
            None => {
                if let (false, Some(span)) = (table.get("path").is_some(), root.key_span("program")) {
                    r.error(span, "[program] has no `path`").hint =
                        Some("add `path = \"…\"`: the program's file, relative to this one".into());
                }
                String::new()
            }
        };
        let folder = r.string(table, "root");
        if let Some((folder, span)) = &folder {
            if folder.is_empty() || folder.contains('\0') {
                r.error(span.clone(), "`root` names no folder").hint = Some(
                    "write the folder with the root of the program's system, relative to this file".into(),
                );
            } else if let Some((_, span)) =
                root.entries().find_map(|(key, span, _)| (key == "image").then_some((key, span)))
            {
                r.error(span, "[image] and the `root` of [program] are both there").hint =
                    Some("the program lies in one of them: take the other one out".into());
            } else if path.starts_with("demo:") {
                r.error(span.clone(), "a demo has no `root`").hint = Some("take it out".into());
            }
        }
        let args = texts(&mut r, table, "args");
        let env = texts(&mut r, table, "env");
        let cwd = r.string(table, "cwd");
        for (entry, span) in &env {
            if entry.find('=').is_none_or(|at| at == 0) {
                r.error(span.clone(), format!("`{entry}` is not an environment entry")).hint =
                    Some("write `NAME=value`".into());
            }
        }
        if let Some((dir, span)) = &cwd
            && !dir.starts_with('/')
        {
            r.error(span.clone(), format!("`{dir}` is not an absolute path")).hint =
                Some("`cwd` is a path in the guest, from `/`".into());
        }
        let user = r.string(table, "user");
        if let Some((user, span)) = &user {
            // `user:` and a number too large are wrong; so is what useradd(8) would not take for a name.
            let is_id = |part: &str| match part.bytes().next() {
                Some(b'0'..=b'9') => part.parse::<u32>().is_ok_and(|id| id != u32::MAX),
                Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => {
                    part.len() <= 32 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
                }
                _ => false,
            };
            if !user.splitn(2, ':').all(is_id) {
                r.error(span.clone(), format!("`{user}` is not a user")).hint =
                    Some("write `user` or `user:group`: numbers, or names in the image's /etc/passwd and /etc/group".into());
            }
        }
        let hostname = r.string(table, "hostname");
        if let Some((name, span)) = &hostname {
            let fits = (1..=64).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
            if !fits {
                r.error(span.clone(), format!("`{name}` is not a host name")).hint =
                    Some("1 to 64 letters, digits, hyphens and dots".into());
            }
        }
        let package = r.string(table, "package");
        if let Some((name, span)) = &package {
            // Debian Policy, 5.6.1.
            let fits = name.len() >= 2
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
            if !fits {
                r.error(span.clone(), format!("`{name}` is not a package's name")).hint =
                    Some("write the package of Debian and Ubuntu that brings the program".into());
            }
        }
        view.program = Some(Program {
            path,
            root: folder.map(|(t, _)| t.into_owned()),
            args: args.into_iter().map(|(t, _)| t.into_owned()).collect(),
            env: env.into_iter().map(|(t, _)| t.into_owned()).collect(),
            cwd: cwd.map(|(t, _)| t.into_owned()),
            user: user.map(|(t, _)| t.into_owned()),
            hostname: hostname.map(|(t, _)| t.into_owned()),
            package: package.map(|(t, _)| t.into_owned()),
        });
    }
    if let Some(table) = r.table(&root, "image") {
        for (key, span, item) in table.entries() {
            view.spans.insert(("image", key.to_string()), (span, item.span.clone()));
        }
        view.image = Some(source::read(&mut r, table, root.key_span("image")));
    }
    for name in ["files", "text"] {
        let Some(table) = r.table(&root, name) else { continue };
        for (guest, span, item) in table.entries() {
            view.spans.insert((name, guest.to_string()), (span.clone(), item.span.clone()));
            let clean = guest.starts_with('/')
                && guest.len() > 1
                && guest[1..].split('/').all(|part| !matches!(part, "" | "." | ".."));
            if !clean {
                r.error(span, format!("`{guest}` is not a path in the guest")).hint =
                    Some("absolute, without `.`, `..`, doubled or trailing slashes".into());
            } else if name == "text" && view.files.contains_key(guest) {
                r.error(span, format!("`{guest}` is in [files] too")).hint =
                    Some("keep it in one of them".into());
            }
            match item.text() {
                Some(contents) if name == "text" => {
                    view.texts.insert(guest.to_string(), contents.to_string());
                }
                Some(host) if !host.is_empty() => {
                    view.files.insert(guest.to_string(), host.to_string());
                }
                _ if name == "text" => {
                    r.error(item.span.clone(), "a file's text must be a string");
                }
                _ => {
                    r.error(item.span.clone(), "the host path must be a string that is not empty");
                }
            }
        }
    }
    for name in ["set", "fit"] {
        let Some(table) = r.table(&root, name) else { continue };
        for (id, span, item) in table.entries() {
            // An id without quotes is a nested table to TOML. It is the likeliest slip, so it gets its own message.
            if item.table().is_some() {
                r.error(span, format!("`{id}` is a table")).hint =
                    Some(format!("put ids in quotes: \"{id}.…\" = …"));
                continue;
            }
            view.spans.insert((name, id.to_string()), (span, item.span.clone()));
            let Some(scalar) = r.scalar(item, id) else { continue };
            let into = if name == "set" { &mut view.set } else { &mut view.fit };
            into.insert(id.to_string(), scalar.into());
        }
    }
    let problems = r.finish();
    if problems.has_errors() { Err(Box::new(problems)) } else { Ok(view) }
}

fn texts<'i>(r: &mut Reader<'_>, table: &document::Table<'i>, key: &str) -> Vec<Placed<'i>> {
    let found = r.strings(table, key);
    for (text, span) in &found {
        if text.contains('\0') {
            r.error(span.clone(), format!("`{key}` cannot hold a NUL byte"));
        }
    }
    found
}
