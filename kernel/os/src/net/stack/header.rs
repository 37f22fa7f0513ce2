//! Headers of IP packets that this machine sends.

use super::checksum::Sum;
use core::net::IpAddr;

/// Sets the checksum of an IPv4 header without options, whose place holds zeroes.
pub fn seal_header(packet: &mut [u8]) {
    if let Some(header) = packet.first_chunk_mut::<20>() {
        let checksum = !Sum::header(header).folded();
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Writes an IP header into the start of a packet whose payload is of `payload` bytes; returns its length.
pub fn write_header(
    packet: &mut [u8],
    source: &IpAddr,
    destination: &IpAddr,
    protocol: u8,
    hops: u8,
    payload: usize,
) -> usize {
    match (source, destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet[..4].copy_from_slice(&[0x60, 0, 0, 0]);
            packet[4..6].copy_from_slice(&(payload as u16).to_be_bytes());
            packet[6..8].copy_from_slice(&[protocol, hops]);
            packet[8..24].copy_from_slice(&source.octets());
            packet[24..40].copy_from_slice(&destination.octets());
            40
        }
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = (20 + payload) as u16;
            packet[..20].fill(0);
            packet[0] = 0x45;
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            packet[6] = 0x40; // do not fragment
            packet[8..10].copy_from_slice(&[hops, protocol]);
            packet[12..16].copy_from_slice(&source.octets());
            packet[16..20].copy_from_slice(&destination.octets());
            seal_header(packet);
            20
        }
        _ => 0,
    }
}

/// Puts a type of service or traffic class into a header that [`write_header`] wrote.
pub fn write_class(packet: &mut [u8], class: u8) {
    if packet[0] >> 4 == 6 {
        packet[0] |= class >> 4;
        packet[1] |= class << 4;
    } else {
        packet[1] = class;
        packet[10..12].fill(0);
        seal_header(packet);
    }
}

/// The length of a header as [`write_header`] writes it.
pub fn header_length(destination: &IpAddr) -> usize {
    if destination.is_ipv4() { 20 } else { 40 }
}
