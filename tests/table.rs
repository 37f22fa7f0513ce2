//! The tables in README: `tests/table` prints them, `tests/table --write` puts them there; with names only some of them.
//!
//! - `presets`: bytes are exact for the programs of this machine. The least memory is found by booting each preset's workload with less and less; the
//!   time is the median from QEMU's start to the program's first words.
//! - `fit`: each program's operating system as the scan proposes it and as a run in a guest was seen to use it, beside that with all parts. Recall
//!   is of the calls that were seen, here and in the guest; precision of those that were found.
//! - `containers`: containers of Debian's packages, as `tests/containers.rs` makes them, beside the images made of them.

use bespoke_kernel::run::{self, Accel, Console, Options, Publish, Running};
use bespoke_tests::fitting::{self, calls, needs, os_bytes};
use bespoke_tests::workloads::{Answer, Workload, answers, drain, workloads};
use bespoke_tests::{PATIENCE, Scratch, bespoke, container, free_port, workspace};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs whose median is the time to the first line.
const RUNS: usize = 3;
/// More than any of them needs.
const MOST: u64 = 512 << 20;

/// A workload as an image that boots.
struct Booted<'w> {
    name: &'w str,
    answer: &'w Answer,
    args: Vec<String>,
    image: PathBuf,
    _folder: Scratch,
}

impl<'w> Booted<'w> {
    fn new(workload: &'w Workload) -> Self {
        let args = workload.args.iter().map(|&arg| arg.to_owned()).collect();
        Self::of(workload.preset, &workload.answer, args, workload.scratch())
    }

    fn of(name: &'w str, answer: &'w Answer, args: Vec<String>, scratch: Scratch) -> Self {
        let built = scratch.run(&["build", "app.toml", "-o", "app.img"]);
        assert!(built.status == 0, "{name}: {}", built.err);
        Self { name, answer, args, image: scratch.path().join("app.img"), _folder: scratch }
    }

