//! Fitting: what a program needs is gathered, kept beside its config, and written into it as decisions with their reasons.

use std::fs;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bespoke_kernel::fit::{self, Fit, Keep, Proposal};
use bespoke_kernel::program::{Language, Program};
use bespoke_kernel::scan::{self, Input};
use bespoke_kernel::{Os, Payload};
use bespoke_model::{Config, Decision, Evidence, Kind, Measure, NodeId, Tree};

use crate::presets::{self, Chain, Failure};
use crate::text;

/// Where what is known of a config's program is kept.
pub fn evidence_path(config: &Path) -> PathBuf {
    config.with_extension("evidence.toml")
}

/// What is known of a config's program, when anything is.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn known(config: &Path) -> Result<Option<Evidence>, Failure> {
    let path = evidence_path(config);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let message = format!("cannot read {}: {}", path.display(), presets::plain(&error));
            return Err(Failure::new(message));
        }
    };
    match Evidence::parse(&path.to_string_lossy(), &text) {
        Ok(evidence) => Ok(Some(evidence)),
        Err(problems) => {
            let failure = Failure::new(presets::strip_error(&problems.to_string()));
            Err(failure.hint(format!("delete {} to begin anew", path.display())))
        }
    }
}

/// What is known of a config's program by its name as it was given; nothing for presets.
pub fn known_of(spec: &str) -> Option<Evidence> {
    if spec.starts_with("preset:") { None } else { known(Path::new(spec)).ok().flatten() }
}

/// Scans the program of an image and all libraries in it. What was found before is forgotten.
///
/// # Errors
/// When there is no program, or one of the files cannot be scanned.
pub fn scan(os: &Os, payload: &Payload, evidence: &mut Evidence) -> Result<Scanned, Failure> {
    let Some(program) = payload.program() else {
        let failure = Failure::new("the config names no program");
        return Err(failure.hint("add [program] with a `path`"));
    };
    scan_files(os, program, &payload.elf_files(), evidence)
}

/// Scans a program and its libraries, by their names.
///
/// # Errors
/// When one of them cannot be scanned.
pub fn scan_files(
    os: &Os,
    program: &Program,
    files: &[(&str, &[u8])],
    evidence: &mut Evidence,
) -> Result<Scanned, Failure> {
    let inputs: Vec<Input<'_>> = files
        .iter()
        .enumerate()
        .map(|(at, (name, bytes))| Input {
            name,
            bytes,
            // Go finds methods by tables of offsets.
            whole: at == 0 && program.language == Some(Language::Go),
        })
        .collect();
    let served = os.served();
    let paths: Vec<&str> = served.iter().filter_map(|served| served.word.strip_prefix("path:")).collect();
    let started = Instant::now();
    let progress = Progress::new();
    let result = scan::scan(&inputs, &paths, &|done, total| progress.tell(done, total));
    progress.end();
    let found = result.map_err(|error| {
        let failure = Failure::from_kernel(&error);
        let name = files.first().map_or("", |(name, _)| *name);
        Failure { message: format!("{name} cannot be scanned: {}", failure.message), ..failure }
    })?;
    evidence.forget_found();
    for (path, bytes) in files {
        evidence.scanned.insert((*path).to_owned(), scan::digest(bytes));
    }
    // What makes no difference to any part is not kept.
    let counts = |word: &str| {
        let always = ["call:", "process:"].iter().any(|kind| word.starts_with(kind));
        always || served.iter().any(|served| bespoke_kernel::need::covers(&served.word, word))
    };
    for (word, found) in found.needs.iter().filter(|(word, _)| counts(word)) {
        evidence.add_found(word, found.count as u64, &found.places);
    }
    Ok(Scanned {
        files: inputs.len() - found.skipped.len(),
        skipped: found
            .skipped
            .iter()
            .map(|(name, error)| format!("{name}: {}", Failure::from_kernel(error).message))
            .collect(),
        instructions: found.instructions,
        unknown: found.unknown.count as u64,
        unknown_at: found.unknown.places,
        milliseconds: started.elapsed().as_secs_f64() * 1000.0,
    })
}

