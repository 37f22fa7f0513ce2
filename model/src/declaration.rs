//! One declaration file, read on its own: everything that needs no other file to be checked.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::{SmallVec, smallvec};

use crate::Source;
use crate::diagnostics::Diagnostics;
use crate::document::{Item, Placed, Table, Value as Toml};
use crate::reader::{Reader, Scalar};
use crate::tree::Kind;
use crate::value::{ParamType, Value, whole_pattern};

/// A requirement as written: the names of its alternatives.
#[derive(Clone, Debug)]
pub(crate) struct RawClause<'a> {
    pub alternatives: SmallVec<[Placed<'a>; 1]>,
    pub span: Range<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawParam<'a> {
    pub name: Cow<'a, str>,
    pub span: Range<usize>,
    pub help: Cow<'a, str>,
    pub ty: ParamType,
    pub default: Value,
    pub was: Vec<Placed<'a>>,
    pub rules: Vec<RawRule<'a>>,
}

/// What a parameter demands while it has certain values.
#[derive(Clone, Debug)]
pub(crate) struct RawRule<'a> {
    pub when: Condition,
    pub requires: Vec<RawClause<'a>>,
    pub conflicts: Vec<Placed<'a>>,
    pub span: Range<usize>,
}

/// When a rule of a parameter holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The parameter has exactly this value.
    Is(Value),
    /// The parameter has any value but this one.
    Not(Value),
    /// The parameter is greater than this (numbers, sizes and times).
    Above(Value),
    /// The parameter is less than this (numbers, sizes and times).
    Below(Value),
}

impl Condition {
    /// Whether a value meets the condition.
    pub fn holds(&self, value: &Value) -> bool {
        match self {
            Condition::Is(v) => value == v,
            Condition::Not(v) => value != v,
            Condition::Above(v) => value > v,
            Condition::Below(v) => value < v,
        }
    }

