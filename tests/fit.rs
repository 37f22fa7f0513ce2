//! Fitting: what the scan finds is held against what programs do, here and in the guest, and fitted images do the work.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use bespoke_tests::{Scratch, Server, program, workspace};
use serde_json::Value;

/// A program with something for it to do, the same here and in the guest.
struct Work {
    program: PathBuf,
    args: Vec<String>,
    out: String,
    status: i32,
}

const SQL: &str = "create table t (id integer primary key, v text); insert into t (v) values ('a'), ('b'); select count(*) from t;";
const LUA: &str = "local f = assert(io.open('/tmp/bespoke-fit', 'w')) f:write('x') f:close() \
                   print(#io.open('/tmp/bespoke-fit'):read('a'), 6 * 7) os.remove('/tmp/bespoke-fit') os.exit(4)";

/// A program with arguments, and what comes of it here.
fn work(program: impl AsRef<Path>, args: &[&str]) -> Work {
    let program = program.as_ref().to_owned();
    let here = Command::new(&program).args(args).env_clear().output();
    let here = here.unwrap_or_else(|error| panic!("{}: {error}; tests/run installs it", program.display()));
    let out = String::from_utf8(here.stdout).expect("UTF-8");
    let status = here.status.code().expect("no signal");
    Work { program, args: args.iter().map(|arg| (*arg).to_owned()).collect(), out, status }
}

fn lua() -> Work {
    work("/usr/bin/lua5.4", &["-e", LUA])
}

fn works() -> Vec<Work> {
    vec![
        work(program("hello.c", "musl"), &[]),
        work(program("hello.c", "glibc"), &[]),
        work(program("hello.c", "glibc-pie"), &[]),
        work(program("hello.go", "go"), &[]),
        lua(),
        work("/usr/bin/sqlite3", &["-batch", "-init", "/dev/null", ":memory:", SQL]),
        work("/bin/busybox", &["sh", "-c", "x=$((6 * 7)); echo $x; test -d /tmp && exit 5"]),
    ]
}

/// A folder with a config that `bespoke new` wrote.
fn new(program: &Path) -> Scratch {
    let scratch = Scratch::new("");
    let run = scratch.run(&["new", &program.display().to_string(), "-o", "app.toml", "--force"]);
    assert_eq!(run.status, 0, "{}: {}", program.display(), run.err);
    scratch
}

impl Work {
    fn name(&self) -> String {
        self.program.display().to_string()
    }

    fn config(&self) -> Scratch {
        new(&self.program)
    }

    fn args(&self) -> Vec<&str> {
        self.args.iter().map(String::as_str).collect()
    }

    #[track_caller]
    fn check(&self, scratch: &Scratch) {
        let run = scratch.boot(&self.args());
        // Which calls of the scheduler a threaded program makes hangs on how its threads meet; that it goes on without one is named on the
        // console, and is no word of its own.
        let own = |line: &&str| !(line.starts_with("bespoke: system call ") && line.contains(": sched."));
        let out: String = run.out.split_inclusive('\n').filter(own).collect();
        assert_eq!(
            (run.status, out.as_str()),
            (self.status, self.out.as_str()),
            "{}: {}",
            self.name(),
            run.err
        );
    }
}

fn json(scratch: &Scratch, args: &[&str]) -> Value {
    let run = scratch.run(args);
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{args:?}: {error}: {}{}", run.out, run.err))
}

fn os_bytes(scratch: &Scratch, config: &str) -> u64 {
    json(scratch, &["size", config, "--json"])["os_bytes"].as_u64().expect("a size")
}

/// The calls in the evidence of a folder's config: those seen, and those found.
fn calls(fitted: &Value) -> (Vec<String>, Vec<String>) {
    let needs = fitted["needs"].as_object().expect("needs");
    let with = |key: &str| {
        let some = needs
            .iter()
            .filter(|(need, witness)| need.starts_with("call:") && witness[key].as_u64() > Some(0));
        some.map(|(need, _)| need["call:".len()..].to_owned()).collect()
    };
    (with("seen"), with("found"))
}

/// What a scan proposes is enough for every program to do its work.
#[test]
fn what_is_found_is_enough() {
    for work in works() {
        work.check(&work.config());
    }
}

/// Nothing that a program does on the host was missed by the scan. Where tests may not trace there is nothing to hold it against.
#[test]
fn the_scan_misses_nothing_that_a_trace_sees() {
    for work in works() {
        let scratch = work.config();
        let name = work.name();
        let mut args = vec!["fit", "app.toml", "--json", "--trace", "--", &name];
        args.extend(work.args());
        let run = scratch.run(&args);
        if run.err.contains("cannot be watched") {
            eprintln!("not traced: {}", run.err);
            return;
        }
        // The program's own output stands before the answer.
        let answer = run.out.find("\n{\n").map_or(run.out.as_str(), |at| &run.out[at + 1..]);
        let fitted: Value = serde_json::from_str(answer)
            .unwrap_or_else(|error| panic!("{name}: {error}: {}{}", run.out, run.err));
        assert_eq!(fitted["status"].as_i64(), Some(i64::from(work.status)), "{name}");
        let (seen, found) = calls(&fitted);
        let missed: Vec<&String> = seen.iter().filter(|call| !found.contains(call)).collect();
        assert!(seen.len() >= 5 && missed.is_empty(), "{name}: missed {missed:?} of {seen:?}");
        work.check(&scratch);
    }
}

