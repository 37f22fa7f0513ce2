//! The packed files as the root.

use crate::fs::node::Node;
use crate::fs::packed::{self, Packed};
use alloc::rc::Rc;

crate::member! {
    fn root() -> Rc<dyn Node> {
        // The composer always packs "/".
        Rc::new(Packed(&packed::entries()[0]))
    }
}
