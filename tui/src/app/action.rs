//! Everything a person can ask the configurator to do: one table, from which the key map, the help page,
//! the command palette and the tests are made.

use serde::{Deserialize, Serialize};

macro_rules! actions {
    ($($group:literal { $($name:ident = $title:literal;)* })*) => {
        /// One thing that the configurator can be asked to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Action {
            $($(#[doc = $title] $name,)*)*
        }

        impl Action {
            /// Every action, in the order in which help lists them.
            pub const ALL: &[Action] = &[$($(Action::$name,)*)*];

            /// What the action does, in a few words.
            pub fn title(self) -> &'static str {
                match self { $($(Action::$name => $title,)*)* }
            }

            /// The heading under which help lists the action.
            pub fn group(self) -> &'static str {
                match self { $($(Action::$name => $group,)*)* }
            }
        }
    };
}

actions! {
    "Move" {
        Up = "up one row";
        Down = "down one row";
        Left = "fold the menu, or go to the one above";
        Right = "unfold the menu";
        PageUp = "up one page";
        PageDown = "down one page";
        Top = "to the first row";
        Bottom = "to the last row";
        ExpandAll = "unfold everything";
        CollapseAll = "fold everything";
        Search = "search names, help and parameters";
        Back = "back to where you were";
        DetailUp = "scroll the detail up";
        DetailDown = "scroll the detail down";
    }
    "Decide" {
        Toggle = "turn on or off";
        Open = "unfold, choose, edit or toggle";
        On = "yes: turn on";
        Off = "no: turn off";
        Auto = "no opinion: forget your decision";
        Undo = "undo";
        Redo = "redo";
        Budget = "set a size budget";
    }
    "Look" {
        ViewTree = "the tree";
        ViewSizes = "parts by size";
        ViewMap = "map of where the bytes go";
        ViewDeps = "what this part needs, and what needs it";
        ViewProgram = "what the program needs";
        ViewChanges = "what you changed";
        ViewConsole = "the program's console";
        NextView = "next view";
        Compare = "compare with a preset";
        Detail = "show or hide the detail";
        WidenDetail = "more room for the detail";
        NarrowDetail = "less room for the detail";
    }
    "Make" {
        Save = "save";
        SavePreset = "save as a preset or another file";
        LoadPreset = "load a preset";
        NewProgram = "new config, from a program";
        NewImage = "new config, from a container image";
        Build = "build the image";
        Boot = "build and boot the image, or start over";
        Type = "type to the running program";
        Stop = "stop the running program";
        ConsoleUp = "scroll the console up";
        ConsoleDown = "scroll the console down";
    }
    "Program" {
        Palette = "find a command by name";
        Help = "this help";
        Suspend = "to the shell, and back with fg";
        Redraw = "draw everything again";
        Quit = "quit";
    }
}

impl Action {
    /// The name used in the key map file.
    pub fn name(self) -> String {
        let quoted = serde_json::to_string(&self).unwrap_or_default();
        quoted.trim_matches('"').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case_and_unique() {
        let mut names: Vec<_> = Action::ALL.iter().map(|a| a.name()).collect();
        assert!(names.contains(&"view-tree".to_owned()));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Action::ALL.len());
    }
}
