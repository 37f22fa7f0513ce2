//! Numbers and words, said the same way everywhere.

use bespoke_kernel::program::{Language, Libc, Program, ProgramKind};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `1234567` as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// An exact number of bytes.
pub fn bytes(n: u64) -> String {
    format!("{} B", grouped(n))
}

/// A change, always with its sign: `+1,024`, `-512`, `±0`.
pub fn signed(n: i64, minus: &str) -> String {
    match n {
        0 => "0".to_owned(),
        1.. => format!("+{}", grouped(n.unsigned_abs())),
        _ => format!("{minus}{}", grouped(n.unsigned_abs())),
    }
}

/// A change of a number of bytes.
pub fn signed_bytes(n: i64, minus: &str) -> String {
    format!("{} B", signed(n, minus))
}

/// A size for people, for amounts where the last byte says nothing (memory): `2.4 MiB`.
pub fn human(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 10.0 && !((value * 10.0).round() as u64).is_multiple_of(10) {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// Reads a size as people write it: `65536`, `64KiB`, `64K`, `1.5 MiB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.replace('_', "").parse().ok()?;
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    let value = number * unit as f64;
    (0.0..1e18).contains(&value).then_some(value as u64)
}

/// `1 part`, `2 parts`, `2 libraries`.
pub fn count(n: usize, one: &str) -> String {
    match one.strip_suffix('y') {
        _ if n == 1 => format!("1 {one}"),
        Some(stem) => format!("{} {stem}ies", grouped(n as u64)),
        None => format!("{} {one}s", grouped(n as u64)),
    }
}

/// How many cells `text` takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// `text` cut to `room` cells, ending in `ellipsis` when something was cut.
pub fn fit(text: &str, room: usize, ellipsis: &str) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let room = room.saturating_sub(ellipsis.width());
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w > room {
            break;
        }
        used += w;
        out.push(c);
    }
    out.push_str(ellipsis);
    out
}

/// A path cut on the left, where it says least.
pub fn fit_path(text: &str, room: usize, ellipsis: &str) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let keep = room.saturating_sub(ellipsis.width());
    let mut tail: Vec<char> = Vec::new();
    let mut used = 0;
    for c in text.chars().rev() {
        let w = c.width().unwrap_or(0);
        if used + w > keep {
            break;
        }
        used += w;
        tail.push(c);
    }
    ellipsis.chars().chain(tail.into_iter().rev()).collect()
}

/// `text` padded with spaces to `room` cells.
pub fn pad(text: &str, room: usize) -> String {
    let mut out = text.to_owned();
    out.extend(std::iter::repeat_n(' ', room.saturating_sub(text.width())));
    out
}

/// `text` padded on the left to `room` cells.
pub fn pad_left(text: &str, room: usize) -> String {
    let mut out = " ".repeat(room.saturating_sub(text.width()));
    out.push_str(text);
    out
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} and {last}", init.join(", ")),
    }
}

/// A program in a few words.
pub fn program(program: &Program) -> String {
    let kind = match &program.kind {
        ProgramKind::Static => "a static program".to_owned(),
        ProgramKind::StaticPie => "a static, position-independent program".to_owned(),
        ProgramKind::Dynamic { needed, .. } => {
            format!("a dynamic program with {}", count(needed.len(), "library"))
        }
    };
    let language = match program.language {
        Some(Language::Go) => ", in Go",
        Some(Language::Rust) => ", in Rust",
        Some(Language::Cxx) => ", in C++",
        None => "",
    };
    let libc = match program.libc {
        Some(Libc::Glibc) => ", with glibc",
        Some(Libc::Musl) => ", with musl",
        None => "",
    };
    format!("{kind}{language}{libc}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1234567), "1,234,567");
        assert_eq!(signed(-1024, "-"), "-1,024");
        assert_eq!(signed(3, "-"), "+3");
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(human(512), "512 B");
        assert_eq!(human(2 << 20), "2 MiB");
        assert_eq!(human((2 << 20) + (400 << 10)), "2.4 MiB");
        assert_eq!(parse_size("64KiB"), Some(65536));
        assert_eq!(parse_size("64 k"), Some(65536));
        assert_eq!(parse_size("1.5M"), Some(1_572_864));
        assert_eq!(parse_size("x"), None);
        assert_eq!(parse_size("-1"), None);
    }

    #[test]
    fn cutting_counts_cells() {
        assert_eq!(fit("network", 5, "…"), "netw…");
        assert_eq!(fit("日本語です", 5, "…"), "日本…");
        assert_eq!(fit_path("/usr/bin/redis", 8, "…"), "…n/redis");
        assert_eq!(pad("日本", 5), "日本 ");
    }
}
