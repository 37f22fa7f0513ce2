//! The config that is being edited, and everything that follows from it: the full set, sizes, consequences.

mod difference;
mod edits;
mod sizes;
mod terms;
mod wishes;

pub use terms::{Change, FixView, Item, Outcome, Question, Refused, Share, Want, Wanted};
use terms::{FILES, PROGRAM, REST, SHARED};
pub use wishes::changes_in_words;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use bespoke_model::{
    Config, Decision, Decisions, Footprint, History, Kind, Measure, NodeId, Origin, ParamId, Refusal,
    Resolution, Tree, Value,
};

use crate::presets::Chain;

/// Whoever can measure images of a config.
pub trait Backend {
    /// A measure for a config's program and files. `chain` is the config and what it extends.
    fn measure(&self, chain: &Chain) -> Result<Box<dyn Measure>, String>;

    /// How the operating system's bytes are shared out among parts; `None` stands for what has no one owner.
    fn shares(&self, chain: &Chain, resolution: &Resolution) -> Vec<(Option<NodeId>, u64)>;
}

/// What follows from a chain of configs.
struct Derived {
    chain: Chain,
    decisions: Decisions,
    resolution: Resolution,
    footprint: Footprint,
}

/// What changes are told against.
struct Base {
    name: String,
    decisions: Decisions,
    resolution: Resolution,
    footprint: Footprint,
}

#[derive(Default)]
struct Caches {
    bytes: HashMap<Item, Option<i64>>,
    previews: HashMap<Item, Outcome>,
    shares: Option<Vec<(Option<NodeId>, u64)>>,
    /// Refusals whose ways out are proven to change the least.
    proven: Vec<(Wanted, Refused)>,
}

/// The config that is being edited.
pub struct Doc {
    tree: &'static Tree,
    backend: Rc<dyn Backend>,
    measure: Box<dyn Measure>,
    history: History<Config>,
    now: Derived,
    opened: Footprint,
    opened_parts: usize,
    saved: Option<Config>,
    base: Base,
    name: String,
    caches: RefCell<Caches>,
    /// Counts the states that there were.
    state: u64,
}

impl std::fmt::Debug for Doc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doc").field("name", &self.name).finish_non_exhaustive()
    }
}

fn derive(tree: &Tree, measure: &dyn Measure, chain: Chain) -> Result<Derived, Refusal> {
    let decisions = chain.decisions();
    let resolution = tree.resolve(&decisions)?;
    let footprint = measure.footprint(&resolution);
    Ok(Derived { chain, decisions, resolution, footprint })
}

impl Doc {
    /// Opens a chain of configs. `name` is what the user calls it; `saved` whether its text is on disk.
    ///
    /// # Errors
    /// When its decisions cannot be kept together, or its program cannot be measured; in words.
    pub fn open(
        tree: &'static Tree,
        backend: Rc<dyn Backend>,
        chain: Chain,
        name: &str,
        saved: bool,
    ) -> Result<Self, String> {
        let measure = backend.measure(&chain)?;
        let config = chain.config.clone();
        let now = derive(tree, &*measure, chain).map_err(|refusal| refusal.to_string())?;
        let base = Base {
            name: if saved { "the file".to_owned() } else { "the start".to_owned() },
            decisions: now.decisions.clone(),
            resolution: now.resolution.clone(),
            footprint: now.footprint,
        };
        let opened_parts = now.resolution.components(tree).count();
        Ok(Doc {
            tree,
            backend,
            measure,
            history: History::new(config.clone()),
            opened: now.footprint,
            opened_parts,
            now,
            saved: saved.then_some(config),
            base,
            name: name.to_owned(),
            caches: RefCell::default(),
            state: 0,
        })
    }

