//! What every view looks like, in a usual, a large and the smallest terminal.

use ratatui::style::{Color, Modifier};

use super::fixture::{CONFIG, Session, rows, tree};
use crate::app::theme::Theme;
use crate::app::{Built, Event};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (40, 12)];

fn shots(name: &str, keys: &str) {
    for (width, height) in SIZES {
        let mut session = Session::new(width, height);
        session.keys(keys);
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), session.screen());
    }
}

#[test]
fn tree_folded() {
    shots("tree_folded", "");
}

#[test]
fn tree_unfolded() {
    shots("tree_unfolded", "*/udp<enter>");
}

#[test]
fn consequences_of_a_toggle() {
    shots("consequences", "/net.tcp<enter>");
}

#[test]
fn a_refusal_with_ways_out() {
    shots("refusal", "/weiss<enter><space>");
}

#[test]
fn blocked_rows_say_so() {
    shots("blocked", "/weiss<enter>");
}

#[test]
fn search() {
    shots("search", "/address");
}

#[test]
fn parameter_with_an_error() {
    shots("parameter", "/tcp<enter><space>/receive<enter><enter><c-u>1KiB<enter>");
}

#[test]
fn choice() {
    shots("choice", "/memory.heap<enter><enter>");
}

#[test]
fn sizes() {
    shots("sizes", "2");
}

#[test]
fn map() {
    shots("map", "3");
}

#[test]
fn needs() {
    shots("needs", "/ipv4<enter>4");
}

#[test]
fn program() {
    shots("program", "5");
}

/// The real tree, and a program of which something is known.
pub fn with_evidence(width: u16, height: u16) -> Session {
    let tree = &bespoke_kernel::Os::embedded().tree;
    let text =
        "schema = 1\nextends = \"preset:hello\"\n\n[fit]\n\"abi.open\" = true\n\"abi.transfer\" = true\n";
    let mut session = Session::open(tree, text, Theme::new(true, false), width, height);
    session.app.needs = crate::ui::start::from_evidence(tree, &evidence());
    session.app.rebuild();
    session
}

fn evidence() -> bespoke_model::Evidence {
    let mut evidence = bespoke_model::Evidence { runs: 2, ..bespoke_model::Evidence::default() };
    evidence.add_found("call:sendfile", 1, &["app: copy+0x10".into()]);
    evidence.add_found("call:openat", 3, &["app: main+0x40".into()]);
    evidence.add_seen("call:openat", 7, 1, Some("ENOENT"));
    evidence.add_seen("path:/dev/null", 2, 0, None);
    evidence.add_found("call:io_uring_setup", 1, &[]);
    evidence.add_found("process:fork", 1, &["app: spawn+0x2".into()]);
    evidence
}

#[test]
fn a_fitted_config_says_why() {
    let os = bespoke_kernel::Os::embedded();
    let text = "# Mine.\nschema = 1\nextends = \"preset:hello\"\n\n[set]\n\"abi.clock\" = true  # stays\n";
    let config = bespoke_model::Config::parse("app.toml", text).unwrap();
    let chain = crate::presets::chain(config, std::path::Path::new(".")).unwrap();
    let measure = super::fixture::Plain(&os.tree);
    let keep = bespoke_kernel::fit::Keep::Found;
    let fitted = crate::fit::rewrite(os, &chain, &evidence(), keep, Some(&measure)).unwrap();
    insta::assert_snapshot!("fitted_config", fitted.config.text());
    let again = crate::presets::Chain { config: fitted.config.clone(), ..chain };
    let again = crate::fit::rewrite(os, &again, &evidence(), keep, Some(&measure)).unwrap();
    assert_eq!(again.config.text(), fitted.config.text(), "written anew it is the same");
}

#[test]
fn program_with_evidence() {
    for (width, height) in SIZES {
        let mut session = with_evidence(width, height);
        session.keys("5");
        // The totals are those of the real parts, and change with each of them.
        let screen = session.screen();
        let rows: Vec<&str> = screen.lines().filter(|line| !line.starts_with(" image ")).collect();
        insta::assert_snapshot!(format!("evidence_{width}x{height}"), rows.join("\n"));
    }
}

#[test]
fn making_a_config() {
    shots("new_image", "Iredis.tar");
}

#[test]
fn changes() {
    shots("changes", "/tcp<enter><space>6");
}

#[test]
fn palette() {
    shots("palette", ":und");
}

#[test]
fn help() {
    shots("help", "?");
}

