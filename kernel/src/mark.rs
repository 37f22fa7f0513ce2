//! Which sections an image is made of: what is reachable from the entry point once choices are bound and the
//! registrations of chosen components stand in their hooks.
//!
//! A hook's registrations are followed when kept code refers to the hook: entries that nobody can walk would only be
//! weight.

use bespoke_model::{NodeId, Resolution};

use crate::os::{Bind, Os};

/// What a configuration decides, in the form that marking reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// By node: its registrations are in, and it can be a choice's member.
    pub(crate) on: Vec<bool>,
}

impl Selection {
    pub(crate) fn read(&mut self, os: &Os, resolution: &Resolution) {
        self.on.clear();
        self.on.extend(os.tree.nodes().map(|n| resolution.is_on(n)));
    }

    pub(crate) fn is_on(&self, n: NodeId) -> bool {
        self.on[n.index()]
    }

    /// What a choice's item is bound to: a section and an offset into it.
    pub(crate) fn bound(&self, item: &crate::os::ChoiceItem) -> Option<(u32, u64)> {
        item.members.iter().find(|(m, ..)| self.is_on(*m)).map(|(_, section, value)| (*section, *value))
    }
}

/// A set of sections and externals, and the work list that grows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    bits: Vec<u64>,
    sections: u32,
    work: Vec<u32>,
}

impl Marks {
    /// Empties the set, for the sections and externals of an OS.
    fn clear(&mut self, os: &Os) {
        self.sections = os.object.sections.len() as u32;
        let nodes = os.object.sections.len() + os.object.externals.len();
        self.bits.clear();
        self.bits.resize(nodes.div_ceil(64), 0);
        self.work.clear();
    }

    #[inline]
    fn has(&self, node: u32) -> bool {
        self.bits[node as usize / 64] & 1 << (node % 64) != 0
    }

    #[inline]
    fn add(&mut self, node: u32) {
        let (word, bit) = (&mut self.bits[node as usize / 64], 1 << (node % 64));
        if *word & bit == 0 {
            *word |= bit;
            self.work.push(node);
        }
    }

    #[inline]
    pub(crate) fn section(&self, section: u32) -> bool {
        self.has(section)
    }

    pub(crate) fn external(&self, external: u32) -> bool {
        self.has(self.sections + external)
    }

    /// The sections in the set, ascending.
    pub(crate) fn all_sections(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.sections).filter(|s| self.has(*s))
    }

    /// Marks what a selection keeps.
    pub(crate) fn mark(&mut self, os: &Os, selection: &Selection) {
        self.clear(os);
        self.add(os.object.start.0.0);
        self.follow(os, selection, |_| false);
    }

    /// Marks what is left when the sections that belong to removed components alone are not there. `selection` has
    /// them off already. Sections for which `kept` holds stay even when only removed ones lead to them.
    pub(crate) fn mark_without(
        &mut self,
        os: &Os,
        selection: &Selection,
        removed: &[bool],
        kept: impl Iterator<Item = u32>,
    ) {
        self.clear(os);
        let gone = |section: u32| {
            let owners = os.index.owners_of(section);
            !owners.is_empty() && owners.iter().all(|n| removed[n.index()])
        };
        self.add(os.object.start.0.0);
        for section in kept {
            self.add(section);
        }
        self.follow(os, selection, gone);
    }

    fn follow(&mut self, os: &Os, selection: &Selection, gone: impl Fn(u32) -> bool) {
        while let Some(node) = self.work.pop() {
            let Some(external) = node.checked_sub(self.sections) else {
                if gone(node) {
                    self.bits[node as usize / 64] &= !(1 << (node % 64));
                    continue;
                }
                for to in os.index.edges_of(node) {
                    self.add(*to);
                }
                continue;
            };
            match &os.index.externals[external as usize] {
                Bind::HookStart(hook) | Bind::HookEnd(hook) => {
                    for section in &os.index.hooks[*hook as usize].sections {
                        if selection.is_on(section.component) {
                            self.add(section.section);
                        }
                    }
                }
                Bind::Choice(item) => {
                    if let Some((section, _)) = selection.bound(item) {
                        self.add(section);
                    }
                }
                _ => {}
            }
        }
    }
}
