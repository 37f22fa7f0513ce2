//! Parameter types and values: what may be written, what it means, and the one canonical text of it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// The value of a parameter. `Display` is the canonical text; [`ParamType::parse`] reads it back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number of bytes.
    Size(u64),
    /// A number of nanoseconds.
    Duration(u64),
    /// Any text.
    Str(String),
    /// One of the words that the declaration lists.
    Enum(String),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// An address with the length of its network prefix. The host part is kept.
    Cidr(IpNet),
    /// A hardware address.
    Mac([u8; 6]),
}

const SIZES: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

const TIMES: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// The largest unit that divides the number exactly, so that the text says the number and nothing less.
fn in_units(f: &mut fmt::Formatter<'_>, n: u64, units: &[(&str, u64)], zero: &str) -> fmt::Result {
    let exact = units.iter().find(|(_, unit)| n != 0 && n.is_multiple_of(*unit));
    match exact {
        Some((name, unit)) => write!(f, "{}{name}", n / unit),
        None => f.write_str(zero),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(v) => write!(f, "{v}"),
            Value::Int(v) => write!(f, "{v}"),
            Value::Size(v) => in_units(f, *v, &SIZES, "0B"),
            Value::Duration(v) => in_units(f, *v, &TIMES, "0s"),
            Value::Str(v) | Value::Enum(v) => f.write_str(v),
            Value::Ipv4(v) => write!(f, "{v}"),
            Value::Ipv6(v) => write!(f, "{v}"),
            Value::Cidr(v) => write!(f, "{v}"),
            Value::Mac(v) => {
                for (i, byte) in v.iter().enumerate() {
                    write!(f, "{}{byte:02x}", if i > 0 { ":" } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Bool(v) => s.serialize_bool(*v),
            Value::Int(v) => s.serialize_i64(*v),
            other => s.collect_str(other),
        }
    }
}

/// What a parameter's value may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// `true` or `false`.
    Bool,
    /// A whole number in a range, `min` plus a multiple of `step`.
    Int {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
        /// The distance between values; 1 when nothing was declared.
        step: u64,
    },
    /// Bytes: `64KiB`, `1MiB`, or a bare number.
    Size {
        /// The least value.
        min: u64,
        /// The greatest value.
        max: u64,
        /// The distance between values; 1 when nothing was declared.
        step: u64,
    },
    /// A time: `150ms`, `2s`, `1min30s`.
    Duration {
        /// The least value, in nanoseconds.
        min: u64,
        /// The greatest value, in nanoseconds.
        max: u64,
    },
    /// Text, matched as a whole by a regular expression when one is declared.
    Str {
        /// The expression, as it was declared.
        pattern: Option<String>,
    },
    /// One of these words.
    Enum {
        /// The words, in the order they were declared.
        values: Vec<String>,
    },
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An address and a prefix length: `10.0.2.15/24`.
    Cidr,
    /// A hardware address: `52:54:00:12:34:56`.
    Mac,
}

impl ParamType {
    /// The word that declares the type.
    pub fn name(&self) -> &'static str {
        match self {
            ParamType::Bool => "bool",
            ParamType::Int { .. } => "int",
            ParamType::Size { .. } => "size",
            ParamType::Duration { .. } => "duration",
            ParamType::Str { .. } => "string",
            ParamType::Enum { .. } => "enum",
            ParamType::Ipv4 => "ipv4",
            ParamType::Ipv6 => "ipv6",
            ParamType::Cidr => "cidr",
            ParamType::Mac => "mac",
        }
    }

    /// What may be written, for a person: `a size from 4KiB to 16MiB`.
    pub fn describe(&self) -> String {
        match self {
            ParamType::Bool => "true or false".into(),
            ParamType::Int { min, max, step } => {
                let range = match (*min, *max) {
                    (i64::MIN, i64::MAX) => String::new(),
                    (min, i64::MAX) => format!(", {min} or more"),
                    (i64::MIN, max) => format!(", {max} or less"),
                    (min, max) => format!(" from {min} to {max}"),
                };
                let step = if *step > 1 { format!(" in steps of {step}") } else { String::new() };
                format!("a whole number{range}{step}")
            }
            ParamType::Size { min, max, step } => {
                let range = range_of(*min, *max, Value::Size);
                let step =
                    if *step > 1 { format!(" in steps of {}", Value::Size(*step)) } else { String::new() };
                format!("a size such as 64KiB{range}{step}")
            }
            ParamType::Duration { min, max } => {
                format!("a time such as 150ms{}", range_of(*min, *max, Value::Duration))
            }
            ParamType::Str { pattern: None } => "a text".into(),
            ParamType::Str { pattern: Some(p) } => format!("a text that matches `{p}`"),
            ParamType::Enum { values } => format!("one of {}", values.join(", ")),
            ParamType::Ipv4 => "an IPv4 address such as 10.0.2.15".into(),
            ParamType::Ipv6 => "an IPv6 address such as fd00::15".into(),
            ParamType::Cidr => "an address with its prefix length such as 10.0.2.15/24".into(),
            ParamType::Mac => "a hardware address such as 52:54:00:12:34:56".into(),
        }
    }

    /// Reads a value from text and checks it against the range, step, pattern or words.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let expected = || format!("expected {}, found `{text}`", self.describe());
        let value = match self {
            ParamType::Bool => Value::Bool(match text {
                "true" | "on" | "yes" => true,
                "false" | "off" | "no" => false,
                _ => return Err(expected()),
            }),
            ParamType::Int { .. } => Value::Int(parse_int(text).ok_or_else(expected)?),
            ParamType::Size { .. } => Value::Size(parse_units(text, &SIZES, true).ok_or_else(expected)?),
            ParamType::Duration { .. } => {
                Value::Duration(parse_units(text, &TIMES, false).ok_or_else(expected)?)
            }
            ParamType::Str { .. } => Value::Str(text.to_string()),
            ParamType::Enum { .. } => Value::Enum(text.to_string()),
            ParamType::Ipv4 => Value::Ipv4(text.parse().map_err(|_| expected())?),
            ParamType::Ipv6 => Value::Ipv6(text.parse().map_err(|_| expected())?),
            ParamType::Cidr => Value::Cidr(text.parse().map_err(|_| expected())?),
            ParamType::Mac => Value::Mac(parse_mac(text).ok_or_else(expected)?),
        };
        self.check(&value)?;
        Ok(value)
    }

    /// Reads a value from a number as TOML has it. Only whole numbers and sizes are written so.
    pub fn parse_number(&self, n: i64) -> Result<Value, String> {
        let value = match self {
            ParamType::Int { .. } => Value::Int(n),
            ParamType::Size { .. } if n >= 0 => Value::Size(n as u64),
            ParamType::Duration { .. } => {
                return Err(format!("a time needs its unit, as in `{n}ms` or `{n}s`"));
            }
            _ => return Err(format!("expected {}, found the number {n}", self.describe())),
        };
        self.check(&value)?;
        Ok(value)
    }

    /// Whether a value is of this type and within its bounds; the error says what is wrong.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let outside = || Err(format!("`{value}` is out of range: expected {}", self.describe()));
        match (self, value) {
            (ParamType::Int { min, max, step }, Value::Int(v)) => {
                let off_step =
                    *step > 1 && !v.abs_diff(if *min == i64::MIN { 0 } else { *min }).is_multiple_of(*step);
                if v < min || v > max || off_step { outside() } else { Ok(()) }
            }
            (ParamType::Size { min, max, step }, Value::Size(v)) => {
                let off_step = *step > 1 && !v.abs_diff(*min).is_multiple_of(*step);
                if v < min || v > max || off_step { outside() } else { Ok(()) }
            }
            (ParamType::Duration { min, max }, Value::Duration(v)) => {
                if v < min || v > max {
                    outside()
                } else {
                    Ok(())
                }
            }
            (ParamType::Str { pattern }, Value::Str(v)) => {
                if v.contains('\0') {
                    return Err("a text cannot hold a NUL byte".into());
                }
                match pattern.as_deref().map(whole_pattern) {
                    Some(Ok(re)) if !re.is_match(v) => {
                        Err(format!("`{v}` does not match: expected {}", self.describe()))
                    }
                    Some(Err(e)) => Err(format!("the pattern is not a regular expression: {e}")),
                    _ => Ok(()),
                }
            }
            (ParamType::Enum { values }, Value::Enum(v)) => {
                if values.contains(v) {
                    return Ok(());
                }
                let near = crate::diagnostics::did_you_mean(v, values.iter().map(String::as_str));
                let near = near.map(|n| format!("; {n}")).unwrap_or_default();
                Err(format!("expected {}, found `{v}`{near}", self.describe()))
            }
            (ParamType::Bool, Value::Bool(_))
            | (ParamType::Ipv4, Value::Ipv4(_))
            | (ParamType::Ipv6, Value::Ipv6(_))
            | (ParamType::Cidr, Value::Cidr(_))
            | (ParamType::Mac, Value::Mac(_)) => Ok(()),
            _ => Err(format!("expected {}, found `{value}`", self.describe())),
        }
    }
}

