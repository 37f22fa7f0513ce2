//! From the machine's start to the program's first line.

use crate::guest::{Boot, Guest, System, Work, bare_archive, home};
use crate::table::{Table, figure, median};
use bespoke_kernel::run::Machine;
use bespoke_tests::program;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

/// Milliseconds from QEMU's start to the program's first words.
fn until_first_line(guest: &Guest, boot: &Boot) -> f64 {
    let started = Instant::now();
    let mut running = guest.start(boot);
    let mut output = running.take_output().expect("the console is piped");
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    let elapsed = loop {
        match output.read(&mut chunk) {
            Ok(count) if count > 0 => said.extend_from_slice(&chunk[..count]),
            _ => panic!("the guest ended early: {}", String::from_utf8_lossy(&said)),
        }
        if String::from_utf8_lossy(&said).contains("start ") {
            break started.elapsed();
        }
    };
    let _ = std::io::copy(&mut output, &mut std::io::sink());
    let _ = running.wait();
    elapsed.as_secs_f64() * 1e3
}

/// Instructions until the program's `main`: the machine's counter began with it. What it sleeps through counts as if it had run.
fn instructions(guest: &Guest, machine: Machine) -> f64 {
    let console = guest.run(&Boot { machine, counting: true, ..Boot::default() });
    let console = console.unwrap_or_else(|error| panic!("{error}"));
    let start = console.lines().find_map(|line| line.strip_prefix("start ")).expect("a first line");
    start.trim().parse().expect("a number")
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Measures and prints.
pub fn run(machine: Machine, rounds: usize) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let program = program("micro.c", "musl");
    // No operation has this name: the program only says that it has started.
    let work = Work::program(&program, &["none"]);
    let initrd = folder.path().join("bare.cpio");
    fs::write(&initrd, bare_archive(&program)).expect("a writable scratch folder");
    let config = folder.path().join("small.toml");
    fs::write(
        &config,
        format!(
            "schema = 1\nextends = \"preset:hello\"\n[program]\npath = {program:?}\nargs = [\"none\"]\n[set]\n\"abi.terminal\" = true\n\"abi.tls\" = true\n"
        ),
    )
    .expect("a writable scratch folder");
    let small = Guest::bespoke(&config);
    let kernel = |name: &str| size(&home().join(format!("{name}.bzImage")));
    let everything = work.guest(System::Bespoke("ring3"), folder.path());
    let guests = [
        (
            "Linux, tiny, the program as init",
            Guest::linux("tiny", &initrd).with("none"),
            kernel("tiny") + size(&initrd),
        ),
        (
            "Linux, for servers",
            work.guest(System::Linux("servers"), folder.path()),
            kernel("servers") + size(&folder.path().join("servers.cpio")),
        ),
        ("Bespoke, what the program needs", small, size(&folder.path().join("small.img"))),
        ("Bespoke, with all parts", everything, size(&folder.path().join("ring3.img"))),
    ];

    println!("\nboot, to the program's first line; median of {rounds} runs in turn\n");
    let boot = Boot { machine, ..Boot::default() };
    let mut times: Vec<Vec<f64>> = guests.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((_, guest, _), times) in guests.iter().zip(&mut times) {
            times.push(until_first_line(guest, &boot));
        }
    }
    let mut table =
        Table::new(&["", "ms", "million instructions, waits included", "bytes, program included"]);
    for ((name, guest, bytes), times) in guests.iter().zip(times) {
        table.row(vec![
            (*name).to_owned(),
            figure(median(times)),
            figure(instructions(guest, machine) / 1e6),
            bytes.to_string(),
        ]);
    }
    table.print();
}
