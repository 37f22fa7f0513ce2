//! Walks parsed TOML and reports every problem on the way, with its place. Serde would stop at the first.

use std::ops::Range;

use serde::Serialize;

use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::document::{self, Item, Placed, Table, Value};
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

impl<'a> Reader<'a> {
    /// Parses the text. Syntax errors are reported; what could be read is returned.
    pub fn new(file: &'a str, text: &'a str) -> (Reader<'a>, Table<'a>) {
        let (table, errors) = document::parse(text);
        let mut reader = Reader { file, text, problems: Diagnostics::new(), syntax: 0 };
        for error in errors {
            let message = error.message().trim().replace('\n', ", ");
            reader.problems.push(match error.span() {
                Some(span) => Diagnostic::at(file, text, span, message),
                None => Diagnostic::new(crate::Severity::Error, file, message),
            });
        }
        reader.syntax = reader.problems.len();
        (reader, table)
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

    /// Reports keys that mean nothing here.
    pub fn only(&mut self, table: &Table<'_>, known: &[&str], place: &str) {
        for (key, span, _) in table.entries() {
            if !known.contains(&key) {
                let hint = did_you_mean(key, known.iter().copied())
                    .unwrap_or_else(|| format!("known here: {}", known.join(", ")));
                self.error(span, format!("unknown key `{key}` in {place}")).hint = Some(hint);
            }
        }
    }

    fn expected(&mut self, item: &Item<'_>, what: &str, key: &str) {
        let found = item.type_name();
        self.error(item.span.clone(), format!("`{key}` must be {what}, found {}", article(found)));
    }

    pub fn string<'i>(&mut self, table: &Table<'i>, key: &str) -> Option<Placed<'i>> {
        let item = table.get(key)?;
        match item.text() {
            Some(text) => Some((text.clone(), item.span.clone())),
            None => {
                self.expected(item, "a string", key);
                None
            }
        }
    }

    pub fn table<'t, 'i>(&mut self, table: &'t Table<'i>, key: &str) -> Option<&'t Table<'i>> {
        let item = table.get(key)?;
        let found = item.table();
        if found.is_none() {
            self.expected(item, "a table", key);
        }
        found
    }

    pub fn array<'t, 'i>(&mut self, table: &'t Table<'i>, key: &str) -> &'t [Item<'i>] {
        let Some(item) = table.get(key) else { return &[] };
        match &item.value {
            Value::Array(items) => items,
            _ => {
                self.expected(item, "an array", key);
                &[]
            }
        }
    }

    pub fn strings<'i>(&mut self, table: &Table<'i>, key: &str) -> Vec<Placed<'i>> {
        let items = self.array(table, key);
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            match item.text() {
                Some(text) => out.push((text.clone(), item.span.clone())),
                None => self.expected(item, "an array of strings", key),
            }
        }
        out
    }

    pub fn scalar(&mut self, item: &Item<'_>, key: &str) -> Option<Scalar> {
        match &item.value {
            Value::Bool(v) => Some(Scalar::Bool(*v)),
            Value::Text(v) => Some(Scalar::Text(v.to_string())),
            Value::Int(digits, radix) => {
                let prefix = match radix {
                    16 => "0x",
                    8 => "0o",
                    2 => "0b",
                    _ => "",
                };
                let n = parse_int(&format!("{prefix}{digits}"));
                if n.is_none() {
                    self.error(item.span.clone(), format!("`{key}` does not fit in 64 bits"));
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
