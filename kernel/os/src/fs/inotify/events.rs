//! What happens to files, and who is told of it.

use super::instance::{Key, WATCHES, Watch, instances, is_wanted, key_of};
use crate::fs::file::{self, Description};
use crate::fs::node::{Event, Name, Node};
use crate::fs::path::{self, Location};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general::*;

crate::register!("file-event": fn(&Event) = { 10 => happened });
crate::register!("file-used": fn(&Description, u32) = { 10 => used });

static COOKIE: AtomicU32 = AtomicU32::new(0);

/// Something that happened to a node.
pub struct Happening {
    pub what: u32,
    pub is_directory: bool,
    pub cookie: u32,
    /// It has no name any more (`IN_EXCL_UNLINK`).
    pub nameless: bool,
}

/// Tells watches of a directory, by the name in it, and then those of the node itself.
fn emit(happening: &Happening, parent: Option<(Key, &[u8])>, own: Option<Key>) {
    for instance in instances() {
        if let Some((key, name)) = parent {
            instance.tell(key, happening, name);
        }
        if let Some(key) = own {
            instance.tell(key, happening, &[]);
        }
    }
}

/// Something about a node whose name plays no part in it.
fn emit_self(what: u32, key: Key, is_directory: bool) {
    emit(&Happening { what, is_directory, cookie: 0, nameless: false }, None, Some(key));
}

fn emit_name(what: u32, cookie: u32, name: &Name) {
    let happening = Happening { what, is_directory: name.node.is_directory(), cookie, nameless: false };
    emit(&happening, Some((key_of(&**name.directory), name.name)), None);
}

/// A node is gone for good if it has neither a name nor anybody who has it open.
fn gone(node: &Rc<dyn Node>) {
    let key = key_of(&**node);
    if !is_wanted(u32::MAX, |watch| watch.key == key) {
        return;
    }
    let is_it = |fd: u64| {
        let description = file::get(fd).ok();
        let location = description.as_ref().and_then(|description| description.location.as_ref());
        location.is_some_and(|location| key_of(&*location.node) == key)
    };
    // A directory that can be removed has no other name.
    let has_name = !node.is_directory() && node.stat().links > 0;
    if has_name || file::all().into_iter().any(is_it) {
        return;
    }
    emit_self(IN_DELETE_SELF, key, false);
    for instance in instances() {
        instance.forget(|watch| watch.key == key);
    }
}

/// The directory that an open file or changed one is in, and its name there. True behind them: it is there no more.
fn parent_of(location: &Location, events: u32) -> Option<(Key, Vec<u8>, bool)> {
    // Looking for it pays only if somebody watches.
    if !is_wanted(events, |watch| watch.node.is_directory()) {
        return None;
    }
    let key = key_of(&*location.node);
    let path = location.path();
    let end = path.iter().rposition(|&byte| byte == b'/')?;
    let (directory, name) = (&path[..end.max(1)], &path[end + 1..]);
    if name.is_empty() {
        return None;
    }
    let parent = path::find(directory).ok();
    if let Some(parent) = &parent
        && parent.node.lookup(name).is_ok_and(|node| key_of(&*node) == key)
    {
        return Some((key_of(&*parent.node), name.to_vec(), false));
    }
    // It may have another name since it was opened.
    for instance in instances() {
        let is_candidate = |watch: &&Watch| watch.key.0 == key.0 && watch.mask & events != 0;
        let directories: Vec<_> =
            instance.watches.borrow().iter().filter(is_candidate).map(|watch| watch.node.clone()).collect();
        for directory in directories.iter().filter(|node| node.is_directory()) {
            let entry =
                directory.list().ok().and_then(|list| list.into_iter().find(|entry| entry.inode == key.1));
            if let Some(entry) = entry {
                return Some((key_of(&**directory), entry.name, false));
            }
        }
    }
    // The place where something is mounted belongs to nobody's directory.
    let is_nameless = location.node.stat().links == 0;
    parent.filter(|_| is_nameless).map(|parent| (key_of(&*parent.node), name.to_vec(), true))
}

/// Something was done to what is at a location, or was there when it was opened.
fn emit_at(location: &Location, what: u32) {
    if !is_wanted(what, |_| true) {
        return;
    }
    let parent = parent_of(location, what);
    let nameless = match &parent {
        Some((_, _, nameless)) => *nameless,
        None => location.node.stat().links == 0,
    };
    let happening = Happening { what, is_directory: location.node.is_directory(), cookie: 0, nameless };
    let parent = parent.as_ref().map(|(key, name, _)| (*key, name.as_slice()));
    emit(&happening, parent, Some(key_of(&*location.node)));
}

fn happened(event: &Event) {
    if WATCHES.load(Ordering::Relaxed) == 0 {
        return;
    }
    match event {
        Event::Created(name) => emit_name(IN_CREATE, 0, name),
        Event::Linked(name) => {
            emit_self(IN_ATTRIB, key_of(&**name.node), false);
            emit_name(IN_CREATE, 0, name);
        }
        Event::Removed(name) => {
            if !name.node.is_directory() {
                emit_self(IN_ATTRIB, key_of(&**name.node), false);
            }
            gone(name.node);
            emit_name(IN_DELETE, 0, name);
        }
        Event::Moved { from, to, replaced } => {
            let key = key_of(&**from.node);
            let cookie = COOKIE.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            emit_name(IN_MOVED_FROM, cookie, from);
            emit_name(IN_MOVED_TO, cookie, to);
            if let Some(replaced) = replaced {
                emit_self(IN_ATTRIB, key_of(&***replaced), replaced.is_directory());
            }
            emit_self(IN_MOVE_SELF, key, false);
            if let Some(replaced) = replaced {
                gone(replaced);
            }
        }
        Event::Changed(location, what) => emit_at(location, *what),
    }
}

/// What was done with an open file.
fn used(description: &Description, what: u32) {
    if WATCHES.load(Ordering::Relaxed) == 0 {
        return;
    }
    let Some(location) = &description.location else { return };
    let flags = description.flags.get();
    if flags & O_PATH != 0 || !matches!(location.node.kind(), S_IFREG | S_IFDIR) {
        return;
    }
    match what {
        IN_CLOSE => {
            emit_at(location, if flags & O_ACCMODE == O_RDONLY { IN_CLOSE_NOWRITE } else { IN_CLOSE_WRITE });
            // The last that held a file without a name may have been this.
            if location.node.stat().links == 0 {
                gone(&location.node);
            }
        }
        what => emit_at(location, what),
    }
}
