//! TOML with the place of everything.
//!
//! Nearly every file is plain: headers, keys and values, each said once. Such a file is put together straight from the parser's
//! events, in half the time that a general table takes; a tree of 20,000 declarations is mostly this. Whatever is not plain
//! (dotted keys, tables defined in pieces, floats, dates), and every file with a mistake in it, goes to the `toml` crate, which
//! knows all the rules and words the errors.

use std::borrow::Cow;
use std::ops::Range;

use toml::de::{DeTable, DeValue, Error};
use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{EventReceiver, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, Source, Span};

/// A text with its place; borrowed from the file where it stands there as it is meant.
pub(crate) type Placed<'i> = (Cow<'i, str>, Range<usize>);

#[derive(Debug, PartialEq)]
pub(crate) enum Value<'i> {
    Bool(bool),
    /// The digits without their prefix, and the radix.
    Int(Cow<'i, str>, u32),
    Text(Cow<'i, str>),
    Array(Vec<Item<'i>>),
    Table(Table<'i>),
    /// What no file of ours has a use for, by the name of its type.
    Other(&'static str),
}

/// A value with its place. Of a table with a header it is the header's.
#[derive(Debug, PartialEq)]
pub(crate) struct Item<'i> {
    pub value: Value<'i>,
    pub span: Range<usize>,
}

impl<'i> Item<'i> {
    pub fn text(&self) -> Option<&Cow<'i, str>> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    pub fn table(&self) -> Option<&Table<'i>> {
        if let Value::Table(table) = &self.value { Some(table) } else { None }
    }

    pub fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Bool(_) => "boolean",
            Value::Int(..) => "integer",
            Value::Text(_) => "string",
            Value::Array(_) => "array",
            Value::Table(_) => "table",
            Value::Other(name) => name,
        }
    }
}

/// Entries in the order they are written. Few enough in most tables that looking through them is the fastest way to one.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Table<'i> {
    entries: Vec<(Placed<'i>, Item<'i>)>,
    /// Made by a header, so later headers may add to it.
    by_header: bool,
}

impl<'i> Table<'i> {
    pub fn get(&self, key: &str) -> Option<&Item<'i>> {
        self.entries.iter().find(|((k, _), _)| k == key).map(|(_, item)| item)
    }

    /// Where a key stands.
    pub fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.entries.iter().find(|((k, _), _)| k == key).map(|((_, span), _)| span.clone())
    }

    pub fn entries(&self) -> impl Iterator<Item = (&str, Range<usize>, &Item<'i>)> {
        self.entries.iter().map(|((key, span), item)| (&**key, span.clone(), item))
    }
}

/// Reads a text. Where there are errors, what could be read all the same is given with them.
pub(crate) fn parse(text: &str) -> (Table<'_>, Vec<Error>) {
    if let Some(table) = plain(text) {
        return (table, Vec::new());
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    (general(table.into_inner()), errors)
}

fn general(table: DeTable<'_>) -> Table<'_> {
    let mut entries: Vec<_> = table
        .into_iter()
        .map(|(key, item)| {
            let span = key.span();
            ((key.into_inner(), span), general_item(item))
        })
        .collect();
    entries.sort_by_key(|((_, span), _)| span.start);
    Table { entries, by_header: false }
}

fn general_item(item: toml::Spanned<DeValue<'_>>) -> Item<'_> {
    let span = item.span();
    let value = match item.into_inner() {
        DeValue::Boolean(v) => Value::Bool(v),
        DeValue::Integer(v) => Value::Int(v.as_str().to_string().into(), v.radix()),
        DeValue::String(v) => Value::Text(v),
        DeValue::Array(items) => Value::Array(items.into_iter().map(general_item).collect()),
        DeValue::Table(table) => Value::Table(general(table)),
        other => Value::Other(other.type_str()),
    };
    Item { value, span }
}

fn plain(text: &str) -> Option<Table<'_>> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut builder = Builder {
        source,
        root: Table { entries: Vec::with_capacity(8), by_header: false },
        header: None,
        key: None,
        open: Vec::new(),
        plain: true,
    };
    let mut failed = None;
    parse_document(&tokens, &mut ValidateWhitespace::new(&mut builder, source), &mut failed);
    builder.close_header();
    (builder.plain && failed.is_none()).then_some(builder.root)
}

/// Puts a plain file together, or finds that it is none.
struct Builder<'i> {
    source: Source<'i>,
    root: Table<'i>,
    header: Option<Header<'i>>,
    /// The key whose value is awaited, outside of all brackets.
    key: Option<Placed<'i>>,
    /// Arrays and inline tables that are not closed yet.
    open: Vec<Open<'i>>,
    plain: bool,
}

