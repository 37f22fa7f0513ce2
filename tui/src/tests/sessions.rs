//! Sessions from key to file.

use super::fixture::{CONFIG, Session, exists};
use crate::app::doc::Item;
use crate::app::overlay::Overlay;
use crate::app::{Effect, Event, View, Wish};

#[test]
fn a_toggle_is_saved_with_comments_kept() {
    let mut session = Session::new(80, 24);
    session.keys("/net.tcp<enter><space>s");
    let saved = session.saved();
    assert_eq!(saved, CONFIG.replace("[set]\n", "[set]\n\"net.tcp\" = true\n"));
    assert!(!session.app.doc.is_dirty());
    session.keys("q");
    assert!(session.quit, "nothing is unsaved: no question");
}

#[test]
fn toggling_back_leaves_no_trace_in_the_config() {
    let mut session = Session::new(80, 24);
    session.keys("/net.tcp<enter><space><space>s");
    assert_eq!(session.saved().replace("[set]\n", ""), CONFIG.replace("[set]\n", ""));
}

#[test]
fn what_is_shown_is_what_it_costs() {
    let mut session = Session::new(120, 40);
    session.keys("/net.tcp<enter>");
    let before = session.app.doc.footprint().image_bytes;
    let promised = match session.app.item() {
        Some(item) => session.app.doc.bytes(item).unwrap(),
        None => panic!("the cursor is on nothing"),
    };
    session.keys("<space>");
    assert_eq!(session.app.doc.footprint().image_bytes as i64 - before as i64, promised);
}

#[test]
fn undo_and_redo_go_all_the_way() {
    let mut session = Session::new(80, 24);
    let start = session.app.doc.text().to_owned();
    session.keys("/net.tcp<enter><space>/dns<enter><space>/loopback<enter>y");
    let end = session.app.doc.text().to_owned();
    session.keys("uuu");
    assert_eq!(session.app.doc.text(), start);
    assert!(!session.app.doc.is_dirty());
    session.keys("u");
    assert!(session.line("nothing to undo").contains("nothing"));
    session.keys("UUU");
    assert_eq!(session.app.doc.text(), end);
}

#[test]
fn yes_and_no_decide_and_auto_forgets() {
    let mut session = Session::new(80, 24);
    session.keys("/net.tcp<enter>y");
    assert!(session.app.doc.text().contains("\"net.tcp\" = true"));
    session.keys("n");
    assert!(session.app.doc.text().contains("\"net.tcp\" = false"));
    session.keys("a");
    assert!(!session.app.doc.text().contains("net.tcp"));
    session.keys("a");
    assert!(session.line("you decided nothing").contains("net.tcp"));
}

#[test]
fn a_refusal_offers_fixes_and_one_key_applies_one() {
    let mut session = Session::new(80, 24);
    session.keys("/weiss<enter><space>");
    assert!(matches!(session.app.overlays.last(), Some(Overlay::Menu(_))));
    let before = session.app.doc.text().to_owned();
    session.keys("<esc>");
    assert_eq!(session.app.doc.text(), before, "leaving a refusal changes nothing");
    session.keys("<space>1");
    assert!(session.app.overlays.is_empty());
    let weiss = session.app.doc.tree().find("net.weiss").unwrap();
    assert!(session.app.doc.is_on(weiss), "the fix brings what was asked for with it");
    session.keys("u");
    assert_eq!(session.app.doc.text(), before, "and is one step to undo");
}

#[test]
fn a_parameter_is_edited_in_place() {
    let mut session = Session::new(80, 24);
    session.keys("/receive<enter><enter>");
    assert!(session.app.overlays.is_empty(), "its part is off");
    session.keys("/net.tcp<enter><space>/receive<enter><enter><c-u>1KiB");
    assert!(session.line("is out of range").contains("1KiB"));
    session.keys("<enter>");
    assert_eq!(session.app.overlays.len(), 1, "what cannot be is not taken");
    session.keys("<c-u>128KiB<enter>");
    assert!(session.app.doc.text().contains("\"net.tcp.receive-buffer\" = \"128KiB\""));
    session.keys("<enter><c-u>64KiB<enter>");
    assert!(!session.app.doc.text().contains("receive-buffer"), "the default needs no decision");
    session.keys("/keepalive<enter><space>");
    assert!(session.app.doc.text().contains("\"net.tcp.keepalive\" = true"));
    session.keys("/congestion<enter><enter>2");
    assert!(session.app.doc.text().contains("\"net.tcp.congestion\" = \"cubic\""));
}

