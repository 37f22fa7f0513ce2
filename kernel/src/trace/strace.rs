//! Reads what `strace -f -o FILE` wrote.

use std::collections::{HashMap, HashSet};

use super::{Recorder, TraceError, Watched};
use crate::need::{self, Made};

/// A call as it stands in a log.
struct Written {
    arguments: Vec<String>,
}

impl Made for Written {
    fn values(&self, argument: usize) -> Vec<Option<u64>> {
        vec![self.arguments.get(argument).and_then(|text| value(text))]
    }

    fn texts(&self, argument: usize) -> Vec<Option<String>> {
        vec![self.arguments.get(argument).and_then(|text| quoted(text))]
    }
}

/// Reads a log. With or without process numbers and times at the front of lines; calls that are cut in two by others are put
/// together again.
///
/// # Errors
/// When there is no call in it.
pub fn read(log: &str) -> Result<Watched, TraceError> {
    let mut recorder = Recorder::default();
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut others: HashSet<&str> = HashSet::new();
    let (mut root, mut calls, mut status) = (None, 0, None);
    for line in log.lines() {
        let (process, rest) = front(line);
        let root = *root.get_or_insert(process);
        if let Some(end) = rest.strip_prefix("+++ exited with ").and_then(|rest| rest.split(' ').next()) {
            if process == root {
                status = end.parse().ok();
            }
            continue;
        }
        let whole = if let Some(cut) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(process, cut.to_owned());
            continue;
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((_, end)) = resumed.split_once(" resumed>") else { continue };
            let Some(start) = begun.remove(process) else { continue };
            start + end
        } else {
            rest.to_owned()
        };
        let Some((name, mut arguments, error)) = call(&whole) else { continue };
        // strace shows the stack of a clone before its flags; for the kernel they come first.
        if let Some(flags) = arguments.iter().position(|argument| argument.starts_with("flags=")) {
            arguments.swap(0, flags);
        }
        if name == "execve" && error.is_none() {
            // Another program begins: the one that is meant, or one that a child runs.
            if process == root {
                recorder = Recorder::default();
            } else {
                others.insert(process);
            }
            calls += 1;
            continue;
        }
        // What the kernel goes on with after a signal was told before.
        if name == "restart_syscall" || need::number(&name).is_none() || others.contains(process) {
            continue;
        }
        calls += 1;
        // Where a relative path starts is not told by the log.
        recorder.call(&name, &Written { arguments }, error.as_deref(), &|| None);
    }
    if calls == 0 {
        return Err(TraceError::NoCalls);
    }
    Ok(recorder.finish(status))
}

/// The process that a line is about, and the line without that and without times.
fn front(line: &str) -> (&str, &str) {
    let mut rest = line.trim_start();
    let mut process = "";
    if let Some(inner) = rest.strip_prefix("[pid")
        && let Some((number, after)) = inner.split_once(']')
    {
        process = number.trim();
        rest = after.trim_start();
    }
    let mut first = true;
    while let Some((word, after)) = rest.split_once(' ') {
        let is_number =
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b':');
        if !is_number {
            break;
        }
        if first && process.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
            process = word;
        }
        first = false;
        rest = after.trim_start();
    }
    (process, rest)
}

/// A call's name, its arguments, and its error.
fn call(line: &str) -> Option<(String, Vec<String>, Option<String>)> {
    let (name, rest) = line.split_once('(')?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let (arguments, after) = split(rest)?;
    let result = after.trim_start().strip_prefix('=')?.trim_start();
    let error = result.strip_prefix("-1 ").and_then(|error| error.split(' ').next()).map(str::to_owned);
    Some((name.to_owned(), arguments, error))
}