    /// The tree.
    pub fn tree(&self) -> &'static Tree {
        self.tree
    }

    /// What the user calls the config.
    pub fn file(&self) -> &str {
        &self.name
    }

    /// What the config extends.
    pub fn extends(&self) -> Option<String> {
        self.now.chain.config.extends().map(str::to_owned)
    }

    /// The text to save.
    pub fn text(&self) -> &str {
        self.now.chain.config.text()
    }

    /// The config and what it extends.
    pub fn chain(&self) -> &Chain {
        &self.now.chain
    }

    /// Whether there is something to save.
    pub fn is_dirty(&self) -> bool {
        match &self.saved {
            Some(saved) => saved.text() != self.text(),
            None => self.history.undoable().is_some() && self.history.first().text() != self.text(),
        }
    }

    /// Whether the config is on disk at all.
    pub fn is_new(&self) -> bool {
        self.saved.is_none()
    }

    /// The config on disk is another one.
    pub fn differs_from(&mut self, on_disk: Config) {
        self.saved = Some(on_disk);
    }

    /// The config was saved.
    pub fn saved(&mut self) {
        self.saved = Some(self.now.chain.config.clone());
        if self.base.name == "the file" || self.base.name == "the start" {
            self.rebase("the file");
        }
    }

    fn rebase(&mut self, name: &str) {
        self.base = Base {
            name: name.to_owned(),
            decisions: self.now.decisions.clone(),
            resolution: self.now.resolution.clone(),
            footprint: self.now.footprint,
        };
    }

    /// The sizes.
    pub fn footprint(&self) -> &Footprint {
        &self.now.footprint
    }

    /// The sizes when it was opened.
    pub fn opened(&self) -> &Footprint {
        &self.opened
    }

    /// How many parts are on, and how many were when it was opened.
    pub fn parts(&self) -> (usize, usize) {
        (self.now.resolution.components(self.tree).count(), self.opened_parts)
    }

    /// The full set.
    pub fn resolution(&self) -> &Resolution {
        &self.now.resolution
    }

    /// Whether a node is on.
    pub fn is_on(&self, n: NodeId) -> bool {
        self.now.resolution.is_on(n)
    }

    /// The member that a choice has.
    pub fn member(&self, choice: NodeId) -> Option<NodeId> {
        self.now.resolution.member(choice)
    }

    /// A parameter's value.
    pub fn value(&self, p: ParamId) -> &Value {
        self.now.resolution.value(p)
    }

    /// Whether a parameter counts: its owner is on.
    pub fn is_active(&self, p: ParamId) -> bool {
        self.is_on(self.tree.param(p).owner)
    }

    /// Why an item is as it is.
    pub fn origin(&self, item: Item) -> &Origin {
        match item {
            Item::Node(n) => self.now.resolution.origin(n),
            Item::Param(p) => self.now.resolution.value_origin(p),
        }
    }

    /// The id under which an item is decided: a member's is its choice's.
    pub fn decided_as(&self, item: Item) -> &'static str {
        match item {
            Item::Node(n) => &self.tree.node(self.tree.choice_of(n).unwrap_or(n)).id,
            Item::Param(p) => &self.tree.param(p).id,
        }
    }

    /// The user's own decision on an item.
    pub fn pinned(&self, item: Item) -> Option<&Decision> {
        self.now.chain.config.get(self.decided_as(item))
    }

    /// How many parts in a menu are on, and how many there are.
    pub fn inside(&self, menu: NodeId) -> (usize, usize) {
        let (mut on, mut all) = (0, 0);
        let mut stack = vec![menu];
        while let Some(n) = stack.pop() {
            for &child in &self.tree.node(n).children {
                if self.tree.node(child).kind == Kind::Component {
                    all += 1;
                    on += usize::from(self.is_on(child));
                }
                stack.push(child);
            }
        }
        (on, all)
    }

    /// What the config says of its program, in lines to show.
    pub fn program_lines(&self) -> Vec<String> {
        let Some(program) = self.now.chain.program() else {
            return vec!["The config names no program.".to_owned()];
        };
        let mut lines = vec![format!("program    {}", program.path)];
        if let Some(image) = self.now.chain.image() {
            lines.push(format!("image      {}", image.archive));
            lines.extend(image.files.iter().map(|path| format!("of it      {path}")));
        }
        if let Some(about) = &self.now.chain.about() {
            lines.push(format!("it is      {about}"));
        }
        if program.path.starts_with("demo:") {
            lines.push(
                "yours      `bespoke new PROGRAM` writes a config for a program of your own".to_owned(),
            );
        }
        if !program.args.is_empty() {
            lines.push(format!("arguments  {}", program.args.join(" ")));
        }
        for var in &program.env {
            lines.push(format!("variable   {var}"));
        }
        for (guest, host) in self.now.chain.config.files() {
            lines.push(format!("file       {guest}  from {host}"));
        }
        for (guest, contents) in self.now.chain.config.texts() {
            lines.push(format!(
                "file       {guest}  {}, in the config",
                crate::text::bytes(contents.len() as u64)
            ));
        }
        lines
    }
}

/// With a capital letter and a full stop.
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut out = String::with_capacity(text.len() + 1);
    // An id keeps its lower case: it is a name.
    let first = text.split_whitespace().next().unwrap_or_default();
    if first.contains(['.', '`', ':', '-']) {
        out.push_str(text);
    } else {
        let mut chars = text.chars();
        out.extend(chars.next().into_iter().flat_map(char::to_uppercase));
        out.push_str(chars.as_str());
    }
    if !text.ends_with(['.', '!', '?', ':']) {
        out.push('.');
    }
    out
}
