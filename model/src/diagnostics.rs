//! Problems in declarations and configs, each with the place it stands at and a hint.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing can be done with the input until this is mended.
    Error,
    /// Legal, and probably not what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Location {
    /// First and one-past-last byte in the text.
    #[serde(skip)]
    pub span: Range<usize>,
    /// Counted from 1.
    pub line: u32,
    /// Counted from 1, in characters.
    pub column: u32,
    /// How many characters the caret line marks; at least 1.
    pub width: u32,
    /// The line of the text that the span starts on.
    pub source_line: String,
}

impl Location {
    /// Where `span` lies in `text`. A span that leaves the text or splits a character is moved to the nearest place inside.
    pub fn new(text: &str, span: Range<usize>) -> Location {
        let start = text.floor_char_boundary(span.start);
        let end = text.floor_char_boundary(span.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let (line, column) = line_and_column(text, start);
        let marked = &text[start..end.clamp(start, line_end)];
        Location {
            span: start..end,
            line,
            column,
            width: (marked.chars().count() as u32).max(1),
            source_line: text[line_start..line_end].trim_end_matches('\r').to_string(),
        }
    }
}

/// Where a byte of a text is, both counted from 1.
pub(crate) fn line_and_column(text: &str, at: usize) -> (u32, u32) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    let in_line = before.iter().rev().take_while(|b| **b != b'\n');
    // Every character has one byte that does not continue another.
    let column = 1 + in_line.filter(|b| (**b as i8) >= -0x40).count();
    (line as u32, column as u32)
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as the caller named it; empty when the problem has none.
    pub file: String,
    /// Where in the file, when it stands at a place.
    pub location: Option<Location>,
    /// The cause, in lower case and without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A problem of a whole file.
    pub fn new(severity: Severity, file: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity, file: file.to_string(), location: None, message: message.into(), hint: None }
    }

    /// An error at a place in a text.
    pub fn at(file: &str, text: &str, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let location = Some(Location::new(text, span));
        Diagnostic { location, ..Diagnostic::new(Severity::Error, file, message) }
    }

    /// The same, with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// The same, with a hint when there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Diagnostic {
        self.hint = hint.or(self.hint);
        self
    }

    /// The same, as a warning.
    #[must_use]
    pub fn warning(mut self) -> Diagnostic {
        self.severity = Severity::Warning;
        self
    }

    /// The same, as a note.
    #[must_use]
    pub fn note(mut self) -> Diagnostic {
        self.severity = Severity::Note;
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.message)?;
        if let Some(at) = &self.location {
            let number = at.line.to_string();
            let margin = " ".repeat(number.len());
            write!(f, "\n{margin}--> {}:{}:{}", self.file, at.line, at.column)?;
            write!(f, "\n{margin} |\n{number} | {}", at.source_line)?;
            // Tabs are repeated so that the caret stands under its character however wide a tab is shown.
            let lead: String = at
                .source_line
                .chars()
                .take(at.column as usize - 1)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n{margin} | {lead}{}", "^".repeat(at.width as usize))?;
        } else if !self.file.is_empty() {
            write!(f, "\n --> {}", self.file)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// All the problems that were found, in the order of files and places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// No problems yet.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// `Err` with all of them when one is an error.
    pub fn into_result(self) -> Result<Diagnostics, Diagnostics> {
        if self.has_errors() { Err(self) } else { Ok(self) }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, iter: I) {
        self.0.extend(iter);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// `did you mean …?` for a word that is none of `known`, when one of them is close.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    closest(word, known).map(|best| format!("did you mean `{best}`?"))
}

/// The nearest of `known` to `word`, when it is near enough to be a slip of the hand.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = |id: &str| id.rsplit('.').next().unwrap_or_default().to_string();
    let (word_last, mut best) = (last(word), None::<(f64, &str)>);
    for candidate in known {
        // An id written without its menus ("tcp" for "net.tcp") is as good as a misspelling.
        let whole = strsim::normalized_damerau_levenshtein(word, candidate);
        let tail = 0.95 * strsim::normalized_damerau_levenshtein(&word_last, &last(candidate));
        let score = whole.max(tail);
        if score > 0.6 && best.is_none_or(|(s, _)| score > s) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_the_line_with_a_caret() {
        let text = "a = 1\nrequires = [\"net.tpc\"]\n";
        let at = text.find("\"net.tpc\"").unwrap();
        let d = Diagnostic::at("x.toml", text, at..at + 9, "there is no component `net.tpc`")
            .maybe_hint(did_you_mean("net.tpc", ["fs", "net.tcp"]));
        let want = "error: there is no component `net.tpc`\n --> x.toml:2:13\n  |\n2 | requires = [\"net.tpc\"]\n  |             ^^^^^^^^^\nhint: did you mean `net.tcp`?";
        assert_eq!(d.to_string(), want);
    }

    #[test]
    fn a_span_outside_the_text_is_moved_inside() {
        let at = Location::new("äö", 3..99);
        assert_eq!((at.line, at.column, at.width), (1, 2, 1));
        assert_eq!(Location::new("", 5..7).line, 1);
    }

    #[test]
    fn only_near_words_are_proposed() {
        assert_eq!(closest("tcp", ["net.tcp", "net.udp"]), Some("net.tcp"));
        assert_eq!(closest("zebra", ["net.tcp", "net.udp"]), None);
    }
}
