//! How much went over the network (`proc(5)`: `net/dev`, `net/snmp`).

use super::stack::{self, Count, counted};
use crate::fs::synthetic::{Names, Text};
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

crate::register!("process-file": fn(&mut Names) = { 30 => add_files });
crate::register!("metric": fn(&mut Vec<u8>) = { 20 => metrics });

fn add_files(names: &mut Names) {
    names.insert(b"net/dev", Rc::new(Text(interfaces)));
    names.insert(b"net/snmp", Rc::new(Text(protocols)));
}

fn interfaces(text: &mut Vec<u8>) {
    text.extend(
        b"Inter-|   Receive                                                |  Transmit\n \
          face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n",
    );
    let [bytes, packets] = [Count::LocalBytes, Count::LocalPackets].map(counted);
    let line = format!("    lo: {bytes} {packets} 0 0 0 0 0 0 {bytes} {packets} 0 0 0 0 0 0\n");
    text.extend(line.into_bytes());
    if stack::hardware_address().is_some() {
        let [bytes_in, frames_in] = [Count::BytesIn, Count::FramesIn].map(counted);
        let [bytes_out, frames_out, unsent] =
            [Count::BytesOut, Count::FramesOut, Count::FramesUnsent].map(counted);
        let line = format!(
            "  eth0: {bytes_in} {frames_in} 0 0 0 0 0 0 {bytes_out} {frames_out} 0 {unsent} 0 0 0 0\n"
        );
        text.extend(line.into_bytes());
    }
}

fn protocols(text: &mut Vec<u8>) {
    let [packets, bad, delivered, sent] =
        [Count::PacketsIn, Count::PacketsBad, Count::PacketsDelivered, Count::PacketsOut].map(counted);
    let ip = format!(
        "Ip: Forwarding DefaultTTL InReceives InHdrErrors InDelivers OutRequests\nIp: 2 64 {packets} {bad} {delivered} {sent}\n"
    );
    let [active, passive, segments_in, segments_out, errors, resets] =
        [Count::TcpActive, Count::TcpPassive, Count::TcpIn, Count::TcpOut, Count::TcpBad, Count::TcpReset]
            .map(counted);
    let tcp = format!(
        "Tcp: ActiveOpens PassiveOpens InSegs OutSegs InErrs OutRsts\nTcp: {active} {passive} {segments_in} {segments_out} {errors} {resets}\n"
    );
    let [datagrams_in, nobody, bad, datagrams_out, full] =
        [Count::UdpIn, Count::UdpNobody, Count::UdpBad, Count::UdpOut, Count::UdpFull].map(counted);
    let udp = format!(
        "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: {datagrams_in} {nobody} {bad} {datagrams_out} {full}\n"
    );
    text.extend(ip.into_bytes());
    text.extend(tcp.into_bytes());
    text.extend(udp.into_bytes());
}

fn metrics(text: &mut Vec<u8>) {
    const NAMES: [(&str, Count); 13] = [
        ("network_receive_bytes", Count::BytesIn),
        ("network_receive_frames", Count::FramesIn),
        ("network_transmit_bytes", Count::BytesOut),
        ("network_transmit_frames", Count::FramesOut),
        ("network_transmit_drops", Count::FramesUnsent),
        ("ip_receive_errors", Count::PacketsBad),
        ("tcp_connects", Count::TcpActive),
        ("tcp_accepts", Count::TcpPassive),
        ("tcp_receive_segments", Count::TcpIn),
        ("tcp_transmit_segments", Count::TcpOut),
        ("udp_receive_datagrams", Count::UdpIn),
        ("udp_transmit_datagrams", Count::UdpOut),
        ("udp_receive_drops", Count::UdpFull),
    ];
    for (name, what) in NAMES {
        let count = counted(what);
        text.extend(
            format!("# TYPE bespoke_{name}_total counter\nbespoke_{name}_total {count}\n").into_bytes(),
        );
    }
}
