//! How the value of a parameter stands in an image.
//!
//! One stored in 8 bytes holds a number, little endian:
//!
//! | type | number |
//! |---|---|
//! | bool | 0 or 1 |
//! | int | two's complement |
//! | size | bytes |
//! | duration | nanoseconds |
//! | enum | position in the declared list of words |
//! | ipv4 | the address as a number (`10.0.2.15` is `0x0a00020f`) |
//! | cidr | the IPv4 address as a number, and the prefix length in bits 32 to 39 |
//! | mac | the address as a number, the first octet highest |
//!
//! One stored in 16 bytes holds a pointer and a length: of the string, or, for every other type, of the value's
//! canonical text. An ipv6 parameter holds the 16 octets themselves, in network order.

use std::borrow::Cow;

use bespoke_model::{ParamId, ParamType, Tree, Value};

/// The number that stands for a value in 8 bytes.
pub(crate) fn word(tree: &Tree, param: ParamId, value: &Value) -> Option<u64> {
    Some(match value {
        Value::Bool(value) => u64::from(*value),
        Value::Int(value) => *value as u64,
        Value::Size(value) | Value::Duration(value) => *value,
        Value::Enum(word) => match &tree.param(param).ty {
            ParamType::Enum { values } => values.iter().position(|v| v == word)? as u64,
            _ => return None,
        },
        Value::Ipv4(address) => u64::from(address.to_bits()),
        Value::Cidr(net) => match net.addr() {
            std::net::IpAddr::V4(address) => u64::from(address.to_bits()) | u64::from(net.prefix_len()) << 32,
            std::net::IpAddr::V6(_) => return None,
        },
        Value::Mac(octets) => octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet)),
        Value::Str(_) | Value::Ipv6(_) => return None,
    })
}

/// The text that stands for a value outside of its sixteen bytes.
pub(crate) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Ipv6(_) => None,
        Value::Str(text) | Value::Enum(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(other.to_string())),
    }
}
