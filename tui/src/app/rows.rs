//! The rows of the views.

use bespoke_model::{NodeId, Tree};

use super::doc::Item;
use super::{App, View};

/// One row of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it stands for; a row without one is text.
    pub item: Option<Item>,
    /// How far it is indented.
    pub depth: usize,
    /// The text of a row that is only text, or what to say before an item's name.
    pub text: String,
    /// Whether it is a heading, which the cursor passes over.
    pub heading: bool,
}

impl Row {
    /// A row for an item.
    pub fn item(item: Item, depth: usize) -> Self {
        Row { item: Some(item), depth, text: String::new(), heading: false }
    }

    /// A heading.
    pub fn heading(text: impl Into<String>) -> Self {
        Row { item: None, depth: 0, text: text.into(), heading: true }
    }

    /// A line of text.
    pub fn line(text: impl Into<String>) -> Self {
        Row { item: None, depth: 1, text: text.into(), heading: false }
    }
}

/// Whether there is something below a node to unfold.
pub fn unfolds(tree: &Tree, n: NodeId) -> bool {
    let node = tree.node(n);
    !node.children.is_empty() || !node.params.is_empty()
}

/// The rows of the view shown.
pub fn build(app: &App) -> Vec<Row> {
    match app.view {
        View::Tree => tree(app),
        View::Sizes => sizes(app),
        View::Map => map(app),
        View::Deps => deps(app),
        View::Program => program(app),
        View::Changes => changes(app),
        View::Console => Vec::new(),
    }
}

fn tree(app: &App) -> Vec<Row> {
    let tree = app.doc.tree();
    let mut rows = Vec::new();
    let mut stack: Vec<(NodeId, usize)> = tree.roots().iter().rev().map(|n| (*n, 0)).collect();
    while let Some((n, depth)) = stack.pop() {
        rows.push(Row::item(Item::Node(n), depth));
        if app.is_open(n) {
            let node = tree.node(n);
            rows.extend(node.params.iter().map(|p| Row::item(Item::Param(*p), depth + 1)));
            stack.extend(node.children.iter().rev().map(|c| (*c, depth + 1)));
        }
    }
    rows
}

/// Parts that are on, the largest first; then those that are off, the cheapest first.
fn sizes(app: &App) -> Vec<Row> {
    let tree = app.doc.tree();
    let mut on: Vec<(NodeId, Option<i64>)> = Vec::new();
    let mut off: Vec<(NodeId, Option<i64>)> = Vec::new();
    for n in tree.nodes().filter(|n| tree.node(*n).kind == bespoke_model::Kind::Component) {
        let bytes = app.doc.bytes(Item::Node(n));
        if app.doc.is_on(n) { on.push((n, bytes)) } else { off.push((n, bytes)) }
    }
    on.sort_by_key(|(n, bytes)| (bytes.map_or(i64::MAX, |b| -b.abs()), *n));
    off.sort_by_key(|(n, bytes)| (bytes.unwrap_or(i64::MAX), *n));
    let mut rows = vec![Row::heading("on: what would go with it")];
    rows.extend(on.iter().map(|(n, _)| Row::item(Item::Node(*n), 0)));
    rows.push(Row::heading("off: what would come with it"));
    rows.extend(off.iter().map(|(n, _)| Row::item(Item::Node(*n), 0)));
    rows
}

fn map(app: &App) -> Vec<Row> {
    app.doc
        .shares()
        .iter()
        .map(|share| match share.node {
            Some(n) => Row { text: share.name.clone(), ..Row::item(Item::Node(n), 0) },
            None => Row::line(share.name.clone()),
        })
        .collect()
}

fn deps(app: &App) -> Vec<Row> {
    let tree = app.doc.tree();
    let Some(item) = app.deps_of else { return vec![Row::line("Move to a part first.")] };
    let n = match item {
        Item::Node(n) => n,
        Item::Param(p) => tree.param(p).owner,
    };
    let node = tree.node(n);
    let mut rows = Vec::new();
    let mut section = |title: &str, found: Vec<(NodeId, String)>| {
        if !found.is_empty() {
            rows.push(Row::heading(title));
            rows.extend(found.into_iter().map(|(n, text)| Row { text, ..Row::item(Item::Node(n), 1) }));
        }
    };
    let mut needs: Vec<(NodeId, String)> = Vec::new();
    if let Some(around) = node.within {
        needs.push((around, String::new()));
    }
    for clause in &node.requires {
        let mut all: Vec<NodeId> =
            clause.alternatives.iter().flat_map(|t| tree.candidates(*t).iter().copied()).collect();
        all.dedup();
        let many = all.len() > 1;
        for (i, m) in all.into_iter().enumerate() {
            let text = match (many, i) {
                (true, 0) => "one of",
                (true, _) => "or",
                _ => "",
            };
            needs.push((m, text.to_owned()));
        }
    }
    section("needs", needs);
    let linked = |links: &[bespoke_model::Link]| -> Vec<(NodeId, String)> {
        links.iter().flat_map(|l| tree.candidates(l.term).iter().map(|n| (*n, String::new()))).collect()
    };
    let mentions = |other: NodeId| {
        let o = tree.node(other);
        o.within == Some(n)
            || o.requires.iter().any(|c| c.alternatives.iter().any(|t| tree.candidates(*t).contains(&n)))
    };
    let mut users: Vec<NodeId> = tree.nodes().filter(|o| *o != n && mentions(*o)).collect();
    users.sort_by_key(|o| !app.doc.is_on(*o));
    section("needed by", users.into_iter().map(|o| (o, String::new())).collect());
    section("turns on, unless you say no", linked(&node.recommends));
    let mut against = linked(&node.conflicts);
    for other in tree.nodes().filter(|o| *o != n) {
        let hits = tree.node(other).conflicts.iter().any(|l| tree.candidates(l.term).contains(&n));
        if hits && against.iter().all(|(a, _)| *a != other) {
            against.push((other, String::new()));
        }
    }
    section("cannot be on together with", against);
    if !node.provides.is_empty() {
        rows.push(Row::heading("gives"));
        rows.extend(node.provides.iter().map(|l| Row::line(l.text.clone())));
    }
    if rows.is_empty() {
        rows.push(Row::line("It needs nothing, and nothing needs it."));
    }
    rows
}

fn program(app: &App) -> Vec<Row> {
    let tree = app.doc.tree();
    let mut rows = Vec::new();
    for line in app.doc.program_lines() {
        rows.push(Row::line(line));
    }
    for need in &app.needs {
        rows.push(Row::heading(need.what.clone()));
        rows.extend(need.parts.iter().filter_map(|id| tree.find(id)).map(|n| Row::item(Item::Node(n), 1)));
    }
    rows
}

fn changes(app: &App) -> Vec<Row> {
    app.doc.difference(app.theme.glyphs)
}
