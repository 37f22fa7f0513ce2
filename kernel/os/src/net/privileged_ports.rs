//! Ports that only root may bind to (`ip(7)`, `CAP_NET_BIND_SERVICE` of `capabilities(7)`).

use crate::abi::process::credentials;
use crate::errno::{Errno, Result};
use crate::fs::synthetic::{Names, Text};
use alloc::format;
use alloc::rc::Rc;

crate::register!("bind-port": fn(u16) -> Result<()> = { 10 => judge });
crate::register!("process-file": fn(&mut Names) = { 50 => add });

crate::param! {
    /// The first port for everybody.
    static FIRST: u64 = "first"
}

fn judge(port: u16) -> Result<()> {
    // Zero asks for any port, which is one for everybody.
    if port != 0 && u64::from(port) < FIRST.get() && !credentials().is_root() {
        return Err(Errno::EACCES);
    }
    Ok(())
}

fn add(names: &mut Names) {
    names.insert(
        b"sys/net/ipv4/ip_unprivileged_port_start",
        Rc::new(Text(|text| text.extend(format!("{}\n", FIRST.get()).into_bytes()))),
    );
}
