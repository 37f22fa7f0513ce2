//! The configurator's state and everything that can happen to it.
//!
//! Nothing here draws, reads keys or touches files: [`App::update`] takes an event and leaves behind the state to
//! show and the [`Effect`]s to carry out. That makes a session a list of keys, and a test the same.

mod act;
pub mod action;
mod ask;
pub mod console;
pub mod doc;
pub mod event;
pub mod input;
pub mod keymap;
mod keys;
pub mod layout;
mod mouse;
mod moves;
pub mod overlay;
pub mod rows;
pub mod search;
pub mod theme;
pub mod treemap;
mod wishes;

use std::collections::{HashMap, HashSet};

use bespoke_model::NodeId;
use ratatui::layout::Rect;

use self::action::Action;
use self::console::Console;
use self::doc::{Doc, Item};
pub use self::event::{Built, Effect, Event, Wish};
use self::keymap::Keymap;
use self::layout::Panes;
use self::overlay::{Entry, Menu, Overlay, Pick};
use self::rows::Row;
use self::search::Index;
use self::theme::{Theme, Tone};
use crate::text;

/// The views, in the order of their tabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// The tree.
    Tree,
    /// Parts by size.
    Sizes,
    /// Where the bytes go.
    Map,
    /// What a part needs and what needs it.
    Deps,
    /// What the program needs.
    Program,
    /// What was changed.
    Changes,
    /// The program's console.
    Console,
}

impl View {
    /// All of them, in the order of their tabs.
    pub const ALL: [View; 7] =
        [View::Tree, View::Sizes, View::Map, View::Deps, View::Program, View::Changes, View::Console];

    /// The name on its tab.
    pub fn title(self) -> &'static str {
        match self {
            View::Tree => "tree",
            View::Sizes => "sizes",
            View::Map => "map",
            View::Deps => "needs",
            View::Program => "program",
            View::Changes => "changes",
            View::Console => "console",
        }
    }

    /// Its place in [`View::ALL`].
    pub fn index(self) -> usize {
        View::ALL.iter().position(|v| *v == self).unwrap_or(0)
    }
}

/// What the last action led to, for the line at the bottom.
#[derive(Clone, Debug)]
pub struct Message {
    /// How it looks.
    pub tone: Tone,
    /// What it says.
    pub text: String,
}

/// A list's cursor and how far it is scrolled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scroll {
    /// The row under the cursor.
    pub cursor: usize,
    /// The first row shown.
    pub offset: usize,
}

/// The state.
#[derive(Debug)]
pub struct App {
    /// The config and what follows from it.
    pub doc: Doc,
    /// How things look.
    pub theme: Theme,
    /// Which key does what.
    pub keymap: Keymap,
    /// The view shown.
    pub view: View,
    /// What lies over it, the last on top.
    pub overlays: Vec<Overlay>,
    /// What the last action led to.
    pub message: Option<Message>,
    /// The size budget.
    pub budget: Option<u64>,
    /// The program's console.
    pub console: Console,
    /// How far the detail is scrolled.
    pub detail_scroll: usize,
    /// Whether the detail is shown where there is a choice.
    pub detail_shown: bool,
    /// The detail's share of the room, in percent.
    pub detail_share: u16,
    /// The rows of the view shown.
    pub rows: Vec<Row>,
    /// What the dependency view is about.
    pub deps_of: Option<Item>,
    /// What to carry out.
    pub effects: Vec<Effect>,
    /// The terminal's size.
    pub area: Rect,
    /// Edits that an earlier session left behind.
    pub recovery: Option<String>,
    /// What the program needs: a line to show and the parts that serve it.
    pub needs: Vec<Need>,
    scroll: HashMap<View, Scroll>,
    open: HashSet<NodeId>,
    back: Vec<(View, Option<Item>, Option<Item>)>,
    index: Index,
    dragging: bool,
    quit_after_save: bool,
    last_click: Option<(usize, std::time::Instant)>,
}

/// What could be made of a config that cannot be as it is.
#[derive(Clone, Debug)]
pub struct Way {
    /// What it changes, in words.
    pub title: String,
    /// The text of the config after that.
    pub text: String,
}

const MISSED: &str = "what it asked for when it ran, and was off";

