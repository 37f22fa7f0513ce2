//! What happens outside, and what is asked of the outside.

use std::path::PathBuf;

use bespoke_model::Refusal;
use crossterm::event::MouseEvent;

use super::doc::Question;
use super::keymap::Key;

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
    /// Write a config that fits a program, or the program of a container image.
    New(Wish),
    /// Go on with another config.
    Open(PathBuf),
    /// Build the image.
    Build,
    /// Build the image and boot it.
    Boot,
    /// Stop the program that runs.
    Stop,
    /// Pass bytes to the program that runs.
    Type(Vec<u8>),
    /// Remember the size budget.
    KeepBudget,
    /// Throw away the edits that an earlier session left behind.
    DropRecovery,
    /// Give the terminal to the shell.
    Suspend,
    /// Draw everything again.
    Redraw,
    /// End.
    Quit,
}

/// A config that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// The program, by its path or name, with its arguments as in a shell; or the archive that holds the image.
    pub from: String,
    /// It is a container image.
    pub image: bool,
    /// Do not mind a config that is there.
    pub force: bool,
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
    /// A config was made, or not.
    Made(Wish, Result<PathBuf, String>),
    /// A config that was to be made exists.
    MadeBefore(PathBuf, Wish),
    /// What stands against a wish, with the ways out that change the least.
    Proven(Box<Question>, Box<Refusal>),
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
