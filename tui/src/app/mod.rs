//! The configurator's state and everything that can happen to it.
//!
//! Nothing here draws, reads keys or touches files: [`App::update`] takes an event and leaves behind the state to
//! show and the [`Effect`]s to carry out. That makes a session a list of keys, and a test the same.

pub mod action;
pub mod doc;
pub mod input;
pub mod keymap;
pub mod layout;
pub mod overlay;
pub mod rows;
pub mod search;
pub mod theme;
pub mod treemap;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;

use bespoke_model::{Decision, Kind, NodeId, ParamId, ParamType};
use crossterm::event::{KeyCode, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use self::action::Action;
use self::doc::{Change, Doc, Item, Outcome, Refused, Want};
use self::input::Input;
use self::keymap::{Key, Keymap};
use self::layout::Panes;
use self::overlay::{Entry, Finder, Menu, Overlay, Pick, Prompt, Purpose, Target};
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

/// Work that the state machine asks the outside world to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write the config; `force` even when somebody else changed the file.
    Save {
        /// Do not mind what is there.
        force: bool,
    },
    /// Write a copy of the config to another file.
    SaveCopy {
        /// The file.
        path: PathBuf,
        /// Do not mind what is there.
        force: bool,
    },
    /// Build the image.
    Build,
    /// Build the image and boot it.
    Boot,
    /// Stop the program that runs.
    Stop,
    /// Throw away the edits that an earlier session left behind.
    DropRecovery,
    /// Give the terminal to the shell.
    Suspend,
    /// Draw everything again.
    Redraw,
    /// End.
    Quit,
}

/// Something that happened outside.
#[derive(Debug)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted.
    Paste(String),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// The terminal has another size.
    Resize(u16, u16),
    /// The config was written, or not.
    Saved(Result<PathBuf, String>),
    /// The config on disk is not the one that was read.
    ChangedOnDisk,
    /// A file that was to be written exists.
    Exists(PathBuf),
    /// A copy of the config was written, or not.
    Copied(Result<PathBuf, String>),
    /// The image was built, or not.
    Built(Result<Built, String>),
    /// The program started.
    Booted,
    /// The program's console said something.
    Console(String),
    /// The program ended, with what there is to say about it.
    Exited(String, bool),
}

/// An image that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// Where it is.
    pub path: PathBuf,
    /// How many bytes it has.
    pub bytes: u64,
    /// How long it took.
    pub millis: f64,
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

/// What the program said, and whether it still runs.
#[derive(Debug, Default)]
pub struct Console {
    /// The lines, oldest first.
    pub lines: VecDeque<String>,
    /// Whether a line is still being written.
    open: bool,
    /// Whether a program runs.
    pub running: bool,
    /// Whether a build is under way.
    pub building: bool,
    /// How the last run ended.
    pub ended: Option<(String, bool)>,
    /// How many lines it is scrolled back.
    pub back: usize,
}

/// How many console lines are kept.
const CONSOLE_LINES: usize = 10_000;

impl Console {
    /// Adds what the program wrote. Escape sequences are taken out: they would draw over the configurator.
    pub fn write(&mut self, chunk: &str) {
        let clean = strip_escapes(chunk);
        for piece in clean.split_inclusive('\n') {
            let (line, ends) = match piece.strip_suffix('\n') {
                Some(line) => (line, true),
                None => (piece, false),
            };
            let line = line.trim_end_matches('\r');
            if self.open {
                if let Some(last) = self.lines.back_mut() {
                    last.push_str(line);
                }
            } else {
                self.lines.push_back(line.to_owned());
                if self.back > 0 {
                    self.back += 1;
                }
            }
            self.open = !ends;
        }
        while self.lines.len() > CONSOLE_LINES {
            self.lines.pop_front();
        }
        self.back = self.back.min(self.lines.len().saturating_sub(1));
    }

    fn rule(&mut self, line: String) {
        self.open = false;
        self.lines.push_back(line);
    }
}

fn strip_escapes(chunk: &str) -> String {
    let mut out = String::with_capacity(chunk.len());
    let mut chars = chunk.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']') => while chars.next().is_some_and(|c| c != '\x07' && c != '\x1b') {},
                _ => {}
            },
            '\n' => out.push('\n'),
            '\t' => out.push_str("    "),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// More changes than this are listed and asked about before they are made.