/// Something that the program needs.
#[derive(Clone, Debug)]
pub struct Need {
    /// What.
    pub what: String,
    /// The parts that serve it, as ids.
    pub parts: Vec<String>,
}

impl App {
    /// The state at the start.
    pub fn new(doc: Doc, theme: Theme, keymap: Keymap, area: Rect) -> Self {
        let index = Index::new(&doc);
        let open = HashSet::new();
        let mut app = App {
            doc,
            theme,
            keymap,
            view: View::Tree,
            overlays: Vec::new(),
            message: None,
            budget: None,
            console: Console::default(),
            detail_scroll: 0,
            detail_shown: true,
            detail_share: 38,
            rows: Vec::new(),
            deps_of: None,
            effects: Vec::new(),
            area,
            recovery: None,
            needs: Vec::new(),
            scroll: HashMap::new(),
            open,
            back: Vec::new(),
            index,
            dragging: false,
            quit_after_save: false,
            last_click: None,
        };
        app.rebuild();
        app
    }

    // ---- what is shown ----

    /// The cursor and scroll of the view shown.
    pub fn scroll(&self) -> Scroll {
        self.scroll.get(&self.view).copied().unwrap_or_default()
    }

    /// The row under the cursor.
    pub fn row(&self) -> Option<&Row> {
        self.rows.get(self.scroll().cursor)
    }

    /// The item under the cursor.
    pub fn item(&self) -> Option<Item> {
        self.row().and_then(|row| row.item)
    }

    /// Whether a node is unfolded in the tree.
    pub fn is_open(&self, node: NodeId) -> bool {
        self.open.contains(&node)
    }

    /// Where everything is on the screen.
    pub fn panes(&self) -> Panes {
        Panes::new(self, self.area)
    }

    /// The rows that can be seen.
    pub fn visible(&self) -> &[Row] {
        let from = self.scroll().offset.min(self.rows.len());
        let to = (from + usize::from(self.panes().list.height)).min(self.rows.len());
        &self.rows[from..to]
    }

    /// Measures what is on the screen, then what is not, until `enough` says so; whether there is more to measure.
    pub fn measure(&mut self, mut enough: impl FnMut() -> bool) -> bool {
        let visible: Vec<Item> = self.visible().iter().filter_map(|row| row.item).collect();
        for item in visible {
            if self.doc.measure(item) && enough() {
                return true;
            }
        }
        if matches!(self.view, View::Sizes | View::Map) {
            let mut changed = false;
            let mut more = false;
            for n in self.doc.tree().nodes() {
                if self.doc.measure(Item::Node(n)) {
                    changed = true;
                    if enough() {
                        more = true;
                        break;
                    }
                }
            }
            if changed {
                self.rebuild();
            }
            return more;
        }
        false
    }

    /// Whether something that should be shown is not measured yet.
    pub fn unmeasured(&self) -> bool {
        self.visible().iter().any(|row| row.item.is_some_and(|item| !self.doc.measured(item)))
            || (matches!(self.view, View::Sizes | View::Map)
                && self.doc.tree().nodes().any(|n| !self.doc.measured(Item::Node(n))))
    }

    /// Whether keys go to the program that runs.
    pub fn typing(&self) -> bool {
        self.overlays.is_empty() && self.console.typing.is_some()
    }

    // ---- events ----

