//! Bytes: of every row, of the map's areas, and of what could go.

use std::collections::HashMap;

use bespoke_model::{Kind, NodeId, Origin};

use super::{Doc, FILES, Item, Outcome, PROGRAM, REST, SHARED, Share, Want};

impl Doc {
    /// Whether an item's bytes are known (or it has none).
    pub fn measured(&self, item: Item) -> bool {
        !self.measurable(item) || self.caches.borrow().bytes.contains_key(&item)
    }

    pub(super) fn measurable(&self, item: Item) -> bool {
        matches!(item, Item::Node(_))
    }

    /// Measures an item; whether there was something to do.
    pub fn measure(&self, item: Item) -> bool {
        if self.measured(item) {
            return false;
        }
        let Item::Node(n) = item else { return false };
        if self.tree.node(n).kind != Kind::Component {
            self.measure_groups();
            return true;
        }
        let bytes = if self.is_on(n) {
            Some(self.measure.component_bytes(&self.now.resolution, n) as i64)
        } else {
            match self.preview(item, &Want::Flip) {
                Outcome::Change(change) => Some(change.image),
                Outcome::Same | Outcome::Refused(_) => None,
            }
        };
        self.caches.borrow_mut().bytes.insert(item, bytes);
        true
    }

    /// Measures all menus and choices.
    fn measure_groups(&self) {
        let mut sums: HashMap<NodeId, i64> = HashMap::new();
        for (owner, size) in self.owned() {
            if let Some(group) = owner.and_then(|n| self.tree.node(n).parent) {
                *sums.entry(group).or_default() += size as i64;
            }
        }
        let is_group = |n: &NodeId| self.tree.node(*n).kind != Kind::Component;
        let groups: Vec<NodeId> = self.tree.nodes().filter(is_group).collect();
        let bytes = &mut self.caches.borrow_mut().bytes;
        bytes.extend(groups.into_iter().map(|n| (Item::Node(n), Some(self.sum_below(n, &sums)))));
    }

    fn sum_below(&self, n: NodeId, sums: &HashMap<NodeId, i64>) -> i64 {
        let children = self.tree.node(n).children.iter();
        sums.get(&n).copied().unwrap_or(0) + children.map(|child| self.sum_below(*child, sums)).sum::<i64>()
    }

    /// How the operating system's bytes are shared out among parts.
    fn owned(&self) -> Vec<(Option<NodeId>, u64)> {
        let mut caches = self.caches.borrow_mut();
        caches
            .shares
            .get_or_insert_with(|| self.backend.shares(&self.now.chain, &self.now.resolution))
            .clone()
    }

    /// For a part that is on, the bytes that go with it alone; for one that is off, the change of the image if it came. For a menu or a
    /// choice, the bytes that the parts in it own.
    /// Nothing when that is not measured yet, or there is no answer.
    pub fn bytes(&self, item: Item) -> Option<i64> {
        self.caches.borrow().bytes.get(&item).copied().flatten()
    }

    /// Whether a row's toggle would be refused, as far as is known.
    pub fn blocked(&self, item: Item) -> bool {
        matches!(self.caches.borrow().previews.get(&item), Some(Outcome::Refused(_)))
    }

    /// Whether the program and its files are so large that a map with them would show nothing else.
    pub fn program_overwhelms(&self) -> bool {
        let footprint = &self.now.footprint;
        footprint.program_bytes + footprint.files_bytes > footprint.os_bytes
    }

    /// Where the image's bytes are, the largest first. A program that overwhelms all else is left out.
    pub fn shares(&self) -> Vec<Share> {
        let footprint = &self.now.footprint;
        let mut shares: Vec<Share> = self
            .owned()
            .into_iter()
            .map(|(node, bytes)| Share {
                node,
                name: node.map_or_else(|| SHARED.to_owned(), |n| self.tree.node(n).id.clone()),
                bytes,
            })
            .collect();
        shares.push(Share { node: None, name: PROGRAM.to_owned(), bytes: footprint.program_bytes });
        shares.push(Share { node: None, name: FILES.to_owned(), bytes: footprint.files_bytes });
        let rest = footprint.image_bytes.saturating_sub(shares.iter().map(|s| s.bytes).sum());
        shares.push(Share { node: None, name: REST.to_owned(), bytes: rest });
        shares.retain(|share| share.bytes > 0);
        if self.program_overwhelms() {
            shares.retain(|share| share.name != PROGRAM && share.name != FILES);
        }
        shares.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        shares
    }

    /// The largest parts that can go without taking along anything that the user, fitting or a preset asked for.
    pub fn removable(&self, most: usize) -> Vec<(NodeId, u64)> {
        let mut found: Vec<(NodeId, u64)> = Vec::new();
        for n in self.now.resolution.components(self.tree) {
            let item = Item::Node(n);
            // What somebody asked for is not proposed to go: that is theirs to say.
            let wanted =
                matches!(self.origin(item), Origin::Core | Origin::User | Origin::Preset(_) | Origin::Fit);
            if wanted || self.tree.choice_of(n).is_some() || self.pinned(item).is_some() {
                continue;
            }
            if let Outcome::Change(change) = self.preview(item, &Want::Off) {
                let theirs = |n: &NodeId| {
                    matches!(self.origin(Item::Node(*n)), Origin::User | Origin::Preset(_) | Origin::Fit)
                };
                let spares = !change.off.iter().any(theirs);
                if spares && change.image < 0 {
                    found.push((n, change.image.unsigned_abs()));
                }
            }
        }
        found.sort_by_key(|(n, bytes)| (std::cmp::Reverse(*bytes), *n));
        found.truncate(most);
        found
    }
}
