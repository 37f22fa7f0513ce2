//! `bespoke preset`.

use std::process::ExitCode;

use serde_json::json;

use super::args::{Preset, PresetCommand};
use super::{Done, Stop, columns, load, print, print_json};
use crate::presets::{self, Failure};

/// `bespoke preset`.
pub fn preset(args: &Preset) -> Done {
    match &args.command {
        PresetCommand::List { json } => list(*json),
        PresetCommand::Show { name, json } => show(name.strip_prefix("preset:").unwrap_or(name), *json),
        PresetCommand::Save { config, name, force, json } => save(config, name, *force, *json),
    }
}

/// What a preset says about itself: the comment it begins with.
pub fn about(text: &str) -> String {
    let comment = text.lines().take_while(|line| line.starts_with('#'));
    comment.map(|line| line.trim_start_matches('#').trim()).collect::<Vec<_>>().join(" ")
}

fn list(json: bool) -> Done {
    let presets: Vec<(String, String, bool)> = presets::names()
        .into_iter()
        .filter_map(|name| presets::text(&name).map(|(text, ships)| (name, about(&text), ships)))
        .collect();
    if json {
        print_json(&json!(
            presets
                .iter()
                .map(|(name, about, ships)| json!({ "name": name, "about": about, "ships": ships }))
                .collect::<Vec<_>>()
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = presets
        .into_iter()
        .map(|(name, about, ships)| {
            let about = if ships { about } else { format!("(yours) {about}") };
            vec![format!("preset:{name}"), about]
        })
        .collect();
    print(&columns(&rows, &[]));
    Ok(ExitCode::SUCCESS)
}

fn show(name: &str, json: bool) -> Done {
    let Some((text, ships)) = presets::text(name) else {
        // Loading tells what there is instead.
        presets::load(&format!("preset:{name}"))?;
        return Err(Stop::no(format!("there is no preset `{name}`")));
    };
    if json {
        print_json(&json!({ "name": name, "about": about(&text), "ships": ships, "text": text }));
    } else {
        print(&text);
    }
    Ok(ExitCode::SUCCESS)
}

fn save(config: &str, name: &str, force: bool, json: bool) -> Done {
    if name.contains('/') || name.ends_with(".toml") {
        let failure = Failure::new(format!("`{name}` is a path, not a preset's name"));
        return Err(Stop::Usage(failure.hint("to copy a config to a file, use cp")));
    }
    let path = presets::place(name).map_err(|why| Stop::Usage(Failure::new(why)))?;
    let loaded = load(config)?;
    if path.exists() && !force {
        let failure = Failure::new(format!("there is a preset `{name}` already"));
        return Err(Stop::No(failure.hint("--force overwrites it")));
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|error| {
            Stop::no(format!("cannot make {}: {}", dir.display(), presets::plain(&error)))
        })?;
    }
    let copy = presets::relocated(&loaded.chain, presets::dir_of(&path));
    presets::write(&path, copy.text())?;
    if json {
        print_json(&json!({ "name": name, "path": path }));
    } else {
        print(&format!("preset:{name}  {}\n", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}
