//! Cuts of power: what a disk may have kept is what Linux' tools mend without asking, and nothing that was promised is missing.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use bespoke_kernel::run::{self, Accel, Console, Options, Running};
use bespoke_tests::{Scratch, run_in};

use super::log::Entry;
use super::{boot, check, config, linux_disk, linux_disk_of, log, own_disk, own_disk_of, text, tool};

/// Linux' own tools find nothing wrong with a disk after a cut of power, but for what the journal and the list of nameless files tell.
#[track_caller]
fn check_after_cut(disk: &Path) {
    let path = disk.to_str().expect("UTF-8");
    let output = tool("e2fsck", &["-fp", path]);
    let said = text(&output.stdout);
    let expected = [
        "recovering journal",
        "learing orphaned inode",
        "blocks",
        "Superblock last",
        "Backing up journal inode",
        "could be narrower",
    ];
    let strange: Vec<_> = said
        .lines()
        .filter(|line| !line.is_empty() && !expected.iter().any(|word| line.contains(word)))
        .collect();
    assert!(strange.is_empty() && output.status.code().is_some_and(|code| code < 2), "{said}");
    check(disk);
}

/// SQL that commits rows for as long as it is let, and says each that is committed.
fn work(mode: &str) -> String {
    let insert = "insert into t (v) values (hex(randomblob(400)));\nselect 'row ' || max(id) from t;\n";
    format!("{mode}\ncreate table if not exists t (id integer primary key, v text);\n{}", insert.repeat(5000))
}

/// Ways in which SQLite promises that a committed row survives. WAL is used with memory that is shared through a file, and without.
const MODES: [&str; 4] = [
    "pragma synchronous = extra;",
    "pragma journal_mode = truncate; pragma synchronous = full;",
    "pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = full;",
    "pragma journal_mode = wal; pragma synchronous = full;",
];

/// Lets SQLite commit rows on a disk, cuts the power, and looks at what the disk may have kept: all that was flushed, and any part of what
/// was not. No row that was said to be committed may be missing.
fn cut(mode: &str, random: &mut fastrand::Rng, rounds: usize, looks: usize) {
    let script = tempfile::NamedTempFile::new().expect("a scratch file");
    fs::write(script.path(), work(mode)).expect("a scratch file");
    let sql = script.path().to_str().expect("UTF-8");
    let scratch = config(Path::new("/usr/bin/sqlite3"), &[("/work.sql", sql)]);
    assert_eq!(scratch.run(&["build", "app.toml", "-o", "app.img"]).status, 0);
    let disk = if random.bool() { own_disk(&scratch, "disk") } else { linux_disk(&scratch, "disk", &[]) };
    let log = scratch.path().join("log");
    let mut committed = 0;
    for _ in 0..rounds {
        let before = fs::read(&disk).expect("the disk");
        let said = committed + random.u64(1..40);
        committed = run_until(&disk, &log, said).max(committed);
        let entries = log::read(&log);
        let end = entries.len();
        for look in 0..looks {
            // The first look is at the end, where every row that was said has to be; others are at any moment.
            let at = if look == 0 { end } else { random.usize(..=end) };
            let image = log::image(&before, &entries[..at], random);
            let copy = scratch.path().join("copy");
            fs::write(&copy, &image).expect("a file");
            check_after_cut(&copy);
            fs::write(&copy, &image).expect("a file");
            let rows = rows(&scratch, &copy);
            if at == end {
                assert!(rows >= committed, "{rows} rows of {committed} with {mode:?}");
            }
            check(&copy);
        }
        // Go on where the cut has left off.
        let image = log::image(&before, &entries, random);
        fs::write(&disk, image).expect("the disk");
        committed = rows(&scratch, &disk);
    }
}

/// Boots `app.img` with every write to the disk, and every flush, recorded.
fn record(disk: &Path, log: &Path, args: &[&str]) -> Running {
    fs::write(log, []).expect("a file");
    let extra = [
        "-blockdev",
        &format!("driver=raw,node-name=kept,file.driver=file,file.filename={}", disk.display()),
        "-blockdev",
        &format!("driver=raw,node-name=written,file.driver=file,file.filename={}", log.display()),
        "-blockdev",
        "driver=blklogwrites,node-name=disk,file=kept,log=written,log-sector-size=512",
        "-device",
        "virtio-blk-device,drive=disk",
    ];
    let options = Options {
        memory: 96 << 20,
        accel: Accel::Tcg,
        console: Console::Piped,
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        extra: extra.map(Into::into).to_vec(),
        ..Options::default()
    };
    let image = disk.parent().expect("a scratch folder").join("app.img");
    run::start(&image, &options).expect("qemu starts")
}

/// Boots with a recorded disk until this many rows are said to be committed; how many were.
fn run_until(disk: &Path, log: &Path, wanted: u64) -> u64 {
    let mut running = record(disk, log, &["-batch", "-init", "/work.sql", "/data/db", ".exit"]);
    let output = BufReader::new(running.take_output().expect("the console"));
    let mut committed = 0;
    let mut said = Vec::new();
    for line in output.lines() {
        let line = line.expect("text");
        if let Some(row) = line.trim().strip_prefix("row ") {
            committed = row.parse().expect("a number");
            if committed >= wanted {
                break;
            }
        } else {
            said.push(line);
        }
    }
    // The program is in the middle of something: the power goes.
    running.stopper().stop();
    let _ = running.wait();
    assert!(committed >= wanted, "only {committed} rows: {said:?}");
    committed
}

