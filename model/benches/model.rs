//! How long a person waits for the model, on trees shaped like real ones.
//!
//! `cargo bench -p bespoke-model` prints percentiles of what the configurator does at every key, over every component of the
//! tree, against the targets; then divan's tables. With `-- --targets` only the percentiles, and a missed target is a failure;
//! with `-- NAME` only divan's table of that name. Targets are held against processor time, of all threads together: what else
//! the machine is doing is not the model's doing. Time on the clock is printed beside it.

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bespoke_model::*;
use cpu_time::ProcessTime;
use synthetic::{Shape, Text};

fn texts(components: usize) -> Vec<Text> {
    synthetic::texts(1, &Shape::real(components))
}

struct Bench {
    tree: Tree,
    decisions: Decisions,
    before: Resolution,
}

/// A tree, and a config such as a person has after a while: a twentieth of the components decided.
fn bench(components: usize) -> Bench {
    let tree = synthetic::load(&texts(components));
    let rng = &mut synthetic::rng(7);
    let mut decisions = Decisions::new();
    while decisions.len() < components / 20 {
        let (id, to) = synthetic::decision(rng, &tree);
        // People mostly turn things on; each part kept off by hand rules out everything above it.
        if to == Decision::OFF && decisions.len() % 8 != 7 {
            continue;
        }
        let before = decisions.clone();
        decisions.set(&id, Some(to));
        if tree.resolve(&decisions).is_err() {
            decisions = before;
        }
    }
    let before = tree.resolve(&decisions).expect("checked at every step");
    Bench { tree, decisions, before }
}

#[derive(Default)]
struct Times {
    cpu: Vec<Duration>,
    clock: Vec<Duration>,
}

impl Times {
    fn add(&mut self, (cpu, clock): (ProcessTime, Instant)) {
        self.cpu.push(cpu.elapsed());
        self.clock.push(clock.elapsed());
    }
}

fn now() -> (ProcessTime, Instant) {
    (ProcessTime::now(), Instant::now())
}

fn percentiles(name: &str, mut times: Times, target: Duration) -> bool {
    times.cpu.sort_unstable();
    times.clock.sort_unstable();
    let of = |all: &[Duration], p: usize| all[(all.len() - 1) * p / 100];
    let at = |p: usize| of(&times.cpu, p);
    let met = at(99) <= target;
    println!(
        "{name:<47} n {:>5}  p50 {:>9.1?}  p99 {:>9.1?}  max {:>9.1?}  (clock {:>9.1?} {:>9.1?})  target {target:>8.1?} {}",
        times.cpu.len(),
        at(50),
        at(99),
        at(100),
        of(&times.clock, 50),
        of(&times.clock, 99),
        if met { "met" } else { "MISSED" }
    );
    met
}

/// Every component toggled in turn, as when the cursor runs down the list; what can be and what cannot apart.
fn toggles(components: usize, most: usize, target: Duration) -> bool {
    let b = bench(components);
    let (mut done, mut refused) = (Times::default(), Times::default());
    let nodes: Vec<NodeId> = b.tree.nodes().collect();
    for round in 0..3 {
        for n in nodes.iter().copied().step_by((nodes.len() / most).max(1)) {
            let Some(change) = b.tree.toggle(&b.before, n) else { continue };
            let start = now();
            let answer = black_box(b.tree.preview(&b.decisions, &b.before, &[change], None));
            if round > 0 {
                let times = if answer.is_ok() { &mut done } else { &mut refused };
                times.add(start);
            }
        }
    }
    let on = b.before.components(&b.tree).count();
    println!("{components} components: {on} on, {} decided", b.decisions.len());
    let mut met = percentiles("  effect of one toggle", done, target);
    if !refused.cpu.is_empty() {
        met &= percentiles("  refusal of one toggle, with reasons and fixes", refused, target);
    }
    met
}

/// The proof that no smaller way out exists, on a worker: how many come to an end within `patience`, and how soon the others
/// end when the next key tells them to.
fn proofs(components: usize, most: usize, patience: Duration, target: Duration) -> bool {
    let b = bench(components);
    let nodes: Vec<NodeId> = b.tree.nodes().collect();
    let (mut proven, mut asked, mut ends) = (0, 0, Times::default());
    for n in nodes.iter().copied().step_by((nodes.len() / most).max(1)) {
        let Some(change) = b.tree.toggle(&b.before, n) else { continue };
        let ask = std::slice::from_ref(&change);
        let first = b.tree.preview_within(&b.decisions, &b.before, ask, None, &Budget::first_answer());
        if !first.is_err_and(|r| r.fixes.iter().any(|f| !f.minimal)) {
            continue;
        }
        asked += 1;
        let (stop, (done, ended)) = (AtomicBool::new(false), mpsc::channel());
        let flag = &stop;
        let told = std::thread::scope(|scope| {
            let key = scope.spawn(move || {
                ended.recv_timeout(patience).is_err().then(|| {
                    flag.store(true, Ordering::Relaxed);
                    now()
                })
            });
            let answer = b.tree.preview_within(&b.decisions, &b.before, ask, None, &Budget::until(&stop));
            black_box(answer.is_err());
            let _ = done.send(());
            key.join().expect("it only waits")
        });
        match told {
            None => proven += 1,
            Some(start) => ends.add(start),
        }
    }
    println!("  proofs of the least way out: {proven} of {asked} within {patience:?}");
    // Two threads run, and processor time counts both; who waits for the next answer waits by the clock.
    ends.cpu.clone_from(&ends.clock);
    ends.cpu.is_empty() || percentiles("  end of a proof after the next key", ends, target)
}

fn load_and_resolve(components: usize, target: Duration) -> bool {
    let texts = texts(components);
    let mut times = Times::default();
    for _ in 0..12 {
        let start = now();
        let tree = synthetic::load(&texts);
        black_box(tree.resolve(&Decisions::new()).expect("a tree that can be"));
        times.add(start);
    }
    percentiles(&format!("load and resolve {components} components"), times, target)
}

fn main() {
    if std::env::args().skip(1).any(|a| !a.starts_with("--")) {
        return divan::main();
    }
    let met = [
        toggles(200, 1_000, Duration::from_micros(50)),
        toggles(20_000, 700, Duration::from_millis(5)),
        proofs(20_000, 400, Duration::from_millis(5), Duration::from_millis(5)),
        load_and_resolve(20_000, Duration::from_millis(100)),
    ];
    if std::env::args().any(|a| a == "--targets") {
        std::process::exit(i32::from(met.contains(&false)));
    }
    divan::main();
}

#[divan::bench(args = [200, 2_000, 20_000])]
fn load(bencher: divan::Bencher<'_, '_>, components: usize) {
    let texts = texts(components);
    bencher.bench(|| synthetic::load(&texts));
}

#[divan::bench(args = [200, 2_000, 20_000])]
fn resolve(bencher: divan::Bencher<'_, '_>, components: usize) {
    let b = bench(components);
    bencher.bench(|| b.tree.resolve(&b.decisions));
}
