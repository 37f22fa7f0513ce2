//! How things look: sixteen colours or none, drawing characters or plain ASCII.
//!
//! Colour never says anything that a glyph or a word does not say too.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

/// What a piece of text is, from which its look follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Plain text.
    Plain,
    /// Less important: ids, units, hints.
    Quiet,
    /// A heading.
    Head,
    /// The product's own accent: keys to press, the focused border.
    Accent,
    /// A part that is on, or a number that became smaller.
    Good,
    /// Something to look at: changed, pinned.
    Notable,
    /// A refusal, an error, a number over its budget.
    Bad,
    /// The row under the cursor.
    Cursor,
    /// What a search matched.
    Match,
}

/// The glyphs that views draw with.
#[derive(Debug)]
pub struct Glyphs {
    /// A part that is on.
    pub on: &'static str,
    /// A part that is off.
    pub off: &'static str,
    /// A part that is always on.
    pub core: &'static str,
    /// A part that cannot be toggled now.
    pub blocked: &'static str,
    /// A choice: exactly one of its members.
    pub choice: &'static str,
    /// A choice's chosen member.
    pub chosen: &'static str,
    /// A choice's other members.
    pub unchosen: &'static str,
    /// A parameter.
    pub param: &'static str,
    /// An unfolded menu.
    pub unfolded: &'static str,
    /// A folded menu.
    pub folded: &'static str,
    /// Between pieces of one line.
    pub dot: &'static str,
    /// From one value to another.
    pub arrow: &'static str,
    /// More than there is room for.
    pub ellipsis: &'static str,
    /// A filled cell of a gauge.
    pub full: &'static str,
    /// An empty cell of a gauge.
    pub empty: &'static str,
    /// Minus, as wide as a digit.
    pub minus: &'static str,
    /// Marks a config with unsaved edits.
    pub unsaved: &'static str,
    /// How far a list is scrolled.
    pub bar: &'static str,
    /// Where the line between panes meets the one above.
    pub tee: &'static str,
    /// The frames of panes.
    pub border: border::Set<'static>,
}

const UNICODE: Glyphs = Glyphs {
    on: "●",
    off: "○",
    core: "■",
    blocked: "⊘",
    choice: "◇",
    chosen: "◉",
    unchosen: "○",
    param: "·",
    unfolded: "▾",
    folded: "▸",
    dot: "·",
    arrow: "→",
    ellipsis: "…",
    full: "█",
    empty: "░",
    minus: "−",
    unsaved: "●",
    bar: "┃",
    tee: "┬",
    border: border::ROUNDED,
};

const ASCII: Glyphs = Glyphs {
    on: "*",
    off: "-",
    core: "#",
    blocked: "!",
    choice: "%",
    chosen: "@",
    unchosen: "o",
    param: "=",
    unfolded: "v",
    folded: ">",
    dot: "-",
    arrow: "->",
    ellipsis: "~",
    full: "#",
    empty: ".",
    minus: "-",
    unsaved: "*",
    bar: "#",
    tee: "+",
    border: border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    },
};

/// The look of everything.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Whether colours may be used.
    pub color: bool,
    /// The characters to draw with.
    pub glyphs: &'static Glyphs,
}

impl Theme {
    /// A look with or without colours, in drawing characters or plain ASCII.
    pub fn new(color: bool, ascii: bool) -> Self {
        Theme { color, glyphs: if ascii { &ASCII } else { &UNICODE } }
    }

    /// What the environment asks for: `NO_COLOR`, `TERM`, and the locale's character set.
    pub fn from_env(ascii: bool) -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let upper = locale.to_uppercase();
        // An unset locale is common in containers, whose terminals nearly always read UTF-8; only a stated other one counts.
        let other = !upper.is_empty()
            && !upper.contains("UTF-8")
            && !upper.contains("UTF8")
            && !upper.starts_with("C.");
        let plain_c = matches!(upper.as_str(), "C" | "POSIX");
        Theme::new(
            set("NO_COLOR").is_none() && term != "dumb",
            ascii
                || set("BESPOKE_ASCII").is_some()
                || term == "linux"
                || term == "vt100"
                || (other && !plain_c),
        )
    }

    /// The style of a tone.
    pub fn style(&self, tone: Tone) -> Style {
        let style = Style::new();
        let color = |style: Style, color| if self.color { style.fg(color) } else { style };
        match tone {
            // Set, not left out: a text may be drawn over one of another tone.
            Tone::Plain => style.fg(Color::Reset),
            Tone::Quiet if self.color => style.fg(Color::DarkGray),
            Tone::Quiet => style.add_modifier(Modifier::DIM),
            Tone::Head => style.fg(Color::Reset).add_modifier(Modifier::BOLD),
            Tone::Accent => color(style, Color::Cyan),
            Tone::Good => color(style, Color::Green),
            Tone::Notable => color(style, Color::Magenta),
            Tone::Bad => color(style, Color::Red).add_modifier(Modifier::BOLD),
            Tone::Cursor => style.add_modifier(Modifier::REVERSED),
            Tone::Match => color(style, Color::Magenta).add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        }
    }
}
