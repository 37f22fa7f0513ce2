//! Sending a packet in parts.

use crate::abi::entropy;
use crate::cell::KernelCell;
use crate::errno::{Errno, Result};
use crate::net::stack;
use core::net::IpAddr;

crate::register!("ip-cut": fn(&IpAddr, &[u8]) -> Result<()> = { 4 => cut_4, 6 => cut_6 });

/// What parts of a packet are told from others' by: the next one, from a random one on.
static NEXT: KernelCell<Option<u32>> = KernelCell::new(None);

fn next_id() -> u32 {
    let mut next = NEXT.borrow();
    let id = next.unwrap_or_else(|| {
        let mut seed = [0; 4];
        entropy::fill(&mut seed);
        u32::from_le_bytes(seed)
    });
    *next = Some(id.wrapping_add(1));
    id
}

/// Sends the parts of `bytes` behind headers of `header` bytes, which `fill` writes: with the part's offset, and whether more follow.
fn parts(
    destination: &IpAddr,
    header: usize,
    bytes: &[u8],
    fill: impl Fn(&mut [u8], usize, bool),
) -> Result<()> {
    let room = stack::mtu_to(destination).checked_sub(header).ok_or(Errno::EMSGSIZE)? & !7;
    if room == 0 {
        return Err(Errno::EMSGSIZE);
    }
    for (index, part) in bytes.chunks(room).enumerate() {
        let offset = index * room;
        let more = offset + part.len() < bytes.len();
        stack::send(destination, header + part.len(), &mut |packet| {
            packet[header..].copy_from_slice(part);
            fill(packet, offset, more);
        })?;
    }
    Ok(())
}

fn cut_4(destination: &IpAddr, packet: &[u8]) -> Result<()> {
    const HEADER: usize = 20;
    let id = next_id() as u16;
    parts(destination, HEADER, &packet[HEADER..], |part, offset, more| {
        part[..HEADER].copy_from_slice(&packet[..HEADER]);
        let length = part.len() as u16;
        part[2..4].copy_from_slice(&length.to_be_bytes());
        part[4..6].copy_from_slice(&id.to_be_bytes());
        let field = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
        part[6..8].copy_from_slice(&field.to_be_bytes());
        part[10..12].fill(0);
        let checksum = !stack::sum(&[&part[..HEADER]]);
        part[10..12].copy_from_slice(&checksum.to_be_bytes());
    })
}

fn cut_6(destination: &IpAddr, packet: &[u8]) -> Result<()> {
    const HEADER: usize = 40;
    const FRAGMENT: u8 = 44;
    let id = next_id();
    parts(destination, HEADER + 8, &packet[HEADER..], |part, offset, more| {
        let length = (part.len() - HEADER) as u16;
        part[..HEADER].copy_from_slice(&packet[..HEADER]);
        part[4..6].copy_from_slice(&length.to_be_bytes());
        part[6] = FRAGMENT;
        let field = offset as u16 | u16::from(more);
        part[HEADER..HEADER + 2].copy_from_slice(&[packet[6], 0]);
        part[HEADER + 2..HEADER + 4].copy_from_slice(&field.to_be_bytes());
        part[HEADER + 4..HEADER + 8].copy_from_slice(&id.to_be_bytes());
    })
}