    /// The condition in words: `above 1MiB`.
    pub fn describe(&self) -> String {
        match self {
            Condition::Is(v) => format!("{v}"),
            Condition::Not(v) => format!("other than {v}"),
            Condition::Above(v) => format!("above {v}"),
            Condition::Below(v) => format!("below {v}"),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum RawDefault<'a> {
    On(bool),
    Member(Placed<'a>),
}

#[derive(Clone, Debug)]
pub(crate) struct Declaration<'a> {
    pub title: Cow<'a, str>,
    pub help: Cow<'a, str>,
    pub kind: Kind,
    pub core: Option<Cow<'a, str>>,
    pub default: Option<RawDefault<'a>>,
    pub requires: Vec<RawClause<'a>>,
    pub conflicts: Vec<Placed<'a>>,
    pub provides: Vec<Placed<'a>>,
    pub recommends: Vec<Placed<'a>>,
    pub serves: Vec<Placed<'a>>,
    pub was: Vec<Placed<'a>>,
    pub removed: Vec<(String, String)>,
    pub params: Vec<RawParam<'a>>,
}

const KEYS: &[&str] = &[
    "title",
    "help",
    "kind",
    "core",
    "default",
    "requires",
    "conflicts",
    "provides",
    "recommends",
    "serves",
    "was",
    "removed",
    "params",
];

/// What `serves` may speak of; the words are those of `bespoke fit`.
const SERVED: &[&str] =
    &["fcntl", "ioctl", "path", "prctl", "process", "socket", "sockopt", "thread", "vdso", "write"];

const PARAM_KEYS: &[&str] =
    &["type", "default", "min", "max", "step", "pattern", "values", "help", "was", "rules"];

const TYPES: &[&str] = &["bool", "int", "size", "duration", "string", "enum", "ipv4", "ipv6", "cidr", "mac"];

pub(crate) fn read<'a>(source: &Source<'a>) -> (Declaration<'a>, Diagnostics) {
    let (mut r, table) = Reader::new(source.file, source.text);
    r.only(&table, KEYS, "a declaration");
    let required = |r: &mut Reader<'_>, key: &str, hint: &str| match r.string(&table, key) {
        Some((text, span)) => {
            if text.trim().is_empty() {
                r.error(span, format!("`{key}` is empty")).hint = Some(hint.into());
            }
            trimmed(text)
        }
        None if table.get(key).is_some() => "".into(),
        None => {
            let end = source.text.find('\n').unwrap_or(source.text.len());
            r.error(0..end, format!("`{}` has no {key}", source.id)).hint = Some(hint.into());
            "".into()
        }
    };
    let title = required(&mut r, "title", "add `title = \"…\"`: the name a person would use");
    let help = required(&mut r, "help", "add `help = \"…\"`: what it does, and what is lost without it");
    let kind = match r.string(&table, "kind") {
        None => Kind::Component,
        Some((word, span)) => match &*word {
            "menu" => Kind::Menu,
            "component" => Kind::Component,
            "choice" => Kind::Choice,
            other => {
                r.error(span, format!("unknown kind `{other}`")).hint =
                    Some("a kind is `menu`, `component` or `choice`".into());
                Kind::Component
            }
        },
    };
    let core = r.string(&table, "core");
    if let Some((text, span)) = &core
        && text.trim().is_empty()
    {
        r.error(span.clone(), "`core` must say why the component cannot be left out");
    }
    if let (Some((_, span)), true) = (&core, kind != Kind::Component) {
        r.error(span.clone(), format!("{} cannot be core", kind.with_article()));
    }
    let default = match (table.get("default"), kind) {
        (None, _) => None,
        (Some(item), Kind::Component) => match item.value {
            Toml::Bool(on) => Some(RawDefault::On(on)),
            _ => {
                r.error(item.span.clone(), "the default of a component is `true` or `false`");
                None
            }
        },
        (Some(item), Kind::Choice) => match &item.value {
            Toml::Text(member) => Some(RawDefault::Member((member.clone(), item.span.clone()))),
            _ => {
                r.error(
                    item.span.clone(),
                    "the default of a choice is the last part of a member's id, as a string",
                );
                None
            }
        },
        (Some(item), Kind::Menu) => {
            r.error(item.span.clone(), "a menu has no default: it is only a heading");
            None
        }
    };
    if kind == Kind::Menu {
        for key in ["requires", "conflicts", "provides", "recommends", "serves", "params"] {
            if let Some(span) = table.key_span(key) {
                r.error(span, format!("a menu cannot have `{key}`: it has no code")).hint =
                    Some("make it a component, or move this to the components inside".into());
            }
        }
    }
    let requires = clauses(&mut r, &table);
    let conflicts = r.strings(&table, "conflicts");
    let provides = r.strings(&table, "provides");
    for (name, span) in &provides {
        if !name.starts_with("cap:") || name.len() == 4 {
            r.error(span.clone(), format!("`{name}` is not a capability")).hint =
                Some(format!("capabilities are written `cap:{}`", name.trim_start_matches("cap:")));
        }
    }
    let recommends = r.strings(&table, "recommends");
    let serves = r.strings(&table, "serves");
    for (word, span) in &serves {
        let (kind, what) = word.split_once(':').unwrap_or((word, "*"));
        if kind == "call" {
            r.error(span.clone(), format!("`{word}` need not be said")).hint =
                Some("which calls a component serves follows from what it registers".into());
        } else if !SERVED.contains(&kind) {
            r.error(span.clone(), format!("`{word}` is nothing that can be served")).hint =
                Some(format!("write `KIND:WHAT`, with a kind of {}", SERVED.join(", ")));
        } else if what.is_empty()
            || matches!(kind, "path" | "write") && !matches!(what.as_bytes()[0], b'/' | b'*')
        {
            r.error(span.clone(), format!("`{word}` does not say what is served")).hint =
                Some("a path begins with `/`; the kind alone stands for all of it".into());
        }
    }
    let was = r.strings(&table, "was");
    let mut removed = Vec::new();
    if let Some(gone) = r.table(&table, "removed") {
        for (id, _, item) in gone.entries() {
            match item.text() {
                Some(why) => removed.push((id.to_string(), why.to_string())),
                None => {
                    r.error(item.span.clone(), format!("`removed.\"{id}\"` must be a string that says why"));
                }
            }
        }
    }
    let mut params = Vec::new();
    if let Some(table) = r.table(&table, "params") {
        for (name, span, item) in table.entries() {
            match item.table() {
                Some(body) => params.extend(param(&mut r, name, span, body)),
                None => {
                    r.error(item.span.clone(), format!("parameter `{name}` must be a table"));
                }
            }
        }
    }
    let declaration = Declaration {
        title,
        help,
        kind,
        core: core.map(|(text, _)| text),
        default,
        requires,
        conflicts,
        provides,
        recommends,
        serves,
        was,
        removed,
        params,
    };
    (declaration, r.finish())
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_string()),
    }
}

fn clauses<'i>(r: &mut Reader<'_>, table: &Table<'i>) -> Vec<RawClause<'i>> {
    let items = r.array(table, "requires");
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        match &item.value {
            Toml::Text(id) => {
                let alternatives = smallvec![(id.clone(), item.span.clone())];
                out.push(RawClause { alternatives, span: item.span.clone() });
            }
            Toml::Table(group) => {
                r.only(group, &["any"], "a requirement");
                let alternatives = r.strings(group, "any");
                if alternatives.is_empty() {
                    r.error(item.span.clone(), "this requirement lists no alternative").hint =
                        Some("write `{ any = [\"a\", \"b\"] }`".into());
                } else {
                    out.push(RawClause { alternatives: alternatives.into(), span: item.span.clone() });
                }
            }
            _ => {
                r.error(item.span.clone(), "a requirement is an id, or `{ any = [\"a\", \"b\"] }`");
            }
        }
    }
    out
}

