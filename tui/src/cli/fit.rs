//! `bespoke fit`: what a config's program needs, found out anew and written into the config.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use bespoke_kernel::fit::{Fit as Parts, Keep};
use bespoke_kernel::trace::Watched;
use bespoke_model::Evidence;
use serde_json::{Value as Json, json};

use super::args::{Fit, KeepName};
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
    if let Some(Seen { watched, asked, refused }) = &seen {
        evidence.merge_seen(&watched.evidence);
        if chain.image().is_some() {
            let packed = pack::of_image(&mut chain, &mut evidence, watched, keep)?;
            (notes.files, notes.left) = (packed.more, packed.less);
        } else {
            let payload = kernel.payload(&chain)?;
            // What it opened in the guest was in the guest.
            let used = if args.learn { BTreeSet::new() } else { &watched.files | &watched.looked };
            for (file, size) in pack::of_host(&used, payload) {
                let name = file.to_string_lossy();
                chain.config.set_file(&name, Some(&name));
                notes.files.push((name.into_owned(), size));
            }
            // In the guest they were not there; on the host nothing was missing that is.
            let here = pack::of_host(&watched.missing, payload);
            notes.here =
                here.into_iter().map(|(file, size)| (file.to_string_lossy().into_owned(), size)).collect();
        }
        notes.missing = watched.missing.len();
        notes.status = watched.status;
        notes.asked = *asked;
        notes.refused.clone_from(refused);
    }
    let payload = kernel.payload(&chain)?;
    let scanned = fit::scan(kernel.os(), payload, &mut evidence)?;
    let measure = kernel.measure(&chain).ok();
    let fitted = fit::rewrite(kernel.os(), &chain, &evidence, keep, measure.as_deref())?;
    presets::write(path, fitted.config.text())?;
    fit::keep(path, &evidence)?;
    // A server would wait for its clients again.
    if args.learn && notes.status.is_some() && !notes.asked && args.ports.is_empty() {
        let chain = presets::Chain { config: fitted.config.clone(), ..chain };
        notes.proof = Some(prove(args, &kernel, &chain, &notes)?);
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

/// What came out beside needs.
#[derive(Default)]
struct Notes {
    /// Files that were added to the config, with their sizes.
    files: Vec<(String, u64)>,
    /// What is no longer packed of a container image.
    left: Vec<(String, u64)>,
    /// Paths that the program looked for and that were not there.
    missing: usize,
    /// Those of them that are files of this machine.
    here: Vec<(String, u64)>,
    /// What the program ended with.
    status: Option<i32>,
    /// It was asked to end.
    asked: bool,
    /// Calls that were answered with ENOSYS though every part was on.
    refused: BTreeSet<String>,
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
        for (file, size) in &self.files {
            out.push_str(&format!("packed: {file}  {}\n", text::bytes(*size)));
        }
        if !self.files.is_empty() {
            let total = self.files.iter().map(|(_, size)| size).sum();
            out.push_str(&format!(
                "{} packed, {}\n",
                text::count(self.files.len(), "file"),
                text::bytes(total)
            ));
        }
        for (file, size) in &self.left {
            out.push_str(&format!(
                "no longer packed, since it was not used: {file}  {}\n",
                text::bytes(*size)
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
                .map(|(file, size)| format!("{file} ({})", text::bytes(*size)))
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

/// A program that was watched.
struct Seen {
    watched: Watched,
    /// It was asked to end.
    asked: bool,
    /// Calls that were answered with ENOSYS though every part was on.
    refused: BTreeSet<String>,
}

/// Watches the program as the arguments ask for.
fn watch_program(args: &Fit, kernel: &Kernel, chain: &presets::Chain) -> Result<Option<Seen>, Stop> {
    if let Some(log) = &args.strace {
        return Ok(Some(Seen { watched: watch::from_log(log)?, asked: false, refused: BTreeSet::new() }));
    }
    if args.trace {
        return Ok(Some(Seen {
            watched: watch::on_host(args, chain)?,
            asked: false,
            refused: BTreeSet::new(),
        }));
    }
    if args.time.is_some() {
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
    let learning = watch::in_guest(kernel.os(), args, chain, true)?;
    let learnt = learning.learnt;
    if learnt.lost > 0 {
        let lost = learnt.lost;
        eprintln!("warning: {lost} different calls or more could not be told apart; learn in smaller runs");
    }
    let watched = Watched {
        evidence: learnt.evidence,
        files: learnt.files,
        looked: learnt.looked,
        missing: learnt.missing,
        status: learning.status,
    };
    Ok(Some(Seen { watched, asked: learning.asked, refused: learnt.refused }))
}

/// Boots what was fitted, watched again.
fn prove(args: &Fit, kernel: &Kernel, chain: &presets::Chain, notes: &Notes) -> Result<Proof, Stop> {
    let again = watch::in_guest(kernel.os(), args, chain, false)?;
    let refused: Vec<String> = again.learnt.refused.difference(&notes.refused).cloned().collect();
    Ok(Proof { holds: again.status == notes.status && refused.is_empty(), status: again.status, refused })
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
        "packed": notes.files.iter().map(|(file, size)| json!({ "file": file, "bytes": size })).collect::<Vec<_>>(),
        "left_out": notes.left.iter().map(|(file, size)| json!({ "file": file, "bytes": size })).collect::<Vec<_>>(),
        "missing": notes.missing,
        "missing_here": notes.here.iter().map(|(file, size)| json!({ "file": file, "bytes": size })).collect::<Vec<_>>(),
        "status": notes.status,
        "proof": notes.proof.as_ref()
            .map(|proof| json!({ "holds": proof.holds, "status": proof.status, "refused": proof.refused })),
    })
}
