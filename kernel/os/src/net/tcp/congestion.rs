//! How a connection finds out how much the way to its peer carries.
pub mod none;
pub mod reno;

use smoltcp::socket::tcp::CongestionControl;

crate::choice! {
    /// What the state machine is told to do.
    pub fn algorithm() -> CongestionControl;
    /// Its name, as `TCP_CONGESTION` has it (`tcp(7)`).
    pub fn name() -> &'static str;
}
