//! Commands about decisions: `set`, `check`.

use std::path::Path;
use std::process::ExitCode;

use bespoke_kernel::Plan;
use bespoke_model::{By, Change, Decision, Diagnostics, Kind, Tree};
use serde_json::json;

use super::args::{Check, Set};
use super::{Done, Loaded, Stop, load, print, print_json};
use crate::app::doc::Backend;
use crate::backend::Kernel;
use crate::fit::{self, Changes};
use crate::presets::{self, Chain, Failure};
use crate::resolved::{refused, resolve};
use crate::text;

/// Reads `ID=VALUE`.
fn parse(tree: &Tree, text: &str) -> Result<Change, Stop> {
    let Some((id, value)) = text.split_once('=') else {
        let failure = Failure::new(format!("`{text}` decides nothing"));
        return Err(Stop::Usage(
            failure.hint(format!("write {text}=on, {text}=off, {text}=auto, or PARAMETER=VALUE")),
        ));
    };
    let (id, value) = (id.trim(), value.trim());
    let usage = |message: String, hint: Option<String>| Stop::Usage(Failure { message, hint });
    let to = if value == "auto" && (tree.find(id).is_some() || tree.find_param(id).is_some()) {
        None
    } else if let Some(n) = tree.find(id) {
        let node = tree.node(n);
        Some(match node.kind {
            Kind::Menu => {
                let hint = node
                    .children
                    .first()
                    .map(|c| format!("decide a part in it, such as {}", tree.node(*c).id));
                return Err(usage(format!("`{id}` is a menu: there is nothing to decide"), hint));
            }
            Kind::Component => match value {
                "on" | "true" | "yes" | "y" => Decision::ON,
                "off" | "false" | "no" | "n" => Decision::OFF,
                _ => {
                    let message = format!("`{id}` cannot be `{value}`");
                    return Err(usage(message, Some("a part is on, off or auto".to_owned())));
                }
            },
            Kind::Choice => {
                let names: Vec<&str> =
                    node.children.iter().map(|m| bespoke_model::last_part(&tree.node(*m).id)).collect();
                if !names.contains(&value) {
                    let hint = bespoke_model::did_you_mean(value, names.iter().copied())
                        .unwrap_or_else(|| format!("its members are {}", names.join(", ")));
                    return Err(usage(format!("`{id}` has no member `{value}`"), Some(hint)));
                }
                Decision::Text(value.to_owned())
            }
        })
    } else if let Some(p) = tree.find_param(id) {
        match tree.param(p).ty.parse(value) {
            Ok(value) => Some(Decision::from(&value)),
            Err(why) => return Err(usage(format!("`{id}`: {why}"), None)),
        }
    } else {
        let hint = bespoke_model::did_you_mean(id, tree.decidable_ids())
            .unwrap_or_else(|| "`bespoke list` names everything".to_owned());
        return Err(usage(format!("there is nothing called `{id}`"), Some(hint)));
    };
    Ok(Change { id: id.to_owned(), to })
}

/// The changes that make a config's decisions random ones. What it extends and what fitting proposed stay.
fn random(tree: &Tree, chain: &Chain, seed: u64) -> Vec<Change> {
    let decided = tree.random_over(seed, &chain.decisions());
    let dropped = chain.config.set_entries().map(|(id, _)| Change::new(id, None));
    let drawn = decided.iter().filter(|(.., by)| **by == By::User);
    dropped.chain(drawn.map(|(id, to, _)| Change::new(id, to.clone()))).collect()
}

