//! Sizes without bytes: the layout of a configuration, measured.

use std::sync::{Mutex, PoisonError};

use bespoke_model::{Footprint, Kind, Measure, NodeId, Resolution};

use crate::layout::{self, Appended, Extents, Region};
use crate::mark::{Marks, Selection};
use crate::os::Os;
use crate::payload::Payload;

/// Measures configurations of one OS with one payload. What it says is what [`Plan::write`](crate::Plan::write) writes.
///
/// - `image_bytes`: the length of the file.
/// - `program_bytes`: the program in the packed root with its padding, its entry and path in the index, those of
///   directories that are there only for it, and the table of its arguments.
/// - `files_bytes`: the rest of the packed root, but for its header and the entry of `/`.
/// - `os_bytes`: all that remains.
/// - `boot_memory_bytes`: the memory that the image takes once loaded, zeroed memory included, in whole pages.
/// - `syscalls`: how many system calls are registered.
///
/// `component_bytes` of a component is how much shorter the image would be without the component's registrations,
/// without its side of a choice, and without what belongs to nobody else, together with all that only these lead to.
/// It is 0 for one that is off. A core component cannot go, so what it leads to in other components stays. A menu, or
/// a choice, counts with the parts in it.
#[derive(Debug)]
pub struct Sizer<'a> {
    os: &'a Os,
    payload: &'a Payload,
    scratch: Mutex<Buffers>,
}

#[derive(Debug, Default)]
struct Buffers {
    selection: Selection,
    marks: Marks,
    scratch: Scratch,
}

impl<'a> Sizer<'a> {
    /// Measures configurations of `os` with `payload`.
    pub fn new(os: &'a Os, payload: &'a Payload) -> Self {
        Self { os, payload, scratch: Mutex::default() }
    }

    fn with<T>(&self, r: &Resolution, then: impl FnOnce(&mut Buffers, Extents) -> T) -> T {
        let mut buffers = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let Buffers { selection, marks, .. } = &mut *buffers;
        selection.read(self.os, r);
        marks.mark(self.os, selection);
        let extents = measure(self.os, r, selection, marks, self.payload.appended());
        then(&mut buffers, extents)
    }

    /// [`Measure::component_bytes`] of every node of the tree, by [`NodeId::index`]; cheaper than one by one.
    pub fn all_component_bytes(&self, r: &Resolution) -> Vec<u64> {
        self.with(r, |buffers, extents| {
            let Buffers { selection, marks, scratch } = buffers;
            let mut bytes = |n| {
                let without = scratch.without(self.os, r, selection, marks, self.payload.appended(), n);
                without.map_or(0, |without| extents.image_bytes.saturating_sub(without))
            };
            self.os.tree.nodes().map(&mut bytes).collect()
        })
    }
}

impl Measure for Sizer<'_> {
    fn footprint(&self, r: &Resolution) -> Footprint {
        self.with(r, |_, extents| footprint(&extents, self.payload))
    }

    fn component_bytes(&self, r: &Resolution, n: NodeId) -> u64 {
        self.with(r, |buffers, extents| {
            let Buffers { selection, marks, scratch } = buffers;
            let without = scratch.without(self.os, r, selection, marks, self.payload.appended(), n);
            without.map_or(0, |without| extents.image_bytes.saturating_sub(without))
        })
    }
}

pub(crate) fn measure(
    os: &Os,
    r: &Resolution,
    selection: &Selection,
    marks: &Marks,
    appended: Appended,
) -> Extents {
    layout::place(os, selection, marks, &|slot| r.value(slot.param), appended, &mut ())
}

pub(crate) fn footprint(extents: &Extents, payload: &Payload) -> Footprint {
    let program_bytes = payload.program_share() + extents.program_table;
    let files_bytes = payload.files_share();
    debug_assert!(extents.region(Region::Root).file_size >= payload.program_share() + files_bytes);
    Footprint {
        image_bytes: extents.image_bytes,
        os_bytes: extents.image_bytes - program_bytes - files_bytes,
        program_bytes,
        files_bytes,
        boot_memory_bytes: extents.boot_memory_bytes,
        syscalls: extents.syscalls,
    }
}

/// Buffers for measuring what is left without something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scratch {
    selection: Selection,
    marks: Marks,
    removed: Vec<bool>,
}

impl Scratch {
    /// The length of the image without a node; `None` when it is not in it.
    pub(crate) fn without(
        &mut self,
        os: &Os,
        r: &Resolution,
        whole: &Selection,
        marks: &Marks,
        appended: Appended,
        n: NodeId,
    ) -> Option<u64> {
        if !whole.is_on(n) {
            return None;
        }
        self.removed.clear();
        self.removed.resize(os.tree.len(), false);
        remove(os, n, &mut self.removed);
        self.selection.on.clone_from(&whole.on);
        let mut core = false;
        for (n, removed) in os.index.nodes.iter().zip(&self.removed) {
            if *removed {
                self.selection.on[n.index()] = false;
                core |= os.tree.node(*n).core.is_some();
            }
        }
        let removed = &self.removed;
        let others = |s: &u32| os.index.owners_of(*s).iter().any(|n| !removed[n.index()]);
        let kept = marks.all_sections().filter(|s| core && others(s));
        self.marks.mark_without(os, &self.selection, removed, kept);
        Some(measure(os, r, &self.selection, &self.marks, appended).image_bytes)
    }
}

/// The node, and the parts that a menu or a choice is made of.
fn remove(os: &Os, n: NodeId, removed: &mut [bool]) {
    removed[n.index()] = true;
    let node = os.tree.node(n);
    if node.kind != Kind::Component {
        for child in &node.children {
            remove(os, *child, removed);
        }
    }
}
