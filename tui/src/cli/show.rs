//! Commands that only tell: `list`, `size`, `explain`, `diff`.

use std::process::ExitCode;
use std::rc::Rc;

use bespoke_model::{Config, Decision, Explanation, Footprint, Kind, Origin};
use serde_json::{Value as Json, json};

use super::args::{Diff, Explain, List, Size};
use super::{Done, Loaded, Stop, columns, load, print, print_json};
use crate::app::doc::{Backend, Doc, Item, Outcome, Want};
use crate::backend::Kernel;
use crate::fit;
use crate::presets::{self, Failure};
use crate::text;
use crate::view::origin_words;

/// `bespoke list`.
pub fn list(args: &List) -> Done {
    let kernel = Kernel::new();
    let tree = &kernel.os().tree;
    if args.schema {
        print_json(&tree.json_schema());
        return Ok(ExitCode::SUCCESS);
    }
    if args.json {
        let mut rows: Vec<Json> = Vec::new();
        for n in tree.nodes() {
            let node = tree.node(n);
            rows.push(json!({
                "id": node.id,
                "title": node.title,
                "kind": node.kind.name(),
                "parent": node.parent.map(|p| &tree.node(p).id),
                "requires": node.requires.iter().map(|c| {
                    let terms: Vec<&str> = c.text.strip_prefix("any of ").map_or_else(
                        || vec![c.text.as_str()],
                        |list| list.split(", ").collect(),
                    );
                    if terms.len() == 1 { json!(terms[0]) } else { json!({ "any": terms }) }
                }).collect::<Vec<_>>(),
                "conflicts": node.conflicts.iter().map(|l| &l.text).collect::<Vec<_>>(),
                "provides": node.provides.iter().map(|l| &l.text).collect::<Vec<_>>(),
            }));
            for p in &node.params {
                let param = tree.param(*p);
                rows.push(json!({
                    "id": param.id,
                    "title": param.help,
                    "kind": "param",
                    "parent": node.id,
                    "requires": [],
                    "conflicts": [],
                    "provides": [],
                    "type": param.ty.name(),
                    "takes": param.ty.describe(),
                    "default": param.default,
                }));
            }
        }
        print_json(&Json::Array(rows));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = Vec::new();
    for n in tree.nodes() {
        let node = tree.node(n);
        let indent = "  ".repeat(tree.depth(n));
        let kind = match node.kind {
            Kind::Component if node.core.is_some() => "always on",
            Kind::Component if tree.choice_of(n).is_some() => "member",
            Kind::Component => "",
            other => other.name(),
        };
        rows.push(vec![format!("{indent}{}", node.id), node.title.clone(), kind.to_owned()]);
        for p in &node.params {
            let param = tree.param(*p);
            rows.push(vec![
                format!("{indent}  {}", param.id),
                format!("= {}", param.default),
                "parameter".to_owned(),
            ]);
        }
    }
    print(&columns(&rows, &[]));
    Ok(ExitCode::SUCCESS)
}

/// A document of a loaded config, for the questions that the configurator asks too.
fn doc(loaded: Loaded, spec: &str) -> Result<(Doc, Rc<Kernel>), Stop> {
    let tree = loaded.tree();
    let kernel = loaded.kernel.clone();
    let doc = Doc::open(tree, loaded.kernel, loaded.chain, spec, true).map_err(Stop::no)?;
    Ok((doc, kernel))
}

fn origin_key(doc: &Doc, item: Item) -> Json {
    match doc.origin(item) {
        Origin::User => json!("user"),
        Origin::Preset(name) => json!(name.as_ref()),
        Origin::Fit => json!("fit"),
        Origin::Default | Origin::Member => json!("default"),
        Origin::Blocked => json!("blocked"),
        Origin::Core => json!("core"),
        Origin::RequiredBy(n) => json!(format!("required by {}", doc.tree().node(*n).id)),
        Origin::RecommendedBy(n) => json!(format!("recommended by {}", doc.tree().node(*n).id)),
    }
}

/// `bespoke size`.
pub fn size(args: &Size) -> Done {
    let loaded = load(&args.config)?;
    let (doc, kernel) = doc(loaded, &args.config)?;
    let tree = doc.tree();
    let footprint = *doc.footprint();
    let measure = kernel.measure(doc.chain()).map_err(Stop::no)?;
    if args.json {
        let components: Vec<Json> = tree
            .nodes()
            .filter(|n| tree.node(*n).kind == Kind::Component)
            .map(|n| {
                let item = Item::Node(n);
                let toggle = match doc.preview(item, &Want::Flip) {
                    Outcome::Change(change) => json!(change.image),
                    Outcome::Same | Outcome::Refused(_) => Json::Null,
                };
                json!({
                    "id": tree.node(n).id,
                    "on": doc.is_on(n),
                    "origin": origin_key(&doc, item),
                    "bytes": measure.component_bytes(doc.resolution(), n),
                    "toggle_bytes": toggle,
                })
            })
            .collect();
        let Json::Object(mut out) = footprint_json(&footprint) else { return Ok(ExitCode::SUCCESS) };
        out.insert("components".to_owned(), Json::Array(components));
        print_json(&Json::Object(out));
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = totals(&footprint);
    let mut parts: Vec<(u64, &str, String)> = doc
        .resolution()
        .components(tree)
        .map(|n| {
            let bytes = measure.component_bytes(doc.resolution(), n);
            (bytes, tree.node(n).id.as_str(), origin_words(&doc, Item::Node(n)))
        })
        .collect();
    parts.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    out.push_str("\nwhat would go with each part that is on, if it alone went:\n\n");
    let rows: Vec<Vec<String>> = parts
        .into_iter()
        .map(|(bytes, id, who)| vec![format!("  {}", text::bytes(bytes)), id.to_owned(), who])
        .collect();
    out.push_str(&columns(&rows, &[0]));
    print(&out);
    Ok(ExitCode::SUCCESS)
}

fn footprint_json(f: &Footprint) -> Json {
    serde_json::to_value(f).unwrap_or_default()
}

fn totals(f: &Footprint) -> String {
    let rows = [
        ("image", text::bytes(f.image_bytes)),
        ("  operating system", text::bytes(f.os_bytes)),
        ("  program", text::bytes(f.program_bytes)),
        ("  files", text::bytes(f.files_bytes)),
        ("memory at boot", text::bytes(f.boot_memory_bytes)),
        ("system calls", f.syscalls.to_string()),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    columns(&rows, &[1])
}

/// `bespoke explain`.
pub fn explain(args: &Explain) -> Done {
    let loaded = load(&args.config)?;
    let why = {
        let measure = loaded.kernel.measure(&loaded.chain).map_err(Stop::no)?;
        loaded.tree().explain(&loaded.chain.decisions(), &loaded.resolution, &args.id, Some(&*measure))
    };
    let (doc, _) = doc(loaded, &args.config)?;
    let tree = doc.tree();
    let Some((item, why)) =
        tree.find(&args.id).map(Item::Node).or_else(|| tree.find_param(&args.id).map(Item::Param)).zip(why)
    else {
        let ids = tree
            .nodes()
            .map(|n| tree.node(n).id.as_str())
            .chain(tree.params().map(|p| tree.param(p).id.as_str()));
        let failure = Failure::new(format!("there is nothing called `{}`", args.id));
        return Err(Stop::Usage(match bespoke_model::did_you_mean(&args.id, ids) {
            Some(hint) => failure.hint(hint),
            None => failure.hint("`bespoke list` names everything"),
        }));
    };
    let evidence = fit::known_of(&args.config);
    let needs = match (&evidence, item) {
        (Some(evidence), Item::Node(n)) => fit::evidence_of(tree, n, evidence),
        _ => Vec::new(),
    };
    if args.json {
        let mut out = explain_json(&doc, item, &why);
        if let (Some(evidence), Some(out)) = (&evidence, out.as_object_mut()) {
            let known = |need: &String| json!({ "need": need, "evidence": evidence.needs.get(need) });
            out.insert("evidence".into(), needs.iter().map(known).collect());
        }
        print_json(&out);
    } else {
        let lines = evidence
            .iter()
            .flat_map(|evidence| needs.iter().map(move |need| fit::witness_line(need, evidence)));
        print(&explain_text(&doc, item, &why, &lines.collect::<Vec<_>>()));
    }
    Ok(ExitCode::SUCCESS)
}

fn explain_json(doc: &Doc, item: Item, why: &Explanation) -> Json {
    let tree = doc.tree();
    match item {
        Item::Param(p) => {
            let param = tree.param(p);
            json!({
                "id": param.id,
                "value": doc.value(p),
                "default": param.default,
                "origin": origin_key(doc, item),
                "active": doc.is_active(p),
                "takes": param.ty.describe(),
            })
        }
        Item::Node(n) => {
            let toggle = match doc.preview(item, &Want::Flip) {
                Outcome::Same => Json::Null,
                Outcome::Refused(refused) => json!({
                    "refused": refused.because,
                    "fixes": refused.fixes.iter().map(|f| json!({
                        "title": f.title,
                        "decisions": f.decisions.iter()
                            .map(|(id, to)| json!({ "id": id, "to": to })).collect::<Vec<_>>(),
                        "image_bytes": f.image,
                    })).collect::<Vec<_>>(),
                }),
                Outcome::Change(change) => json!({
                    "on": change.on.iter().map(|n| &tree.node(*n).id).collect::<Vec<_>>(),
                    "off": change.off.iter().map(|n| &tree.node(*n).id).collect::<Vec<_>>(),
                    "image_bytes": change.image,
                    "boot_memory_bytes": change.memory,
                    "syscalls": change.syscalls,
                }),
            };
            json!({
                "id": tree.node(n).id,
                "on": doc.is_on(n),
                "origin": origin_key(doc, item),
                "core": tree.node(n).core,
                "because": why.because,
                "needed_by": why.needed_by,
                "needs": why.needs,
                "bytes": why.bytes,
                "prose": why.prose,
                "toggle": toggle,
            })
        }
    }
}

fn explain_text(doc: &Doc, item: Item, why: &Explanation, evidence: &[String]) -> String {
    let tree = doc.tree();
    let mut rows: Vec<(String, String)> = Vec::new();
    let help;
    match item {
        Item::Param(p) => {
            let param = tree.param(p);
            rows.push((param.id.clone(), format!("{}, {}", doc.value(p), origin_words(doc, item))));
            rows.push(("takes".into(), param.ty.describe()));
            rows.push(("default".into(), param.default.to_string()));
            if !doc.is_active(p) {
                rows.push(("but".into(), format!("{} is off", tree.node(param.owner).id)));
            }
            help = &param.help;
        }
        Item::Node(n) => {
            let node = tree.node(n);
            help = &node.help;
            let state = match (node.kind, doc.is_on(n)) {
                (Kind::Menu, _) => {
                    let (on, all) = doc.inside(n);
                    format!("a menu, {on} of {all} parts on")
                }
                (Kind::Choice, _) => match doc.member(n) {
                    Some(m) => {
                        format!("{}, {}", bespoke_model::last_part(&tree.node(m).id), origin_words(doc, item))
                    }
                    None => "off".to_owned(),
                },
                (_, true) => format!("on, {}", origin_words(doc, item)),
                (_, false) if *doc.origin(item) == Origin::Default => "off: nobody asked for it".to_owned(),
                (_, false) => format!("off, {}", origin_words(doc, item)),
            };
            rows.push((node.id.clone(), state));
            if let Some(why) = &node.core {
                rows.push(("always on".into(), why.clone()));
            }
            let steps: Vec<String> = why.because.iter().map(ToString::to_string).collect();
            for (index, step) in steps.iter().enumerate() {
                rows.push((if index == 0 { "because".into() } else { String::new() }, step.clone()));
            }
            for (index, line) in evidence.iter().enumerate() {
                rows.push((if index == 0 { "the program".into() } else { String::new() }, line.clone()));
            }
            if !why.needed_by.is_empty() {
                rows.push(("needed by".into(), why.needed_by.join(", ")));
            }
            if node.kind == Kind::Component && node.core.is_none() {
                doc.measure(item);
                match doc.preview(item, &Want::Flip) {
                    Outcome::Same => {}
                    Outcome::Refused(refused) => {
                        rows.push((
                            format!("cannot {}", doc.title_of(item, &Want::Flip)),
                            refused.because.join(" "),
                        ));
                        for fix in &refused.fixes {
                            let cost = fix
                                .image
                                .map_or_else(String::new, |b| format!(" ({})", text::signed_bytes(b, "-")));
                            rows.push(("you could".into(), format!("{}{cost}", fix.title)));
                        }
                    }
                    Outcome::Change(change) => {
                        rows.push((
                            doc.title_of(item, &Want::Flip),
                            format!(
                                "{}, {} syscalls, {} B memory",
                                text::signed_bytes(change.image, "-"),
                                text::signed(change.syscalls, "-"),
                                text::signed(change.memory, "-")
                            ),
                        ));
                        let name = |list: &[bespoke_model::NodeId]| {
                            list.iter()
                                .filter(|o| **o != n)
                                .map(|o| tree.node(*o).id.as_str())
                                .collect::<Vec<_>>()
                                .join(", ")
                        };
                        for (word, list) in [("turns on", name(&change.on)), ("turns off", name(&change.off))]
                        {
                            if !list.is_empty() {
                                rows.push((word.into(), list));
                            }
                        }
                    }
                }
            }
            for (word, list) in [
                ("needs", node.requires.iter().map(|c| c.text.clone()).collect::<Vec<_>>()),
                ("not with", node.conflicts.iter().map(|l| l.text.clone()).collect()),
                ("gives", node.provides.iter().map(|l| l.text.clone()).collect()),
            ] {
                if !list.is_empty() {
                    rows.push((word.into(), list.join(", ")));
                }
            }
        }
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(a, b)| vec![a, b]).collect();
    format!("{}\n{}\n", columns(&rows, &[]), crate::view::wrap(&help.replace('\n', " "), 90).join("\n"))
}

/// `bespoke diff`.
pub fn diff(args: &Diff) -> Done {
    if let Some(base) = &args.base {
        return merge(base, args);
    }
    let (a, b) = (load(&args.a)?, load(&args.b)?);
    let tree = a.tree();
    let feet = |loaded: &Loaded| -> Result<Footprint, Stop> {
        Ok(loaded.kernel.measure(&loaded.chain).map_err(Stop::no)?.footprint(&loaded.resolution))
    };
    let (before, after) = (feet(&a)?, feet(&b)?);
    let delta = before.delta(&after);
    let (da, db) = (a.chain.decisions(), b.chain.decisions());
    let mut ids: Vec<&str> = da.iter().chain(db.iter()).map(|(id, ..)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    let decisions: Vec<(&str, Option<&Decision>, Option<&Decision>)> = ids
        .into_iter()
        .map(|id| (id, da.get(id).map(|(d, _)| d), db.get(id).map(|(d, _)| d)))
        .filter(|(_, x, y)| x != y)
        .collect();
    let parts = |from: &Loaded, to: &Loaded| -> Vec<&'static str> {
        let gone = to.resolution.components(tree).filter(|n| !from.resolution.is_on(*n));
        gone.map(|n| tree.node(n).id.as_str()).collect()
    };
    let (on, off) = (parts(&a, &b), parts(&b, &a));
    if args.json {
        print_json(&json!({
            "decisions": decisions.iter().map(|(id, x, y)| json!({ "id": id, "a": x, "b": y })).collect::<Vec<_>>(),
            "on": on,
            "off": off,
            "a": footprint_json(&before),
            "b": footprint_json(&after),
            "delta": delta,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    let show = |d: Option<&Decision>| d.map_or_else(|| "open".to_owned(), ToString::to_string);
    for (id, x, y) in &decisions {
        rows.push(vec!["decided".into(), (*id).to_owned(), format!("{} -> {}", show(*x), show(*y))]);
    }
    rows.extend(on.iter().map(|id| vec!["on".into(), (*id).to_owned()]));
    rows.extend(off.iter().map(|id| vec!["off".into(), (*id).to_owned()]));
    let size = |a: u64, b: u64, change: i64| {
        format!("{} -> {} ({})", text::grouped(a), text::grouped(b), text::signed(change, "-"))
    };
    rows.push(vec![
        "bytes".into(),
        "image".into(),
        size(before.image_bytes, after.image_bytes, delta.image_bytes),
    ]);
    rows.push(vec![
        "bytes".into(),
        "memory at boot".into(),
        size(before.boot_memory_bytes, after.boot_memory_bytes, delta.boot_memory_bytes),
    ]);
    rows.push(vec![
        "count".into(),
        "system calls".into(),
        size(before.syscalls.into(), after.syscalls.into(), delta.syscalls),
    ]);
    print(&columns(&rows, &[]));
    Ok(ExitCode::SUCCESS)
}

/// `bespoke diff --base`: what merging would take and what it cannot decide.
fn merge(base: &str, args: &Diff) -> Done {
    let config = |spec: &str| presets::load(spec).map(|chain| chain.config);
    let merge = Config::merge(&config(base)?, &config(&args.a)?, &config(&args.b)?);
    let code = ExitCode::from(u8::from(!merge.conflicts.is_empty()));
    if args.json {
        print_json(&json!({
            "taken": merge.taken,
            "conflicts": merge.conflicts,
            "merged": merge.config.text(),
        }));
        return Ok(code);
    }
    let mut out = String::new();
    for taken in &merge.taken {
        out.push_str(&format!("taken     {taken}\n"));
    }
    for conflict in &merge.conflicts {
        out.push_str(&format!("conflict  {conflict}\n"));
    }
    print(&out);
    Ok(code)
}
