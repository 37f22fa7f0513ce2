//! What the end-to-end tests share: the real `bespoke` binary, the programs they boot, and scratch folders.

pub mod clients;
pub mod container;
pub mod fitting;
pub mod segments;
pub mod vsock_host;
pub mod wire;
pub mod workloads;

use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use workloads::answers;

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// The release binary, built on first use so that a test never runs an old one.
pub fn bespoke() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .current_dir(workspace())
            .args(["build", "--release", "-p", "bespoke", "--message-format=json-render-diagnostics"])
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "the binary does not build");
        let messages = String::from_utf8(built.stdout).expect("UTF-8");
        let executable = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|message| message["executable"].as_str().map(PathBuf::from));
        executable.expect("cargo names the executable")
    })
}

/// The source folder of the programs that tests boot.
fn sources() -> PathBuf {
    workspace().join("tests/programs")
}

/// Builds one of `tests/programs` and returns its path. `flavour` is the compiler and linkage: `musl`, `glibc`, `glibc-pie`, `shared` for one with glibc as a library, `c++`, `rust`, `go`, `bare` for Rust without a libc, or `preload` for a library to put before others.
pub fn program(source: &str, flavour: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let from = sources().join(source);
    let folder = workspace().join("target/test-programs");
    let to = folder.join(format!("{}-{flavour}", source.replace('.', "-")));
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let newest = ["check.h", "say.h"].iter().map(|header| modified(&sources().join(header))).max();
    if modified(&to) > modified(&from).max(newest.flatten()) {
        return to;
    }
    fs::create_dir_all(&folder).expect("target/ is writable");
    let (compiler, flags): (&str, &[&str]) = match flavour {
        "musl" => ("musl-gcc", &["-static", "-O2"]),
        "glibc" => ("gcc", &["-static", "-O2"]),
        "glibc-pie" => ("gcc", &["-static-pie", "-O2"]),
        "shared" => ("gcc", &["-O2"]),
        "c++" => ("g++", &["-static", "-O2"]),
        "rust" => {
            ("rustc", &["-O", "--edition=2024", "--target=x86_64-unknown-linux-musl", "-Cstrip=symbols"])
        }
        "bare" => (
            "rustc",
            &[
                "-O",
                "--edition=2024",
                "--target=x86_64-unknown-none",
                "-Cpanic=abort",
                "-Crelocation-model=static",
            ],
        ),
        "go" => ("go", &["build"]),
        "preload" => ("gcc", &["-shared", "-fPIC", "-O2"]),
        other => panic!("no flavour {other}"),
    };
    let mut command = Command::new(compiler);
    command.args(flags).arg("-o").arg(&to).arg(&from).env("CGO_ENABLED", "0");
    let output =
        command.output().unwrap_or_else(|error| panic!("{compiler}: {error}; tests/run installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    to
}

/// Builds the package `tests/programs/NAME` for musl and returns its program.
pub fn package(name: &str) -> PathBuf {
    let target = workspace().join("target/test-programs").join(format!("{name}-package"));
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(sources().join(name))
        .args(["build", "--release", "--locked", "--target=x86_64-unknown-linux-musl", "--target-dir"])
        .arg(&target);
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    target.join("x86_64-unknown-linux-musl/release").join(name)
}

/// Debian's CPython: its program and the folder of its standard library.
pub fn python() -> (String, String) {
    let says =
        "import os, sys, sysconfig; print(os.path.realpath(sys.executable), sysconfig.get_path('stdlib'))";
    let asked = Command::new("/usr/bin/python3").args(["-I", "-c", says]).output();
    let answer =
        String::from_utf8(asked.expect("python3 runs; tests/run installs it").stdout).expect("UTF-8");
    let (program, library) = answer.trim().split_once(' ').expect("two paths");
    (program.to_owned(), library.to_owned())
}

/// What a run of the binary gave.
#[derive(Debug)]
pub struct Run {
    /// Exit status; -1 when a signal ended it.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\r', "");
        Self {
            status: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

/// How long to wait for what must come: many times what it takes on a quiet machine.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Runs the binary in a folder, without input. A machine that hangs is ended after some minutes, and its output shown.
pub fn run_in(folder: &Path, args: &[&str]) -> Run {
    let limit = PATIENCE.as_secs().to_string();
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", &limit])
        .arg(bespoke())
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null());
    command.output().expect("timeout(1) runs").into()
}

/// Runs a client to its end, which must come within some minutes, with this input.
pub fn client(program: &str, args: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", &PATIENCE.as_secs().to_string(), program])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout(1) runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        // A client that ends early reads no further: that shows in what it says.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().expect("it can be waited for").into()
    })
}

/// A scratch folder with a config in it.
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// A folder with `app.toml` of this text.
    pub fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        fs::write(folder.path().join("app.toml"), config).expect("a writable scratch folder");
        Self { folder }
    }

    /// A config for a program: what `preset` says, with these lines of `[set]` on top.
    pub fn for_program(program: &Path, preset: &str, set: &str) -> Self {
        Self::new(&format!(
            "schema = 1\nextends = \"preset:{preset}\"\n\n[program]\npath = {program:?}\n\n[set]\n{set}\n"
        ))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the binary here.
    pub fn run(&self, args: &[&str]) -> Run {
        run_in(self.path(), args)
    }

    /// Boots `app.toml` with arguments for the program.
    pub fn boot(&self, args: &[&str]) -> Run {
        self.run(&[&["run", "app.toml", "--"], args].concat())
    }

    /// What `bespoke size` says of a config.
    pub fn sizes(&self, config: &str) -> Value {
        let run = self.run(&["size", config, "--json"]);
        serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {}", run.err))
    }
}