/// A header and what stands below it.
struct Header<'i> {
    path: Vec<Placed<'i>>,
    span: Range<usize>,
    array: bool,
    /// Whether its closing bracket was seen.
    whole: bool,
    table: Table<'i>,
}

enum Open<'i> {
    Array(Vec<Item<'i>>, usize),
    Table(Table<'i>, usize, Option<Placed<'i>>),
}

impl<'i> Builder<'i> {
    /// Deeper than anybody nests, and far from the end of the stack.
    const DEEPEST: usize = 16;
    /// Above this looking for a key takes too long; the general table is sorted.
    const LARGEST: usize = 64;

    fn open_header(&mut self, span: Span, array: bool) {
        self.close_header();
        let span = span.start()..span.end();
        self.header = Some(Header { path: Vec::new(), span, array, whole: false, table: Table::default() });
    }

    fn end_header(&mut self, span: Span) {
        if let Some(header) = &mut self.header {
            header.span.end = span.end();
            header.whole = true;
        }
    }

    /// Gives what stands below the last header its place.
    fn close_header(&mut self) {
        let Some(Header { mut path, span, array, mut table, .. }) = self.header.take() else { return };
        table.by_header = true;
        let placed = path.pop().and_then(|(key, key_span)| {
            let parent =
                path.into_iter().try_fold(&mut self.root, |at, (key, key_span)| at.inner(key, key_span))?;
            let item = Item { value: Value::Table(table), span: span.clone() };
            let there = parent.entries.iter_mut().find(|((k, _), _)| *k == key);
            match (array, there) {
                (true, Some((_, Item { value: Value::Array(items), .. }))) if by_header(items.last()) => {
                    items.push(item);
                }
                (_, Some(_)) => return None,
                (true, None) => {
                    parent.entries.push(((key, key_span), Item { value: Value::Array(vec![item]), span }));
                }
                (false, None) => parent.entries.push(((key, key_span), item)),
            }
            Some(())
        });
        self.plain &= placed.is_some();
    }

    fn value(&mut self, value: Value<'i>, span: Range<usize>) {
        let item = Item { value, span };
        let (table, key) = match self.open.last_mut() {
            Some(Open::Array(items, _)) => return items.push(item),
            Some(Open::Table(table, _, key)) => (table, key.take()),
            None => (self.header.as_mut().map_or(&mut self.root, |h| &mut h.table), self.key.take()),
        };
        match key {
            Some(key) if table.entries.len() < Self::LARGEST && table.get(&key.0).is_none() => {
                table.entries.push((key, item));
            }
            _ => self.plain = false,
        }
    }
}

fn by_header(item: Option<&Item<'_>>) -> bool {
    item.and_then(Item::table).is_some_and(|t| t.by_header)
}