/// Reads a value of a known type, reporting what is wrong with it.
pub(crate) fn value(r: &mut Reader<'_>, item: &Item<'_>, ty: &ParamType, key: &str) -> Option<Value> {
    let scalar = r.scalar(item, key)?;
    match typed(&scalar, ty) {
        Ok(value) => Some(value),
        Err(message) => {
            r.error(item.span.clone(), format!("`{key}`: {message}"));
            None
        }
    }
}

/// Gives a TOML scalar the type of a parameter. Words for truth and digits in quotes are for the command line, not for files.
pub(crate) fn typed(scalar: &Scalar, ty: &ParamType) -> Result<Value, String> {
    match (scalar, ty) {
        (Scalar::Bool(v), ParamType::Bool) => Ok(Value::Bool(*v)),
        (Scalar::Bool(v), _) => Err(format!("expected {}, found `{v}`", ty.describe())),
        (Scalar::Int(n), _) => ty.parse_number(*n),
        (Scalar::Text(text), ParamType::Bool | ParamType::Int { .. }) => {
            Err(format!("expected {}, found the string \"{text}\"", ty.describe()))
        }
        (Scalar::Text(text), _) => ty.parse(text),
    }
}

fn param<'i>(r: &mut Reader<'_>, name: &str, span: Range<usize>, body: &Table<'i>) -> Option<RawParam<'i>> {
    r.only(body, PARAM_KEYS, &format!("parameter `{name}`"));
    let good_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !good_name {
        r.error(span.clone(), format!("`{name}` is not a parameter name")).hint =
            Some("lower-case letters, digits and hyphens, beginning with a letter".into());
    }
    let help = match r.string(body, "help") {
        Some((text, _)) => trimmed(text),
        None => {
            if body.get("help").is_none() {
                r.error(span.clone(), format!("parameter `{name}` has no help"));
            }
            "".into()
        }
    };
    let Some((word, type_span)) = r.string(body, "type") else {
        if body.get("type").is_none() {
            r.error(span, format!("parameter `{name}` has no type")).hint =
                Some(format!("one of {}", TYPES.join(", ")));
        }
        return None;
    };
    let ty = param_type(r, name, &word, type_span, body)?;
    let Some(item) = body.get("default") else {
        r.error(span, format!("parameter `{name}` has no default"));
        return None;
    };
    let default = value(r, item, &ty, "default")?;
    let was = r.strings(body, "was");
    let mut rules = Vec::new();
    for item in r.array(body, "rules") {
        let Some(rule) = item.table() else {
            r.error(item.span.clone(), "a rule is a table with `when` and `requires` or `conflicts`");
            continue;
        };
        r.only(rule, &["when", "requires", "conflicts"], "a rule");
        let Some(when) = condition(r, rule, &ty, item.span.clone()) else { continue };
        let requires = clauses(r, rule);
        let conflicts = r.strings(rule, "conflicts");
        if requires.is_empty() && conflicts.is_empty() {
            r.error(item.span.clone(), "this rule demands nothing").hint =
                Some("add `requires` or `conflicts`".into());
        }
        rules.push(RawRule { when, requires, conflicts, span: item.span.clone() });
    }
    Some(RawParam { name: name.to_string().into(), span, help, ty, default, was, rules })
}

fn condition(r: &mut Reader<'_>, rule: &Table<'_>, ty: &ParamType, span: Range<usize>) -> Option<Condition> {
    let Some(item) = rule.get("when") else {
        r.error(span, "this rule does not say when it holds").hint =
            Some("`when = VALUE`, or `when = { above = VALUE }`, `below`, `not`".into());
        return None;
    };
    let Some(table) = item.table() else {
        return value(r, item, ty, "when").map(Condition::Is);
    };
    r.only(table, &["is", "not", "above", "below"], "a condition");
    let entries: Vec<_> = table.entries().collect();
    let [(key, key_span, item)] = entries.as_slice() else {
        r.error(span, "a condition is exactly one of `is`, `not`, `above`, `below`");
        return None;
    };
    let ordered = matches!(ty, ParamType::Int { .. } | ParamType::Size { .. } | ParamType::Duration { .. });
    if matches!(*key, "above" | "below") && !ordered {
        r.error(
            key_span.clone(),
            format!("`{key}` needs a number, a size or a time; this is {}", ty.describe()),
        );
        return None;
    }
    let value = value(r, item, ty, key)?;
    match *key {
        "is" => Some(Condition::Is(value)),
        "not" => Some(Condition::Not(value)),
        "above" => Some(Condition::Above(value)),
        "below" => Some(Condition::Below(value)),
        _ => None, // reported above as an unknown key
    }
}