    fn start(&self, memory: u64, host: Option<u16>, deadline: Duration) -> Running {
        let mut options = Options {
            memory,
            accel: Accel::Tcg,
            console: Console::Piped,
            deadline: Some(deadline),
            args: self.args.clone(),
            ..Options::default()
        };
        if let (Some(host), Answer::Serves(guest, ..)) = (host, self.answer) {
            options.ports.push(Publish { address: Ipv4Addr::LOCALHOST, host, guest: *guest, udp: false });
        }
        run::start(&self.image, &options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether it does its work with this much memory.
    fn works_with(&self, memory: u64, deadline: Duration) -> bool {
        match self.answer {
            Answer::Ends(status, out) => self
                .start(memory, None, deadline)
                .wait()
                .is_ok_and(|outcome| outcome.status == *status && text(&outcome.console) == *out),
            Answer::Says(status, words) => self
                .start(memory, None, deadline)
                .wait()
                .is_ok_and(|outcome| outcome.status == *status && text(&outcome.console).contains(words)),
            Answer::Serves(_, ask, reply) => {
                let host = free_port();
                let mut running = self.start(memory, Some(host), deadline);
                let console = drain(&mut running);
                let answered = answers(host, ask, reply, deadline, || console.is_finished());
                running.stopper().stop();
                answered
            }
        }
    }

    /// The least memory for its work, in KiB: to 128 KiB below 16 MiB, to 1 MiB above.
    fn least_memory(&self) -> u64 {
        let (mut low, mut high) = (0, MOST >> 10);
        let started = Instant::now();
        assert!(self.works_with(MOST, PATIENCE), "{} does not work with {high} KiB", self.name);
        // Firmware that does not find room for itself hangs: far longer than with plenty is never.
        let deadline = Duration::from_secs(5).max(started.elapsed() * 10);
        loop {
            let step = if high > 16 << 10 { 1024 } else { 128 };
            let middle = (low + high) / 2 / step * step;
            if middle <= low {
                return high;
            }
            if self.works_with(middle << 10, deadline) { high = middle } else { low = middle }
        }
    }

    /// Milliseconds from QEMU's start to the first words of the program, or to a server's first answer.
    fn first_words(&self) -> f64 {
        let mut times: Vec<f64> = (0..RUNS)
            .map(|_| {
                let started = Instant::now();
                let host = free_port();
                let mut running = self.start(MOST, Some(host), PATIENCE);
                let said = match *self.answer {
                    Answer::Ends(_, out) => wait_for(&mut running, out.lines().next().unwrap_or_default()),
                    Answer::Says(_, words) => wait_for(&mut running, words),
                    Answer::Serves(_, ask, reply) => {
                        let console = drain(&mut running);
                        answers(host, ask, reply, PATIENCE, || console.is_finished())
                    }
                };
                let elapsed = started.elapsed();
                assert!(said, "{} does not do what it did before", self.name);
                running.stopper().stop();
                elapsed.as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[RUNS / 2]
    }
}

fn text(console: &[u8]) -> String {
    String::from_utf8_lossy(console).replace('\r', "")
}

/// Reads the console until these words are there; false when it ends before.
fn wait_for(running: &mut Running, words: &str) -> bool {
    let Some(mut output) = running.take_output() else { return false };
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    while !text(&said).contains(words) {
        match output.read(&mut chunk) {
            Ok(count @ 1..) => said.extend_from_slice(&chunk[..count]),
            _ => return false,
        }
    }
    true
}

/// What `bespoke size` says of a config.
fn sizes(config: &Path) -> Value {
    let output = Command::new(bespoke())
        .current_dir(config.parent().expect("a folder"))
        .args([Path::new("size"), config, Path::new("--json")])
        .output()
        .expect("bespoke runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn number(sizes: &Value, key: &str) -> u64 {
    sizes[key].as_u64().unwrap_or_else(|| panic!("no {key}"))
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn presets() -> String {
    let mut table = String::from(
        "| preset | its program | image | OS | program and files | parts | system calls | least memory, KiB | to first words or answer, ms | OS, of all parts |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let workloads = workloads();
    let everything =
        workloads.iter().find(|workload| workload.preset == "everything").expect("the preset of all parts");
    let all = number(&sizes(&everything.scratch().path().join("app.toml")), "os_bytes");
    for workload in &workloads {
        eprintln!("{} …", workload.preset);
        let scratch = workload.scratch();
        let sizes = sizes(&scratch.path().join("app.toml"));
        let on = sizes["components"]
            .as_array()
            .map_or(0, |components| components.iter().filter(|component| component["on"] == true).count());
        let booted = Booted::new(workload);
        let (image, os) = (number(&sizes, "image_bytes"), number(&sizes, "os_bytes"));
        table.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} | {} | {} | {:.0} | {:.2} |\n",
            workload.preset,
            workload.what,
            grouped(image),
            grouped(os),
            grouped(image - os),
            on,
            number(&sizes, "syscalls"),
            grouped(booted.least_memory()),
            booted.first_words(),
            os as f64 / all as f64,
        ));
    }
    table
}

/// A share, rounded down: what is not whole is not shown as whole.
fn share(part: usize, whole: usize) -> String {
    format!("{:.2}", (part * 100 / whole.max(1)) as f64 / 100.0)
}

fn fit() -> String {
    let mut table = String::from(
        "| program | calls: found | seen | recall | precision | OS with what is found | with what was used | with all parts | factor |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let subjects = fitting::programs().into_iter().chain([fitting::cpython()]);
    let subjects = subjects.chain(fitting::servers()).chain(fitting::web_servers());
    let everything = Scratch::new("schema = 1\nextends = \"preset:everything\"\n");
    let all = os_bytes(&everything, "app.toml");
    for subject in subjects {
        eprintln!("{} …", subject.what);
        let scratch = subject.new_config();
        subject.check(&scratch);
        let found_bytes = os_bytes(&scratch, "app.toml");
        let (_, found) = calls(&needs(&scratch));
        subject.learn(&scratch);
        subject.check(&scratch);
        let used_bytes = os_bytes(&scratch, "app.toml");
        let mut seen: BTreeSet<String> = calls(&needs(&scratch)).0.into_iter().collect();
        // Those that take a port of their own, or want no second process, are watched in the guest only.
        if subject.runs_here()
            && let Some(fitted) = subject.trace(&subject.new_config())
        {
            seen.extend(calls(&fitted["needs"]).0);
        }
        let both = seen.iter().filter(|call| found.contains(call)).count();
        table.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {:.1} |\n",
            subject.what,
            found.len(),
            seen.len(),
            share(both, seen.len()),
            share(both, found.len()),
            grouped(found_bytes),
            grouped(used_bytes),
            grouped(all),
            all as f64 / used_bytes as f64
        ));
    }
    table
}

fn containers() -> String {
    let mut table = String::from(
        "| container | its files | compressed layers | image, as proposed | with what was used | least memory, KiB | of these in 64 GiB | OS |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for container in container::all() {
        eprintln!("a container of {} …", container.what);
        let scratch = Scratch::new("");
        let archive = container.write(scratch.path(), true);
        let made: Value = serde_json::from_str(&container.new_config(&scratch, &["--json"])).expect("JSON");
        let proposed = number(&sizes(&scratch.path().join("app.toml")), "image_bytes");
        container.learn(&scratch);
        let sizes = sizes(&scratch.path().join("app.toml"));
        let image = number(&sizes, "image_bytes");
        let answer = Answer::Serves(container.port, container.ask, container.reply);
        let least = Booted::of(container.what, &answer, Vec::new(), scratch).least_memory();
        table.push_str(&format!(
            "| {} | {} in {} | {} | {} | {} | {} | {} | {} |\n",
            container.what,
            grouped(number(&made, "image_bytes")),
            grouped(number(&made, "image_files")),
            grouped(archive),
            grouped(proposed),
            grouped(image),
            grouped(least),
            grouped((64 << 20) / least),
            grouped(number(&sizes, "os_bytes")),
        ));
    }
    table
}

/// Makes a table.
type Table = fn() -> String;

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let write = arguments.iter().position(|argument| argument == "--write");
    if let Some(at) = write {
        arguments.remove(at);
    }
    let tables: [(&str, Table); 3] = [("presets", presets), ("fit", fit), ("containers", containers)];
    if arguments.iter().any(|argument| tables.iter().all(|(name, _)| name != argument)) {
        eprintln!("usage: table [presets] [fit] [containers] [--write]");
        std::process::exit(2);
    }
    for (name, make) in tables {
        if !arguments.is_empty() && !arguments.iter().any(|argument| argument == name) {
            continue;
        }
        let table = make();
        println!("{table}");
        if write.is_some() {
            let path = workspace().join("README.md");
            let readme = fs::read_to_string(&path).expect("README.md");
            let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
            let (before, rest) = readme.split_once(&start).expect("the table's start");
            let (_, after) = rest.split_once(&end).expect("the table's end");
            let text = format!("{before}{start}{table}{end}{after}");
            fs::write(&path, text).expect("README.md can be written");
        }
    }
}