#[test]
fn a_choice_is_one_of_its_members() {
    let mut session = Session::new(80, 24);
    session.keys("/memory.heap<enter><enter>1");
    assert!(session.app.doc.text().contains("\"memory.heap\" = \"buddy\""));
    session.keys("/talc<enter><space>");
    assert!(!session.app.doc.text().contains("memory.heap"), "the default needs no decision");
    session.keys("n");
    assert!(session.line("one of them must be chosen").contains("another"));
    session.keys("/memory.heap<enter><enter><enter>");
    assert!(!session.app.doc.is_dirty(), "taking what is chosen changes nothing");
}

#[test]
fn search_finds_by_help_and_back_returns() {
    let mut session = Session::new(80, 24);
    session.keys("jj");
    let from = session.app.item();
    session.keys("/datagrams<enter>");
    assert_eq!(session.app.item(), session.app.doc.tree().find("net.udp").map(Item::Node));
    session.keys("<esc>");
    assert_eq!(session.app.item(), from);
    session.keys("<esc>");
    assert!(!session.quit, "esc never quits");
}

#[test]
fn the_dependency_view_is_walked() {
    let mut session = Session::new(80, 24);
    session.keys("/net.dns<enter>d");
    assert_eq!(session.app.view, View::Deps);
    let tree = session.app.doc.tree();
    assert_eq!(session.app.item(), tree.find("net.udp").map(Item::Node));
    session.keys("<enter>");
    assert_eq!(session.app.deps_of, tree.find("net.udp").map(Item::Node));
    session.keys("<esc><esc>");
    assert_eq!(session.app.view, View::Tree);
    assert_eq!(session.app.item(), tree.find("net.dns").map(Item::Node));
}

#[test]
fn many_consequences_are_asked_about_once() {
    let mut tree: Vec<(String, String)> = vec![("a".into(), "title='A'\nhelp='A.'\nkind='menu'".into())];
    let all: Vec<String> = (0..9).map(|i| format!("'a.p{i}'")).collect();
    for i in 0..9 {
        tree.push((format!("a.p{i}"), format!("title='P{i}'\nhelp='P.'")));
    }
    tree.push(("a.top".into(), format!("title='Top'\nhelp='All.'\nrequires=[{}]", all.join(","))));
    let sources: Vec<bespoke_model::Source> =
        tree.iter().map(|(id, text)| bespoke_model::Source { id, file: id, text }).collect();
    let tree: &'static bespoke_model::Tree =
        Box::leak(Box::new(bespoke_model::Tree::load(&sources).unwrap()));
    let theme = crate::app::theme::Theme::new(true, false);
    let mut session = Session::open(tree, "schema = 1\n", theme, 80, 24);
    session.keys("/top<enter><space>");
    assert!(session.line("turn on a.top: 9 changes follow").contains("9"));
    session.keys("n");
    assert!(!session.app.doc.is_dirty());
    session.keys("<space>y");
    assert!(session.app.doc.text().contains("\"a.top\" = true"));
}

#[test]
fn quitting_asks_and_saves() {
    let mut session = Session::new(80, 24);
    session.keys("/net.tcp<enter><space>q");
    assert!(!session.quit);
    session.keys("<esc>");
    assert!(!session.quit);
    session.keys("qs");
    assert!(session.quit);
    assert!(session.saved().contains("net.tcp"));
    let mut session = Session::new(80, 24);
    session.keys("/net.tcp<enter><space>qd");
    assert!(session.quit);
    assert_eq!(session.saved(), CONFIG);
}

#[test]
fn a_save_that_fails_does_not_quit() {
    let mut session = Session::new(80, 24);
    std::fs::remove_dir_all(session.dir.path()).unwrap();
    session.keys("/net.tcp<enter><space>qs");
    assert!(!session.quit);
    assert!(session.line("cannot write").contains("web.toml"));
    assert!(session.app.doc.is_dirty());
    assert!(!exists(&session.file()));
}

