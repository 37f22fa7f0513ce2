//! Every promise is made.

crate::member! {
    fn allows(_bytes: u64, _reserves: bool) -> bool {
        true
    }
}
