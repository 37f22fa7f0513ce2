//! Servers' own clients, and the machines that they are put before.

use crate::{Run, Scratch, Server, client};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::path::Path;
use std::process::Command;

/// A machine with a preset's server; `config` comes below the line that extends the preset.
pub fn boot_preset(preset: &str, config: &str, port: u16, ready: &str, args: &[&str]) -> Server {
    let scratch = Scratch::new(&format!("schema = 1\nextends = \"preset:{preset}\"\n\n{config}"));
    Server::start(&scratch, port, ready, args)
}

/// What Redis says when it is ready.
pub const REDIS_READY: &str = "Ready to accept connections";

/// A machine with a program of ours and a preset for its kind, as `bespoke new` writes the config.
pub fn boot_new(program: &Path, preset: &str, ready: &str, args: &[&str]) -> Server {
    let scratch = Scratch::new("");
    let program = program.to_string_lossy();
    let run = scratch.run(&["new", &program, "--preset", preset, "-o", "app.toml", "--force"]);
    assert_eq!(run.status, 0, "{}", run.err);
    Server::start(&scratch, 80, ready, args)
}

/// Lets this process and those that it starts have thousands of files open, as far as it may.
pub fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("what is allowed is allowed");
    assert!(limit.current.is_none_or(|most| most >= 4096), "4096 open files are too many here: {limit:?}");
}

/// Runs a client; what it printed, when it did well.
pub fn ask(program: &str, args: &[&str], input: &[u8]) -> String {
    let Run { status, out, err } = client(program, args, input);
    assert!(status == 0, "{program} {args:?} ended with {status}: {out}{err}");
    out
}

/// Runs `redis-cli` against a server; what it printed, as lines.
pub fn redis(server: &Server, args: &[&str]) -> Vec<String> {
    let port = server.port.to_string();
    let out = ask("redis-cli", &[&["-p", &port], args].concat(), b"");
    out.lines().map(str::to_owned).collect()
}

/// A line of a report such as Redis' INFO: `name:value`.
pub fn field<'a>(lines: &'a [String], name: &str) -> &'a str {
    let value = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {lines:?}")).trim()
}

/// The answers of `redis-benchmark` for some tests: a line for each that ran to its end.
pub fn benchmark(server: &Server, tests: &str, args: &[&str]) {
    let port = server.port.to_string();
    let out = ask("redis-benchmark", &[&["-p", &port, "-q", "-t", tests], args].concat(), b"");
    let done = out.matches("requests per second").count();
    assert!(done >= tests.split(',').count() && !out.contains("rror"), "{out}");
}

/// Runs curl against a server; of its arguments those that begin with `:/` are pages of the server.
pub fn curl(server: &Server, args: &[&str]) -> Vec<u8> {
    let base = format!("http://127.0.0.1:{}", server.port);
    let url = |arg: &&str| match arg.strip_prefix(':') {
        Some(page) => format!("{base}{page}"),
        None => (*arg).to_owned(),
    };
    let args: Vec<String> = args.iter().map(url).collect();
    let mut command = Command::new("curl");
    let output = command
        .args(["-sS", "--max-time", "200"])
        .args(args)
        .output()
        .expect("curl runs; tests/run installs it");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The same as text.
pub fn curl_text(server: &Server, args: &[&str]) -> String {
    String::from_utf8_lossy(&curl(server, args)).replace('\r', "")
}

/// Bytes that repeat only after long.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// Puts ApacheBench before a server's page; every request must be answered well.
pub fn apachebench(server: &Server, page: &str, requests: u32, args: &[&str]) {
    let (url, count) = (format!("http://127.0.0.1:{}{page}", server.port), requests.to_string());
    let out = ask("ab", &[&["-q", "-n", &count], args, &[&url]].concat(), b"");
    let field = |name: &str| {
        let line = out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {out}")).trim()
    };
    assert_eq!((field("Complete requests"), field("Failed requests")), (count.as_str(), "0"), "{out}");
    assert!(!out.contains("Non-2xx"), "{out}");
}
