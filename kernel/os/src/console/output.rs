//! The device behind the console.
pub mod debugcon;
pub mod none;
pub mod serial;

crate::choice! {
    /// Writes bytes as they are.
    pub fn write(bytes: &[u8]);
    /// The next byte of input, if one has arrived.
    pub fn read() -> Option<u8>;
    /// Has input raise an interrupt, or not, and says on which line. `None`: no input will ever come.
    pub fn listen(on: bool) -> Option<u32>;
    /// Has the device take in many bytes at a time. One that waits in it may get lost.
    pub fn hurry();
}