#[test]
fn quit_asks() {
    shots("quit", "/tcp<enter><space>q");
}

#[test]
fn over_the_budget() {
    shots("budget", "$30KiB<enter>");
}

#[test]
fn gauge() {
    let mut session = Session::new(80, 24);
    session.keys("$64KiB<enter>");
    insta::assert_snapshot!("gauge_80x24", session.screen());
}

#[test]
fn console_below_and_alone() {
    for (width, height) in SIZES {
        let mut session = Session::new(width, height);
        session.event(Event::Booted);
        session.event(Event::Console("\u{1b}[1mHello\u{1b}[0m from a program.\r\nhalf a li".into()));
        session.event(Event::Console("ne\n".into()));
        session.event(Event::Exited("exit status 3 after 40 ms".into(), false));
        insta::assert_snapshot!(format!("console_below_{width}x{height}"), session.screen());
        session.keys("7");
        insta::assert_snapshot!(format!("console_{width}x{height}"), session.screen());
    }
}

#[test]
fn built() {
    let mut session = Session::new(80, 24);
    session.event(Event::Built(Ok(Built { path: "web.img".into(), bytes: 45_376, millis: 12.3 })));
    assert_eq!(session.line("built"), " built web.img · 45,376 B · 12 ms");
    session.event(Event::Built(Err("web.img cannot be written".into())));
    assert_eq!(session.line("cannot"), " web.img cannot be written");
}

#[test]
fn ascii_alone() {
    let mut session = Session::open(tree(), CONFIG, Theme::new(true, true), 80, 24);
    session.keys("*/net.tcp<enter>");
    let screen = session.screen();
    insta::assert_snapshot!("ascii_80x24", screen);
    session.keys("?");
    let screen = screen + &session.screen();
    let odd: String = screen.chars().filter(|c| !c.is_ascii() && !"日本語の名前".contains(*c)).collect();
    assert_eq!(odd, "", "only names that the tree brings may be more than ASCII");
}

#[test]
fn without_colours_nothing_is_lost_and_nothing_is_coloured() {
    for keys in ["*", "*/weiss<enter><space>", "2", "3", "/tcp", "?", "$30KiB<enter>"] {
        let mut session = Session::open(tree(), CONFIG, Theme::new(false, false), 80, 24);
        session.keys(keys);
        let buffer = session.buffer();
        for cell in &buffer.content {
            assert!(matches!((cell.fg, cell.bg), (Color::Reset, Color::Reset)), "{keys}: {cell:?}");
        }
        let plain = rows(&buffer);
        let mut coloured = Session::open(tree(), CONFIG, Theme::new(true, false), 80, 24);
        coloured.keys(keys);
        assert_eq!(plain, rows(&coloured.buffer()), "{keys}: colour must not change what is said");
    }
}

#[test]
fn styles_that_carry_meaning() {
    let mut session = Session::new(80, 24);
    session.keys("*/udp<enter>");
    let buffer = session.buffer();
    let text = rows(&buffer);
    let at = |what: &str| -> (u16, u16) {
        let y = text.iter().position(|line| line.contains(what)).unwrap();
        let x = text[y].split(what).next().unwrap().chars().count();
        (x as u16, y as u16)
    };
    let (_, y) = at("● UDP");
    assert!(buffer[(10, y)].modifier.contains(Modifier::REVERSED), "the cursor's row is reversed");
    let (x, y) = at("● IPv4");
    assert_eq!(buffer[(x, y)].fg, Color::Green, "a part that is on is green");
    let (x, y) = at("⊘ 日本語");
    assert_eq!(buffer[(x, y)].fg, Color::Red, "a part that is blocked is red");
    assert!(!buffer[(x, y)].modifier.contains(Modifier::REVERSED));
}

#[test]
fn every_size_draws() {
    for keys in [
        "",
        "*",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "/net",
        ":",
        "?",
        "*/weiss<enter><space>",
        "$1KiB<enter>",
        "S",
    ] {
        let mut session = Session::new(80, 24);
        session.keys(keys);
        for width in [1, 5, 39, 40, 41, 59, 60, 61, 79, 95, 96, 97, 200] {
            for height in [1, 2, 11, 12, 13, 16, 17, 20, 60] {
                session.event(Event::Resize(width, height));
                let screen = session.screen();
                if width < 40 || height < 12 {
                    let said = screen.replace('\n', "");
                    assert!(said.starts_with(&format!("{width}x{height}")[..1]), "{said}");
                }
            }
        }
    }
}
