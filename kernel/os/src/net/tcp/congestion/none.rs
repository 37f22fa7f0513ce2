//! No congestion control: the peer's window is the limit.

use smoltcp::socket::tcp::CongestionControl;

crate::member! {
    fn algorithm() -> CongestionControl {
        CongestionControl::None
    }

    fn name() -> &'static str {
        "none"
    }
}
