//! Single operations of the kernel: `tests/programs/micro.c` on every guest.

use crate::guest::{Boot, Guest, SYSTEMS, Work, counter_khz};
use crate::table::{Table, figure, median};
use bespoke_kernel::run::Machine;
use bespoke_tests::program;
use std::collections::BTreeMap;

/// What an operation is, by the name that the program has for it.
const OPERATIONS: [(&str, &str); 23] = [
    ("getpid", "getpid"),
    ("clock-vdso", "clock_gettime, vDSO"),
    ("clock-call", "clock_gettime, system call"),
    ("pipe-1", "1 byte through a pipe"),
    ("pipe-4096", "4 KiB through a pipe"),
    ("yield", "sched_yield to another thread and back"),
    ("pipe-pingpong", "pipe ping-pong of two threads"),
    ("futex-pingpong", "futex ping-pong of two threads"),
    ("thread", "thread made and joined"),
    ("page-fault", "fresh page touched, and unmapped"),
    ("mmap", "mmap and munmap of 64 KiB"),
    ("mprotect", "mprotect there and back"),
    ("file-append", "4 KiB appended to a file in memory"),
    ("file-rewrite", "4 KiB written over"),
    ("file-read", "4 KiB read"),
    ("open", "open and close"),
    ("stat", "stat"),
    ("create", "file made and removed"),
    ("signal", "signal to itself, with a handler"),
    ("mask", "sigprocmask"),
    ("epoll", "eventfd: write, epoll_wait, read"),
    ("local-socket", "1 byte through a local socket"),
    ("tcp", "1 byte there and back, TCP over loopback"),
];

type Figures = BTreeMap<String, f64>;

/// Runs the program once: figures by operation.
fn figures(guest: &Guest, boot: &Boot) -> Figures {
    let console = guest.run(boot).unwrap_or_else(|error| panic!("{error}"));
    let figures: Figures = console
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect();
    for (name, _) in OPERATIONS {
        assert!(figures.contains_key(name), "no figure for {name}: {console}");
    }
    figures
}

/// Prints what `value` finds for each operation and column.
fn print(unit: &str, value: impl Fn(usize, &str) -> f64) {
    let mut table = Table::new(&[unit, "Linux", "ring 3", "Linux / ours", "ring 0", "Linux / ours"]);
    let (mut products, mut count) = ([0.0; 2], 0.0);
    for (name, words) in OPERATIONS {
        let values = [0, 1, 2].map(|column| value(column, name));
        let ratios = [values[0] / values[1], values[0] / values[2]];
        products = [0, 1].map(|index| products[index] + f64::ln(ratios[index]));
        count += 1.0;
        table.row(vec![
            words.to_owned(),
            figure(values[0]),
            figure(values[1]),
            format!("{:.2}", ratios[0]),
            figure(values[2]),
            format!("{:.2}", ratios[1]),
        ]);
    }
    let [ring3, ring0] = products.map(|product| format!("{:.2}", f64::exp(product / count)));
    table.row(vec!["geometric mean".into(), String::new(), String::new(), ring3, String::new(), ring0]);
    table.print();
}

/// Measures and prints.
pub fn run(machine: Machine, rounds: usize) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let work = Work::program(&program("micro.c", "musl"), &[]);
    let guests = SYSTEMS.map(|system| work.guest(system, folder.path()));

    println!("\nsingle operations; above 1, Bespoke is ahead\n");
    let counted = Boot { machine, counting: true, ..Boot::default() };
    let instructions: Vec<Figures> = guests.iter().map(|guest| figures(guest, &counted)).collect();
    print("instructions", |column, name| instructions[column][name]);

    let timed = Boot { machine, ..Boot::default() };
    let mut rounds_of: Vec<Vec<Figures>> = guests.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (guest, all) in guests.iter().zip(&mut rounds_of) {
            all.push(figures(guest, &timed));
        }
    }
    println!("\ntranslated by QEMU, median of {rounds} runs in turn\n");
    print("nanoseconds", |column, name| {
        let cycles = median(rounds_of[column].iter().map(|figures| figures[name]).collect());
        cycles * 1e6 / counter_khz() as f64
    });
}