impl<'i> Table<'i> {
    /// The table that a header's path leads to next.
    fn inner(&mut self, key: Cow<'i, str>, span: Range<usize>) -> Option<&mut Table<'i>> {
        let at = self.entries.iter().position(|((k, _), _)| *k == key).unwrap_or_else(|| {
            let value = Value::Table(Table { by_header: true, ..Table::default() });
            self.entries.push(((key, span.clone()), Item { value, span }));
            self.entries.len() - 1
        });
        let item = match &mut self.entries[at].1 {
            Item { value: Value::Array(items), .. } => items.last_mut()?,
            item => item,
        };
        match &mut item.value {
            Value::Table(table) if table.by_header => Some(table),
            _ => None,
        }
    }
}

impl EventReceiver for Builder<'_> {
    fn std_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.open_header(span, false);
    }

    fn array_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.open_header(span, true);
    }

    fn std_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.end_header(span);
    }

    fn array_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.end_header(span);
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::Table(Table::default(), span.start(), None));
        self.plain &= self.open.len() <= Self::DEEPEST;
        self.plain
    }

    fn inline_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        match self.open.pop() {
            Some(Open::Table(table, start, None)) => self.value(Value::Table(table), start..span.end()),
            _ => self.plain = false,
        }
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::Array(Vec::with_capacity(4), span.start()));
        self.plain &= self.open.len() <= Self::DEEPEST;
        self.plain
    }

    fn array_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        match self.open.pop() {
            Some(Open::Array(items, start)) => self.value(Value::Array(items), start..span.end()),
            _ => self.plain = false,
        }
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else { return self.plain = false };
        let mut key = Cow::Borrowed("");
        toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span).decode_key(&mut key, error);
        let key = (key, span.start()..span.end());
        match (&mut self.header, self.open.last_mut()) {
            (Some(header), _) if !header.whole => header.path.push(key),
            (_, Some(Open::Table(_, _, awaited @ None))) => *awaited = Some(key),
            (_, None) if self.key.is_none() => self.key = Some(key),
            _ => self.plain = false,
        }
    }

    fn key_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.plain &= self.header.as_ref().is_some_and(|h| !h.whole);
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else { return self.plain = false };
        let mut text = Cow::Borrowed("");
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
        let value = match raw.decode_scalar(&mut text, error) {
            ScalarKind::String => Value::Text(text),
            ScalarKind::Boolean(v) => Value::Bool(v),
            ScalarKind::Integer(radix) => Value::Int(text, radix.value()),
            ScalarKind::Float | ScalarKind::DateTime => return self.plain = false,
        };
        self.value(value, span.start()..span.end());
    }

    fn error(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.plain = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(text: &str) -> bool {
        let Some(plain) = plain(text) else { return false };
        let (table, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "accepted: {text}");
        assert_eq!(flat(plain), general(table.into_inner()), "{text}");
        true
    }

    /// The general table does not tell who made it, and has a header's subtables in the order of their keys.
    fn flat(mut table: Table<'_>) -> Table<'_> {
        table.by_header = false;
        table.entries.sort_by_key(|((_, span), _)| span.start);
        for (_, item) in &mut table.entries {
            flat_item(item);
        }
        table
    }

    fn flat_item(item: &mut Item<'_>) {
        match &mut item.value {
            Value::Table(table) => *table = flat(std::mem::take(table)),
            Value::Array(items) => items.iter_mut().for_each(flat_item),
            _ => {}
        }
    }

    #[test]
    fn plain_files_come_out_as_the_general_parser_has_them() {
        for text in [
            "",
            "# nothing",
            "a = 1\nb = \"x\\ty\"\nc = 'l'\n\"d e\" = true\n",
            "n = 0x1F\nm = -1_000\no = 0o7\np = 0b1",
            "a = [1, [2, 3], { any = ['b', \"c\"] }, ] # end\nb = {}",
            "t = \"\"\"\nlong\ntext \\\n  on\"\"\"\nu = '''\nraw'''",
            "title = 'x'\n[params.n]\ntype = 'int'\n[[params.n.rules]]\nwhen = { above = 5 }\n[[params.n.rules]]\nwhen = 2\n[params.m]\ntype = 'bool'",
            "[ a . \"b c\" ]\r\nd = 1\r\n[a.e]\r\n[z]\n",
        ] {
            assert!(agree(text), "not plain: {text}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_general_parser() {
        for text in [
            "a.b = 1",
            "a = 1.5",
            "a = 1979-05-27",
            "a = 1\na = 2",
            "a = { b = 1, b = 2 }",
            "[a]\n[a]",
            "[a.b]\n[a]",
            "a = 1\n[a]",
            "a = {}\n[a.b]",
            "a = []\n[[a]]",
            "[a]\n[[a]]",
            "[[a]]\n[a]",
            "a = [1",
            "a = ",
            "= 1",
            "[a\nb = 1",
            "[]",
            "a = \"\\q\"",
            "a = 'x' b = 2",
            "a = 1 # \u{1}",
            "a = \"\u{7f}\"",
            "a",
            "a = 01",
            "a = nope",
        ] {
            assert!(plain(text).is_none(), "plain: {text}");
        }
    }

    /// Cut, doubled and stirred pieces of real declarations: the two parsers never disagree on what one of them accepts.
    #[test]
    fn random_texts_are_read_alike() {
        use rand::{RngExt, SeedableRng};
        let pieces = [
            "a",
            "b",
            "'a'",
            "\"b\"",
            " = ",
            " = ",
            "1",
            "true",
            "[",
            "]",
            "[[",
            "]]",
            "{",
            "}",
            ", ",
            ".",
            "\n",
            "\n",
            "\n[",
            "]\n",
            "a = 1\n",
            "[a.b]\n",
            "[[a]]\n",
            "[b]\n",
            "x = ['a', 'b']\n",
            "y = { any = 'c' }\n",
            "# c\n",
            "\"\"\"",
            "-",
            "\r",
        ];
        let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut plain = 0;
        for _ in 0..200_000 {
            let count = rng.random_range(0..9);
            let text: String = (0..count).map(|_| pieces[rng.random_range(0..pieces.len())]).collect();
            plain += usize::from(agree(&text));
        }
        assert!(plain > 10_000, "{plain}");
    }
}
