//! A file system in memory as the root, with the packed files in it.

use crate::fs::node::Node;
use crate::fs::{packed, tmpfs};
use alloc::rc::Rc;

crate::member! {
    fn root() -> Rc<dyn Node> {
        tmpfs::over(&packed::entries()[0])
    }
}