/// The expression anchored at both ends: a pattern that matches a part would let anything through.
pub(crate) fn whole_pattern(pattern: &str) -> Result<regex_lite::Regex, regex_lite::Error> {
    regex_lite::Regex::new(&format!("^(?:{pattern})$"))
}

fn range_of(min: u64, max: u64, show: fn(u64) -> Value) -> String {
    match (min, max) {
        (0, u64::MAX) => String::new(),
        (min, u64::MAX) => format!(", {} or more", show(min)),
        (0, max) => format!(", {} or less", show(max)),
        (min, max) => format!(" from {} to {}", show(min), show(max)),
    }
}

/// A whole number: decimal, or with `0x`, `0o`, `0b`; underscores between digits as in TOML.
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ => (10, digits),
    };
    let misplaced = digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    if misplaced || digits.starts_with(['-', '+']) {
        return None;
    }
    let n = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    i64::try_from(if negative { -n } else { n }).ok()
}

/// `64KiB`, `1min30s`, and a bare number where the unit goes without saying. Parts are whole numbers: no rounding anywhere.
fn parse_units(text: &str, units: &[(&str, u64)], bare: bool) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    if bare && rest.bytes().all(|b| b.is_ascii_digit()) {
        return rest.parse().ok();
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let n: u64 = rest[..digits].parse().ok()?;
        let word = rest[digits..].trim_start();
        let length = word.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &word[..length];
        let scale = match units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            Some((_, scale)) => *scale,
            // `64K` is what QEMU and `dd` mean by it; `64KB` is left out because people disagree on it.
            None => match (unit, units.len()) {
                ("K" | "k", 5) => 1 << 10,
                ("M", 5) => 1 << 20,
                ("G", 5) => 1 << 30,
                ("T", 5) => 1 << 40,
                ("m", 6) => 60_000_000_000,
                _ => return None,
            },
        };
        total = total.checked_add(n.checked_mul(scale)?)?;
        rest = word[length..].trim_start();
    }
    Some(total)
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next()?;
        if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: ParamType = ParamType::Size { min: 0, max: u64::MAX, step: 1 };
    const TIME: ParamType = ParamType::Duration { min: 0, max: u64::MAX };

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("64KiB", 65536),
            ("64K", 65536),
            ("0", 0),
            ("1MiB", 1 << 20),
            ("1 GiB", 1 << 30),
            ("1000", 1000),
        ] {
            assert_eq!(SIZE.parse(text), Ok(Value::Size(bytes)), "{text}");
        }
        for text in ["", "KiB", "64KB", "1.5MiB", "-1", "99999999999999999999", "99999999999TiB", "64 foo"] {
            assert!(SIZE.parse(text).is_err(), "{text}");
        }
        assert_eq!(Value::Size(65536).to_string(), "64KiB");
        assert_eq!(Value::Size(1025).to_string(), "1025B");
        assert_eq!(Value::Size(0).to_string(), "0B");
    }

    #[test]
    fn times() {
        assert_eq!(TIME.parse("1min30s"), Ok(Value::Duration(90_000_000_000)));
        assert_eq!(Value::Duration(90_000_000_000).to_string(), "90s");
        assert_eq!(TIME.parse("150ms"), Ok(Value::Duration(150_000_000)));
        assert!(TIME.parse("150").is_err());
        assert!(TIME.parse_number(150).unwrap_err().contains("unit"));
    }

    #[test]
    fn ranges_steps_patterns_and_words() {
        let int = ParamType::Int { min: 2, max: 10, step: 4 };
        assert!(int.parse("6").is_ok() && int.parse("10").is_ok());
        assert!(int.parse("5").is_err() && int.parse("14").is_err() && int.parse("-2").is_err());
        let all = ParamType::Int { min: i64::MIN, max: i64::MAX, step: 1 };
        assert_eq!(all.parse("-0x8000_0000_0000_0000"), Ok(Value::Int(i64::MIN)));
        assert!(all.parse("0x").is_err() && all.parse("--1").is_err() && all.parse("1__0").is_err());
        let name = ParamType::Str { pattern: Some("[a-z]+|x1".into()) };
        assert!(name.parse("abc").is_ok() && name.parse("x1").is_ok());
        assert!(name.parse("abc1").is_err() && name.parse("").is_err());
        let level = ParamType::Enum { values: vec!["info".into(), "debug".into()] };
        assert!(level.parse("debg").unwrap_err().contains("did you mean `debug`?"));
    }

    #[test]
    fn canonical_text_reads_back() {
        for (ty, text) in [
            (ParamType::Bool, "true"),
            (ParamType::Ipv4, "10.0.2.15"),
            (ParamType::Ipv6, "fd00::15"),
            (ParamType::Cidr, "10.0.2.15/24"),
            (ParamType::Cidr, "fd00::15/64"),
            (ParamType::Mac, "52:54:00:12:34:56"),
            (SIZE, "3MiB"),
            (TIME, "7us"),
            (ParamType::Str { pattern: None }, "any thing"),
        ] {
            assert_eq!(ty.parse(text).unwrap().to_string(), text);
        }
        for (ty, text) in [
            (ParamType::Mac, "52:54:00:12:34"),
            (ParamType::Mac, "52:54:00:12:34:5g"),
            (ParamType::Cidr, "10.0.2.15/33"),
            (ParamType::Ipv4, "10.0.2.256"),
            (ParamType::Bool, "maybe"),
        ] {
            assert!(ty.parse(text).is_err(), "{text}");
        }
    }
}
