//! `/proc` (`proc(5)`).
pub mod process;
pub mod system;
pub mod task;

use super::mounts::Mount;
use super::synthetic::Names;
use alloc::vec::Vec;

crate::register!("mount": fn(&mut Vec<Mount>) = { 30 => mount });
// Adds chosen files to the directory.
crate::hook!(fn contributors() -> "process-file": fn(&mut Names));

fn mount(mounts: &mut Vec<Mount>) {
    let mut names = Names(Vec::new());
    for contributor in contributors() {
        (contributor.item)(&mut names);
    }
    mounts.push(Mount { path: b"/proc".to_vec(), root: names.into_directory() });
}
