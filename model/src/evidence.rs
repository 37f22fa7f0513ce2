//! What is known of a program's needs, and from where: kept beside its config, so that several runs add up.
//!
//! A need is a word: `call:openat`, `path:/proc/self/exe`, `socket:AF_INET/SOCK_STREAM`. It was *found* in the program's code, *seen* as
//! the program ran, or both. The text is in the order of words and the same for the same facts.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::diagnostics::{Diagnostics, did_you_mean};
use crate::document::Item;
use crate::reader::{Reader, Scalar};

/// What is known of one need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// How often it was seen as the program ran.
    pub seen: u64,
    /// How often of these the host or guest answered with an error.
    pub failed: u64,
    /// The first of these errors.
    pub error: Option<String>,
    /// In how many places of the code it was found.
    pub found: u64,
    /// The first of these places.
    pub at: Vec<String>,
}

/// Everything that is known of a program's needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// How often the program was watched.
    pub runs: u64,
    /// The program and its libraries by path, with a digest of what was in them when they were scanned.
    pub scanned: BTreeMap<String, String>,
    /// Its needs.
    pub needs: BTreeMap<String, Witness>,
}

/// The version of the format.
const SCHEMA: i64 = 1;
/// The largest number that its text can hold.
const MOST: u64 = i64::MAX as u64;

impl Evidence {
    /// Reads what [`Evidence`]'s `Display` wrote.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn parse(file: &str, text: &str) -> Result<Evidence, Diagnostics> {
        let (mut r, root) = Reader::new(file, text);
        r.only(&root, &["schema", "runs", "scanned", "needs"], "evidence");
        let mut evidence = Evidence::default();
        if let Some(item) = root.get("schema")
            && !matches!(r.scalar(item, "schema"), Some(Scalar::Int(1..=SCHEMA)))
        {
            r.error(item.span.clone(), format!("this program knows evidence of schema {SCHEMA} only")).hint =
                Some("it was written by a newer bespoke: use that one, or delete the file".into());
        }
        if let Some(item) = root.get("runs") {
            evidence.runs = count(&mut r, item, "runs");
        }
        if let Some(table) = r.table(&root, "scanned") {
            for (path, _, item) in table.entries() {
                match item.text() {
                    Some(digest) => drop(evidence.scanned.insert(path.to_string(), digest.to_string())),
                    None => drop(r.error(item.span.clone(), "a digest is a string")),
                }
            }
        }
        if let Some(table) = r.table(&root, "needs") {
            for (word, span, item) in table.entries() {
                let Some(fields) = item.table() else {
                    r.error(span, format!("`{word}` must be a table: {{ seen = …, found = … }}"));
                    continue;
                };
                if !word.contains(':') {
                    let hint = did_you_mean(word, ["call:", "path:", "socket:", "write:"]);
                    r.error(span, format!("`{word}` is no need")).hint =
                        hint.or_else(|| Some("write `KIND:WHAT`".into()));
                }
                r.only(fields, &["seen", "failed", "error", "found", "at"], "a need");
                let number = |r: &mut Reader<'_>, key: &str| fields.get(key).map_or(0, |i| count(r, i, key));
                let witness = Witness {
                    seen: number(&mut r, "seen"),
                    failed: number(&mut r, "failed"),
                    found: number(&mut r, "found"),
                    error: r.string(fields, "error").map(|(text, _)| text.into_owned()),
                    at: r.strings(fields, "at").into_iter().map(|(text, _)| text.into_owned()).collect(),
                };
                evidence.needs.insert(word.to_string(), witness);
            }
        }
        r.finish().into_result().map(|_| evidence)
    }

    /// Forgets what was found in the code: it is about to be scanned again.
    pub fn forget_found(&mut self) {
        self.scanned.clear();
        for witness in self.needs.values_mut() {
            witness.found = 0;
            witness.at.clear();
        }
        self.needs.retain(|_, witness| witness.seen > 0);
    }

    /// Notes that a need was found in the code.
    pub fn add_found(&mut self, word: &str, places: u64, at: &[String]) {
        let witness = self.needs.entry(word.to_owned()).or_default();
        witness.found = places.min(MOST);
        witness.at = at.to_vec();
    }

    /// Notes that a need was seen. Runs add up.
    pub fn add_seen(&mut self, word: &str, times: u64, failed: u64, error: Option<&str>) {
        let witness = self.needs.entry(word.to_owned()).or_default();
        witness.seen = witness.seen.saturating_add(times).min(MOST);
        witness.failed = witness.failed.saturating_add(failed).min(MOST);
        if witness.error.is_none() {
            witness.error = error.map(str::to_owned);
        }
    }

    /// Adds everything that another says was seen.
    pub fn merge_seen(&mut self, other: &Evidence) {
        self.runs = self.runs.saturating_add(other.runs).min(MOST);
        for (word, witness) in &other.needs {
            if witness.seen > 0 {
                self.add_seen(word, witness.seen, witness.failed, witness.error.as_deref());
            }
        }
    }
}

