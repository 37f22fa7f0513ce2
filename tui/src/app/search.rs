//! Search over names, help and parameters, and over actions.

use fuzzy_matcher::FuzzyMatcher;
use fuzzy_matcher::skim::SkimMatcherV2;

use super::action::Action;
use super::doc::{Doc, Item};
use super::keymap::Keymap;
use super::overlay::{Hit, Target};

/// How many hits are worth listing.
const LIMIT: usize = 200;

/// Everything that can be searched for, made once.
pub struct Index {
    matcher: SkimMatcherV2,
    rows: Vec<Entry>,
}

struct Entry {
    item: Item,
    id: String,
    title: String,
    help: String,
    /// In lower case, once: it is looked through at every key.
    help_lower: String,
}

impl Entry {
    fn new(item: Item, id: &str, title: &str, help: &str) -> Self {
        let (id, title, help_lower) = (id.to_owned(), title.to_owned(), help.to_lowercase());
        Entry { item, id, title, help: help.to_owned(), help_lower }
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("rows", &self.rows.len()).finish()
    }
}

impl Index {
    /// An index of everything in the tree.
    pub fn new(doc: &Doc) -> Self {
        let tree = doc.tree();
        let nodes = tree.nodes().map(|n| {
            let node = tree.node(n);
            Entry::new(Item::Node(n), &node.id, &node.title, &node.help)
        });
        let params = tree.params().map(|p| {
            let param = tree.param(p);
            Entry::new(Item::Param(p), &param.id, "", &param.help)
        });
        Index { matcher: SkimMatcherV2::default().ignore_case(), rows: nodes.chain(params).collect() }
    }

    /// The rows that match, best first. Names match fuzzily; help matches by whole words typed.
    pub fn rows(&self, query: &str) -> Vec<Hit> {
        let query = query.trim();
        if query.is_empty() {
            return Vec::new();
        }
        let lower = query.to_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        // A scattered match of a few letters in a long name is noise; a tight one is what was meant.
        let floor = 12 * query.chars().count() as i64;
        let mut found: Vec<(i64, usize, Where)> = Vec::new();
        for (n, row) in self.rows.iter().enumerate() {
            let by_id = self.matcher.fuzzy_match(&row.id, query);
            let by_title = self.matcher.fuzzy_match(&row.title, query);
            let leaf = row.id.rsplit('.').next().unwrap_or(&row.id);
            let exact = i64::from(leaf == lower) * 1000 + i64::from(row.id == lower) * 1000;
            match (by_id, by_title) {
                (Some(score), title) if score >= floor || exact > 0 => {
                    found.push((score.max(title.unwrap_or(0)) + 200 + exact, n, Where::Id));
                }
                (_, Some(score)) if score >= floor => found.push((score + 150, n, Where::Title)),
                _ if lower.len() >= 3 && words.iter().all(|word| row.help_lower.contains(word)) => {
                    found.push((0, n, Where::Help));
                }
                _ => {}
            }
        }
        found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        found.truncate(LIMIT);
        // What is costly is done for those that are shown.
        let hit = |(_, n, place): (i64, usize, Where)| {
            let row = &self.rows[n];
            let marks = match place {
                Where::Id => {
                    self.matcher.fuzzy_indices(&row.id, query).map_or_else(Vec::new, |(_, marks)| marks)
                }
                Where::Title | Where::Help => Vec::new(),
            };
            let note = match place {
                Where::Help => excerpt(&row.help, words[0]),
                Where::Id | Where::Title => row.title.clone(),
            };
            Hit { title: row.id.clone(), note, marks, to: Target::Item(row.item) }
        };
        found.into_iter().map(hit).collect()
    }

    /// The actions that match, best first; all of them when nothing is typed.
    pub fn actions(&self, query: &str, keys: &Keymap) -> Vec<Hit> {
        let query = query.trim();
        let mut found: Vec<(i64, Hit)> = Vec::new();
        for &action in Action::ALL.iter().filter(|&&a| a != Action::Palette) {
            let title = format!("{}: {}", action.group().to_lowercase(), action.title());
            let (score, marks) = if query.is_empty() {
                (0, Vec::new())
            } else if let Some((score, marks)) = self.matcher.fuzzy_indices(&title, query) {
                (score, marks)
            } else if let Some(score) = self.matcher.fuzzy_match(&action.name(), query) {
                (score, Vec::new())
            } else {
                continue;
            };
            let note = keys.keys(action).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            found.push((score, Hit { title, note, marks, to: Target::Action(action) }));
        }
        found.sort_by_key(|(score, _)| -score);
        found.into_iter().map(|(_, hit)| hit).collect()
    }
}

/// Where a search found something.
#[derive(Clone, Copy)]
enum Where {
    Id,
    Title,
    Help,
}

/// A piece of `text` around `word`.
fn excerpt(text: &str, word: &str) -> String {
    let lower = text.to_lowercase();
    // Lower-casing may change lengths; then the place is only near, which is enough for an excerpt.
    let at = text.floor_char_boundary(lower.find(word).unwrap_or(0).min(text.len()));
    let from = text[..at].char_indices().rev().nth(20).map_or(0, |(i, _)| i);
    let from = text[from..at].find(' ').map_or(from, |i| if from == 0 { 0 } else { from + i + 1 });
    let piece: String =
        text[from..].chars().take(80).map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    if from > 0 { format!("…{piece}") } else { piece }
}
