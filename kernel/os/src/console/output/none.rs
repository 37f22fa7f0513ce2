//! No console at all.

crate::member! {
    fn write(_bytes: &[u8]) {}

    fn read() -> Option<u8> {
        None
    }

    fn listen(_on: bool) -> Option<u32> {
        None
    }

    fn hurry() {}
}
