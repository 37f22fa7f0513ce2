//! Congestion control by losses (RFC 5681).

use smoltcp::socket::tcp::CongestionControl;

crate::member! {
    fn algorithm() -> CongestionControl {
        CongestionControl::Reno
    }

    fn name() -> &'static str {
        "reno"
    }
}