fn param_type(
    r: &mut Reader<'_>,
    name: &str,
    word: &str,
    span: Range<usize>,
    body: &Table<'_>,
) -> Option<ParamType> {
    let (ranged, stepped) = match word {
        "int" | "size" => (true, true),
        "duration" => (true, false),
        _ => (false, false),
    };
    let misplaced = [
        ("min", ranged),
        ("max", ranged),
        ("step", stepped),
        ("pattern", word == "string"),
        ("values", word == "enum"),
    ];
    for (key, allowed) in misplaced {
        if let (Some(item), false) = (body.get(key), allowed) {
            r.error(item.span.clone(), format!("`{key}` means nothing for type `{word}`"));
        }
    }
    // The bounds are read with the unbounded type first.
    let number = |r: &mut Reader<'_>, key: &str, wide: &ParamType| {
        body.get(key).and_then(|item| value(r, item, wide, key).map(|v| (v, item.span.clone())))
    };
    let ty = match word {
        "bool" => ParamType::Bool,
        "int" => {
            let wide = ParamType::Int { min: i64::MIN, max: i64::MAX, step: 1 };
            let read = |v: Option<(Value, Range<usize>)>, or: i64| match v {
                Some((Value::Int(n), _)) => n,
                _ => or,
            };
            let step = number(r, "step", &wide);
            if let Some((Value::Int(..=0), span)) = &step {
                r.error(span.clone(), "`step` must be 1 or more");
            }
            ParamType::Int {
                min: read(number(r, "min", &wide), i64::MIN),
                max: read(number(r, "max", &wide), i64::MAX),
                step: read(step, 1).max(1) as u64,
            }
        }
        "size" => {
            let wide = ParamType::Size { min: 0, max: u64::MAX, step: 1 };
            let read = |v: Option<(Value, Range<usize>)>, or: u64| match v {
                Some((Value::Size(n), _)) => n,
                _ => or,
            };
            let step = number(r, "step", &wide);
            if let Some((Value::Size(0), span)) = &step {
                r.error(span.clone(), "`step` must be 1 or more");
            }
            ParamType::Size {
                min: read(number(r, "min", &wide), 0),
                max: read(number(r, "max", &wide), u64::MAX),
                step: read(step, 1).max(1),
            }
        }
        "duration" => {
            let wide = ParamType::Duration { min: 0, max: u64::MAX };
            let read = |v: Option<(Value, Range<usize>)>, or: u64| match v {
                Some((Value::Duration(n), _)) => n,
                _ => or,
            };
            ParamType::Duration {
                min: read(number(r, "min", &wide), 0),
                max: read(number(r, "max", &wide), u64::MAX),
            }
        }
        "string" => {
            let pattern = r.string(body, "pattern");
            if let Some((text, span)) = &pattern
                && let Err(e) = whole_pattern(text)
            {
                r.error(span.clone(), format!("the pattern is not a regular expression: {e}"));
                return None;
            }
            ParamType::Str { pattern: pattern.map(|(text, _)| text.into_owned()) }
        }
        "enum" => {
            let values = r.strings(body, "values");
            for (i, (value, span)) in values.iter().enumerate() {
                if values[..i].iter().any(|(earlier, _)| earlier == value) {
                    r.error(span.clone(), format!("`{value}` is listed twice"));
                }
            }
            if values.is_empty() {
                r.error(span, format!("parameter `{name}` lists no values")).hint =
                    Some("add `values = [\"…\"]`".into());
                return None;
            }
            ParamType::Enum { values: values.into_iter().map(|(v, _)| v.into_owned()).collect() }
        }
        "ipv4" => ParamType::Ipv4,
        "ipv6" => ParamType::Ipv6,
        "cidr" => ParamType::Cidr,
        "mac" => ParamType::Mac,
        other => {
            let hint = crate::diagnostics::did_you_mean(other, TYPES.iter().copied())
                .unwrap_or_else(|| format!("one of {}", TYPES.join(", ")));
            r.error(span, format!("unknown type `{other}`")).hint = Some(hint);
            return None;
        }
    };
    let empty = match &ty {
        ParamType::Int { min, max, .. } => min > max,
        ParamType::Size { min, max, .. } | ParamType::Duration { min, max } => min > max,
        _ => false,
    };
    if empty {
        r.error(span, format!("parameter `{name}` has `min` above `max`"));
        return None;
    }
    Some(ty)
}
