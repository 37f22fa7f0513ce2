//! What the configurator starts with: the config, and what is to be said about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bespoke_kernel::Os;
use bespoke_kernel::fit::Keep;
use bespoke_model::{Config, Evidence, Kind, Severity, Tree, closest};

use crate::app::doc::changes_in_words;
use crate::app::{Need, Way};
use crate::fit;
use crate::presets::{self, Chain, Failure};
use crate::resolved;
use crate::text;

/// The config to start with when there is none: it extends the smallest preset.
const FRESH: &str = "schema = 1\nextends = \"preset:hello\"\n";

/// A config to open.
pub(super) struct Start {
    /// The config and what it extends.
    pub(super) chain: Chain,
    /// What the user calls it.
    pub(super) name: String,
    /// Its text on disk, when it is there.
    pub(super) on_disk: Option<String>,
}

/// The config to open: the one that is named, ./bespoke.toml, or a new one.
pub(super) fn choose(config: Option<&str>) -> Result<Start, Failure> {
    let fresh = |name: &str, text: &str| -> Result<Start, Failure> {
        let config =
            Config::parse(name, text).map_err(|d| Failure::new(presets::strip_error(&d.to_string())))?;
        let chain = presets::chain(config, presets::dir_of(Path::new(name)))?;
        Ok(Start { chain, name: name.to_owned(), on_disk: None })
    };
    let known = |name: &str| -> Result<Start, Failure> {
        let chain = presets::load(name)?;
        let on_disk = Some(chain.config.text().to_owned());
        Ok(Start { chain, name: name.to_owned(), on_disk })
    };
    match config {
        None if Path::new("bespoke.toml").exists() => known("bespoke.toml"),
        None => fresh("bespoke.toml", FRESH),
        // A preset is a start, not a file: what comes of it is saved as one.
        Some(name) if name.starts_with("preset:") => {
            presets::load(name)?;
            fresh("bespoke.toml", &FRESH.replace("preset:hello", name))
        }
        Some(path) if !Path::new(path).exists() && path.ends_with(".toml") => fresh(path, FRESH),
        Some(path) => known(path),
    }
}

/// What is wrong with a config, and what could be made of it.
pub(super) struct Trouble {
    /// What is wrong, each a sentence.
    pub(super) because: Vec<String>,
    /// What could be made of it; there is at least one.
    pub(super) ways: Vec<Way>,
}

/// Looks for what is wrong with a config's decisions.
///
/// # Errors
/// When something is, and it cannot be mended by changing the config.
pub(super) fn trouble(tree: &Tree, chain: &Chain) -> Result<Option<Trouble>, Failure> {
    let Err(failure) = resolved::resolve(tree, chain) else { return Ok(None) };
    let mut because = Vec::new();
    for problem in tree.check(&chain.config).0.iter().filter(|d| d.severity == Severity::Error) {
        let at = problem.location.as_ref().map_or_else(String::new, |at| format!("line {}: ", at.line));
        let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
        because.push(crate::app::doc::sentence(&format!("{at}{}{hint}", problem.message)));
    }
    let mut ways: Vec<Way> = Vec::new();
    for Reading { title, read, config } in readings(tree, &chain.config) {
        let chain = Chain { config, ..chain.clone() };
        match tree.resolve(&chain.decisions()) {
            Ok(_) => ways.push(Way { title, text: chain.config.text().to_owned() }),
            Err(refusal) => {
                let prose = crate::app::doc::sentence(&refusal.prose);
                if !because.contains(&prose) {
                    because.push(prose);
                }
                // To read a word as another and then to forget that is no way of its own.
                for fix in
                    refusal.fixes.iter().filter(|fix| fix.changes.iter().all(|c| !read.contains(&c.id)))
                {
                    let mut config = chain.config.clone();
                    let mut words: Vec<String> =
                        Some(title.clone()).filter(|t| !t.is_empty()).into_iter().collect();
                    for change in &fix.changes {
                        config.set(&change.id, change.to.clone());
                    }
                    words.push(changes_in_words(tree, &fix.changes));
                    ways.push(Way { title: text::listed(&words), text: config.text().to_owned() });
                }
            }
        }
    }
    let sound = |way: &Way| {
        let Ok(config) = Config::parse(chain.config.file(), &way.text) else { return false };
        resolved::resolve(tree, &Chain { config, ..chain.clone() }).is_ok()
    };
    ways.retain(sound);
    if ways.is_empty() { Err(failure) } else { Ok(Some(Trouble { because, ways })) }
}

/// A config without the decisions that mean nothing to the tree.
struct Reading {
    /// What was made of them, in words.
    title: String,
    /// What some were read as.
    read: Vec<String>,
    config: Config,
}