/// Arguments up to the bracket that closes them, and what comes after it.
fn split(text: &str) -> Option<(Vec<String>, &str)> {
    let mut arguments = Vec::new();
    let (mut depth, mut quote, mut escaped, mut start) = (0usize, false, false, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quote => escaped = true,
            b'"' => quote = !quote,
            _ if quote => {}
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => {
                arguments.push(text[start..at].trim().to_owned());
                return Some((arguments, &text[at + 1..]));
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                arguments.push(text[start..at].trim().to_owned());
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// A number, or names of constants joined by `|`.
fn value(text: &str) -> Option<u64> {
    let text = text.rsplit_once('=').map_or(text, |(key, value)| {
        // clone writes `flags=…`.
        if key.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') { value } else { text }
    });
    text.split('|').try_fold(0, |sum, part| Some(sum | one(part.trim())?))
}

fn one(part: &str) -> Option<u64> {
    // A descriptor may have its file beside it: 3</etc/passwd>.
    let part = part.split('<').next().unwrap_or(part);
    if let Some(digits) = part.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    if let Some(digits) = part.strip_prefix('0').filter(|digits| !digits.is_empty()) {
        return u64::from_str_radix(digits, 8).ok();
    }
    part.parse::<i64>().map(|n| n as u64).ok().or_else(|| need::constant(part))
}

/// A text in quotes, whole.
fn quoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::new();
    let mut rest = inner.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next()? {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            digit @ '0'..='7' => {
                let mut number = digit.to_digit(8)?;
                while let Some(next) = rest.peek().and_then(|c| c.to_digit(8)).filter(|_| number < 32) {
                    number = number * 8 + next;
                    rest.next();
                }
                out.push(char::from_u32(number)?);
            }
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"100 execve("/usr/bin/server", ["server"], 0x7ffd /* 20 vars */) = 0
100 openat(AT_FDCWD, "/etc/server.conf", O_RDONLY|O_CLOEXEC) = 3
100 openat(AT_FDCWD, "/etc/missing", O_RDONLY) = -1 ENOENT (No such file or directory)
100 openat(AT_FDCWD, "/var/log/server", O_WRONLY|O_CREAT|O_APPEND, 0644) = 4
100 socket(AF_INET6, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = 5
100 setsockopt(5, SOL_SOCKET, SO_RCVTIMEO_OLD, "\1\0", 16) = 0
100 clone3({flags=CLONE_VM|CLONE_FS, stack=0x7f}, 88) = 101
101 read(0,  <unfinished ...>
100 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f) = 102
101 <... read resumed>"a, (b\"", 4096)   = 6
102 execve("/bin/sh", ["sh"], 0x7ffd /* 20 vars */) = 0
102 uname({sysname="Linux"}) = 0
100 write(1, "x", 1) = -1 EPIPE (Broken pipe)
100 --- SIGPIPE {si_signo=SIGPIPE} ---
100 +++ exited with 3 +++
"#;

    #[test]
    fn a_log_is_read() {
        let seen = read(LOG).unwrap();
        let needs = &seen.evidence.needs;
        let count = |word: &str| needs.get(word).map_or(0, |witness| witness.seen);
        assert_eq!(count("call:openat"), 3);
        assert_eq!(needs["call:write"].error.as_deref(), Some("EPIPE"));
        assert_eq!(count("socket:AF_INET6/SOCK_STREAM"), 1);
        assert_eq!((count("thread:clone3"), count("process:fork")), (1, 1), "{needs:?}");
        assert_eq!((count("call:read"), count("call:uname")), (1, 0));
        assert_eq!(count("write:*"), 1);
        assert_eq!(seen.files.iter().collect::<Vec<_>>(), ["/etc/server.conf"]);
        assert_eq!(seen.missing.iter().collect::<Vec<_>>(), ["/etc/missing"]);
        assert_eq!(seen.status, Some(3));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]

        /// Whatever stands in a log, what is read of it can be kept and read again.
        #[test]
        fn damaged_logs_are_read_or_refused(
            cuts in proptest::collection::vec((0usize..2000, 0usize..40, r#"\PC{0,6}|[()<>",=\\{}]{1,4}"#), 1..12),
        ) {
            let mut log: Vec<char> = LOG.chars().collect();
            for (at, gone, put) in cuts {
                let at = at % log.len();
                let end = (at + gone).min(log.len());
                log.splice(at..end, put.chars().chain(['x']));
            }
            let log: String = log.into_iter().collect();
            if let Ok(seen) = read(&log) {
                let kept = bespoke_model::Evidence::parse("e", &seen.evidence.to_string());
                proptest::prop_assert_eq!(kept.unwrap(), seen.evidence);
                proptest::prop_assert!(seen.files.iter().all(|path| path.starts_with('/')));
            }
        }
    }

    #[test]
    fn fronts_are_told_from_calls() {
        for line in [
            "read(3, \"\", 10) = 0",
            "[pid  77] read(3, \"\", 10) = 0",
            "77 12:00:01.123 read(3, \"\", 10) = 0",
            "1700000000.5 read(3, \"\", 10) = 0",
        ] {
            assert_eq!(front(line).1, "read(3, \"\", 10) = 0");
        }
        assert!(matches!(read("nothing\nat all ("), Err(TraceError::NoCalls)));
        assert_eq!(quoted(r#""a\"\n\0b""#).as_deref(), Some("a\"\n\0b"));
        assert_eq!(value("O_RDWR|O_CREAT"), Some(0o102));
        assert_eq!(value("3</x>"), Some(3));
    }
}