    /// Takes an event.
    pub fn update(&mut self, event: Event) {
        match event {
            Event::Key(key) => self.key(key),
            Event::Paste(pasted) if self.typing() => self.console_paste(&pasted),
            Event::Paste(pasted) => match self.overlays.last_mut() {
                Some(Overlay::Prompt(prompt)) => {
                    prompt.input.insert(&pasted);
                    self.typed();
                }
                Some(Overlay::Finder(finder)) => {
                    finder.input.insert(&pasted);
                    self.typed();
                }
                _ => {}
            },
            Event::Mouse(mouse) => self.mouse(mouse),
            Event::Resize(width, height) => {
                self.area = Rect::new(0, 0, width, height);
                self.keep_visible();
            }
            Event::Saved(Ok(path)) => {
                self.doc.saved();
                self.say(Tone::Good, format!("saved {}", path.display()));
                if self.view == View::Changes {
                    self.rebuild();
                }
                if std::mem::take(&mut self.quit_after_save) {
                    self.effects.push(Effect::Quit);
                }
            }
            Event::Saved(Err(why)) => {
                self.quit_after_save = false;
                self.say(Tone::Bad, why);
            }
            Event::ChangedOnDisk => {
                self.ask(Menu::new(
                    "the file was changed by somebody else",
                    vec!["It is not as it was when it was opened here.".to_owned()],
                    vec![
                        Entry::new("keep theirs", "do not save; yours stays here, unsaved", Pick::Nothing),
                        Entry::new("write mine over it", "", Pick::SaveForce),
                    ],
                ));
            }
            Event::Exists(path) => {
                let title = format!("{} exists", path.display());
                self.ask(Menu::new(
                    title,
                    Vec::new(),
                    vec![
                        Entry::new("keep it", "do not save", Pick::Nothing),
                        Entry::new("write over it", "", Pick::SaveOver(path)),
                    ],
                ));
            }
            Event::Copied(Ok(path)) => self.say(Tone::Good, format!("saved a copy as {}", path.display())),
            Event::Copied(Err(why)) => self.say(Tone::Bad, why),
            Event::Made(wish, result) => self.made(&wish, result),
            Event::MadeBefore(to, wish) => {
                self.console.building = false;
                self.ask_made_before(to, wish);
            }
            Event::Proven(question, refusal) => self.proven(&question, &refusal),
            Event::Built(result) => {
                self.console.building = false;
                match result {
                    Ok(built) => self.say(
                        Tone::Good,
                        format!(
                            "built {} {} {} {} {:.0} ms",
                            built.path.display(),
                            self.theme.glyphs.dot,
                            text::bytes(built.bytes),
                            self.theme.glyphs.dot,
                            built.millis
                        ),
                    ),
                    Err(why) => self.say(Tone::Bad, why),
                }
            }
            Event::Booted => {
                self.console.building = false;
                if !self.console.lines.is_empty() {
                    self.console.rule("[booted again]".to_owned());
                }
                self.console.missed.clear();
                self.needs.retain(|need| need.what != MISSED);
                self.console.running = true;
                self.console.ended = None;
                self.console.back = 0;
                self.keep_visible();
            }
            Event::Console(chunk) => {
                let before = self.console.missed.len();
                self.console.write(&chunk);
                if self.console.missed.len() > before {
                    self.tell_missed();
                }
            }
            Event::Exited(how, good) => {
                self.console.running = false;
                self.console.building = false;
                self.console.typing = None;
                self.console.rule(format!("[{how}]"));
                self.console.ended = Some((how.clone(), good));
                let missed = self.needs.iter().find(|need| need.what == MISSED).map_or(0, |n| n.parts.len());
                let how = match missed {
                    0 => how,
                    _ => {
                        let view = self.keymap.shown(Action::ViewProgram);
                        format!("{how}; {view} shows {} that it missed", text::count(missed, "part"))
                    }
                };
                self.say(if good { Tone::Good } else { Tone::Bad }, how);
                self.keep_visible();
            }
        }
    }

    /// Shows what the program asked for in vain, with the parts that would serve it.
    fn tell_missed(&mut self) {
        let tree = self.doc.tree();
        let parts: Vec<String> =
            self.console.missed.iter().filter(|id| tree.find(id).is_some()).cloned().collect();
        let Some(last) = parts.last().cloned() else { return };
        self.needs.retain(|need| need.what != MISSED);
        self.needs.insert(0, Need { what: MISSED.to_owned(), parts });
        if self.view == View::Program {
            self.rebuild();
        }
        let view = self.keymap.shown(Action::ViewProgram);
        self.say(
            Tone::Notable,
            format!("the program asked for {last}, which is off; {view} shows such parts"),
        );
    }

    /// Says something in the line at the bottom.
    pub fn say(&mut self, tone: Tone, text: impl Into<String>) {
        let text: String = text.into();
        self.message = Some(Message { tone, text });
    }

    pub(super) fn ask(&mut self, menu: Menu) {
        self.overlays.push(Overlay::Menu(menu));
    }
}
