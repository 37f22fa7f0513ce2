//! One request may not be out of all proportion.

use crate::memory::frames;
use crate::memory::paging::PAGE;

crate::param! {
    /// The most that one request may ask for, as a percentage of the machine's memory.
    static MOST: u64 = "most"
}

crate::member! {
    fn allows(bytes: u64, reserves: bool) -> bool {
        let (_, total) = frames::counts();
        !reserves || bytes / PAGE <= total as u64 * MOST.get() / 100
    }
}
