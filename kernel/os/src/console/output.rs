//! The device behind the console.
pub mod debugcon;
pub mod none;
pub mod serial;

crate::choice! {
    /// Writes bytes as they are.
    pub fn write(bytes: &[u8]);
    /// The next byte of input, if one has arrived.
    pub fn read() -> Option<u8>;
}