const ASK_ABOVE: usize = 6;

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
            detail_share: 42,
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

    // ---- events ----

    /// Takes an event.
    pub fn update(&mut self, event: Event) {
        match event {
            Event::Key(key) => self.key(key),
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
                self.console.running = true;
                self.console.ended = None;
                self.console.back = 0;
                self.keep_visible();
            }
            Event::Console(chunk) => self.console.write(&chunk),
            Event::Exited(how, good) => {
                self.console.running = false;
                self.console.building = false;
                self.console.rule(format!("[{how}]"));
                self.console.ended = Some((how.clone(), good));
                self.say(if good { Tone::Good } else { Tone::Bad }, how);
                self.keep_visible();
            }
        }
    }

    fn say(&mut self, tone: Tone, text: impl Into<String>) {
        let text: String = text.into();
        self.message = Some(Message { tone, text });
    }

    fn ask(&mut self, menu: Menu) {
        self.overlays.push(Overlay::Menu(menu));
    }

    fn key(&mut self, key: Key) {
        self.message = None;
        match self.overlays.last() {
            Some(Overlay::Menu(_)) => self.menu_key(key),
            Some(Overlay::Prompt(_)) => self.prompt_key(key),
            Some(Overlay::Finder(_)) => self.finder_key(key),
            Some(Overlay::Help(_)) => self.help_key(key),
            None => match self.keymap.action(key) {
                Some(action) => self.act(action),
                None => {
                    let help = self.keymap.shown(Action::Help);
                    self.say(Tone::Quiet, format!("{key} does nothing here; {help} lists the keys"));
                }
            },
        }
    }

    /// Keys that mean the same in every overlay.
    fn closes(&mut self, key: Key) -> bool {
        let close = key.code == KeyCode::Esc || (key.ctrl && matches!(key.code, KeyCode::Char('c' | 'g')));
        if close {
            self.overlays.pop();
        }
        close
    }

    fn menu_key(&mut self, key: Key) {
        if self.closes(key) {
            return;
        }
        let Some(Overlay::Menu(menu)) = self.overlays.last_mut() else { return };
        let last = menu.entries.len().saturating_sub(1);
        match key.code {
            KeyCode::Char(c) if !key.ctrl && menu.entries.iter().any(|e| e.key == Some(c)) => {
                menu.cursor = menu.entries.iter().position(|e| e.key == Some(c)).unwrap_or(0);
                self.take_entry();
            }
            KeyCode::Char(c @ '1'..='9') if !key.ctrl => {
                let n = c as usize - '1' as usize;
                if n <= last {
                    menu.cursor = n;
                    self.take_entry();
                }
            }
            KeyCode::Up | KeyCode::Char('k') | KeyCode::BackTab => {
                menu.cursor = menu.cursor.saturating_sub(1)
            }
            KeyCode::Down | KeyCode::Char('j') | KeyCode::Tab => menu.cursor = (menu.cursor + 1).min(last),
            KeyCode::Home | KeyCode::Char('g') => menu.cursor = 0,
            KeyCode::End | KeyCode::Char('G') => menu.cursor = last,
            KeyCode::PageUp => menu.cursor = menu.cursor.saturating_sub(8),
            KeyCode::PageDown => menu.cursor = (menu.cursor + 8).min(last),
            KeyCode::Enter | KeyCode::Char(' ') => self.take_entry(),
            KeyCode::Char('q') => {
                self.overlays.pop();
            }
            _ => {}
        }
    }

    fn take_entry(&mut self) {
        let Some(Overlay::Menu(menu)) = self.overlays.pop() else { return };
        let Some(entry) = menu.entries.get(menu.cursor) else { return };
        match entry.pick.clone() {
            Pick::Nothing => {}
            Pick::Decide(decisions) => self.decide(decisions),
            Pick::Drop(decisions) => {
                self.decide(decisions);
                let over = self.budget.is_some_and(|b| self.doc.footprint().image_bytes > b);
                if over && self.overlays.is_empty() {
                    self.over_budget();
                }
            }
            Pick::QuitDiscard => {
                self.effects.push(Effect::DropRecovery);
                self.effects.push(Effect::Quit);
            }
            Pick::QuitSave => {
                self.quit_after_save = true;
                self.effects.push(Effect::Save { force: false });
            }
            Pick::Extend(name) => match self.doc.extend(&name) {
                Ok(change) => self.changed(&format!("extends {name}"), &change),
                Err(why) => self.say(Tone::Bad, why),
            },
            Pick::Compare(name) => match self.doc.compare_with(name.as_deref()) {
                Ok(()) => self.show(View::Changes),
                Err(why) => self.say(Tone::Bad, why),
            },
            Pick::Recover(edits) => match self.doc.replace_text(&edits) {
                Ok(change) => self.changed("took up the edits of last time", &change),
                Err(why) => self.say(Tone::Bad, why),
            },
            Pick::DropRecovery => self.effects.push(Effect::DropRecovery),
            Pick::SaveOver(path) => self.effects.push(Effect::SaveCopy { path, force: true }),
            Pick::SaveForce => self.effects.push(Effect::Save { force: true }),
        }
    }

    fn prompt_key(&mut self, key: Key) {
        if self.closes(key) {
            return;
        }
        let Some(Overlay::Prompt(prompt)) = self.overlays.last_mut() else { return };
        if key.code == KeyCode::Enter {
            self.take_prompt();
        } else {
            prompt.input.key(key);
            self.typed();
        }
    }

    /// Something was typed: check it, or search for it.
    fn typed(&mut self) {
        match self.overlays.last_mut() {
            Some(Overlay::Prompt(prompt)) => {
                let typed = prompt.input.text();
                prompt.error = match prompt.purpose {
                    Purpose::Value(param) => self.doc.tree().param(param).ty.parse(typed).err(),
                    Purpose::Budget if typed.trim().is_empty() => None,
                    Purpose::Budget if text::parse_size(typed).is_none() => {
                        Some("a size, such as 64KiB or 2MiB".to_owned())
                    }
                    Purpose::Budget | Purpose::SavePreset => None,
                };
            }
            Some(Overlay::Finder(finder)) => {
                finder.cursor = 0;
                finder.hits = if finder.palette {
                    self.index.actions(finder.input.text(), &self.keymap)
                } else {
                    self.index.rows(finder.input.text())
                };
            }
            _ => {}
        }
    }

    fn take_prompt(&mut self) {
        self.typed();
        let Some(Overlay::Prompt(prompt)) = self.overlays.last() else { return };
        if prompt.error.is_some() {
            return;
        }
        let Some(Overlay::Prompt(prompt)) = self.overlays.pop() else { return };
        let typed = prompt.input.text().trim().to_owned();
        match prompt.purpose {
            Purpose::Value(param) => {
                if let Ok(value) = self.doc.tree().param(param).ty.parse(prompt.input.text()) {
                    self.want(Item::Param(param), Want::Value(value));
                }
            }
            Purpose::Budget => {
                self.budget = text::parse_size(&typed);
                match self.budget {
                    Some(budget) if self.doc.footprint().image_bytes > budget => self.over_budget(),
                    Some(budget) => self.say(Tone::Good, format!("the budget is {}", text::bytes(budget))),
                    None => self.say(Tone::Plain, "no budget"),
                }
                self.keep_visible();
            }
            Purpose::SavePreset if typed.is_empty() => {}
            Purpose::SavePreset => match crate::presets::place(&typed) {
                Ok(path) => self.effects.push(Effect::SaveCopy { path, force: false }),
                Err(why) => self.say(Tone::Bad, why),
            },
        }
    }

    fn finder_key(&mut self, key: Key) {
        if self.closes(key) {
            return;
        }
        let Some(Overlay::Finder(finder)) = self.overlays.last_mut() else { return };
        let last = finder.hits.len().saturating_sub(1);
        match (key.code, key.ctrl) {
            (KeyCode::Up, _) | (KeyCode::Char('p' | 'k'), true) | (KeyCode::BackTab, _) => {
                finder.cursor = finder.cursor.saturating_sub(1);
            }
            (KeyCode::Down, _) | (KeyCode::Char('n' | 'j'), true) | (KeyCode::Tab, _) => {
                finder.cursor = (finder.cursor + 1).min(last);
            }
            (KeyCode::PageUp, _) => finder.cursor = finder.cursor.saturating_sub(8),
            (KeyCode::PageDown, _) => finder.cursor = (finder.cursor + 8).min(last),
            (KeyCode::Enter, _) => {
                let Some(Overlay::Finder(finder)) = self.overlays.pop() else { return };
                match finder.hits.get(finder.cursor).map(|hit| hit.to) {
                    Some(Target::Item(item)) => self.jump(item),
                    Some(Target::Action(action)) => self.act(action),
                    None => {}
                }
            }
            _ => {
                if finder.input.key(key) {
                    self.typed();
                }
            }
        }
    }

    fn help_key(&mut self, key: Key) {
        let page = usize::from(self.area.height.saturating_sub(6)).max(1);
        let last = crate::view::help::lines(self).len().saturating_sub(page);
        let Some(Overlay::Help(at)) = self.overlays.last_mut() else { return };
        match self.keymap.action(key) {
            Some(Action::Up) => *at = at.saturating_sub(1),
            Some(Action::Down) => *at = (*at + 1).min(last),
            Some(Action::PageUp) => *at = at.saturating_sub(page),
            Some(Action::PageDown | Action::Toggle) => *at = (*at + page).min(last),
            Some(Action::Top) => *at = 0,
            Some(Action::Bottom) => *at = last,
            _ => {
                self.overlays.pop();
            }
        }
    }

    fn mouse(&mut self, mouse: MouseEvent) {
        let panes = self.panes();
        let at = Position::new(mouse.column, mouse.row);
        if !self.overlays.is_empty() {
            match mouse.kind {
                MouseEventKind::ScrollUp => self.key(Key::plain(KeyCode::Up)),
                MouseEventKind::ScrollDown => self.key(Key::plain(KeyCode::Down)),
                MouseEventKind::Down(MouseButton::Left) => self.click_overlay(at),
                _ => {}
            }
            return;
        }
        match mouse.kind {
            MouseEventKind::ScrollUp if panes.detail.contains(at) => self.act(Action::DetailUp),
            MouseEventKind::ScrollDown if panes.detail.contains(at) => self.act(Action::DetailDown),
            MouseEventKind::ScrollUp => self.step(-3),
            MouseEventKind::ScrollDown => self.step(3),
            MouseEventKind::Down(MouseButton::Left) => {
                self.message = None;
                if panes.divider.contains(at) {
                    self.dragging = true;
                } else if let Some(view) = panes.tab_at(at) {
                    self.show(view);
                } else if self.view == View::Map && panes.list.contains(at) {
                    let rects = crate::view::map::areas(self, panes.list);
                    if let Some(n) = rects.iter().position(|rect| rect.contains(at)) {
                        self.set_cursor(n);
                    }
                } else if panes.list.contains(at) {
                    self.click(usize::from(at.y - panes.list.y) + self.scroll().offset, at.x - panes.list.x);
                }
            }
            MouseEventKind::Drag(MouseButton::Left) if self.dragging => {
                let main = panes.main;
                let share = if panes.beside {
                    u32::from((main.right()).saturating_sub(at.x)) * 100 / u32::from(main.width.max(1))
                } else {
                    u32::from((main.bottom()).saturating_sub(at.y)) * 100 / u32::from(main.height.max(1))
                };
                self.detail_share = share.clamp(15, 75) as u16;
                self.keep_visible();
            }
            MouseEventKind::Up(_) => self.dragging = false,
            _ => {}
        }
    }

    fn click_overlay(&mut self, at: Position) {
        let area = crate::view::overlay::place(self);
        if !area.contains(at) {
            self.overlays.pop();
            return;
        }
        let Some(n) = crate::view::overlay::entry_at(self, at) else { return };
        match self.overlays.last_mut() {
            Some(Overlay::Menu(menu)) if n < menu.entries.len() => {
                menu.cursor = n;
                self.take_entry();
            }
            Some(Overlay::Finder(finder)) if n < finder.hits.len() => {
                finder.cursor = n;
                self.finder_key(Key::plain(KeyCode::Enter));
            }
            _ => {}
        }
    }

    fn click(&mut self, n: usize, x: u16) {
        let Some(row) = self.rows.get(n) else { return };
        if row.item.is_none() {
            return;
        }
        let step = if self.panes().list.width >= 56 { 2 } else { 1 };
        let indent = (row.depth * step) as u16;
        let now = std::time::Instant::now();
        let double = self.last_click.is_some_and(|(m, t)| m == n && now.duration_since(t).as_millis() < 400);
        self.last_click = if double { None } else { Some((n, now)) };
        self.set_cursor(n);
        if double {
            self.act(Action::Open);
        } else if self.view == View::Tree && x > indent && x < indent + 3 {
            self.act(if self.row_is_open() { Action::Left } else { Action::Right });
        } else if self.view == View::Tree && x >= indent + 3 && x < indent + 5 {
            self.last_click = None;
            self.act(Action::Toggle);
        }
    }

    fn row_is_open(&self) -> bool {
        matches!(self.item(), Some(Item::Node(n)) if self.open.contains(&n))
    }

    // ---- actions ----

    /// Does what was asked.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Up | Action::Down | Action::Left | Action::Right if self.view == View::Map => {
                self.step_on_map(action);
            }
            Action::Up => self.step(-1),
            Action::Down => self.step(1),
            Action::PageUp => self.step(-(self.page() as isize)),
            Action::PageDown => self.step(self.page() as isize),
            Action::Top => self.step(isize::MIN / 2),
            Action::Bottom => self.step(isize::MAX / 2),
            Action::Left => self.fold(),
            Action::Right => self.unfold(),
            Action::ExpandAll => {
                let tree = self.doc.tree();
                self.open = tree.nodes().filter(|n| rows::unfolds(tree, *n)).collect();
                self.rebuild();
            }
            Action::CollapseAll => {
                self.open.clear();
                self.rebuild();
            }
            Action::Search => self.find(false),
            Action::Palette => self.find(true),
            Action::Back => self.go_back(),
            Action::DetailUp => self.detail_scroll = self.detail_scroll.saturating_sub(2),
            Action::DetailDown => {
                let (lines, room) = crate::view::detail::extent(self);
                self.detail_scroll = (self.detail_scroll + 2).min(lines.saturating_sub(room));
            }
            Action::Toggle => self.toggle(),
            Action::Open => self.open_row(),
            Action::On => self.want_here(Want::On),
            Action::Off => self.want_here(Want::Off),
            Action::Auto => self.want_here(Want::Auto),
            Action::Undo => match self.doc.undo() {
                Some(label) => self.stepped("undone", &label),
                None => self.say(Tone::Plain, "nothing to undo"),
            },
            Action::Redo => match self.doc.redo() {
                Some(label) => self.stepped("redone", &label),
                None => self.say(Tone::Plain, "nothing to redo"),
            },
            Action::Budget => {
                let over = self.budget.is_some_and(|b| self.doc.footprint().image_bytes > b);
                if over {
                    self.over_budget();
                } else {
                    self.ask_budget();
                }
            }
            Action::ViewTree => self.show(View::Tree),
            Action::ViewSizes => self.show(View::Sizes),
            Action::ViewMap => self.show(View::Map),
            Action::ViewDeps => self.show_deps(),
            Action::ViewProgram => self.show(View::Program),
            Action::ViewChanges => self.show(View::Changes),
            Action::ViewConsole => self.show(View::Console),
            Action::NextView => {
                let next = View::ALL[(self.view.index() + 1) % View::ALL.len()];
                if next == View::Deps { self.show_deps() } else { self.show(next) }
            }
            Action::Compare => self.ask_compare(),
            Action::Detail => {
                self.detail_shown = !self.detail_shown;
                self.keep_visible();
            }
            Action::WidenDetail => {
                self.detail_share = (self.detail_share + 5).min(75);
                self.keep_visible();
            }
            Action::NarrowDetail => {
                self.detail_share = self.detail_share.saturating_sub(5).max(15);
                self.keep_visible();
            }
            Action::Save => self.effects.push(Effect::Save { force: false }),
            Action::SavePreset => self.overlays.push(Overlay::Prompt(Prompt {
                purpose: Purpose::SavePreset,
                title: "save a copy".to_owned(),
                text: vec![
                    "A name keeps it as a preset of your own; a path (with / or .toml) writes a file."
                        .to_owned(),
                ],
                input: Input::default(),
                error: None,
            })),
            Action::LoadPreset => self.ask_preset(),
            Action::Build => {
                self.console.building = true;
                self.effects.push(Effect::Build);
            }
            Action::Boot => {
                self.console.building = true;
                self.effects.push(Effect::Boot);
            }
            Action::Stop if self.console.running => self.effects.push(Effect::Stop),
            Action::Stop if self.console.ended.take().is_some() => self.keep_visible(),
            Action::Stop => self.say(Tone::Plain, "nothing is running"),
            Action::Help => self.overlays.push(Overlay::Help(0)),
            Action::Suspend => self.effects.push(Effect::Suspend),
            Action::Redraw => self.effects.push(Effect::Redraw),
            Action::Quit => self.quit(),
        }
    }

    fn quit(&mut self) {
        if !self.doc.is_dirty() {
            self.effects.push(Effect::Quit);
            return;
        }
        let file = self.doc.file();
        let mut lines = self.doc.summary(8);
        if lines.is_empty() {
            lines.push("The text of the config differs from the file.".to_owned());
        }
        self.ask(Menu::new(
            "quit with unsaved changes?",
            lines,
            vec![
                Entry::new("save and quit", file, Pick::QuitSave).key('s'),
                Entry::new("quit, lose the changes", "", Pick::QuitDiscard).key('d'),
                Entry::new("stay", "", Pick::Nothing),
            ],
        ));
    }

    fn find(&mut self, palette: bool) {
        let finder = Finder { palette, input: Input::default(), hits: Vec::new(), cursor: 0 };
        self.overlays.push(Overlay::Finder(finder));
        self.typed();
    }

    fn ask_budget(&mut self) {
        let current = self.budget.map_or_else(String::new, |b| bespoke_model::Value::Size(b).to_string());
        self.overlays.push(Overlay::Prompt(Prompt {
            purpose: Purpose::Budget,
            title: "size budget".to_owned(),
            text: vec![
                format!("The image has {} now.", text::bytes(self.doc.footprint().image_bytes)),
                "A size such as 64KiB; nothing for no budget.".to_owned(),
            ],
            input: Input::new(&current),
            error: None,
        }));
    }

    /// Says what could go to get back under the budget.
    fn over_budget(&mut self) {
        let Some(budget) = self.budget else { return };
        let over = self.doc.footprint().image_bytes.saturating_sub(budget);
        let mut entries: Vec<Entry> = self
            .doc
            .removable(9)
            .into_iter()
            .map(|(node, bytes)| {
                let id = self.doc.tree().node(node).id.clone();
                let note = text::signed_bytes(-(bytes as i64), self.theme.glyphs.minus);
                Entry::new(format!("turn off {id}"), note, Pick::Drop(vec![(id, Some(Decision::OFF))]))
            })
            .collect();
        if entries.is_empty() {
            self.say(Tone::Bad, format!("over the budget by {}, and nothing can go", text::bytes(over)));
            return;
        }
        entries.push(Entry::new("leave it", "", Pick::Nothing));
        self.ask(Menu::new(
            format!("over the budget by {}", text::bytes(over)),
            vec!["The largest parts that nobody asked for:".to_owned()],
            entries,
        ));
    }

    fn ask_preset(&mut self) {
        let now = self.doc.extends();
        let entries: Vec<Entry> = crate::presets::names()
            .into_iter()
            .map(|name| {
                let name = format!("preset:{name}");
                let note = if now.as_deref() == Some(&name) {
                    return Entry::new(name, "extended now", Pick::Nothing);
                } else {
                    match self.doc.preview_extend(&name) {
                        Ok(change) => crate::view::change_line(&self.theme, &change),
                        Err(why) => why,
                    }
                };
                Entry::new(name.clone(), note, Pick::Extend(name))
            })
            .collect();
        self.ask(Menu::new(
            "load a preset",
            vec!["Your own decisions stay, and lie over the preset's.".to_owned()],
            entries,
        ));
    }

    fn ask_compare(&mut self) {
        let mut entries = vec![Entry::new("the file", self.doc.file(), Pick::Compare(None))];
        entries.extend(crate::presets::names().into_iter().map(|name| {
            let name = format!("preset:{name}");
            Entry::new(name.clone(), "", Pick::Compare(Some(name)))
        }));
        self.ask(Menu::new("compare with", Vec::new(), entries));
    }

    // ---- moving ----

    fn page(&self) -> usize {
        usize::from(self.panes().list.height).saturating_sub(1).max(1)
    }

    fn step(&mut self, by: isize) {
        if self.view == View::Console {
            let last = self.console.lines.len().saturating_sub(1);
            self.console.back = self.console.back.saturating_add_signed(by.saturating_neg()).min(last);
            return;
        }
        if self.rows.is_empty() {
            return;
        }
        let last = self.rows.len() - 1;
        let from = self.scroll().cursor;
        let to = from.saturating_add_signed(by).min(last);
        // Headings are passed over; at an end, the cursor stays on the last row that is one.
        let can = |n: &usize| self.rows[*n].item.is_some() || !self.rows[*n].heading;
        let found = if by < 0 {
            (0..=to).rev().find(can).or_else(|| (to..=from).find(can))
        } else {
            (to..=last).find(can).or_else(|| (from..=to).rev().find(can))
        };
        self.set_cursor(found.unwrap_or(from));
    }

    /// To the nearest area of the map in a direction.
    fn step_on_map(&mut self, to: Action) {
        let rects = crate::view::map::areas(self, self.panes().list);
        let Some(here) = rects.get(self.scroll().cursor) else { return };
        let middle = |r: &Rect| {
            (f64::from(r.x) + f64::from(r.width) / 2.0, f64::from(r.y) * 2.0 + f64::from(r.height))
        };
        let (x, y) = middle(here);
        let mut best: Option<(f64, usize)> = None;
        for (n, rect) in rects.iter().enumerate().filter(|(_, r)| !r.is_empty()) {
            let (beyond, gap) = match to {
                Action::Left => (rect.right() <= here.x, here.x.saturating_sub(rect.right())),
                Action::Right => (rect.x >= here.right(), rect.x.saturating_sub(here.right())),
                Action::Up => (rect.bottom() <= here.y, here.y.saturating_sub(rect.bottom())),
                _ => (rect.y >= here.bottom(), rect.y.saturating_sub(here.bottom())),
            };
            if !beyond {
                continue;
            }
            let (rx, ry) = middle(rect);
            let across = match to {
                Action::Left | Action::Right => (ry - y).abs(),
                _ => (rx - x).abs(),
            };
            let far = f64::from(gap) * 4.0 + across;
            if best.is_none_or(|(least, _)| far < least) {
                best = Some((far, n));
            }
        }
        if let Some((_, n)) = best {
            self.set_cursor(n);
        }
    }

    fn set_cursor(&mut self, cursor: usize) {
        let before = self.item();
        self.scroll.entry(self.view).or_default().cursor = cursor;
        if self.item() != before {
            self.detail_scroll = 0;
        }
        self.keep_visible();
    }

    fn keep_visible(&mut self) {
        let height = usize::from(self.panes().list.height).max(1);
        let rows = self.rows.len();
        let scroll = self.scroll.entry(self.view).or_default();
        scroll.cursor = scroll.cursor.min(rows.saturating_sub(1));
        // A little context above and below the cursor, where there is room for it.
        let margin = if height >= 8 { 2 } else { 0 };
        if scroll.cursor < scroll.offset + margin {
            scroll.offset = scroll.cursor.saturating_sub(margin);
        }
        if scroll.cursor + margin >= scroll.offset + height {
            scroll.offset = scroll.cursor + margin + 1 - height;
        }
        scroll.offset = scroll.offset.min(rows.saturating_sub(height));
    }

    fn fold(&mut self) {
        if self.view != View::Tree {
            return self.go_back();
        }
        match self.item() {
            Some(Item::Node(n)) if self.open.remove(&n) => self.rebuild(),
            Some(Item::Node(n)) => {
                if let Some(parent) = self.doc.tree().node(n).parent {
                    self.put_cursor(Item::Node(parent));
                }
            }
            Some(Item::Param(p)) => self.put_cursor(Item::Node(self.doc.tree().param(p).owner)),
            None => {}
        }
    }

    fn unfold(&mut self) {
        if self.view != View::Tree {
            return self.open_row();
        }
        let Some(Item::Node(n)) = self.item() else { return };
        if !rows::unfolds(self.doc.tree(), n) {
            return;
        }
        if self.open.insert(n) {
            self.rebuild();
        } else {
            self.step(1);
        }
    }

    fn put_cursor(&mut self, item: Item) {
        if let Some(n) = self.rows.iter().position(|row| row.item == Some(item)) {
            self.set_cursor(n);
        }
    }

    /// Goes to an item in the tree, so that `back` returns to where the cursor was.
    pub fn jump(&mut self, item: Item) {
        self.remember();
        self.view = View::Tree;
        self.reveal(item);
    }

    fn reveal(&mut self, item: Item) {
        let tree = self.doc.tree();
        let mut above = match item {
            Item::Node(n) => tree.node(n).parent,
            Item::Param(p) => Some(tree.param(p).owner),
        };
        while let Some(n) = above {
            self.open.insert(n);
            above = tree.node(n).parent;
        }
        self.rebuild();
        self.put_cursor(item);
    }

    fn remember(&mut self) {
        self.back.push((self.view, self.item(), self.deps_of));
        if self.back.len() > 100 {
            self.back.remove(0);
        }
    }

    fn go_back(&mut self) {
        let Some((view, item, deps_of)) = self.back.pop() else {
            if self.view != View::Tree {
                self.show_without_memory(View::Tree);
            } else {
                let quit = self.keymap.shown(Action::Quit);
                self.say(Tone::Quiet, format!("press {quit} to quit"));
            }
            return;
        };
        self.view = view;
        self.deps_of = deps_of;
        match (view, item) {
            (View::Tree, Some(item)) => self.reveal(item),
            (_, item) => {
                self.rebuild();
                if let Some(item) = item {
                    self.put_cursor(item);
                }
            }
        }
    }

    fn show(&mut self, view: View) {
        if view == self.view {
            return;
        }
        if view == View::Tree {
            // The tree is home: the way back ends there.
            self.back.clear();
            return self.show_without_memory(view);
        }
        self.remember();
        self.show_without_memory(view);
    }

    fn show_without_memory(&mut self, view: View) {
        let item = self.item();
        self.view = view;
        if view == View::Deps && self.deps_of.is_none() {
            self.deps_of = item;
        }
        self.detail_scroll = 0;
        match (view, item) {
            (View::Tree, Some(item)) => self.reveal(item),
            _ => {
                self.rebuild();
                if let Some(item) = item {
                    self.put_cursor(item);
                }
                if self.row().is_some_and(|row| row.item.is_none())
                    && let Some(n) = self.rows.iter().position(|row| row.item.is_some())
                {
                    self.set_cursor(n);
                    self.scroll.entry(view).or_default().offset = 0;
                    self.keep_visible();
                }
                self.step(0);
            }
        }
    }

    fn show_deps(&mut self) {
        let item = self.item();
        self.remember();
        if let Some(item) = item {
            self.deps_of = Some(item);
        }
        self.view = View::Deps;
        self.rebuild();
        self.set_cursor(0);
        self.step(0);
    }

    /// Makes the rows again; the cursor stays on its item.
    pub fn rebuild(&mut self) {
        let item = self.item();
        self.rows = rows::build(self);
        if let Some(n) = item.and_then(|item| self.rows.iter().position(|row| row.item == Some(item))) {
            self.scroll.entry(self.view).or_default().cursor = n;
        }
        self.keep_visible();
    }

    // ---- deciding ----

    fn toggle(&mut self) {
        let Some(item) = self.item() else { return };
        match item {
            Item::Node(n) => match self.doc.tree().node(n).kind {
                Kind::Menu => self.open_row(),
                Kind::Choice => self.ask_member(n),
                Kind::Component if self.doc.tree().choice_of(n).is_some() => self.want(item, Want::On),
                Kind::Component => self.want(item, Want::Flip),
            },
            Item::Param(p) => self.edit(p),
        }
    }

    fn open_row(&mut self) {
        let Some(item) = self.item() else { return };
        match (self.view, item) {
            (View::Deps, item) => {
                self.remember();
                self.deps_of = Some(item);
                self.rebuild();
                self.set_cursor(0);
                self.step(0);
            }
            (View::Program | View::Changes, item) => self.jump(item),
            (_, Item::Node(n)) if self.doc.tree().node(n).kind == Kind::Menu => {
                if self.view != View::Tree {
                    return self.jump(item);
                }
                if !self.open.remove(&n) {
                    self.open.insert(n);
                }
                self.rebuild();
            }
            _ => self.toggle(),
        }
    }

    fn want_here(&mut self, want: Want) {
        let Some(item) = self.item() else { return };
        match (item, &want) {
            (Item::Node(n), _) if self.doc.tree().node(n).kind == Kind::Menu => {
                self.say(Tone::Plain, "a menu is neither on nor off; open it and decide what is in it");
            }
            (Item::Node(n), Want::On) if self.doc.tree().node(n).kind == Kind::Choice => self.ask_member(n),
            (Item::Node(n), Want::Off) if self.doc.tree().node(n).kind == Kind::Choice => {
                self.say(Tone::Plain, "one of its members is always chosen; choose another with enter");
            }
            (Item::Node(n), Want::Off) if self.doc.tree().choice_of(n).is_some() => {
                self.say(Tone::Plain, "one of them must be chosen; go to another and choose that");
            }
            (Item::Param(p), Want::On | Want::Off) => match self.doc.tree().param(p).ty {
                ParamType::Bool => {
                    let value = bespoke_model::Value::Bool(want == Want::On);
                    self.want(item, Want::Value(value));
                }
                _ => self.say(Tone::Plain, "a parameter has a value; edit it with enter"),
            },
            _ => self.want(item, want),
        }
    }

    fn ask_member(&mut self, choice: NodeId) {
        let tree = self.doc.tree();
        let node = tree.node(choice);
        let chosen = self.doc.member(choice);
        let members: Vec<NodeId> =
            node.children.iter().copied().filter(|m| tree.node(*m).kind == Kind::Component).collect();
        let entries: Vec<Entry> = members
            .iter()
            .map(|&m| {
                let member = tree.node(m);
                let note = if Some(m) == chosen {
                    return Entry::new(member.title.clone(), "chosen", Pick::Nothing);
                } else {
                    match self.doc.preview(Item::Node(m), &Want::On) {
                        Outcome::Change(change) => text::signed_bytes(change.image, self.theme.glyphs.minus),
                        Outcome::Same => String::new(),
                        Outcome::Refused(_) => "blocked".to_owned(),
                    }
                };
                Entry::new(
                    member.title.clone(),
                    note,
                    Pick::Decide(self.doc.decisions_for(Item::Node(m), &Want::On)),
                )
            })
            .collect();
        let cursor = members.iter().position(|m| Some(*m) == chosen).unwrap_or(0);
        let mut menu = Menu::new(node.title.clone(), vec![first_sentence(&node.help)], entries);
        menu.cursor = cursor;
        self.ask(menu);
    }

    fn edit(&mut self, p: ParamId) {
        let param = self.doc.tree().param(p);
        let value = self.doc.value(p);
        if !self.doc.is_active(p) {
            let owner = &self.doc.tree().node(param.owner).id;
            self.say(Tone::Plain, format!("{owner} is off; its parameters count once it is on"));
            return;
        }
        match &param.ty {
            ParamType::Bool => {
                let flipped = bespoke_model::Value::Bool(value != &bespoke_model::Value::Bool(true));
                self.want(Item::Param(p), Want::Value(flipped));
            }
            ParamType::Enum { values } => {
                let now = value.to_string();
                let entries: Vec<Entry> = values
                    .iter()
                    .map(|v| {
                        let note = match (*v == now, *v == param.default.to_string()) {
                            (true, true) => "now; the default",
                            (true, false) => "now",
                            (false, true) => "the default",
                            (false, false) => "",
                        };
                        let want = Want::Value(bespoke_model::Value::Enum(v.clone()));
                        Entry::new(
                            v.clone(),
                            note,
                            Pick::Decide(self.doc.decisions_for(Item::Param(p), &want)),
                        )
                    })
                    .collect();
                let cursor = values.iter().position(|v| *v == now).unwrap_or(0);
                let mut menu = Menu::new(param.id.clone(), vec![param.help.clone()], entries);
                menu.cursor = cursor;
                self.ask(menu);
            }
            ty => {
                let prompt = Prompt {
                    purpose: Purpose::Value(p),
                    title: param.id.clone(),
                    text: vec![param.help.clone(), format!("{}; default {}", ty.describe(), param.default)],
                    input: Input::new(&value.to_string()),
                    error: None,
                };
                self.overlays.push(Overlay::Prompt(prompt));
            }
        }
    }

    /// Tries to have it so: at once, after a question when much would change, or not, with the reason and what would help.
    fn want(&mut self, item: Item, want: Want) {
        match self.doc.preview(item, &want) {
            Outcome::Same => {
                let line = self.doc.why_same(item, &want);
                self.say(Tone::Plain, line);
            }
            Outcome::Refused(refused) => self.refuse(&self.doc.title_of(item, &want), &refused),
            Outcome::Change(change) => {
                let title = self.doc.title_of(item, &want);
                let decisions = self.doc.decisions_for(item, &want);
                if change.others(item) > ASK_ABOVE {
                    let lines = crate::view::grouped(&self.doc, &self.theme, &change);
                    let note = crate::view::change_line(&self.theme, &change);
                    self.ask(Menu::new(
                        format!("{title}: {} follow", text::count(change.others(item), "change")),
                        lines,
                        vec![
                            Entry::new(title, note, Pick::Decide(decisions)).key('y'),
                            Entry::new("leave it as it is", "", Pick::Nothing).key('n'),
                        ],
                    ));
                } else {
                    self.decide(decisions);
                }
            }
        }
    }

    fn refuse(&mut self, title: &str, refused: &Refused) {
        let mut entries: Vec<Entry> = refused
            .fixes
            .iter()
            .map(|fix| {
                let note =
                    fix.image.map_or_else(String::new, |b| text::signed_bytes(b, self.theme.glyphs.minus));
                Entry::new(fix.title.clone(), note, Pick::Decide(fix.decisions.clone()))
            })
            .collect();
        entries.push(Entry::new("leave it as it is", "", Pick::Nothing));
        self.ask(Menu::new(format!("cannot {title}"), refused.because.clone(), entries));
    }

    fn decide(&mut self, decisions: Vec<(String, Option<Decision>)>) {
        let title = self.doc.words(&decisions);
        match self.doc.decide(&title, decisions) {
            Ok(change) => self.changed(&title, &change),
            Err(refused) => self.refuse(&title, &refused),
        }
    }

    fn changed(&mut self, title: &str, change: &Change) {
        let over_before =
            self.budget.is_some_and(|b| (self.doc.footprint().image_bytes as i64 - change.image) as u64 > b);
        self.rebuild();
        let line = crate::view::change_line(&self.theme, change);
        let dot = self.theme.glyphs.dot;
        let text = if line.is_empty() { title.to_owned() } else { format!("{title} {dot} {line}") };
        self.say(Tone::Good, text);
        if self.budget.is_some_and(|b| self.doc.footprint().image_bytes > b) && !over_before {
            let key = self.keymap.shown(Action::Budget);
            self.say(Tone::Bad, format!("{title} {dot} over the budget now; {key} says what could go"));
        }
    }

    fn stepped(&mut self, how: &str, label: &str) {
        self.rebuild();
        self.say(Tone::Plain, format!("{how}: {label}"));
    }

    /// Offers edits that an earlier session left behind.
    pub fn offer_recovery(&mut self, edits: String) {
        self.recovery = Some(edits.clone());
        self.ask(Menu::new(
            "unsaved changes from last time",
            vec!["An earlier session ended before they were saved.".to_owned()],
            vec![
                Entry::new("take them up", "they stay unsaved until you save", Pick::Recover(edits)).key('t'),
                Entry::new("throw them away", "", Pick::DropRecovery).key('d'),
                Entry::new(
                    "decide later",
                    "they stay where they are until you change something",
                    Pick::Nothing,
                ),
            ],
        ));
    }
}

/// The first sentence of a help text.
pub fn first_sentence(help: &str) -> String {
    let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.find(". ") {
        Some(end) => flat[..=end].to_owned(),
        None => flat,
    }
}
