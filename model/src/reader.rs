//! Walks parsed TOML and reports every problem on the way, with its place. Serde would stop at the first.

use std::ops::Range;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::value::parse_int;

/// A bool, number or text as it stands in a TOML file, before anybody knows what type it should have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Bool(bool),
    Int(i64),
    Text(String),
}

pub(crate) struct Reader<'a> {
    pub file: &'a str,
    pub text: &'a str,
    pub problems: Diagnostics,
    /// How many of them are errors of syntax.
    syntax: usize,
}

pub(crate) type Item<'i> = Spanned<DeValue<'i>>;

impl<'a> Reader<'a> {
    /// Parses the text. Syntax errors are reported; what could be read is returned.
    pub fn new(file: &'a str, text: &'a str) -> (Reader<'a>, DeTable<'a>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader { file, text, problems: Diagnostics::new(), syntax: 0 };
        for error in errors {
            let message = error.message().trim().replace('\n', ", ");
            reader.problems.push(match error.span() {
                Some(span) => Diagnostic::at(file, text, span, message),
                None => Diagnostic::new(crate::Severity::Error, file, message),
            });
        }
        reader.syntax = reader.problems.len();
        (reader, table.into_inner())
    }

    /// What is to be reported. Where the syntax is broken, whatever else was found may only follow from it.
    pub fn finish(mut self) -> Diagnostics {
        if self.syntax > 0 {
            self.problems.0.truncate(self.syntax);
        }
        self.problems
    }

    pub fn error(&mut self, span: Range<usize>, message: impl Into<String>) -> &mut Diagnostic {
        self.problems.push(Diagnostic::at(self.file, self.text, span, message));
        self.problems.0.last_mut().expect("just pushed")
    }

    /// The entries of a table in the order they are written.
    pub fn entries<'t, 'i>(&self, table: &'t DeTable<'i>) -> Vec<(&'t str, Range<usize>, &'t Item<'i>)> {
        let mut entries: Vec<_> =
            table.iter().map(|(key, item)| (key.get_ref().as_ref(), key.span(), item)).collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        entries
    }

    /// Reports keys that mean nothing here.
    pub fn only(&mut self, table: &DeTable<'_>, known: &[&str], place: &str) {
        for (key, span, _) in self.entries(table) {
            if !known.contains(&key) {
                let hint = did_you_mean(key, known.iter().copied())
                    .unwrap_or_else(|| format!("known here: {}", known.join(", ")));
                self.error(span, format!("unknown key `{key}` in {place}")).hint = Some(hint);
            }
        }
    }

    fn expected(&mut self, item: &Item<'_>, what: &str, key: &str) {
        let found = item.get_ref().type_str();
        self.error(item.span(), format!("`{key}` must be {what}, found {}", article(found)));
    }

    pub fn string(&mut self, table: &DeTable<'_>, key: &str) -> Option<(String, Range<usize>)> {
        let item = table.get(key)?;
        match item.get_ref().as_str() {
            Some(text) => Some((text.to_string(), item.span())),
            None => {
                self.expected(item, "a string", key);
                None
            }
        }
    }

    pub fn table<'t, 'i>(&mut self, table: &'t DeTable<'i>, key: &str) -> Option<&'t DeTable<'i>> {
        let item = table.get(key)?;
        let found = item.get_ref().as_table();
        if found.is_none() {
            self.expected(item, "a table", key);
        }
        found
    }

    pub fn array<'t, 'i>(&mut self, table: &'t DeTable<'i>, key: &str) -> Vec<&'t Item<'i>> {
        let Some(item) = table.get(key) else { return Vec::new() };
        match item.get_ref().as_array() {
            Some(items) => items.iter().collect(),
            None => {
                self.expected(item, "an array", key);
                Vec::new()
            }
        }
    }

    pub fn strings(&mut self, table: &DeTable<'_>, key: &str) -> Vec<(String, Range<usize>)> {
        let mut out = Vec::new();
        for item in self.array(table, key) {
            match item.get_ref().as_str() {
                Some(text) => out.push((text.to_string(), item.span())),
                None => self.expected(item, "an array of strings", key),
            }
        }
        out
    }

    pub fn scalar(&mut self, item: &Item<'_>, key: &str) -> Option<Scalar> {
        match item.get_ref() {
            DeValue::Boolean(v) => Some(Scalar::Bool(*v)),
            DeValue::String(v) => Some(Scalar::Text(v.to_string())),
            DeValue::Integer(v) => {
                // TOML keeps the prefix apart from the digits.
                let prefix = match v.radix() {
                    16 => "0x",
                    8 => "0o",
                    2 => "0b",
                    _ => "",
                };
                let n = parse_int(&format!("{prefix}{}", v.as_str()));
                if n.is_none() {
                    self.error(item.span(), format!("`{key}` does not fit in 64 bits"));
                }
                n.map(Scalar::Int)
            }
            _ => {
                self.expected(item, "a bool, a whole number or a string", key);
                None
            }
        }
    }
}

pub(crate) fn article(word: &str) -> String {
    let vowel = word.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {word}", if vowel { "an" } else { "a" })
}