#[test]
fn edits_of_last_time_are_offered() {
    let mut session = Session::new(80, 24);
    let edits = CONFIG.replace("[set]\n", "[set]\n\"net.tcp\" = true\n");
    session.app.offer_recovery(edits.clone());
    assert!(session.screen().contains("unsaved changes from last time"));
    session.keys("t");
    assert_eq!(session.app.doc.text(), edits);
    assert!(session.app.doc.is_dirty());
    let mut session = Session::new(80, 24);
    session.app.offer_recovery(edits);
    session.keys("d");
    assert!(session.effects.contains(&Effect::DropRecovery));
}

#[test]
fn the_palette_reaches_every_action() {
    let mut session = Session::new(80, 24);
    session.keys(":parts by size<enter>");
    assert_eq!(session.app.view, View::Sizes);
    session.keys(":build the image<enter>");
    assert!(session.effects.contains(&Effect::Build));
}

#[test]
fn keys_that_mean_nothing_say_so() {
    let mut session = Session::new(80, 24);
    session.keys("Z");
    assert_eq!(session.line("does nothing"), " Z does nothing here; ? lists the keys");
}

#[test]
fn the_budget_tells_what_could_go() {
    let mut session = Session::new(80, 24);
    session.keys("/net.tcp<enter><space>/net.udp<enter>a");
    session.keys("$20KiB<enter>");
    assert!(session.screen().contains("over the budget by"), "{}", session.screen());
    session.keys("<esc>$<esc>");
    assert_eq!(session.app.budget, Some(20 << 10));
}

#[test]
fn console_scrolls_back_and_stays_there() {
    let mut session = Session::new(80, 24);
    session.event(Event::Booted);
    for i in 0..200 {
        session.event(Event::Console(format!("line {i}\n")));
    }
    session.keys("7");
    assert!(session.screen().contains("line 199"));
    session.keys("<pgup><pgup>");
    let before = session.screen();
    assert!(!before.contains("line 199"));
    let shown = |screen: &str| {
        screen.lines().filter(|l| l.starts_with(" line")).map(str::to_owned).collect::<Vec<_>>()
    };
    session.event(Event::Console("more\n".into()));
    assert_eq!(shown(&session.screen()), shown(&before), "what is read does not move away");
    session.keys("x");
    assert!(session.effects.contains(&Effect::Stop));
}

#[test]
fn the_mouse_moves_toggles_and_drags() {
    use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
    let mut session = Session::new(120, 40);
    let mouse =
        |kind, column, row| Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    let down = MouseEventKind::Down(MouseButton::Left);
    let y = |session: &mut Session, text: &str| {
        session.screen().lines().position(|line| line.contains(text)).unwrap() as u16
    };
    let row = y(&mut session, "Networking");
    session.event(mouse(down, 1, row));
    assert_eq!(session.app.item(), session.app.doc.tree().find("net").map(Item::Node));
    let row = y(&mut session, "TCP");
    session.event(mouse(down, 5, row));
    assert!(session.app.doc.text().contains("\"net.tcp\" = true"), "a click on the sign toggles");
    let divider = session.app.panes().divider;
    session.event(mouse(down, divider.x, 10));
    session.event(mouse(MouseEventKind::Drag(MouseButton::Left), divider.x - 15, 10));
    session.event(mouse(MouseEventKind::Up(MouseButton::Left), divider.x - 15, 10));
    assert!(session.app.panes().divider.x < divider.x);
    let (view, tab) = session.app.panes().tabs[1];
    session.event(mouse(down, tab.x, tab.y));
    assert_eq!(session.app.view, view);
    session.event(mouse(MouseEventKind::ScrollDown, 5, 10));
}

