//! How long a key takes until its frame is drawn.

use std::time::{Duration, Instant};

use bespoke_model::{Source, Tree};

use super::fixture::Session;
use crate::app::Event;
use crate::app::keymap::parse_keys;
use crate::app::theme::Theme;
use crate::view;

/// A tree of about `parts` parts in menus of menus, with requirements across it.
fn large(parts: usize) -> &'static Tree {
    let mut sources: Vec<(String, String)> = Vec::new();
    for m in 0..parts / 100 {
        sources.push((format!("m{m}"), format!("title='Menu {m}'\nhelp='Many parts.'\nkind='menu'")));
        for p in 0..100 {
            let mut text = format!("title='Part {p} of {m}'\nhelp='Does what part {p} of {m} does.'\n");
            if p > 0 {
                text.push_str(&format!("requires=['m{m}.p{}']\n", p - 1 - (p * 7) % p.min(5)));
            }
            sources.push((format!("m{m}.p{p}"), text));
        }
    }
    let sources: Vec<Source> = sources.iter().map(|(id, text)| Source { id, file: id, text }).collect();
    Box::leak(Box::new(Tree::load(&sources).unwrap()))
}

/// The time that this thread has had the processor, which others' work does not lengthen.
fn on_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// The time from key to frame for every key typed, sorted: on the clock, and on the processor. Measuring stops at
/// the loop's own slice.
fn times(session: &mut Session, keys: &str) -> [Vec<Duration>; 2] {
    let (width, height) = (session.app.area.width, session.app.area.height);
    let mut terminal = ratatui::Terminal::new(ratatui::backend::TestBackend::new(width, height)).unwrap();
    let mut times = [Vec::new(), Vec::new()];
    for key in parse_keys(keys).unwrap() {
        let (start, cpu) = (Instant::now(), on_cpu());
        session.app.update(Event::Key(key));
        let measuring = Instant::now();
        session.app.measure(|| measuring.elapsed() > crate::ui::SLICE);
        std::hint::black_box(session.app.unproven());
        terminal.draw(|frame| view::draw(&session.app, frame)).unwrap();
        times[1].push(on_cpu() - cpu);
        times[0].push(start.elapsed());
    }
    times.each_mut().map(|list| {
        list.sort();
        std::mem::take(list)
    })
}

fn report(name: &str, times: &[Vec<Duration>; 2]) -> Duration {
    let at = |list: &[Duration], share: f64| list[((list.len() - 1) as f64 * share) as usize];
    for (what, list) in ["clock", "processor"].iter().zip(times) {
        println!(
            "{name}, {} keys, {what}: median {:?}, p99 {:?}, worst {:?}",
            list.len(),
            at(list, 0.5),
            at(list, 0.99),
            at(list, 1.0)
        );
    }
    at(&times[1], 0.99)
}

/// `cargo test --release -p bespoke -- --ignored --nocapture speed` prints the figures.
#[test]
#[ignore = "figures of a release build"]
fn keys_to_frames() {
    let os = bespoke_kernel::Os::embedded();
    let text = "schema = 1\nextends = \"preset:hello\"\n";
    let config = bespoke_model::Config::parse("a.toml", text).unwrap();
    let chain = crate::presets::chain(config, std::path::Path::new(".")).unwrap();
    let kernel = std::rc::Rc::new(crate::backend::Kernel::new());
    let mut session = Session::new(120, 40);
    let doc = crate::app::doc::Doc::open(&os.tree, kernel, chain, "a.toml", true).unwrap();
    session.app = crate::app::App::new(
        doc,
        Theme::new(true, false),
        crate::app::keymap::Keymap::default(),
        ratatui::layout::Rect::new(0, 0, 120, 40),
    );
    let walk = "*".to_owned() + &"jjjjj<space><space>j<pgdn>kk<pgup>/clock<esc>".repeat(60);
    let p99 = report("our tree, exact sizes of all visible rows", &times(&mut session, &walk));
    assert!(p99 < Duration::from_millis(5));

    let mut session = Session::open(large(20_000), "schema = 1\n", Theme::new(true, false), 120, 40);
    let walk = "jjl".to_owned() + &"jjjjj<space><space>j<pgdn>kk<pgup>/p4<esc>".repeat(30);
    let p99 = report("20,000 parts", &times(&mut session, &walk));
    assert!(p99 < Duration::from_millis(16));
}