/// Boots with a disk and counts the rows of a database that is whole.
fn rows(scratch: &Scratch, disk: &Path) -> u64 {
    // Exclusive, since WAL would want memory that is shared otherwise.
    let sql = "pragma locking_mode = exclusive; pragma integrity_check; select count(*), coalesce(max(id), 0) from t;";
    let disk = disk.to_str().expect("UTF-8");
    let arguments = [
        "run",
        "app.img",
        "-m",
        "96M",
        "--disk",
        disk,
        "--",
        "-batch",
        "-init",
        "/dev/null",
        "/data/db",
        sql,
    ];
    let run = run_in(scratch.path(), &arguments);
    // Before the first commit there may be no table yet.
    if run.out.is_empty() || run.err.contains("no such table") || run.out.contains("no such table") {
        return 0;
    }
    let rest = run.out.strip_prefix("exclusive\nok\n").unwrap_or_else(|| panic!("{} {}", run.out, run.err));
    let (count, last) = rest.trim().split_once('|').unwrap_or_else(|| panic!("{} {}", run.out, run.err));
    assert_eq!(count, last, "a row in the middle is missing");
    count.parse().expect("a number")
}

#[test]
fn no_committed_row_is_lost_when_the_power_goes() {
    let mut random = fastrand::Rng::with_seed(11);
    for mode in MODES {
        cut(mode, &mut random, 1, 2);
    }
}

/// As long as one likes: `CUTS` says how many cuts for each mode, `SEED` from which seed.
#[test]
#[ignore = "long: CUTS=100 cargo test --release -p bespoke-tests --test disk -- --ignored --nocapture power_goes"]
fn power_goes_many_times() {
    let number =
        |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let mut random = fastrand::Rng::with_seed(number("SEED", 1));
    for mode in MODES {
        for round in 0..number("CUTS", 100).div_ceil(5) {
            cut(mode, &mut random, 5, 3);
            println!("{} cuts with {mode:?}", 5 * (round + 1));
        }
    }
}

/// Boots with a recorded disk until the program ends by itself; what was written from mounting to unmounting.
fn recorded(disk: &Path) -> Vec<Entry> {
    let log = disk.with_extension("log");
    let mut running = record(
        disk,
        &log,
        &["dd", "if=/dev/zero", "of=/data/x", "bs=5000", "count=3", "conv=fsync,notrunc", "oflag=append"],
    );
    let mut said = String::new();
    let _ = running.take_output().expect("the console").read_to_string(&mut said);
    let outcome = running.wait().expect("qemu ends");
    assert_eq!(outcome.status, 0, "{said}");
    log::read(&log)
}

/// Whether the journal on a disk has something that is to be replayed.
fn waits_for_recovery(disk: &Path) -> bool {
    let said = text(&tool("dumpe2fs", &["-h", disk.to_str().expect("UTF-8")]).stdout);
    let start = said.lines().find_map(|line| line.strip_prefix("Journal start:")).expect("a journal");
    start.trim() != "0"
}

#[test]
fn a_cut_at_any_moment_of_mounting_and_unmounting_is_mended_without_asking() {
    let mut random = fastrand::Rng::with_seed(5);
    let scratch = config(Path::new("/bin/busybox"), &[]);
    assert_eq!(scratch.run(&["build", "app.toml", "-o", "app.img"]).status, 0);
    let disks = [
        own_disk_of("32M", &scratch, "own"),
        linux_disk_of("16M", &scratch, "small-blocks", &["-b", "1024"]),
        linux_disk_of("16M", &scratch, "plain", &["-b", "4096", "-O", "^metadata_csum,^64bit"]),
    ];
    let copy = scratch.path().join("copy");
    for disk in disks {
        // Once from a disk that was left in order, once from one with something to replay.
        for round in 0..2 {
            let before = fs::read(&disk).expect("the disk");
            let entries = recorded(&disk);
            check(&disk);
            let moments = log::moments(&entries);
            for moment in &moments {
                let image = moment.image(&before, &entries);
                fs::write(&copy, &image).expect("a file");
                check_after_cut(&copy);
            }
            for _ in 0..2 {
                let image = random.choice(&moments).expect("one").image(&before, &entries);
                fs::write(&copy, image).expect("a file");
                let run = boot(&scratch, &["--disk", "copy"], &["true"]);
                assert_eq!((run.status, run.out.as_str()), (0, ""), "{}", run.err);
                check(&copy);
            }
            println!(
                "{}, round {round}: {} writes, {} moments",
                disk.display(),
                entries.len(),
                moments.len()
            );
            // Go on from the latest moment at which there was something to replay.
            let mut latest: Vec<_> = moments.iter().collect();
            latest.sort_by_key(|moment| std::cmp::Reverse(moment.writes()));
            let mut images = latest.iter().map(|moment| moment.image(&before, &entries));
            let waiting = images.find(|image| {
                fs::write(&copy, image).expect("a file");
                waits_for_recovery(&copy)
            });
            fs::write(&disk, waiting.expect("a moment at which the journal is not empty")).expect("the disk");
        }
    }
}