/// `bespoke set`.
pub fn set(args: &Set) -> Done {
    let kernel = Kernel::new();
    let tree = &kernel.os().tree;
    let mut changes = args.decisions.iter().map(|text| parse(tree, text)).collect::<Result<Vec<_>, _>>()?;
    if args.config.starts_with("preset:") {
        let failure = Failure::new(format!("{} cannot be changed", args.config));
        return Err(Stop::Usage(failure.hint(format!(
            "write a config of your own with the line `extends = \"{}\"`, and change that",
            args.config
        ))));
    }
    let mut chain = presets::load(&args.config)?;
    if let Some(seed) = args.random {
        changes = random(tree, &chain, seed);
    }
    // The file may be in contradiction already: then setting is the way out of it, and there is no delta to tell.
    let decisions = chain.decisions();
    let before = resolve(tree, &chain).ok();
    for change in &changes {
        chain.config.set(&change.id, change.to.clone());
    }
    let result = match &before {
        Some(before) => tree.preview(&decisions, before, &changes, None).map(|effect| effect.after),
        None => tree.resolve(&chain.decisions()),
    };
    let after = match result {
        Ok(after) => after,
        Err(refusal) => {
            if args.json {
                print_json(&json!({ "refused": refusal }));
                return Err(Stop::Silent);
            }
            let asked = args.decisions.join(" ");
            let mut failure = refused(&format!("cannot set {asked}"), &refusal);
            failure.hint = failure.hint.map(|hint| format!("{hint} as well"));
            return Err(Stop::No(failure));
        }
    };
    resolve(tree, &chain)?;
    presets::write(Path::new(&args.config), chain.config.text())?;
    // Sizes are told when the program is there to be measured; a decision does not depend on that.
    let measure = kernel.measure(&chain).ok();
    let effect = before.map(|before| tree.effect(&before, after, measure.as_deref()));
    if args.json {
        let (on, off) = effect.as_ref().map_or((Vec::new(), Vec::new()), |e| {
            let ids = |list: &[bespoke_model::NodeId]| -> Vec<&str> {
                list.iter().map(|n| tree.node(*n).id.as_str()).collect()
            };
            (ids(&e.turned_on), ids(&e.turned_off))
        });
        print_json(&json!({
            "config": args.config,
            "on": on,
            "off": off,
            "params": effect.as_ref().map(|e| &e.params),
            "delta": effect.as_ref().and_then(|e| e.delta),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = String::new();
    if let Some(effect) = effect {
        for n in &effect.turned_on {
            out.push_str(&format!("on   {}\n", tree.node(*n).id));
        }
        for n in &effect.turned_off {
            out.push_str(&format!("off  {}\n", tree.node(*n).id));
        }
        for p in &effect.params {
            out.push_str(&format!("     {} {} -> {}\n", p.id, p.from, p.to));
        }
        if let Some(delta) = effect.delta {
            out.push_str(&format!(
                "image {}, {} syscalls\n",
                text::signed_bytes(delta.image_bytes, "-"),
                text::signed(delta.syscalls, "-")
            ));
        }
    }
    print(&out);
    Ok(ExitCode::SUCCESS)
}

/// `bespoke check`.
pub fn check(args: &Check) -> Done {
    let limit = match &args.max_size {
        None => None,
        Some(size) => Some(text::parse_size(size).ok_or_else(|| {
            Stop::Usage(
                Failure::new(format!("`{size}` is not a size")).hint("write a size such as 64KiB or 1MiB"),
            )
        })?),
    };
    match checked(&args.config, limit) {
        Ok((loaded, image_bytes)) => {
            let changes = watch(&args.config, &loaded)?;
            if args.json {
                let measure = loaded.kernel.measure(&loaded.chain).map_err(Stop::no)?;
                let decisions = loaded.chain.decisions();
                let listing = loaded.tree().listing(&decisions, &loaded.resolution, Some(&*measure));
                print_json(&json!({
                    "ok": true,
                    "image_bytes": image_bytes,
                    "problems": [],
                    "listing": listing,
                    "program": changes.as_ref().map(|changes| json!({
                        "changed": changes.files,
                        "processes": changes.processes,
                        "new_needs": changes.needs.iter().map(|(need, parts)| json!({
                            "need": need,
                            "parts": parts.iter().map(|(id, on)| json!({ "id": id, "on": on })).collect::<Vec<_>>(),
                        })).collect::<Vec<_>>(),
                    })),
                }));
            } else {
                print(&format!("{} is sound: {}\n", args.config, text::bytes(image_bytes)));
                if let Some(changes) = changes {
                    print(&changed_words(&args.config, &changes));
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(Stop::No(failure)) if args.json => {
            print_json(&json!({
                "ok": false,
                "problems": [{ "message": failure.message, "hint": failure.hint }],
            }));
            Err(Stop::Silent)
        }
        Err(stop) => Err(stop),
    }
}

/// What has changed in the program since the config was fitted to it; nothing when it never was.
fn watch(config: &str, loaded: &Loaded) -> Result<Option<Changes>, Failure> {
    if config.starts_with("preset:") {
        return Ok(None);
    }
    let Some(evidence) = fit::known(Path::new(config))? else { return Ok(None) };
    let payload = loaded.kernel.payload(&loaded.chain)?;
    fit::changes(loaded.kernel.os(), payload, &evidence, |n| loaded.resolution.is_on(n)).map(Some)
}

fn changed_words(config: &str, changes: &Changes) -> String {
    let mut out = String::new();
    if !changes.files.is_empty() {
        out.push_str(&format!("changed since it was fitted: {}\n", changes.files.join(", ")));
        for (need, parts) in &changes.needs {
            let parts: Vec<String> =
                parts.iter().map(|(id, on)| format!("{id} ({})", if *on { "on" } else { "off" })).collect();
            let by = match parts.is_empty() {
                true => "no part serves it".to_owned(),
                false => format!("served by {}", parts.join(", ")),
            };
            out.push_str(&format!("  newly needs {}: {by}\n", fit::short(need)));
        }
        if changes.needs.is_empty() {
            out.push_str("  it needs nothing new\n");
        }
        out.push_str(&format!("  `bespoke fit {config}` takes it in\n"));
    }
    for line in &changes.processes {
        out.push_str(&format!("cannot work here, where there is one process: {}\n", fit::short(line)));
    }
    out
}

fn checked(config: &str, limit: Option<u64>) -> Result<(Loaded, u64), Stop> {
    let loaded = load(config)?;
    let mut problems = Diagnostics::new();
    for (guest, host) in loaded.chain.config.files() {
        if !loaded.chain.dir.join(host).exists() {
            problems.push(loaded.chain.config.problem_at(
                "files",
                guest,
                true,
                format!("there is no file {host}"),
            ));
        }
    }
    if let Some(image) = loaded.chain.config.image()
        && !loaded.chain.dir.join(&image.archive).exists()
    {
        let message = format!("there is no container image {}", image.archive);
        problems.push(loaded.chain.config.problem_at("image", "archive", true, message));
    }
    if let Some(program) = loaded.chain.config.program()
        && loaded.chain.image().is_none()
        && !program.path.starts_with("demo:")
        && !loaded.chain.dir.join(&program.path).exists()
    {
        let message = format!("there is no program {}", program.path);
        let mut problem = loaded.chain.config.problem_at("program", "path", true, message);
        problem.hint = program.package.as_ref().map(|name| format!("the package {name} brings it"));
        problems.push(problem);
    }
    if problems.has_errors() {
        return Err(Stop::No(Failure::new(presets::strip_error(&problems.to_string()))));
    }
    let payload = loaded.kernel.payload(&loaded.chain)?;
    let os = loaded.kernel.os();
    let plan = Plan::new(os, &loaded.resolution, payload).map_err(|error| Failure::from_kernel(&error))?;
    let image = plan.image_bytes();
    if let Some(limit) = limit
        && image > limit
    {
        let failure = Failure::new(format!(
            "the image would have {}, {} more than {}",
            text::bytes(image),
            text::bytes(image - limit),
            text::bytes(limit)
        ));
        let measure = loaded.kernel.measure(&loaded.chain).map_err(Stop::no)?;
        let mut largest: Vec<(u64, &str)> = loaded
            .resolution
            .components(loaded.tree())
            .filter(|n| loaded.tree().node(*n).core.is_none())
            .map(|n| (measure.component_bytes(&loaded.resolution, n), loaded.tree().node(n).id.as_str()))
            .collect();
        largest.sort_by(|a, b| b.cmp(a));
        let named: Vec<String> =
            largest.iter().take(3).map(|(bytes, id)| format!("{id} ({})", text::bytes(*bytes))).collect();
        return Err(Stop::No(failure.hint(format!("the largest parts are {}", named.join(", ")))));
    }
    Ok((loaded, image))
}