#[test]
fn lines_are_typed_to_the_program_that_runs() {
    let mut session = Session::new(80, 24);
    session.keys("t");
    assert!(session.line("nothing is running").contains("r boots"));
    session.event(Event::Booted);
    session.event(Event::Console("name? ".into()));
    session.keys("tAdq<backspace>a<enter>");
    assert!(session.effects.contains(&Effect::Type(b"Ada\n".to_vec())), "{:?}", session.effects);
    assert!(!session.quit, "q is a letter now");
    assert_eq!(session.line("name?"), " name? Ada");
    session.keys("<up>!<enter><c-c>");
    assert!(session.effects.contains(&Effect::Type(b"Ada!\n".to_vec())));
    assert!(session.effects.contains(&Effect::Type(vec![3])));
    session.event(Event::Paste("one\ntwo".into()));
    assert!(session.effects.contains(&Effect::Type(b"one\n".to_vec())));
    assert_eq!(session.line("> two"), " > two");
    session.keys("<esc>j");
    assert_eq!(session.app.scroll().cursor, 1, "keys are for the tree again");
    session.keys("t");
    session.event(Event::Exited("exit status 0 after 9 ms".into(), true));
    session.keys("k");
    assert_eq!(session.app.scroll().cursor, 0, "there is nobody left to type to");
}

#[test]
fn a_program_is_started_over() {
    let mut session = Session::new(80, 24);
    session.event(Event::Booted);
    session.event(Event::Console("first\n".into()));
    session.keys("r");
    assert_eq!(session.effects, [Effect::Boot]);
    assert!(session.app.console.building && !session.app.console.running);
    session.event(Event::Booted);
    session.event(Event::Console("second\n".into()));
    let screen = session.screen();
    let at = |what: &str| screen.lines().position(|line| line.contains(what)).unwrap();
    assert!(at("first") < at("[stopped") && at("[stopped") < at("second"), "{screen}");
}

#[test]
fn the_console_scrolls_while_the_tree_is_used() {
    let mut session = Session::new(80, 24);
    session.event(Event::Booted);
    for i in 0..50 {
        session.event(Event::Console(format!("line {i}\n")));
    }
    session.keys("{j");
    assert!(session.line("console:").contains("5 lines back"));
    assert!(!session.screen().contains("line 49"));
    assert_eq!(session.app.scroll().cursor, 1);
    session.keys("}");
    assert!(session.screen().contains("line 49"));
}

#[test]
fn a_first_answer_says_so_until_it_is_proven() {
    let mut tree: Vec<(String, String)> = vec![("m".into(), "title='M'\nhelp='Many.'\nkind='menu'".into())];
    for n in 0..2_100 {
        tree.push((format!("m.p{n}"), format!("title='Part {n}'\nhelp='One of many.'")));
    }
    tree.push(("m.top".into(), "title='Top'\nhelp='T.'\nconflicts=['m.p1','m.p2']".into()));
    let sources: Vec<bespoke_model::Source> =
        tree.iter().map(|(id, text)| bespoke_model::Source { id, file: id, text }).collect();
    let tree: &'static bespoke_model::Tree =
        Box::leak(Box::new(bespoke_model::Tree::load(&sources).unwrap()));
    let text = "schema = 1\n[set]\n\"m.p1\" = true\n\"m.p2\" = true\n";
    let mut session = Session::open(tree, text, crate::app::theme::Theme::new(true, false), 100, 30);
    assert!(session.app.unproven().is_none());
    session.keys("/m.top<enter>");
    assert!(session.screen().contains("a first answer"), "{}", session.screen());
    let question = session.app.unproven().unwrap();
    session.keys("<space>");
    assert!(session.screen().contains("This is a first answer"));
    assert!(session.app.unproven().unwrap().is(&question), "the same is still looked for");

    let budget = bespoke_model::Budget { checks: u32::MAX, fixes: 3, stop: None };
    let refusal = tree
        .preview_within(&question.decisions, &question.before, &question.changes, None, &budget)
        .unwrap_err();
    session.event(Event::Proven(Box::new(question.clone()), Box::new(refusal.clone())));
    assert!(!session.screen().contains("first answer"), "{}", session.screen());
    assert!(session.app.unproven().is_none());
    session.keys("1");
    assert!(session.app.doc.text().contains("\"m.top\" = true"));

    // What comes too late, after the config has changed, is left aside.
    session.keys("u/m.p7<enter><space>/m.top<enter>");
    session.event(Event::Proven(Box::new(question), Box::new(refusal)));
    assert!(session.app.unproven().is_some());
}

#[test]
fn the_budget_is_remembered() {
    let mut session = Session::new(80, 24);
    session.keys("$64KiB<enter>");
    assert_eq!(session.effects, [Effect::KeepBudget]);
    session.keys("$<c-u><enter>");
    assert_eq!(session.app.budget, None);
    assert_eq!(session.effects.len(), 2);
}

