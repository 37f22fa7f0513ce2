//! The root of all paths.
pub mod memory;
pub mod packed;

use super::node::Node;
use alloc::rc::Rc;

crate::choice! {
    /// The root directory. Asked for once.
    pub fn root() -> Rc<dyn Node>;
}
