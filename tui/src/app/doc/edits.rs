//! Edits: each makes a new text, from which everything is derived again, and can be undone.

use bespoke_model::{Config, Decision};

use super::{Change, Derived, Doc, Outcome, Refused, derive};
use crate::presets;

impl Doc {
    /// Makes decisions.
    ///
    /// # Errors
    /// When they cannot be kept together with the others.
    pub fn decide(
        &mut self,
        label: &str,
        wanted: Vec<(String, Option<Decision>)>,
    ) -> Result<Change, Refused> {
        let mut chain = self.now.chain.clone();
        for (id, decision) in &wanted {
            chain.config.set(id, decision.clone());
        }
        match derive(self.tree, &*self.measure, chain) {
            Ok(next) => Ok(self.become_next(label, next)),
            Err(refusal) => match self.preview_decisions(&wanted) {
                Outcome::Refused(refused) => Err(refused),
                _ => Err(self.refused(&wanted, &refusal)),
            },
        }
    }

    pub(super) fn become_next(&mut self, label: &str, next: Derived) -> Change {
        let change = self.change_to(&next.resolution);
        self.history.record(label, next.chain.config.clone());
        self.now = next;
        self.caches.take();
        self.state += 1;
        change
    }

    /// What extending another file would do.
    ///
    /// # Errors
    /// When it cannot be, in words.
    pub fn preview_extend(&self, name: &str) -> Result<Change, String> {
        let mut config = self.now.chain.config.clone();
        config.set_extends(Some(name));
        let chain = presets::chain(config, &self.now.chain.dir).map_err(|failure| failure.message)?;
        let resolution = self.tree.resolve(&chain.decisions()).map_err(|refusal| refusal.to_string())?;
        Ok(self.change_to(&resolution))
    }

    /// Extends another file.
    ///
    /// # Errors
    /// When it cannot be, in words.
    pub fn extend(&mut self, name: &str) -> Result<Change, String> {
        let mut config = self.now.chain.config.clone();
        config.set_extends(Some(name));
        self.replace(&format!("extend {name}"), config)
    }

    /// Replaces the whole text.
    ///
    /// # Errors
    /// When the text is no config, or its decisions cannot be kept together; in words.
    pub fn replace_text(&mut self, label: &str, text: &str) -> Result<Change, String> {
        let config = Config::parse(self.now.chain.config.file(), text).map_err(|d| d.to_string())?;
        self.replace(label, config)
    }

    pub(super) fn replace(&mut self, label: &str, config: Config) -> Result<Change, String> {
        let chain = presets::chain(config, &self.now.chain.dir).map_err(|failure| failure.message)?;
        let measure = self.backend.measure(&chain)?;
        let next = derive(self.tree, &*measure, chain).map_err(|refusal| refusal.to_string())?;
        self.measure = measure;
        Ok(self.become_next(label, next))
    }

    /// Takes the last change back; what it was.
    pub fn undo(&mut self) -> Option<String> {
        let label = self.history.undo()?;
        self.return_to_history();
        Some(label)
    }

    /// Makes the last undone change again; what it was.
    pub fn redo(&mut self) -> Option<String> {
        let label = self.history.redo()?;
        self.return_to_history();
        Some(label)
    }

    /// Everything in the history was valid once, so deriving it again cannot fail; should a file that is extended
    /// have changed meanwhile, the state shown stays as it is.
    pub(super) fn return_to_history(&mut self) {
        let config = self.history.now().clone();
        let Ok(chain) = presets::chain(config, &self.now.chain.dir) else { return };
        if chain.config.extends() != self.now.chain.config.extends()
            && let Ok(measure) = self.backend.measure(&chain)
        {
            self.measure = measure;
        }
        if let Ok(next) = derive(self.tree, &*self.measure, chain) {
            self.now = next;
            self.caches.take();
            self.state += 1;
        }
    }

    /// What was done, the latest first.
    pub fn history(&self) -> Vec<String> {
        self.history.labels().rev().map(str::to_owned).collect()
    }
}
