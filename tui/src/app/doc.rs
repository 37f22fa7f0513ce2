//! The config that is being edited, and everything that follows from it: the full set, sizes, consequences.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use bespoke_model as model;
use bespoke_model::{
    Config, Decision, Decisions, Footprint, History, Kind, Measure, NodeId, Origin, ParamId, Refusal,
    Resolution, Tree, Value,
};

use super::rows::Row;
use super::theme::Glyphs;
use crate::presets::{self, Chain};
use crate::text;

/// What a row can stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A menu, component or choice.
    Node(NodeId),
    /// A parameter.
    Param(ParamId),
}

/// What a user can want of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// On (a member: chosen), whatever else is decided.
    On,
    /// Off, whatever else is decided.
    Off,
    /// Other than it is, with as few decisions as will do.
    Flip,
    /// As it follows from everything else.
    Auto,
    /// A value.
    Value(Value),
}

/// What a change does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Parts that turn on.
    pub on: Vec<NodeId>,
    /// Parts that turn off.
    pub off: Vec<NodeId>,
    /// Parameters that change, with both values.
    pub params: Vec<(ParamId, Value, Value)>,
    /// Bytes of the image.
    pub image: i64,
    /// Bytes in use at boot.
    pub memory: i64,
    /// System calls exposed.
    pub syscalls: i64,
}

impl Change {
    /// How many things other than the item itself change.
    pub fn others(&self, item: Item) -> usize {
        let same = |n: &&NodeId| Item::Node(**n) != item;
        self.on.iter().filter(same).count() + self.off.iter().filter(same).count()
    }
}

/// A way out of a refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct FixView {
    /// What it changes, in words.
    pub title: String,
    /// All decisions of it, the refused one included.
    pub decisions: Vec<(String, Option<Decision>)>,
    /// What it costs.
    pub image: Option<i64>,
}

/// Why something cannot be, and what would help.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The reasons, each a sentence.
    pub because: Vec<String>,
    /// What would help.
    pub fixes: Vec<FixView>,
}

/// The answer to a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nothing would change.
    Same,
    /// This would change.
    Change(Change),
    /// It cannot be.
    Refused(Refused),
}

/// A part of the image, for the map.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The part, when it is one.
    pub node: Option<NodeId>,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

impl Share {
    /// What a share is that is no part's.
    pub fn about(&self) -> &'static str {
        match self.name.as_str() {
            SHARED => "What belongs to no one part: library code that several use, registrations and tables.",
            PROGRAM => "The program as it is packed, with its arguments.",
            FILES => "The other files that are packed, and the folders they lie in.",
            REST => "The image's own headers, tables and the paddings between its regions.",
            _ => "",
        }
    }
}

const SHARED: &str = "shared code";
const PROGRAM: &str = "your program";
const FILES: &str = "your files";
const REST: &str = "headers and tables";

/// Whoever can measure images of a config.
pub trait Backend {
    /// A measure for a config's program and files. `chain` is the config and what it extends.
    fn measure(&self, chain: &Chain) -> Result<Box<dyn Measure>, String>;