/// What a program uses in the guest is enough as well, and is much less; without any of it the work fails.
#[test]
fn what_is_learnt_is_enough_and_little() {
    for work in works() {
        let scratch = work.config();
        let mut args = vec!["fit", "app.toml", "--learn", "--"];
        args.extend(work.args());
        let run = scratch.run(&args);
        assert!(
            run.status == 0 && run.out.contains("\nproven: booted with these parts alone"),
            "{}: {}{}",
            work.name(),
            run.out,
            run.err
        );
        work.check(&scratch);
        std::fs::write(scratch.path().join("all.toml"), "schema = 1\nextends = \"preset:everything\"\n")
            .expect("writable");
        let (fitted, all) = (os_bytes(&scratch, "app.toml"), os_bytes(&scratch, "all.toml"));
        assert!(fitted * 2 < all, "{}: {fitted} of {all} bytes", work.name());
    }
}

/// Each part that a program was seen to need is missed when it is off.
#[test]
fn a_seen_part_is_missed() {
    let lua = lua();
    let scratch = lua.config();
    let mut args = vec!["fit", "app.toml", "--learn", "--json", "--"];
    args.extend(lua.args());
    let run = scratch.run(&args);
    let config = std::fs::read_to_string(scratch.path().join("app.toml")).expect("the config");
    assert!(config.contains("# seen: "), "{config}{}", run.err);
    for part in ["abi.read", "abi.stat", "abi.modify", "memory.mmap", "memory.protect", "abi.tls"] {
        assert!(config.contains(&format!("\"{part}\" = true")), "{part} was seen: {config}");
        let off = scratch.run(&["set", "app.toml", &format!("{part}=off")]);
        assert_eq!(off.status, 0, "{part}: {}", off.err);
        let run = scratch.boot(&lua.args());
        assert!((run.status, &run.out) != (lua.status, &lua.out), "it does without {part}");
        let back = scratch.run(&["set", "app.toml", &format!("{part}=auto")]);
        assert_eq!(back.status, 0, "{part}: {}", back.err);
    }
    lua.check(&scratch);
}

/// A server is learnt while its clients use it, and serves them then.
#[test]
fn a_server_is_learnt_with_its_clients() {
    let ask = |stream: &mut TcpStream, path: &str| {
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it is taken");
        let mut answer = String::new();
        // The last one is cut off by the server's end.
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let scratch = new(&program("web.go", "go"));
    let server = Server::command(&scratch, &["fit", "app.toml", "--learn", "-m", "128M"], 80, "ready");
    assert!(ask(&mut server.connect(), "/x").ends_with("hello /x\n"));
    ask(&mut server.connect(), "/quit");
    assert_eq!(server.status(), Some(0));
    let config = std::fs::read_to_string(scratch.path().join("app.toml")).expect("the config");
    assert!(config.contains("\"net.tcp\" = true") && config.contains("accept4 "), "{config}");
    assert!(!config.contains("\"net.unix\" = true"), "{config}");
    let server = Server::start(&scratch, 80, "ready", &["-m", "128M"]);
    assert!(ask(&mut server.connect(), "/again").ends_with("hello /again\n"));
}

/// A program that changes is held against what is known of it.
#[test]
fn a_changed_program_is_told() {
    let scratch = Scratch::new("");
    let app = scratch.path().join("app");
    std::fs::copy(program("hello.c", "musl"), &app).expect("a copy");
    assert_eq!(scratch.run(&["new", "app", "-o", "app.toml", "--force"]).status, 0);
    let same = scratch.run(&["check", "app.toml"]);
    assert!(same.status == 0 && !same.out.contains("changed"), "{}{}", same.out, same.err);
    std::fs::copy(program("threads.c", "musl"), &app).expect("another copy");
    let other = scratch.run(&["check", "app.toml"]);
    assert!(other.out.contains("changed since it was fitted: /bin/app\n"), "{}{}", other.out, other.err);
    assert!(other.out.contains("  newly needs clone: served by sched.clone (off)\n"), "{}", other.out);
    assert_eq!(scratch.run(&["fit", "app.toml"]).status, 0);
    assert!(!scratch.run(&["check", "app.toml"]).out.contains("changed"));
}

/// README's table: `cargo test --release -p bespoke-tests --test fit -- --ignored --nocapture table`.
#[test]
#[ignore = "prints a table"]
fn table() {
    println!(
        "| program | calls: found, seen here | precision | OS with what is found | with what was used | everything | factor |\n|---|---|---|---|---|---|---|"
    );
    for work in works() {
        let scratch = work.config();
        std::fs::write(scratch.path().join("all.toml"), "schema = 1\nextends = \"preset:everything\"\n")
            .expect("writable");
        let (found_bytes, all) = (os_bytes(&scratch, "app.toml"), os_bytes(&scratch, "all.toml"));
        let mut args = vec!["fit", "app.toml", "--learn", "--"];
        args.extend(work.args());
        let run = scratch.run(&args);
        assert_eq!(run.status, 0, "{}: {}{}", work.name(), run.out, run.err);
        let used_bytes = os_bytes(&scratch, "app.toml");
        let text = std::fs::read_to_string(scratch.path().join("app.evidence.toml")).expect("evidence");
        let calls: Vec<&str> = text.lines().filter(|line| line.starts_with("\"call:")).collect();
        let found = calls.iter().filter(|line| line.contains("found = ")).count();
        let seen = calls.iter().filter(|line| line.contains("seen = ")).count();
        let name =
            work.program.strip_prefix(workspace().join("target/test-programs")).unwrap_or(&work.program);
        println!(
            "| {} | {found}, {seen} | {:.2} | {found_bytes} | {used_bytes} | {all} | {:.1} |",
            name.display(),
            seen as f64 / found as f64,
            all as f64 / used_bytes as f64
        );
    }
}
