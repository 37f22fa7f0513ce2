//! What is remembered between starts, besides configs: the size budget of each config.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::presets::{self, Failure};
use crate::text;

/// Where budgets are kept.
fn file() -> Option<PathBuf> {
    let base = match std::env::var_os("XDG_STATE_HOME") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".local/state"),
    };
    Some(base.join("bespoke/budgets.toml"))
}

/// A config by its path from the root: the name that is given may be another one next time.
fn key(config: &Path) -> Option<String> {
    let path = config.canonicalize().or_else(|_| std::path::absolute(config)).ok()?;
    Some(path.to_string_lossy().into_owned())
}

/// What can be read; a file that somebody broke counts as empty.
fn budgets(file: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    toml::from_str(&text).unwrap_or_default()
}

/// The size budget of a config.
pub fn budget(config: &Path) -> Option<u64> {
    text::parse_size(budgets(&file()?).get(&key(config)?)?)
}

/// Remembers the size budget of a config, or that it has none.
///
/// # Errors
/// When it cannot be written.
pub fn keep_budget(config: &Path, budget: Option<u64>) -> Result<(), Failure> {
    let (Some(file), Some(key)) = (file(), key(config)) else {
        return Err(Failure::new("there is no home folder to keep it in"));
    };
    let mut budgets = budgets(&file);
    match budget {
        Some(bytes) => budgets.insert(key, bespoke_model::Value::Size(bytes).to_string()),
        None => budgets.remove(&key),
    };
    std::fs::create_dir_all(presets::dir_of(&file)).map_err(|error| {
        Failure::new(format!("cannot make {}: {}", presets::dir_of(&file).display(), presets::plain(&error)))
    })?;
    presets::write(&file, &toml::to_string(&budgets).unwrap_or_default())
}