    /// How the operating system's bytes are shared out among parts; `None` stands for what has no one owner.
    fn shares(&self, _chain: &Chain, _resolution: &Resolution) -> Option<Vec<(Option<NodeId>, u64)>> {
        None
    }
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
    shares: Option<Vec<Share>>,
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
        })
    }

    // ---- what is ----

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
        if let Some(about) = &self.now.chain.about() {
            lines.push(format!("it is      {about}"));
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
        lines
    }

    // ---- sizes of rows ----

    /// Whether an item's bytes are known (or it has none).
    pub fn measured(&self, item: Item) -> bool {
        !self.measurable(item) || self.caches.borrow().bytes.contains_key(&item)
    }

    fn measurable(&self, item: Item) -> bool {
        matches!(item, Item::Node(n) if self.tree.node(n).kind == Kind::Component)
    }

    /// Measures an item; whether there was something to do.
    pub fn measure(&self, item: Item) -> bool {
        if self.measured(item) {
            return false;
        }
        let Item::Node(n) = item else { return false };
        let bytes = if self.is_on(n) {
            Some(self.measure.component_bytes(&self.now.resolution, n) as i64)
        } else {
            match self.preview(item, &Want::Flip) {
                Outcome::Change(change) => Some(change.image),
                Outcome::Same | Outcome::Refused(_) => None,
            }
        };
        self.caches.borrow_mut().bytes.insert(item, bytes);
        true
    }

    /// For a part that is on, the bytes that go with it alone; for one that is off, the change of the image if it came.
    /// Nothing when that is not measured yet, or there is no answer.
    pub fn bytes(&self, item: Item) -> Option<i64> {
        self.caches.borrow().bytes.get(&item).copied().flatten()
    }

    /// Whether a row's toggle would be refused, as far as is known.
    pub fn blocked(&self, item: Item) -> bool {
        matches!(self.caches.borrow().previews.get(&item), Some(Outcome::Refused(_)))
    }

    /// Where the image's bytes are, the largest first.
    pub fn shares(&self) -> Vec<Share> {
        if let Some(shares) = &self.caches.borrow().shares {
            return shares.clone();
        }
        let footprint = &self.now.footprint;
        let mut shares: Vec<Share> = Vec::new();
        let mut exact = true;
        match self.backend.shares(&self.now.chain, &self.now.resolution) {
            Some(owned) => shares.extend(owned.into_iter().map(|(node, bytes)| Share {
                node,
                name: node.map_or_else(|| SHARED.to_owned(), |n| self.tree.node(n).id.clone()),
                bytes,
            })),
            None => {
                let mut rest = footprint.os_bytes;
                for n in self.now.resolution.components(self.tree) {
                    match self.bytes(Item::Node(n)) {
                        Some(bytes) => {
                            let bytes = (bytes.unsigned_abs()).min(rest);
                            rest -= bytes;
                            shares.push(Share { node: Some(n), name: self.tree.node(n).id.clone(), bytes });
                        }
                        None => exact = false,
                    }
                }
                shares.push(Share { node: None, name: SHARED.to_owned(), bytes: rest });
            }
        }
        shares.push(Share { node: None, name: PROGRAM.to_owned(), bytes: footprint.program_bytes });
        shares.push(Share { node: None, name: FILES.to_owned(), bytes: footprint.files_bytes });
        let rest = footprint.image_bytes.saturating_sub(shares.iter().map(|s| s.bytes).sum());
        shares.push(Share { node: None, name: REST.to_owned(), bytes: rest });
        shares.retain(|share| share.bytes > 0);
        shares.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        if exact {
            self.caches.borrow_mut().shares = Some(shares.clone());
        }
        shares
    }

    /// The largest parts that can go without taking along anything that the user, fitting or a preset asked for.
    pub fn removable(&self, most: usize) -> Vec<(NodeId, u64)> {
        let mut found: Vec<(NodeId, u64)> = Vec::new();
        for n in self.now.resolution.components(self.tree) {
            let item = Item::Node(n);
            // What somebody asked for is not proposed to go: that is theirs to say.
            let wanted =
                matches!(self.origin(item), Origin::Core | Origin::User | Origin::Preset(_) | Origin::Fit);
            if wanted || self.tree.choice_of(n).is_some() || self.pinned(item).is_some() {
                continue;
            }
            if let Outcome::Change(change) = self.preview(item, &Want::Off) {
                let theirs = |n: &NodeId| {
                    matches!(self.origin(Item::Node(*n)), Origin::User | Origin::Preset(_) | Origin::Fit)
                };
                let spares = !change.off.iter().any(theirs);
                if spares && change.image < 0 {
                    found.push((n, change.image.unsigned_abs()));
                }
            }
        }
        found.sort_by_key(|(n, bytes)| (std::cmp::Reverse(*bytes), *n));
        found.truncate(most);
        found
    }

    // ---- wishes ----

    /// The decisions that a wish comes down to.
    pub fn decisions_for(&self, item: Item, want: &Want) -> Vec<(String, Option<Decision>)> {
        let id = self.decided_as(item).to_owned();
        let explicit = match (item, want) {
            (_, Want::Auto) => None,
            (Item::Param(_), Want::Value(value)) => {
                let decision = Decision::from(value);
                return vec![self.without_if(
                    id,
                    decision,
                    |r, this| match this {
                        Item::Param(p) => r.value(p) == value,
                        Item::Node(_) => false,
                    },
                    item,
                )];
            }
            (Item::Node(n), _) if self.tree.choice_of(n).is_some() => {
                let name = model::last_part(&self.tree.node(n).id).to_owned();
                return vec![self.without_if(id, Decision::Text(name), |r, _| r.is_on(n), item)];
            }
            (Item::Node(n), Want::Flip) => {
                let on = !self.is_on(n);
                return vec![self.without_if(id, Decision::Bool(on), |r, _| r.is_on(n) == on, item)];
            }
            (_, Want::On) => Some(Decision::ON),
            (_, Want::Off) => Some(Decision::OFF),
            _ => None,
        };
        vec![(id, explicit)]
    }

    /// Takes the user's decision back when that alone leads to what is wanted; else decides.
    fn without_if(
        &self,
        id: String,
        decision: Decision,
        wanted: impl Fn(&Resolution, Item) -> bool,
        item: Item,
    ) -> (String, Option<Decision>) {
        if self.now.chain.config.get(&id).is_some() {
            let mut decisions = self.now.decisions.clone();
            decisions.set(&id, None);
            if self.tree.resolve(&decisions).is_ok_and(|r| wanted(&r, item)) {
                return (id, None);
            }
        }
        (id, Some(decision))
    }

    /// What a wish would do.
    pub fn preview(&self, item: Item, want: &Want) -> Outcome {
        if *want == Want::Flip
            && let Some(known) = self.caches.borrow().previews.get(&item)
        {
            return known.clone();
        }
        let outcome = self.preview_decisions(&self.decisions_for(item, want));
        if *want == Want::Flip {
            self.caches.borrow_mut().previews.insert(item, outcome.clone());
        }
        outcome
    }

    fn preview_decisions(&self, wanted: &[(String, Option<Decision>)]) -> Outcome {
        let config = &self.now.chain.config;
        if wanted.iter().all(|(id, decision)| config.get(id) == decision.as_ref()) {
            return Outcome::Same;
        }
        let changes: Vec<model::Change> =
            wanted.iter().map(|(id, to)| model::Change { id: id.clone(), to: to.clone() }).collect();
        match self.tree.preview(&self.now.decisions, &self.now.resolution, &changes, None) {
            Ok(effect) => Outcome::Change(self.change_of(effect)),
            Err(refusal) => Outcome::Refused(self.refused(wanted, &refusal)),
        }
    }

    fn change_to(&self, after: &Resolution) -> Change {
        self.change_of(self.tree.effect(&self.now.resolution, after.clone(), None))
    }

    fn change_of(&self, effect: model::Effect) -> Change {
        // A decision that only confirms what is so anyway costs nothing, and is not measured.
        let same = effect.turned_on.is_empty() && effect.turned_off.is_empty() && effect.params.is_empty();
        let footprint = if same { self.now.footprint } else { self.measure.footprint(&effect.after) };
        let delta = self.now.footprint.delta(&footprint);
        Change {
            on: effect.turned_on,
            off: effect.turned_off,
            params: effect.params.into_iter().map(|p| (p.param, p.from, p.to)).collect(),
            image: delta.image_bytes,
            memory: delta.boot_memory_bytes,
            syscalls: delta.syscalls,
        }
    }

    fn refused(&self, wanted: &[(String, Option<Decision>)], refusal: &Refusal) -> Refused {
        let because = vec![sentence(&refusal.prose)];
        let fixes = refusal
            .fixes
            .iter()
            .map(|fix| {
                let words: Vec<String> =
                    fix.changes.iter().map(|c| self.decision_words(&c.id, c.to.as_ref())).collect();
                let mut decisions: Vec<(String, Option<Decision>)> = wanted
                    .iter()
                    .filter(|(id, _)| fix.changes.iter().all(|c| c.id != *id))
                    .cloned()
                    .collect();
                decisions.extend(fix.changes.iter().map(|c| (c.id.clone(), c.to.clone())));
                let footprint = self.measure.footprint(&fix.after);
                let image = Some(self.now.footprint.delta(&footprint).image_bytes);
                FixView { title: text::listed(&words), decisions, image }
            })
            .collect();
        Refused { because, fixes }
    }

    /// Decisions in words.
    pub fn words(&self, decisions: &[(String, Option<Decision>)]) -> String {
        let words: Vec<String> =
            decisions.iter().map(|(id, to)| self.decision_words(id, to.as_ref())).collect();
        text::listed(&words)
    }

    fn decision_words(&self, id: &str, decision: Option<&Decision>) -> String {
        match decision {
            None => format!("let {id} follow"),
            Some(Decision::Bool(true)) if self.tree.find(id).is_some() => format!("turn on {id}"),
            Some(Decision::Bool(false)) if self.tree.find(id).is_some() => format!("turn off {id}"),
            Some(Decision::Text(member)) if self.tree.find(id).is_some() => {
                format!("choose {member} for {id}")
            }
            Some(other) => format!("set {id} to {other}"),
        }
    }

    /// A wish in words: `turn on net.tcp`.
    pub fn title_of(&self, item: Item, want: &Want) -> String {
        match (item, want) {
            (_, Want::Auto) => format!("let {} follow", self.decided_as(item)),
            (Item::Node(n), _) if self.tree.choice_of(n).is_some() => {
                format!("choose {} for {}", model::last_part(&self.tree.node(n).id), self.decided_as(item))
            }
            (Item::Node(n), Want::On) => format!("turn on {}", self.tree.node(n).id),
            (Item::Node(n), Want::Off) => format!("turn off {}", self.tree.node(n).id),
            (Item::Node(n), _) if self.is_on(n) => format!("turn off {}", self.tree.node(n).id),
            (Item::Node(n), _) => format!("turn on {}", self.tree.node(n).id),
            (Item::Param(p), Want::Value(value)) => format!("set {} to {value}", self.tree.param(p).id),
            (Item::Param(p), _) => self.tree.param(p).id.clone(),
        }
    }

    /// Why a wish changes nothing.
    pub fn why_same(&self, item: Item, want: &Want) -> String {
        let id = self.decided_as(item);
        match want {
            Want::Auto => format!("you decided nothing on {id}"),
            Want::Value(value) => format!("{id} is {value} already"),
            _ => format!("you decided that on {id} already"),
        }
    }

    /// Makes decisions.
    ///
    /// # Errors
    /// When they cannot be kept together with the others.
    pub fn decide(
        &mut self,
        label: &str,
        wanted: Vec<(String, Option<Decision>)>,
    ) -> Result<Change, Refused> {
        let mut chain = self.now.chain.clone();
        for (id, decision) in &wanted {
            chain.config.set(id, decision.clone());
        }
        match derive(self.tree, &*self.measure, chain) {
            Ok(next) => Ok(self.become_next(label, next)),
            Err(refusal) => match self.preview_decisions(&wanted) {
                Outcome::Refused(refused) => Err(refused),
                _ => Err(self.refused(&wanted, &refusal)),
            },
        }
    }

    fn become_next(&mut self, label: &str, next: Derived) -> Change {
        let change = self.change_to(&next.resolution);
        self.history.record(label, next.chain.config.clone());
        self.now = next;
        self.caches.take();
        change
    }

    /// What extending another file would do.
    ///
    /// # Errors
    /// When it cannot be, in words.
    pub fn preview_extend(&self, name: &str) -> Result<Change, String> {
        let mut config = self.now.chain.config.clone();
        config.set_extends(Some(name));
        let chain = presets::chain(config, &self.now.chain.dir).map_err(|failure| failure.message)?;
        let resolution = self.tree.resolve(&chain.decisions()).map_err(|refusal| refusal.to_string())?;
        Ok(self.change_to(&resolution))
    }

    /// Extends another file.
    ///
    /// # Errors
    /// When it cannot be, in words.
    pub fn extend(&mut self, name: &str) -> Result<Change, String> {
        let mut config = self.now.chain.config.clone();
        config.set_extends(Some(name));
        self.replace(&format!("extend {name}"), config)
    }

    /// Replaces the whole text.
    ///
    /// # Errors
    /// When the text is no config, or its decisions cannot be kept together; in words.
    pub fn replace_text(&mut self, text: &str) -> Result<Change, String> {
        let config = Config::parse(self.now.chain.config.file(), text).map_err(|d| d.to_string())?;
        self.replace("take up the edits of last time", config)
    }

    fn replace(&mut self, label: &str, config: Config) -> Result<Change, String> {
        let chain = presets::chain(config, &self.now.chain.dir).map_err(|failure| failure.message)?;
        let measure = self.backend.measure(&chain)?;
        let next = derive(self.tree, &*measure, chain).map_err(|refusal| refusal.to_string())?;
        self.measure = measure;
        Ok(self.become_next(label, next))
    }

    /// Takes the last change back; what it was.
    pub fn undo(&mut self) -> Option<String> {
        let label = self.history.undo()?;
        self.return_to_history();
        Some(label)
    }

    /// Makes the last undone change again; what it was.
    pub fn redo(&mut self) -> Option<String> {
        let label = self.history.redo()?;
        self.return_to_history();
        Some(label)
    }

    /// Everything in the history was valid once, so deriving it again cannot fail; should a file that is extended
    /// have changed meanwhile, the state shown stays as it is.
    fn return_to_history(&mut self) {
        let config = self.history.now().clone();
        let Ok(chain) = presets::chain(config, &self.now.chain.dir) else { return };
        if chain.config.extends() != self.now.chain.config.extends()
            && let Ok(measure) = self.backend.measure(&chain)
        {
            self.measure = measure;
        }
        if let Ok(next) = derive(self.tree, &*self.measure, chain) {
            self.now = next;
            self.caches.take();
        }
    }

    /// What was done, the latest first.
    pub fn history(&self) -> Vec<String> {
        self.history.labels().rev().map(str::to_owned).collect()
    }

    // ---- differences ----

    /// Chooses what changes are told against: a preset, or the file.
    ///
    /// # Errors
    /// When there is no such preset, or it cannot be.
    pub fn compare_with(&mut self, preset: Option<&str>) -> Result<(), String> {
        let (name, chain) = match (preset, &self.saved) {
            (Some(name), _) => (name.to_owned(), presets::load(name).map_err(|failure| failure.message)?),
            (None, Some(config)) => (
                "the file".to_owned(),
                presets::chain(config.clone(), &self.now.chain.dir).map_err(|failure| failure.message)?,
            ),
            (None, None) => (
                "the start".to_owned(),
                presets::chain(self.history.first().clone(), &self.now.chain.dir)
                    .map_err(|failure| failure.message)?,
            ),
        };
        let measure = self.backend.measure(&chain)?;
        let derived = derive(self.tree, &*measure, chain).map_err(|refusal| refusal.to_string())?;
        self.base = Base {
            name,
            decisions: derived.decisions,
            resolution: derived.resolution,
            footprint: derived.footprint,
        };
        Ok(())
    }

    /// The changes in a few lines, for a question.
    pub fn summary(&self, most: usize) -> Vec<String> {
        let mut lines: Vec<String> = self.history();
        let more = lines.len().saturating_sub(most);
        lines.truncate(most);
        if more > 0 {
            lines.push(format!("and {} before", text::count(more, "change")));
        }
        lines
    }

    /// What is different from the base, as rows.
    pub fn difference(&self, glyphs: &Glyphs) -> Vec<Row> {
        let (base, now) = (&self.base, &self.now);
        let mut rows = vec![Row::heading(format!("compared with {}", base.name))];
        let delta = base.footprint.delta(&now.footprint);
        let ids: BTreeSet<&str> =
            base.decisions.iter().chain(now.decisions.iter()).map(|(id, ..)| id).collect();
        let mut decided = Vec::new();
        for id in ids {
            let show = |d: &Decisions| d.get(id).map_or_else(|| "open".to_owned(), |(d, _)| d.to_string());
            let (before, after) = (show(&base.decisions), show(&now.decisions));
            if before != after {
                let item =
                    self.tree.find(id).map(Item::Node).or_else(|| self.tree.find_param(id).map(Item::Param));
                let text = format!("{before} {} {after}", glyphs.arrow);
                decided.push(match item {
                    Some(item) => Row { text, ..Row::item(item, 1) },
                    None => Row::line(format!("{id} {text}")),
                });
            }
        }
        let turned = |from: &Resolution, to: &Resolution| -> Vec<Row> {
            to.components(self.tree)
                .filter(|n| !from.is_on(*n))
                .map(|n| Row::item(Item::Node(n), 1))
                .collect()
        };
        let on = turned(&base.resolution, &now.resolution);
        let off = turned(&now.resolution, &base.resolution);
        if decided.is_empty() && on.is_empty() && off.is_empty() {
            rows.push(Row::line("nothing is different"));
        } else {
            rows.push(Row::line(format!(
                "image {}, boot memory {}, system calls {}",
                text::signed_bytes(delta.image_bytes, glyphs.minus),
                text::signed_bytes(delta.boot_memory_bytes, glyphs.minus),
                text::signed(delta.syscalls, glyphs.minus)
            )));
        }
        for (title, part) in [("decisions", decided), ("turned on", on), ("turned off", off)] {
            if !part.is_empty() {
                rows.push(Row::heading(format!("{title}: {}", part.len())));
                rows.extend(part);
            }
        }
        let done = self.history();
        if !done.is_empty() {
            rows.push(Row::heading("done since opening, the latest first"));
            rows.extend(done.into_iter().map(Row::line));
        }
        rows
    }

    /// The parts of a change by the menu they lie in, for lists.
    pub fn by_menu(&self, nodes: &[NodeId]) -> BTreeMap<String, Vec<String>> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for n in nodes {
            let id = &self.tree.node(*n).id;
            let menu = id.rsplit_once('.').map_or("", |(menu, _)| menu);
            groups.entry(menu.to_owned()).or_default().push(model::last_part(id).to_owned());
        }
        groups
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