/// What a scan went through.
#[derive(Debug)]
pub struct Scanned {
    /// The program and its libraries.
    pub files: usize,
    /// Files that could not be scanned, with the reason.
    pub skipped: Vec<String>,
    /// Instructions that were read.
    pub instructions: u64,
    /// Places whose call could not be told.
    pub unknown: u64,
    /// The first of them.
    pub unknown_at: Vec<String>,
    /// How long it took.
    pub milliseconds: f64,
}

impl Scanned {
    /// In words.
    pub fn words(&self) -> String {
        let mut out = format!(
            "scanned {}, {} instructions, in {:.0} ms",
            text::count(self.files, "file"),
            text::grouped(self.instructions),
            self.milliseconds
        );
        if self.unknown > 0 {
            let places = self.unknown_at.join(", ");
            out.push_str(&format!(
                "; which call is made could not be told in {} places ({places}, …)",
                self.unknown
            ));
        }
        for file in &self.skipped {
            out.push_str(&format!("\nnot scanned, {file}"));
        }
        out
    }
}

/// A line on the terminal while a person waits.
struct Progress {
    shown: bool,
    percent: AtomicU64,
}

impl Progress {
    fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), percent: AtomicU64::new(u64::MAX) }
    }

    fn tell(&self, done: u64, total: u64) {
        let percent = done * 100 / total.max(1);
        if self.shown && self.percent.swap(percent, Ordering::Relaxed) != percent {
            let _ = write!(std::io::stderr(), "scanning {percent:3} %\r");
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "              \r");
        }
    }
}

/// A need in short: a call by its name alone.
pub fn short(word: &str) -> &str {
    word.strip_prefix("call:").or_else(|| word.strip_prefix("process:")).unwrap_or(word)
}

/// Why a part is proposed, in a line. `bytes` is what the image would be shorter by without it.
pub fn reason(proposal: &Proposal, evidence: &Evidence, bytes: Option<u64>) -> String {
    const SHOWN: usize = 4;
    if proposal.needs.is_empty() {
        return "nothing needs it".to_owned();
    }
    let more = |count: usize| match count.saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    if proposal.seen {
        let seen: Vec<(&String, u64)> = proposal
            .needs
            .iter()
            .map(|need| (need, evidence.needs.get(need).map_or(0, |w| w.seen)))
            .filter(|(_, seen)| *seen > 0)
            .collect();
        let words: Vec<String> =
            seen.iter().take(SHOWN).map(|(need, seen)| format!("{} {seen}×", short(need))).collect();
        return format!("seen: {}{}", words.join(", "), more(seen.len()));
    }
    let words: Vec<&str> = proposal.needs.iter().take(SHOWN).map(|need| short(need)).collect();
    let place = proposal.needs.iter().find_map(|need| evidence.needs.get(need)?.at.first());
    let place = place.map_or_else(String::new, |place| format!(" ({place})"));
    let found = format!("{}{}{place}", words.join(", "), more(proposal.needs.len()));
    match (evidence.runs, bytes) {
        (0, _) => format!("found: {found}"),
        (_, None | Some(0)) => format!("found, never seen: {found}; can go if you dare"),
        (_, Some(bytes)) => {
            format!("found, never seen: {found}; can go if you dare: {}", text::bytes(bytes))
        }
    }
}

/// A decision as a line of a config.
fn line(id: &str, decision: &Decision) -> String {
    match decision {
        Decision::Bool(on) => format!("\"{id}\" = {on}"),
        Decision::Int(n) => format!("\"{id}\" = {n}"),
        Decision::Text(text) => format!("\"{id}\" = \"{text}\""),
    }
}

/// A config fitted anew: its decisions, and what they follow from.
#[derive(Debug)]
pub struct Fitted {
    /// The config.
    pub config: Config,
    /// What speaks for the decisions.
    pub fit: Fit,
    /// The bytes that each of them keeps in the image, as far as they could be measured.
    pub bytes: Vec<Option<u64>>,
}