/// Decisions that mean nothing to the tree are read as what they are nearest to, or else all left out.
fn readings(tree: &Tree, config: &Config) -> Vec<Reading> {
    let entries = |config: &Config| -> Vec<(bool, String, bespoke_model::Decision)> {
        let set = config.set_entries().map(|(id, to)| (false, id.to_owned(), to.clone()));
        set.chain(config.fit_entries().map(|(id, to)| (true, id.to_owned(), to.clone()))).collect()
    };
    let wrong = |id: &str, to: &bespoke_model::Decision| {
        let mut alone = Config::new("");
        alone.set(id, Some(to.clone()));
        tree.check(&alone).has_errors()
    };
    let (mut read, mut bare) = (config.clone(), config.clone());
    let (mut readings, mut left_out, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for (fitted, id, to) in entries(config).into_iter().filter(|(_, id, to)| wrong(id, to)) {
        for config in [&mut read, &mut bare] {
            if fitted { config.set_fit(&id, None) } else { config.set(&id, None) }
        }
        let is_known = tree.find(&id).is_some() || tree.find_param(&id).is_some();
        let near = closest(&id, tree.decidable_ids()).filter(|near| !is_known && !wrong(near, &to));
        left_out.push(format!("forget {id}"));
        match near {
            Some(near) if config.get(near).is_none() => {
                if fitted {
                    read.set_fit(near, Some(to))
                } else {
                    read.set(near, Some(to))
                }
                readings.push(format!("read {id} as {near}"));
                known.push(near.to_owned());
            }
            _ => readings.push(format!("forget {id}")),
        }
    }
    let mut found = Vec::new();
    if !known.is_empty() {
        found.push(Reading { title: text::listed(&readings), read: known, config: read });
    }
    found.push(Reading { title: text::listed(&left_out), read: Vec::new(), config: bare });
    found
}

/// What the program needs, and the parts that serve it.
pub(super) fn needs(tree: &Tree, chain: &Chain) -> Vec<Need> {
    let mut needs = Vec::new();
    match fit::known_of(chain.config.file()) {
        Some(evidence) => needs.extend(from_evidence(tree, &evidence)),
        None => {
            let fitted = chain.config.fit_entries().filter(|(id, _)| tree.find(id).is_some());
            let parts: Vec<String> = fitted.map(|(id, _)| id.to_owned()).collect();
            if !parts.is_empty() {
                needs.push(Need { what: "what fitting found that it needs".to_owned(), parts });
            }
        }
    }
    let mut served: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for n in tree.nodes() {
        let node = tree.node(n);
        for link in &node.provides {
            served.entry(link.text.clone()).or_default().push(node.id.clone());
        }
    }
    let calls: Vec<String> = tree
        .nodes()
        .map(|n| tree.node(n))
        .filter(|node| node.id.starts_with("abi.") && node.kind == Kind::Component)
        .map(|node| node.id.clone())
        .collect();
    if !calls.is_empty() {
        needs.push(Need { what: "families of system calls it may make".to_owned(), parts: calls });
    }
    needs.extend(served.into_iter().map(|(what, parts)| Need { what, parts }));
    needs
}

/// What is known of the program's needs, each with the part that serves it: those seen as it ran first, then what stands in its
/// code and was never seen.
pub(crate) fn from_evidence(tree: &Tree, evidence: &Evidence) -> Vec<Need> {
    let served = Os::embedded().served();
    let known = bespoke_kernel::fit::propose(tree, &served, evidence, Keep::Found);
    let mut proposals: Vec<_> =
        known.proposals.iter().filter(|proposal| !proposal.needs.is_empty()).collect();
    proposals.sort_by_key(|proposal| !proposal.seen);
    let part = |proposal: &&bespoke_kernel::fit::Proposal| Need {
        what: fit::reason(proposal, evidence, None),
        parts: vec![tree.node(proposal.part).id.clone()],
    };
    let mut needs: Vec<Need> = proposals.iter().map(part).collect();
    for (words, what) in [
        (&known.unserved, "no part serves these calls: "),
        (&known.processes, "cannot work, there is one process: "),
    ] {
        if !words.is_empty() {
            let words: Vec<&str> = words.iter().map(|word| fit::short(word)).collect();
            needs.push(Need { what: format!("{what}{}", words.join(", ")), parts: Vec::new() });
        }
    }
    needs
}

/// Where unsaved edits are kept while the configurator runs.
pub(super) fn recovery_path(file: &Path) -> PathBuf {
    let name = file.file_name().map_or_else(|| "bespoke.toml".into(), |n| n.to_string_lossy().into_owned());
    file.with_file_name(format!(".{name}.unsaved"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_are_told_beside_the_parts_that_serve_them() {
        let mut evidence = Evidence { runs: 1, ..Evidence::default() };
        evidence.add_found("call:sendfile", 1, &["app: copy+0x10".into()]);
        evidence.add_seen("call:openat", 7, 0, None);
        evidence.add_found("call:io_uring_setup", 1, &[]);
        evidence.add_found("process:fork", 1, &[]);
        let needs = from_evidence(&Os::embedded().tree, &evidence);
        let said: Vec<(&str, Vec<&str>)> =
            needs.iter().map(|n| (n.what.as_str(), n.parts.iter().map(String::as_str).collect())).collect();
        assert_eq!(
            said,
            [
                ("seen: openat 7×", vec!["abi.open"]),
                ("found, never seen: sendfile (app: copy+0x10); can go if you dare", vec!["abi.transfer"]),
                ("no part serves these calls: io_uring_setup", vec![]),
                ("cannot work, there is one process: fork", vec![]),
            ]
        );
    }
}
