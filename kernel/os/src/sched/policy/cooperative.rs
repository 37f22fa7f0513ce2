//! A thread runs until a system call of its own waits.

crate::member! {
    fn contended() {}
}