/// A port of the host that is free, and below those that the host gives to connections, which would take it in the meantime.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(61);
    loop {
        let offset = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = 10_000 + offset as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A machine that serves at a published port, ended when it is dropped.
pub struct Server {
    child: Child,
    /// The host's end of the guest's port.
    pub port: u16,
    said: Arc<Mutex<Vec<u8>>>,
    listens: Option<JoinHandle<()>>,
}

impl Server {
    /// Boots `app.toml` with the guest's `port` published, and waits until the program has printed a line with `ready`.
    pub fn start(scratch: &Scratch, port: u16, ready: &str, args: &[&str]) -> Self {
        let host = free_port();
        let publish = format!("{host}:{port}");
        let mut server = Self::boot(scratch, ready, &[&["-p", &publish], args].concat());
        server.port = host;
        server
    }

    /// Boots `app.toml` without a published port, and waits as [`Server::start`] does.
    pub fn boot(scratch: &Scratch, ready: &str, args: &[&str]) -> Self {
        Self::spawn(scratch, ready, &[&["run", "app.toml"], args].concat())
    }

    /// Runs a command that boots a machine with the guest's `port` published, and waits as [`Server::start`] does.
    pub fn command(scratch: &Scratch, command: &[&str], port: u16, ready: &str) -> Self {
        let host = free_port();
        let publish = format!("{host}:{port}");
        let mut server =
            Self::spawn(scratch, ready, &[&command[..1], &["-p", &publish], &command[1..]].concat());
        server.port = host;
        server
    }

    /// Runs a command in a folder until it has printed `ready`.
    pub fn spawn(scratch: &Scratch, ready: &str, command: &[&str]) -> Self {
        let mut child = Command::new("timeout")
            // A signal that it passes on begins the time after which it kills: what fits a program has to write its config yet.
            .args(["--kill-after=200", "600"])
            .arg(bespoke())
            .args(command)
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("timeout(1) runs");
        let mut output = child.stdout.take().expect("a pipe");
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut server = Self { child, port: 0, said: said.clone(), listens: None };
        let mut chunk = [0; 4096];
        while !server.said().contains(ready) {
            match output.read(&mut chunk) {
                Ok(0) | Err(_) => panic!("the program ended early: {}", server.said()),
                Ok(count) => keep(&said, &chunk[..count]),
            }
        }
        server.listens = Some(std::thread::spawn(move || {
            while let Ok(count @ 1..) = output.read(&mut chunk) {
                keep(&said, &chunk[..count]);
            }
        }));
        server
    }

    /// What came on the console so far.
    pub fn said(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).replace('\r', "")
    }

    /// A connection to the program, with a limit on every read and write.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the port is published");
        let limit = Some(PATIENCE);
        stream
            .set_read_timeout(limit)
            .and_then(|()| stream.set_write_timeout(limit))
            .expect("a limit can be set");
        stream
    }

    /// Sends a signal (`TERM`) to the runner, once: timeout(1) would pass it on twice.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it runs");
        let sent = Command::new("kill").args(["-s", name, children.trim()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{name} to {children:?}");
    }

    /// The status that the program ends with, within some minutes.
    pub fn status(mut self) -> Option<i32> {
        self.wait()
    }

    /// The same, and all that was said.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let status = self.wait();
        // Only when the other end is closed is everything there.
        if let (Some(_), Some(listens)) = (status, self.listens.take()) {
            let _ = listens.join();
        }
        (status, self.said())
    }

    /// The same, of a program that is asked to end by a signal (`TERM`).
    pub fn end(self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        self.ended()
    }

    /// Whether the console is closed: nothing will come any more.
    fn is_gone(&self) -> bool {
        self.listens.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until something was said.
    #[track_caller]
    pub fn says(&self, words: &str) {
        let started = Instant::now();
        loop {
            // Looked at first: what is said last comes before the end.
            let gone = self.is_gone();
            let said = self.said();
            if said.contains(words) {
                return;
            }
            assert!(!gone && started.elapsed() < PATIENCE, "no {words:?} in: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it until it answers with these words. False: it never does, or is gone.
    pub fn answers(&self, ask: &[u8], reply: &str) -> bool {
        answers(self.port, ask, reply, PATIENCE, || self.is_gone())
    }

    fn wait(&mut self) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

fn keep(said: &Mutex<Vec<u8>>, bytes: &[u8]) {
    said.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // A signal that is passed on to the machine, unlike a kill.
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
            let _ = self.child.wait();
        }
    }
}
