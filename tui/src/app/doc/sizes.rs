//! Bytes: of every row, of the map's areas, and of what could go.

use bespoke_model::{Kind, NodeId, Origin};

use super::{Doc, FILES, Item, Outcome, PROGRAM, REST, SHARED, Share, Want};

impl Doc {
    /// Whether an item's bytes are known (or it has none).
    pub fn measured(&self, item: Item) -> bool {
        !self.measurable(item) || self.caches.borrow().bytes.contains_key(&item)
    }

    pub(super) fn measurable(&self, item: Item) -> bool {
        matches!(item, Item::Node(n) if self.tree.node(n).kind == Kind::Component)
    }

    /// Measures an item; whether there was something to do.
    pub fn measure(&self, item: Item) -> bool {
        if self.measured(item) {
            return false;
        }
        let Item::Node(n) = item else { return false };
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

    /// For a part that is on, the bytes that go with it alone; for one that is off, the change of the image if it came.
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
        if let Some(shares) = &self.caches.borrow().shares {
            return shares.clone();
        }
        let footprint = &self.now.footprint;
        let mut shares: Vec<Share> = Vec::new();
        let mut exact = true;
        match self.backend.shares(&self.now.chain, &self.now.resolution) {
            Some(owned) => shares.extend(owned.into_iter().map(|(node, bytes)| Share {
                node,
                name: node.map_or_else(|| SHARED.to_owned(), |n| self.tree.node(n).id.clone()),
                bytes,
            })),
            None => {
                let mut rest = footprint.os_bytes;
                for n in self.now.resolution.components(self.tree) {
                    match self.bytes(Item::Node(n)) {
                        Some(bytes) => {
                            let bytes = (bytes.unsigned_abs()).min(rest);
                            rest -= bytes;
                            shares.push(Share { node: Some(n), name: self.tree.node(n).id.clone(), bytes });
                        }
                        None => exact = false,
                    }
                }
                shares.push(Share { node: None, name: SHARED.to_owned(), bytes: rest });
            }
        }
        shares.push(Share { node: None, name: PROGRAM.to_owned(), bytes: footprint.program_bytes });
        shares.push(Share { node: None, name: FILES.to_owned(), bytes: footprint.files_bytes });
        let rest = footprint.image_bytes.saturating_sub(shares.iter().map(|s| s.bytes).sum());
        shares.push(Share { node: None, name: REST.to_owned(), bytes: rest });
        shares.retain(|share| share.bytes > 0);
        if self.program_overwhelms() {
            shares.retain(|share| share.name != PROGRAM && share.name != FILES);
        }
        shares.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        if exact {
            self.caches.borrow_mut().shares = Some(shares.clone());
        }
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
