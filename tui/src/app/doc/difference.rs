//! What is different from the file, or from a preset.

use std::collections::{BTreeMap, BTreeSet};

use bespoke_model as model;
use bespoke_model::{Decisions, NodeId, Resolution};

use super::{Base, Doc, Item, derive};
use crate::app::rows::Row;
use crate::app::theme::Glyphs;
use crate::presets;
use crate::text;

impl Doc {
    /// Chooses what changes are told against: a preset, or the file.
    ///
    /// # Errors
    /// When there is no such preset, or it cannot be.
    pub fn compare_with(&mut self, preset: Option<&str>) -> Result<(), String> {
        let (name, chain) = match (preset, &self.saved) {
            (Some(name), _) => (name.to_owned(), presets::load(name).map_err(|failure| failure.message)?),
            (None, Some(config)) => (
                "the file".to_owned(),
                presets::chain(config.clone(), &self.now.chain.dir).map_err(|failure| failure.message)?,
            ),
            (None, None) => (
                "the start".to_owned(),
                presets::chain(self.history.first().clone(), &self.now.chain.dir)
                    .map_err(|failure| failure.message)?,
            ),
        };
        let measure = self.backend.measure(&chain)?;
        let derived = derive(self.tree, &*measure, chain).map_err(|refusal| refusal.to_string())?;
        self.base = Base {
            name,
            decisions: derived.decisions,
            resolution: derived.resolution,
            footprint: derived.footprint,
        };
        Ok(())
    }

    /// The changes in a few lines, for a question.
    pub fn summary(&self, most: usize) -> Vec<String> {
        let mut lines: Vec<String> = self.history();
        let more = lines.len().saturating_sub(most);
        lines.truncate(most);
        if more > 0 {
            lines.push(format!("and {} before", text::count(more, "change")));
        }
        lines
    }

    /// What is different from the base, as rows.
    pub fn difference(&self, glyphs: &Glyphs) -> Vec<Row> {
        let (base, now) = (&self.base, &self.now);
        let mut rows = vec![Row::heading(format!("compared with {}", base.name))];
        let delta = base.footprint.delta(&now.footprint);
        let ids: BTreeSet<&str> =
            base.decisions.iter().chain(now.decisions.iter()).map(|(id, ..)| id).collect();
        let mut decided = Vec::new();
        for id in ids {
            let show = |d: &Decisions| d.get(id).map_or_else(|| "open".to_owned(), |(d, _)| d.to_string());
            let (before, after) = (show(&base.decisions), show(&now.decisions));
            if before != after {
                let item =
                    self.tree.find(id).map(Item::Node).or_else(|| self.tree.find_param(id).map(Item::Param));
                let text = format!("{before} {} {after}", glyphs.arrow);
                decided.push(match item {
                    Some(item) => Row { text, ..Row::item(item, 1) },
                    None => Row::line(format!("{id} {text}")),
                });
            }
        }
        let turned = |from: &Resolution, to: &Resolution| -> Vec<Row> {
            to.components(self.tree)
                .filter(|n| !from.is_on(*n))
                .map(|n| Row::item(Item::Node(n), 1))
                .collect()
        };
        let on = turned(&base.resolution, &now.resolution);
        let off = turned(&now.resolution, &base.resolution);
        if decided.is_empty() && on.is_empty() && off.is_empty() {
            rows.push(Row::line("nothing is different"));
        } else {
            rows.push(Row::line(format!(
                "image {}, boot memory {}, system calls {}",
                text::signed_bytes(delta.image_bytes, glyphs.minus),
                text::signed_bytes(delta.boot_memory_bytes, glyphs.minus),
                text::signed(delta.syscalls, glyphs.minus)
            )));
        }
        for (title, part) in [("decisions", decided), ("turned on", on), ("turned off", off)] {
            if !part.is_empty() {
                rows.push(Row::heading(format!("{title}: {}", part.len())));
                rows.extend(part);
            }
        }
        let done = self.history();
        if !done.is_empty() {
            rows.push(Row::heading("done since opening, the latest first"));
            rows.extend(done.into_iter().map(Row::line));
        }
        rows
    }

    /// The parts of a change by the menu they lie in, for lists.
    pub fn by_menu(&self, nodes: &[NodeId]) -> BTreeMap<String, Vec<String>> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for n in nodes {
            let id = &self.tree.node(*n).id;
            let menu = id.rsplit_once('.').map_or("", |(menu, _)| menu);
            groups.entry(menu.to_owned()).or_default().push(model::last_part(id).to_owned());
        }
        groups
    }
}
