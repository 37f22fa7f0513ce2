//! Extension headers (RFC 8200, section 4).

use super::HEADER;

/// Kinds of header, by their number.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const NONE: u8 = 59;
const DESTINATION: u8 = 60;

/// Codes of the message "parameter problem".
const ERRONEOUS: u8 = 0;
const UNKNOWN_HEADER: u8 = 1;
const UNKNOWN_OPTION: u8 = 2;

/// What stands behind the extension headers.
pub enum Found {
    /// A packet of a transport protocol, and where it starts.
    Transport(u8, usize),
    /// A fragment: where its header is, and where the number stands that says so.
    Fragment(usize, usize),
    /// Nothing, or nothing that anybody is to be told of.
    Nothing,
    /// What the sender is to be told: the code, and the offending byte's place.
    Trouble(u8, usize),
}

/// Goes through a packet's headers.
pub fn walk(whole: &[u8], unicast: bool) -> Found {
    let (mut next_at, mut at) = (6, HEADER);
    loop {
        let kind = whole[next_at];
        if !matches!(kind, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION) {
            return if kind == NONE { Found::Nothing } else { Found::Transport(kind, at) };
        }
        let Some(header) = whole.get(at..).filter(|rest| rest.len() >= 8) else { return Found::Nothing };
        let length = (usize::from(header[1]) + 1) * 8;
        match kind {
            FRAGMENT => return Found::Fragment(at, next_at),
            HOP_BY_HOP if next_at != 6 => return Found::Trouble(UNKNOWN_HEADER, next_at),
            // Nobody is sent on from here (RFC 5095).
            ROUTING if header[3] != 0 => return Found::Trouble(ERRONEOUS, at + 2),
            ROUTING => {}
            _ => {
                let Some(options) = header.get(2..length) else { return Found::Nothing };
                if let Some(found) = refused(options, at + 2, unicast) {
                    return found;
                }
            }
        }
        if length > header.len() {
            return Found::Nothing;
        }
        (next_at, at) = (at, at + length);
    }
}

/// What an option that nobody knows demands (section 4.2).
fn refused(mut options: &[u8], mut at: usize, unicast: bool) -> Option<Found> {
    const PADDING: u8 = 0;
    const MORE_PADDING: u8 = 1;
    const ROUTER_ALERT: u8 = 5;
    while let Some(&kind) = options.first() {
        let length = if kind == PADDING { 1 } else { 2 + usize::from(*options.get(1)?) };
        match kind >> 6 {
            _ if matches!(kind, PADDING | MORE_PADDING | ROUTER_ALERT) => {}
            0 => {}
            2 => return Some(Found::Trouble(UNKNOWN_OPTION, at)),
            3 if unicast => return Some(Found::Trouble(UNKNOWN_OPTION, at)),
            _ => return Some(Found::Nothing),
        }
        options = options.get(length..).unwrap_or_default();
        at += length;
    }
    None
}