#[test]
fn what_a_program_missed_is_offered() {
    let mut session = Session::new(100, 30);
    session.event(Event::Booted);
    session.event(Event::Console("bespoke: system call 41 answered ENOSYS: net.t".into()));
    session
        .event(Event::Console("cp is off\nbespoke: system call 9 answered ENOSYS: no.such is off\n".into()));
    assert!(session.line("the program asked for").contains("net.tcp"));
    session.event(Event::Exited("exit status 1 after 9 ms".into(), false));
    assert!(session.line("exit status 1 after 9 ms; 5 shows 1 part").contains("missed"));
    session.keys("5<space>");
    assert!(session.app.doc.text().contains("\"net.tcp\" = true"), "{}", session.screen());
}

#[test]
fn a_config_is_made_from_a_program_or_a_container_image() {
    let mut session = Session::new(80, 24);
    session.keys("N<enter>");
    assert!(session.effects.is_empty() && session.app.overlays.is_empty(), "nothing was named");
    session.keys("N/usr/bin/lua5.4<enter>");
    let wish = Wish { from: "/usr/bin/lua5.4".into(), image: false, force: false };
    assert_eq!(session.effects, [Effect::New(wish.clone())]);
    assert_eq!(session.line("looking at"), " looking at /usr/bin/lua5.4 …");

    session.event(Event::MadeBefore("lua5.4.toml".into(), wish.clone()));
    assert!(session.screen().contains("lua5.4.toml exists"));
    session.keys("m");
    assert_eq!(session.effects[1], Effect::New(Wish { force: true, ..wish.clone() }));
    session.event(Event::MadeBefore("lua5.4.toml".into(), wish.clone()));
    session.keys("o");
    assert_eq!(session.effects[2], Effect::Open("lua5.4.toml".into()));
    // What was typed stays, to be put right.
    let wrong = Wish { from: "lua5.5 /app.lua".into(), ..wish.clone() };
    session.event(Event::Made(wrong, Err("there is no program lua5.5".into())));
    let screen = session.screen();
    assert!(screen.contains("lua5.5 /app.lua") && screen.contains("there is no program lua5.5"), "{screen}");
    session.keys("<esc>");
    session.event(Event::Made(wish, Ok("lua5.4.toml".into())));
    assert_eq!(session.effects[3], Effect::Open("lua5.4.toml".into()));

    // By name in the palette, too.
    session.keys(":container<enter>redis.tar<enter>");
    let wish = Wish { from: "redis.tar".into(), image: true, force: false };
    assert_eq!(session.effects[4], Effect::New(wish.clone()));
    // What was changed in the meantime is not thrown away.
    session.keys("/net.tcp<enter><space>");
    session.event(Event::Made(wish, Ok("redis.toml".into())));
    assert!(session.line("made redis.toml").contains("not saved yet"));
    session.keys("I");
    assert!(session.app.overlays.is_empty() && session.screen().contains("there are unsaved changes"));
    assert_eq!(session.effects.len(), 5);
}

#[test]
fn what_was_found_and_never_seen_goes_if_one_dares() {
    let mut session = super::views::with_evidence(80, 40);
    session.keys("5");
    assert_eq!(session.line("openat").trim(), "seen: openat 7×");
    let dares = session.line("sendfile");
    assert!(dares.contains("found, never seen: sendfile (app: copy+0x10); can go if you dare"), "{dares}");
    let row = session.line("abi.transfer");
    let transfer = session.app.doc.tree().find("abi.transfer").unwrap();
    let bytes = crate::text::bytes(super::fixture::Plain(session.app.doc.tree()).own(transfer));
    assert!(row.contains(&bytes), "what it would free: {row}");
    let at = session.app.rows.iter().position(|row| row.item == Some(Item::Node(transfer))).unwrap();
    while session.app.scroll().cursor < at {
        session.keys("j");
    }
    assert_eq!(session.app.item(), Some(Item::Node(transfer)));
    // Much may follow: then it is asked about first.
    session.keys("<space><enter>");
    let (text, screen) = (session.app.doc.text().to_owned(), session.screen());
    assert!(text.contains("\"abi.transfer\" = false"), "{text}{screen}");
}
