//! What is promised is there.

use crate::memory::paging::PAGE;
use crate::memory::{frames, space};

crate::member! {
    fn allows(bytes: u64, _reserves: bool) -> bool {
        let (_, total) = frames::counts();
        let most = total as u64 * PAGE;
        space::committed().checked_add(bytes).is_some_and(|sum| sum <= most)
    }
}
