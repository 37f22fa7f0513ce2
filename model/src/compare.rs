//! Two configs side by side, and three brought together.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::config::Config;

/// An entry that is not the same in two configs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `set`, `fit`, `program`, `image`, `files`, `text`, or empty for the top of the file.
    pub table: String,
    /// The key: an id, a guest path, `args`.
    pub key: String,
    /// What the first has.
    pub from: Option<Json>,
    /// What the second has.
    pub to: Option<Json>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.table.is_empty() {
            write!(f, "[{}] ", self.table)?;
        }
        write!(f, "{}: {} -> {}", self.key, show(&self.from), show(&self.to))
    }
}

fn show(value: &Option<Json>) -> String {
    value.as_ref().map_or("nothing".to_string(), Json::to_string)
}

/// An entry that two sides changed differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// `set`, `fit`, `program`, `image`, `files`, `text`, or empty for the top of the file.
    pub table: String,
    /// The key.
    pub key: String,
    /// What both began with.
    pub base: Option<Json>,
    /// What is kept.
    pub ours: Option<Json>,
    /// What the other side has.
    pub theirs: Option<Json>,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.table.is_empty() {
            write!(f, "[{}] ", self.table)?;
        }
        let [base, ours, theirs] = [&self.base, &self.ours, &self.theirs].map(show);
        write!(f, "{}: {base} -> {ours} here and {theirs} there", self.key)
    }
}

/// Three configs brought together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Ours, with what only they changed. Where both changed, ours is kept.
    pub config: Config,
    /// What was taken from them.
    pub taken: Vec<Difference>,
    /// What both changed, and not in the same way.
    pub conflicts: Vec<Conflict>,
}

type Entries = BTreeMap<(&'static str, String), Json>;

impl Config {
    fn entries(&self) -> Entries {
        let mut out = Entries::new();
        let mut put = |table, key: &str, value: Json| {
            if !value.is_null() && value != json!([]) {
                out.insert((table, key.to_string()), value);
            }
        };
        put("", "name", json!(self.name()));
        put("", "extends", json!(self.extends()));
        if let Some(p) = self.program() {
            put("program", "path", json!(p.path));
            put("program", "root", json!(p.root));
            put("program", "args", json!(p.args));
            put("program", "env", json!(p.env));
            put("program", "cwd", json!(p.cwd));
            put("program", "user", json!(p.user));
            put("program", "hostname", json!(p.hostname));
            put("program", "package", json!(p.package));
        }
        if let Some(i) = self.image() {
            put("image", "archive", json!(i.archive));
            put("image", "tag", json!(i.tag));
            put("image", "id", json!(i.id));
            put("image", "files", json!(i.files));
            put("image", "folders", json!(i.folders));
            put("image", "without", json!(i.without));
            put("image", "max-size", json!(i.max_size));
            put("image", "max-files", json!(i.max_files));
        }
        for (guest, host) in self.files() {
            put("files", guest, json!(host));
        }
        for (guest, contents) in self.texts() {
            put("text", guest, json!(contents));
        }
        for (id, d) in self.set_entries() {
            put("set", id, json!(d));
        }
        for (id, d) in self.fit_entries() {
            put("fit", id, json!(d));
        }
        out
    }

    /// What is not the same in another config, in the order of tables and keys. Comments and spelling do not count.
    pub fn diff(&self, other: &Config) -> Vec<Difference> {
        let (a, b) = (self.entries(), other.entries());
        let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
        let changed = keys.into_iter().filter(|k| a.get(k) != b.get(k));
        changed
            .map(|k| Difference {
                table: k.0.into(),
                key: k.1.clone(),
                from: a.get(k).cloned(),
                to: b.get(k).cloned(),
            })
            .collect()
    }

    /// Brings together two configs that both come from `base`: what only one side changed is as that side has it.
    pub fn merge(base: &Config, ours: &Config, theirs: &Config) -> Merge {
        let (b, o, t) = (base.entries(), ours.entries(), theirs.entries());
        let mut merge = Merge { config: ours.clone(), taken: Vec::new(), conflicts: Vec::new() };
        for difference in ours.diff(theirs) {
            let tables = ["", "fit", "files", "image", "program", "set", "text"];
            let Some(table) = tables.into_iter().find(|t| *t == difference.table) else { continue };
            let key = (table, difference.key.clone());
            let (b, o, t) = (b.get(&key), o.get(&key), t.get(&key));
            if t == b {
                continue; // only we changed it
            }
            if o == b {
                merge.config.take(table, &difference.key, theirs);
                merge.taken.push(difference);
            } else {
                merge.conflicts.push(Conflict {
                    table: table.into(),
                    key: difference.key,
                    base: b.cloned(),
                    ours: o.cloned(),
                    theirs: t.cloned(),
                });
            }
        }
        merge
    }
}
