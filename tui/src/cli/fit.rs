//! `bespoke fit`: what a config's program needs, found out anew and written into the config.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use bespoke_kernel::fit::{Fit as Parts, Keep};
use bespoke_kernel::learn::Learnt;
use bespoke_model::Evidence;
use serde_json::{Value as Json, json};

use super::args::{Fit, KeepName};
use super::pack::Item;
use super::{Done, Stop, pack, print, print_json, watch};
use crate::app::doc::Backend as _;
use crate::backend::Kernel;
use crate::fit::{self, Fitted, Scanned};
use crate::presets::{self, Failure};
use crate::text;

/// `bespoke fit`.
pub fn fit(args: &Fit) -> Done {
    if args.config.starts_with("preset:") {
        let failure = Failure::new("a preset is not fitted");
        return Err(Stop::Usage(failure.hint("write a config first: bespoke new PROGRAM")));
    }
    let path = Path::new(&args.config);
    let kernel = Kernel::new();
    let mut chain = presets::load(&args.config)?;
    let mut evidence = fit::known(path)?.unwrap_or_default();
    let seen = watch_program(args, &kernel, &chain)?;
    let keep = match args.keep {
        None if args.learn => Keep::Seen,
        None | Some(KeepName::Found) => Keep::Found,
        Some(KeepName::Seen) if evidence.runs == 0 && seen.is_none() => {
            let failure = Failure::new("the program was never watched, so nothing was seen");
            return Err(Stop::No(
                failure.hint("watch it: bespoke fit CONFIG --learn, or --trace -- COMMAND"),
            ));
        }
        Some(KeepName::Seen) => Keep::Seen,
    };
    let mut notes = Notes::default();
    if let Some(Learnt { watched, asked, refused, .. }) = &seen {
        evidence.merge_seen(&watched.evidence);
        if chain.image().is_some() {
            let packed = pack::of_image(&mut chain, &mut evidence, watched, keep)?;
            (notes.files, notes.left) = (packed.more, packed.less);
        } else {
            let payload = kernel.payload(&chain)?;
            // What it opened in the guest was in the guest.
            let used = if args.learn { BTreeSet::new() } else { &watched.files | &watched.looked };
            for file in pack::of_host(&used, payload) {
                chain.config.set_file(&file.path, Some(&file.path));
                notes.files.push(file);
            }
            // In the guest they were not there; on the host nothing was missing that is.
            notes.here = pack::of_host(&watched.missing, payload);
        }
        notes.missing = watched.missing.len();
        notes.status = watched.status;
        notes.asked = *asked;
        notes.refused.clone_from(refused);
    }
    let payload = kernel.payload(&chain)?;
    let scanned = fit::scan(kernel.os(), payload, &mut evidence)?;
    let measure = kernel.measure(&chain).ok();
    let write = |evidence: &Evidence| -> Result<Fitted, Failure> {
        let fitted = fit::rewrite(kernel.os(), &chain, evidence, keep, measure.as_deref())?;
        presets::write(path, fitted.config.text())?;
        fit::keep(path, evidence)?;
        Ok(fitted)
    };
    let mut fitted = write(&evidence)?;
    // A server would wait for its clients again.
    let may_prove = args.learn && notes.status.is_some() && !notes.asked && args.ports.is_empty();
    for round in 1..=if may_prove { PROOFS } else { 0 } {
        let proven = presets::Chain { config: fitted.config.clone(), ..chain.clone() };
        let (proof, more) = prove(args, &kernel, &proven, &notes)?;
        // What it did not do before, and was refused now, is a need like others.
        let again = !proof.holds && !proof.refused.is_empty() && round < PROOFS;
        if again {
            notes.found_late.extend(proof.refused.iter().cloned());
        }
        notes.proof = Some(proof);
        if !again {
            break;
        }
        evidence.merge_seen(&more);
        fitted = write(&evidence)?;
    }
    if args.json {
        print_json(&fit_json(&args.config, &kernel, &fitted, &evidence, &scanned, &notes));
    } else {
        print(&format!("{}\n", scanned.words()));
        print(&notes.words(args.learn));
        print(&summary(&args.config, &fitted, &evidence));
        print(&warnings(&fitted.fit, &evidence));
    }
    match &notes.proof {
        Some(proof) if !proof.holds => Err(Stop::Silent),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// How often a fitted image is booted at most, to be proven.
const PROOFS: usize = 3;

/// What came out beside needs.
#[derive(Default)]
struct Notes {
    /// What was added to the config.
    files: Vec<Item>,
    /// What is no longer packed of a container image.
    left: Vec<Item>,
    /// Paths that the program looked for and that were not there.
    missing: usize,
    /// Those of them that are files of this machine.
    here: Vec<Item>,
    /// What the program ended with.
    status: Option<i32>,
    /// It was asked to end.
    asked: bool,
    /// Calls that were answered with ENOSYS though every part was on.
    refused: BTreeSet<String>,
    /// Calls that it made only when it was to be proven.
    found_late: BTreeSet<String>,
    proof: Option<Proof>,
}

/// What a boot of the fitted image came to.
struct Proof {
    /// It ended as it did with every part on, and nothing was refused that was answered then.
    holds: bool,
    status: Option<i32>,
    /// Calls that were answered with ENOSYS.
    refused: Vec<String>,
}

impl Notes {
    fn words(&self, learnt: bool) -> String {
        let mut out = String::new();
        for Item { path, bytes, .. } in &self.files {
            out.push_str(&format!("packed: {path}  {}\n", text::bytes(*bytes)));
        }
        if !self.files.is_empty() {
            let total = self.files.iter().map(|item| item.bytes).sum();
            let folders = self.files.iter().filter(|item| item.folder).count();
            let counts = [(self.files.len() - folders, "file"), (folders, "folder")];
            let counts: Vec<String> = counts
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| text::count(count, what))
                .collect();
            out.push_str(&format!("{} packed, {}\n", text::listed(&counts), text::bytes(total)));
        }
        for Item { path, bytes, .. } in &self.left {
            out.push_str(&format!(
                "no longer packed, since it was not used: {path}  {}\n",
                text::bytes(*bytes)
            ));
        }
        if self.missing > 0 {
            let (paths, were) =
                (text::count(self.missing, "path"), if self.missing == 1 { "was" } else { "were" });
            out.push_str(&format!("it looked for {paths} that {were} not there, and does without\n"));
        }
        if !self.here.is_empty() {
            const SHOWN: usize = 6;
            let names: Vec<String> = self
                .here
                .iter()
                .take(SHOWN)
                .map(|item| format!("{} ({})", item.path, text::bytes(item.bytes)))
                .collect();
            let more = match self.here.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            out.push_str(&format!(
                "of these this machine has {}{more}: --trace packs what it opens here, [files] what you name\n",
                names.join(", ")
            ));
        }
        if !self.found_late.is_empty() {
            let calls: Vec<String> = self.found_late.iter().cloned().collect();
            out.push_str(&format!(
                "only with these parts alone it made calls that it did not make before, and was fitted again: {}\n",
                calls.join(", ")
            ));
        }
        match &self.proof {
            Some(proof) if proof.holds => {
                let status = proof.status.unwrap_or_default();
                out.push_str(&format!(
                    "proven: booted with these parts alone, it ended with status {status} as before\n"
                ));
            }
            Some(proof) => {
                let status =
                    proof.status.map_or_else(|| "no status".into(), |status| format!("status {status}"));
                let refused = match proof.refused.is_empty() {
                    true => String::new(),
                    false => format!("; refused were {}", proof.refused.join(", ")),
                };
                out.push_str(&format!(
                    "not proven: booted with these parts alone, it ended with {status}{refused}\n"
                ));
            }
            None if learnt => {
                let why =
                    if self.asked { "it ends only when somebody ends it" } else { "it wants its clients" };
                out.push_str(&format!(
                    "not proven, since {why}: boot it with `bespoke run`, use it, and learn more if it lacks anything\n"
                ));
            }
            None => {}
        }
        out
    }
}

/// Watches the program as the arguments ask for.
fn watch_program(args: &Fit, kernel: &Kernel, chain: &presets::Chain) -> Result<Option<Learnt>, Stop> {
    if let Some(log) = &args.strace {
        return Ok(Some(Learnt { watched: watch::from_log(log)?, ..Learnt::default() }));
    }
    if args.trace {
        return Ok(Some(Learnt { watched: watch::on_host(args, chain)?, ..Learnt::default() }));
    }
    if args.time.is_some() && !args.learn {
        let failure = Failure::new("--for is for a program that is watched");
        return Err(Stop::Usage(failure.hint("--learn boots it; --trace runs it here")));
    }
    if !args.learn {
        if !args.args.is_empty() {
            let failure = Failure::new("there is nothing to do with what stands behind `--`");
            return Err(Stop::Usage(failure.hint("--trace runs it here; --learn hands it to the program")));
        }
        return Ok(None);
    }
    let seen = watch::in_guest(kernel.os(), args, chain, true)?;
    if seen.lost > 0 {
        let lost = seen.lost;
        eprintln!("warning: {lost} different calls or more could not be told apart; learn in smaller runs");
    }
    Ok(Some(seen))
}

/// Boots what was fitted, watched again; and what it used.
fn prove(
    args: &Fit,
    kernel: &Kernel,
    chain: &presets::Chain,
    notes: &Notes,
) -> Result<(Proof, Evidence), Stop> {
    let again = watch::in_guest(kernel.os(), args, chain, false)?;
    let refused: Vec<String> = again.refused.difference(&notes.refused).cloned().collect();
    let status = again.watched.status;
    let holds = status == notes.status && refused.is_empty();
    Ok((Proof { holds, status, refused }, again.watched.evidence))
}

/// What was written, in a line or two.
fn summary(config: &str, fitted: &Fitted, evidence: &Evidence) -> String {
    let needed: Vec<_> =
        fitted.fit.proposals.iter().zip(&fitted.bytes).filter(|(p, _)| !p.needs.is_empty()).collect();
    let mut out = format!("{config}: {} needed", text::count(needed.len(), "part"));
    if evidence.runs > 0 {
        let unseen: Vec<_> = needed.iter().filter(|(proposal, _)| !proposal.seen).collect();
        let bytes: u64 = unseen.iter().filter_map(|(_, bytes)| **bytes).sum();
        out.push_str(&format!(
            ", {} of them never seen in {}; without those: {} less",
            unseen.len(),
            text::count(evidence.runs as usize, "run"),
            text::bytes(bytes)
        ));
    }
    out.push('\n');
    out
}

/// What cannot work, in lines.
pub fn warnings(parts: &Parts, evidence: &Evidence) -> String {
    let mut out = String::new();
    let place = |word: &str| {
        let witness = evidence.needs.get(word);
        let at = witness.and_then(|witness| witness.at.first()).map_or("", String::as_str);
        let seen = witness.is_some_and(|witness| witness.seen > 0);
        let word = word.strip_prefix("process:").unwrap_or(word);
        match (at.is_empty(), seen) {
            (true, _) => word.to_owned(),
            (false, true) => format!("{word} ({at}; seen)"),
            (false, false) => format!("{word} ({at})"),
        }
    };
    if !parts.processes.is_empty() {
        let words: Vec<String> = parts.processes.iter().map(|word| place(word)).collect();
        out.push_str(&format!(
            "it can start processes, which a machine of one program answers with ENOSYS: {}\n",
            words.join(", ")
        ));
    }
    if !parts.unserved.is_empty() {
        let calls = parts.unserved.join(", ");
        out.push_str(&format!("no part serves these calls, which answer ENOSYS: {calls}\n"));
    }
    out
}

/// What a scan went through, for programs.
pub fn scan_json(scanned: &Scanned) -> Json {
    json!({
        "files": scanned.files,
        "instructions": scanned.instructions,
        "unknown_places": scanned.unknown,
        "skipped": scanned.skipped,
        "milliseconds": (scanned.milliseconds * 10.0).round() / 10.0,
    })
}

fn files_json(items: &[Item]) -> Json {
    let item = |item: &Item| json!({ "file": item.path, "bytes": item.bytes, "folder": item.folder });
    items.iter().map(item).collect()
}

fn fit_json(
    config: &str,
    kernel: &Kernel,
    fitted: &Fitted,
    evidence: &Evidence,
    scanned: &Scanned,
    notes: &Notes,
) -> Json {
    let tree = &kernel.os().tree;
    let parts: Vec<Json> = fitted
        .fit
        .proposals
        .iter()
        .zip(&fitted.bytes)
        .map(|(proposal, bytes)| {
            json!({
                "id": proposal.id,
                "part": tree.node(proposal.part).id,
                "decision": proposal.decision,
                "needs": proposal.needs,
                "seen": proposal.seen,
                "bytes": bytes,
            })
        })
        .collect();
    json!({
        "config": config,
        "runs": evidence.runs,
        "parts": parts,
        "needs": evidence.needs,
        "unserved": fitted.fit.unserved,
        "processes": fitted.fit.processes,
        "scan": scan_json(scanned),
        "packed": files_json(&notes.files),
        "left_out": files_json(&notes.left),
        "missing": notes.missing,
        "missing_here": files_json(&notes.here),
        "status": notes.status,
        "proof": notes.proof.as_ref()
            .map(|proof| json!({ "holds": proof.holds, "status": proof.status, "refused": proof.refused })),
        "found_late": notes.found_late,
    })
}