/// Writes what needs amount to into a config, in place of what was fitted before.
///
/// # Errors
/// When the decisions contradict each other or what the user decided.
pub fn rewrite(
    os: &'static Os,
    chain: &Chain,
    evidence: &Evidence,
    keep: Keep,
    measure: Option<&dyn Measure>,
) -> Result<Fitted, Failure> {
    let tree = &os.tree;
    let served = os.served();
    let mut fit = fit::propose(tree, &served, evidence, keep);
    let resolve = |proposals: &[Proposal]| {
        let mut config = chain.config.clone();
        config.clear_fit();
        for proposal in proposals {
            config.set_fit(&proposal.id, Some(proposal.decision.clone()));
        }
        let chain = Chain { config, ..chain.clone() };
        crate::resolved::resolve(tree, &chain)
    };
    // What nothing needs is said to be off only where it would be on.
    let (needed, idle): (Vec<Proposal>, Vec<Proposal>) =
        fit.proposals.drain(..).partition(|proposal| !proposal.needs.is_empty());
    let without = resolve(&needed)?;
    let speaks = |proposal: &Proposal| match proposal.decision {
        Decision::OFF => without.is_on(proposal.part),
        _ => !without.is_on(proposal.part),
    };
    let mut all = needed.clone();
    all.extend(idle.into_iter().filter(speaks));
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let (proposals, resolution) = match resolve(&all) {
        Ok(resolution) => (all, resolution),
        // It is required by what is needed after all.
        Err(_) => (needed, without),
    };
    fit.proposals = proposals;
    let bytes: Vec<Option<u64>> = fit
        .proposals
        .iter()
        .map(|proposal| measure.map(|measure| measure.component_bytes(&resolution, proposal.part)))
        .collect();
    let mut out = without_fit(&chain.config).trim_end().to_owned();
    out.push_str("\n\n");
    out.push_str(&section(&fit, evidence, &bytes));
    let config = Config::parse(chain.config.file(), &out)
        .map_err(|problems| Failure::new(presets::strip_error(&problems.to_string())))?;
    Ok(Fitted { config, fit, bytes })
}

/// A config's text without what was fitted: its table, and the comments that stand right above it. Other comments stay.
fn without_fit(config: &Config) -> String {
    let lines: Vec<&str> = config.text().lines().collect();
    let Some(header) = lines.iter().position(|line| line.trim() == "[fit]") else {
        let mut config = config.clone();
        config.clear_fit();
        return config.text().to_owned();
    };
    let comments = |end: usize| lines[..end].iter().rev().take_while(|line| line.starts_with('#')).count();
    let next = lines[header + 1..].iter().position(|line| line.starts_with('['));
    let end = next.map_or(lines.len(), |next| {
        let next = header + 1 + next;
        next - comments(next)
    });
    [&lines[..header - comments(header)], &lines[end..]].concat().join("\n")
}

/// What was fitted, as a config has it.
pub fn section(fit: &Fit, evidence: &Evidence, bytes: &[Option<u64>]) -> String {
    let mut out = String::new();
    for (words, about) in [
        (
            &fit.unserved,
            "No part serves these calls; they are answered with ENOSYS, as by a Linux without them:",
        ),
        (&fit.processes, "There is one process and one program: these cannot work."),
    ] {
        if words.is_empty() {
            continue;
        }
        out.push_str(&format!("# {about}\n"));
        let named: Vec<String> = words
            .iter()
            .map(|word| {
                let at = evidence.needs.get(word).and_then(|witness| witness.at.first());
                at.map_or_else(|| short(word).to_owned(), |at| format!("{} ({at})", short(word)))
            })
            .collect();
        out.push_str(&wrapped(&named.join(", ")));
    }
    let how = match evidence.runs {
        0 => "as far as its code tells".to_owned(),
        1 => "by its code and a run that was watched".to_owned(),
        runs => format!("by its code and {runs} runs that were watched"),
    };
    out.push_str(&format!(
        "# What the program needs, {how}. `bespoke fit` writes this anew; what you decide goes under\n# [set], and wins.\n[fit]\n"
    ));
    let lines: Vec<String> = fit.proposals.iter().map(|p| line(&p.id, &p.decision)).collect();
    let width = lines.iter().map(|line| text::width(line)).max().unwrap_or(0);
    for ((line, proposal), bytes) in lines.iter().zip(&fit.proposals).zip(bytes) {
        out.push_str(&format!("{}  # {}\n", text::pad(line, width), reason(proposal, evidence, *bytes)));
    }
    out
}

