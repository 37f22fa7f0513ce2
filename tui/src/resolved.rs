//! From a chain of configs to what follows from it, or to the words for why nothing does.

use bespoke_model::{Diagnostics, Refusal, Resolution, Tree};

use crate::presets::{self, Chain, Failure};

/// What follows from a chain of configs.
pub fn resolve(tree: &Tree, chain: &Chain) -> Result<Resolution, Failure> {
    let mut problems = Diagnostics::new();
    for config in std::iter::once(&chain.config).chain(chain.below.iter().map(|(_, config)| config)) {
        problems.extend(tree.check(config));
    }
    if problems.has_errors() {
        return Err(Failure::new(presets::strip_error(&problems.to_string())));
    }
    tree.resolve(&chain.decisions()).map_err(|refusal| refused(chain.config.file(), &refusal))
}

/// A refusal as a failure: the reason, and the fixes as a hint.
pub fn refused(what: &str, refusal: &Refusal) -> Failure {
    let prose = refusal.prose.trim_end_matches('.').replacen("Because ", "because ", 1);
    let failure = Failure::new(format!("{what}: {prose}"));
    let fixes: Vec<String> = refusal
        .fixes
        .iter()
        .map(|fix| {
            let words: Vec<String> = fix
                .changes
                .iter()
                .map(|c| {
                    format!(
                        "{}={}",
                        c.id,
                        c.to.as_ref().map_or_else(|| "auto".to_owned(), ToString::to_string)
                    )
                })
                .collect();
            words.join(" ")
        })
        .collect();
    match fixes.is_empty() {
        true => failure,
        false => failure.hint(format!("set {}", fixes.join(", or "))),
    }
}