fn count(r: &mut Reader<'_>, item: &Item<'_>, key: &str) -> u64 {
    match r.scalar(item, key) {
        Some(Scalar::Int(n)) if n >= 0 => n as u64,
        Some(_) => {
            r.error(item.span.clone(), format!("`{key}` is a count: a whole number, 0 or more"));
            0
        }
        None => 0,
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = |text: &str| toml::Value::from(text).to_string();
        writeln!(
            f,
            "# What is known of the program's needs: seen as it ran, found in its code. `bespoke fit` writes this, and each"
        )?;
        writeln!(f, "# watched run adds to it. Delete the file to begin anew.")?;
        writeln!(f, "schema = {SCHEMA}\nruns = {}", self.runs)?;
        if !self.scanned.is_empty() {
            writeln!(f, "\n[scanned]")?;
            for (path, digest) in &self.scanned {
                writeln!(f, "{} = {}", quote(path), quote(digest))?;
            }
        }
        if !self.needs.is_empty() {
            writeln!(f, "\n[needs]")?;
        }
        for (word, witness) in &self.needs {
            let mut fields = Vec::new();
            if witness.seen > 0 {
                fields.push(format!("seen = {}", witness.seen));
            }
            if witness.failed > 0 {
                fields.push(format!("failed = {}", witness.failed));
            }
            if let Some(error) = &witness.error {
                fields.push(format!("error = {}", quote(error)));
            }
            if witness.found > 0 {
                fields.push(format!("found = {}", witness.found));
            }
            if !witness.at.is_empty() {
                let places: Vec<String> = witness.at.iter().map(|place| quote(place)).collect();
                fields.push(format!("at = [{}]", places.join(", ")));
            }
            writeln!(f, "{} = {{ {} }}", quote(word), fields.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Evidence {
        let mut evidence = Evidence { runs: 1, ..Evidence::default() };
        evidence.scanned.insert("/bin/x \"y\"".into(), "0f".into());
        evidence.add_found("call:openat", 2, &["libc.so.6: open64+0x57".into(), "x: 0x12".into()]);
        evidence.add_seen("call:openat", 34, 2, Some("ENOENT"));
        evidence.add_found("path:/dev/null", 1, &[]);
        evidence
    }

    #[test]
    fn it_reads_back() {
        let evidence = sample();
        let text = evidence.to_string();
        assert_eq!(Evidence::parse("e", &text).unwrap(), evidence, "{text}");
        assert_eq!(Evidence::parse("e", "").unwrap(), Evidence::default());
    }

    #[test]
    fn runs_add_up_and_scans_replace() {
        let mut evidence = sample();
        evidence.merge_seen(&sample());
        let open = &evidence.needs["call:openat"];
        assert_eq!((evidence.runs, open.seen, open.failed, open.found), (2, 68, 4, 2));
        assert_eq!(evidence.needs["path:/dev/null"].seen, 0);
        evidence.forget_found();
        assert_eq!(evidence.needs.keys().collect::<Vec<_>>(), ["call:openat"]);
        assert_eq!(evidence.needs["call:openat"].found, 0);
    }

    #[test]
    fn the_largest_counts_read_back() {
        let mut evidence = Evidence { runs: MOST, ..sample() };
        evidence.add_seen("call:read", u64::MAX, u64::MAX, Some("E\0\n\"\u{7f}"));
        evidence.add_found("file:/a\tb\r\u{1}\u{2028}", u64::MAX, &["\u{0}".into(), "é\\".into()]);
        evidence.merge_seen(&evidence.clone());
        let text = evidence.to_string();
        assert_eq!(Evidence::parse("e", &text).unwrap(), evidence, "{text}");
    }

    /// Whatever stands in the file, the answer is evidence that reads back, or what is wrong.
    #[test]
    fn damaged_texts_are_told_or_read() {
        use rand::RngExt as _;
        const PIECES: [&str; 14] = [
            "=",
            "\"",
            "[",
            "]",
            "{",
            "}",
            "\n",
            "#",
            "seen",
            "-1",
            "9223372036854775808",
            "\u{0}",
            "\\",
            ".",
        ];
        let good = sample().to_string();
        let mut rng: rand_chacha::ChaCha8Rng = rand::SeedableRng::seed_from_u64(7);
        let mut read = 0;
        for _ in 0..3000 {
            let mut text: Vec<char> = good.chars().collect();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..text.len());
                match rng.random_range(0..3) {
                    0 => drop(text.remove(at)),
                    1 => text.truncate(at.max(1)),
                    _ => drop(text.splice(at..at, PIECES[rng.random_range(0..PIECES.len())].chars())),
                }
            }
            let text: String = text.into_iter().collect();
            match Evidence::parse("e", &text) {
                Ok(evidence) => {
                    read += 1;
                    assert_eq!(Evidence::parse("e", &evidence.to_string()).unwrap(), evidence, "{text}");
                }
                Err(problems) => assert!(!problems.to_string().is_empty(), "{text}"),
            }
        }
        assert!((50..2950).contains(&read), "{read} of 3000");
    }

    #[test]
    fn faults_are_told() {
        for (text, expected) in [
            ("schema = 2", "schema 1 only"),
            ("runs = -1", "whole number"),
            ("[needs]\nx = 3", "must be a table"),
            ("[needs]\nopenat = { seen = 1 }", "is no need"),
            ("[needs]\n\"call:x\" = { sen = 1 }", "unknown key `sen`"),
            ("[scanned]\nx = 1", "a digest is a string"),
            ("need = 1", "unknown key `need`"),
            ("[", ""),
        ] {
            let problems = Evidence::parse("e", text).unwrap_err().to_string();
            assert!(problems.contains(expected), "{text}: {problems}");
        }
    }
}