/// Comment lines of at most 120 columns.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + text::width(word) > 120 {
            out.push('\n');
            column = 0;
        }
        if column == 0 {
            out.push_str("#  ");
            column = 3;
        }
        out.push(' ');
        out.push_str(word);
        column += 1 + text::width(word);
    }
    out.push('\n');
    out
}

/// The needs that a part is known to serve, those seen most often first. A choice serves what its members do.
pub fn evidence_of(tree: &Tree, part: NodeId, evidence: &Evidence) -> Vec<String> {
    let served = Os::embedded().served();
    let mut parts = vec![part];
    if tree.node(part).kind == Kind::Choice {
        parts.extend(&tree.node(part).children);
    }
    let mut needs: Vec<&str> =
        parts.iter().flat_map(|part| fit::needs_of(&served, *part, evidence)).collect();
    needs.sort_by_key(|need| (std::cmp::Reverse(evidence.needs.get(*need).map_or(0, |w| w.seen)), *need));
    needs.dedup();
    needs.into_iter().map(str::to_owned).collect()
}

/// What has changed in a program since it was scanned, and what it needs now that it did not need then.
#[derive(Debug, Default)]
pub struct Changes {
    /// The files that are others now, or new.
    pub files: Vec<String>,
    /// New needs, and the parts that serve them with whether they are on.
    pub needs: Vec<(String, Vec<(String, bool)>)>,
    /// The processes that it may start, with the places.
    pub processes: Vec<String>,
}

/// Compares a program with what is known of it.
///
/// # Errors
/// When it cannot be scanned.
pub fn changes(
    os: &Os,
    payload: &Payload,
    evidence: &Evidence,
    is_on: impl Fn(NodeId) -> bool,
) -> Result<Changes, Failure> {
    let files = payload.elf_files();
    let is_other = |(path, bytes): &&(&str, &[u8])| {
        evidence.scanned.get(*path).is_none_or(|digest| *digest != scan::digest(bytes))
    };
    let changed: Vec<String> = files.iter().filter(is_other).map(|(path, _)| (*path).to_owned()).collect();
    let mut now = evidence.clone();
    if !changed.is_empty() {
        scan(os, payload, &mut now)?;
    }
    let served = os.served();
    let fresh = now.needs.keys().filter(|need| !evidence.needs.contains_key(*need));
    let needs = fresh.map(|need| {
        let serving = served.iter().filter(|served| bespoke_kernel::need::covers(&served.word, need));
        let mut parts: Vec<(String, bool)> =
            serving.map(|served| (os.tree.node(served.part).id.clone(), is_on(served.part))).collect();
        parts.dedup();
        (need.clone(), parts)
    });
    let needs = needs.collect();
    let processes = now.needs.iter().filter(|(need, _)| need.starts_with("process:"));
    let processes = processes.map(|(need, _)| witness_line(need, &now)).collect();
    Ok(Changes { files: changed, needs, processes })
}

/// What is known of a need, in a line.
pub fn witness_line(need: &str, evidence: &Evidence) -> String {
    let Some(witness) = evidence.needs.get(need) else { return need.to_owned() };
    let mut facts = Vec::new();
    match (witness.seen, evidence.runs) {
        (0, 0) => {}
        (0, _) => facts.push("never seen".to_owned()),
        (seen, _) => {
            let mut fact = format!("seen {}", times(seen));
            if witness.failed > 0 {
                let error = witness.error.as_deref().unwrap_or("an error");
                fact.push_str(&format!(", {} with {error}", times(witness.failed)));
            }
            facts.push(fact);
        }
    }
    if witness.found > 0 {
        facts.push(format!("found at {}", listed_places(&witness.at, witness.found)));
    }
    format!("{}: {}", short(need), facts.join("; "))
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{} times", text::grouped(n)) }
}

fn listed_places(at: &[String], found: u64) -> String {
    let more = found.saturating_sub(at.len() as u64);
    match (at.is_empty(), more) {
        (true, _) => text::count(found as usize, "place"),
        (false, 0) => at.join(", "),
        (false, more) => format!("{} and {more} more", at.join(", ")),
    }
}

/// Keeps what is known of a config's program.
///
/// # Errors
/// When it cannot be written.
pub fn keep(config: &Path, evidence: &Evidence) -> Result<(), Failure> {
    presets::write(&evidence_path(config), &evidence.to_string())
}
