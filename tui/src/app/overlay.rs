//! What lies over the views and takes the keys: menus, lines to type, finders, help.

use bespoke_model::{Decision, ParamId};

use super::action::Action;
use super::doc::{Item, Wanted};
use super::event::Wish;
use super::input::Input;

/// What happens when an entry of a [`Menu`] is taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Pick {
    /// Nothing: the menu closes.
    Nothing,
    /// Decisions are made.
    Decide(Vec<(String, Option<Decision>)>),
    /// Decisions are made to get under the budget; more are offered while it is not enough.
    Drop(Vec<(String, Option<Decision>)>),
    /// Another size budget is asked for.
    Budget,
    /// The program ends, and edits are lost.
    QuitDiscard,
    /// The edits are saved, then the program ends.
    QuitSave,
    /// Another file is extended.
    Extend(String),
    /// The changes against a preset are shown.
    Compare(Option<String>),
    /// Another text is made of a config that could not be as it was.
    Mend(String),
    /// The program ends; what is on disk stays as it is.
    Leave,
    /// Edits that an earlier session left behind are taken up.
    Recover(String),
    /// Edits that an earlier session left behind are thrown away.
    DropRecovery,
    /// A file that exists is written over.
    SaveOver(std::path::PathBuf),
    /// A file that somebody else changed is written over.
    SaveForce,
    /// A config is made.
    New(Wish),
    /// Another config is opened.
    Open(std::path::PathBuf),
}

/// One entry of a menu.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is called.
    pub title: String,
    /// What more there is to say, shown behind it.
    pub note: String,
    /// A key that takes it at once.
    pub key: Option<char>,
    /// What it does.
    pub pick: Pick,
}

impl Entry {
    /// An entry.
    pub fn new(title: impl Into<String>, note: impl Into<String>, pick: Pick) -> Self {
        Entry { title: title.into(), note: note.into(), key: None, pick }
    }

    /// The same entry with a key of its own.
    pub fn key(mut self, key: char) -> Self {
        self.key = Some(key);
        self
    }
}

/// A question with answers to choose from.
#[derive(Clone, Debug)]
pub struct Menu {
    /// The question, in short.
    pub title: String,
    /// What there is to know before answering; each is a paragraph.
    pub text: Vec<String>,
    /// The answers.
    pub entries: Vec<Entry>,
    /// The answer under the cursor.
    pub cursor: usize,
    /// The wish that was refused, when that is what it is about.
    pub refused: Option<Wanted>,
}

impl Menu {
    /// A question with its cursor on the first answer.
    pub fn new(title: impl Into<String>, text: Vec<String>, entries: Vec<Entry>) -> Self {
        Menu { title: title.into(), text, entries, cursor: 0, refused: None }
    }
}

/// What a line that is typed is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// A parameter's value.
    Value(ParamId),
    /// The size budget.
    Budget,
    /// A preset's name, or a file's path.
    SavePreset,
    /// A program, or the archive of a container image, to write a config for.
    New {
        /// It is an image.
        image: bool,
    },
}

/// A line to type.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// What it is for.
    pub purpose: Purpose,
    /// What is asked.
    pub title: String,
    /// What may be typed.
    pub text: Vec<String>,
    /// What was typed.
    pub input: Input,
    /// Why it cannot be taken as it is.
    pub error: Option<String>,
}

/// One thing that a finder found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// What it is called.
    pub title: String,
    /// What more there is to say.
    pub note: String,
    /// Which characters of the title matched.
    pub marks: Vec<usize>,
    /// What it leads to.
    pub to: Target,
}

/// What a finder's hit leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// A row.
    Item(Item),
    /// An action.
    Action(Action),
}

/// A list that narrows while a line is typed.
#[derive(Clone, Debug)]
pub struct Finder {
    /// Whether it looks for actions (the palette) or rows (the search).
    pub palette: bool,
    /// What was typed.
    pub input: Input,
    /// What was found, best first.
    pub hits: Vec<Hit>,
    /// The hit under the cursor.
    pub cursor: usize,
}

/// What lies over the views.
#[derive(Clone, Debug)]
pub enum Overlay {
    /// A question.
    Menu(Menu),
    /// A line to type.
    Prompt(Prompt),
    /// A search.
    Finder(Finder),
    /// The keys; how far it is scrolled.
    Help(usize),
}
