//! The console: keys, streams and signals on their way from the host to the program, and a processor that rests meanwhile.

use bespoke_tests::{PATIENCE, Scratch, Server, bespoke, program};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const SET: &str = "\"debug.log\" = false\n";

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

/// A command in a pseudo-terminal.
struct Session {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    said: Arc<(Mutex<Vec<u8>>, Condvar)>,
    reader: std::thread::JoinHandle<()>,
    /// Where to look for what comes next.
    seen: usize,
}

impl Session {
    fn start(folder: &Path, command: &Path, arguments: &[&str]) -> Self {
        let pair = native_pty_system().openpty(size(24, 80)).expect("a pseudo-terminal");
        let mut builder = CommandBuilder::new(command);
        builder.args(arguments);
        builder.cwd(folder);
        let child = pair.slave.spawn_command(builder).expect("the command starts");
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().expect("a reader");
        let said = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let shared = said.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                shared.0.lock().unwrap().extend_from_slice(&buffer[..n]);
                shared.1.notify_all();
            }
        });
        let keys = pair.master.take_writer().expect("a writer");
        Session { master: pair.master, keys, child, said, reader, seen: 0 }
    }

    /// Waits for a text behind what was seen before.
    #[track_caller]
    fn sees(&mut self, what: &str) {
        let (said, changed) = &*self.said;
        let find = |said: &[u8]| said.windows(what.len()).position(|part| part == what.as_bytes());
        let (said, timeout) = changed
            .wait_timeout_while(said.lock().unwrap(), PATIENCE, |said| find(&said[self.seen..]).is_none())
            .unwrap();
        assert!(!timeout.timed_out(), "`{what}` never came: {:?}", String::from_utf8_lossy(&said));
        self.seen += find(&said[self.seen..]).unwrap() + what.len();
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// The exit status, and all that was said.
    fn ends(mut self) -> (u32, String) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status.exit_code();
            }
            if started.elapsed() > PATIENCE {
                self.child.kill().expect("it can be ended");
                panic!("it never ended: {:?}", String::from_utf8_lossy(&self.said.0.lock().unwrap()));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        // Nobody has the terminal open any more, so what was said comes to an end.
        self.reader.join().expect("it reads on");
        let said = String::from_utf8_lossy(&self.said.0.lock().unwrap()).into_owned();
        (status, said)
    }
}

/// Types to `tests/programs/tty.c` and returns the transcript.
fn talk(folder: &Path, command: &Path, arguments: &[&str]) -> String {
    let mut session = Session::start(folder, command, arguments);
    for (prompt, keys) in [
        ("edited> ", "helo\x7flo\r"),
        ("word and line> ", "one two\x17three\x15four\r"),
        ("utf-8> ", "aé\x7fb\r"),
        ("literal> ", "a\x16\x03b\r"),
        ("in parts> ", "abcdef\r"),
        ("end> ", "\x04"),
        ("end behind bytes> ", "ab\x04"),
        ("two lines> ", "one\rtwo\r"),
        ("interrupt> ", "lost"),
        ("lost", "\x03"),
        ("quit> ", "\x1c"),
        ("unseen> ", "secret\r"),
        ("raw> ", "x"),
        ("raw return> ", "\r"),
        ("raw interrupt> ", "\x03"),
        ("three> ", "abc"),
        ("key> ", "k"),
    ] {
        session.sees(prompt);
        session.types(keys);
    }
    session.sees("resize> ");
    session.master.resize(size(30, 100)).expect("a terminal can be resized");
    session.sees("size: ");
    session.sees("\n");
    let (status, said) = session.ends();
    assert_eq!(status, 7, "{said:?}");
    said
}

#[test]
fn a_terminal_is_as_on_linux() {
    let program = program("tty.c", "glibc");
    let scratch = Scratch::for_program(&program, "everything", SET);
    assert_eq!(scratch.run(&["build", "app.toml", "-o", "app.img"]).status, 0);
    let on_linux = talk(scratch.path(), &program, &[]);
    assert!(on_linux.contains("edited> helo\x08 \x08lo\r\n[6] 68 65 6c 6c 6f 0a"), "{on_linux:?}");
    assert!(on_linux.contains("size: 30 x 100"), "{on_linux:?}");
    for machine in ["microvm", "q35"] {
        let here = talk(scratch.path(), bespoke(), &["run", "app.img", "--machine", machine]);
        assert_eq!(here, on_linux, "{machine}");
    }
}

#[test]
fn pseudo_terminals_are_as_on_linux() {
    let on_linux = {
        // A session's leader without a terminal, as process 1 is when nobody sits at the console.
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(program("pty.c", "glibc")).stdin(Stdio::null());
        let output = command.output().expect("setsid(1) runs");
        assert_eq!(output.status.code(), Some(5), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert!(on_linux.contains("packet: 00 a b c\n") && on_linux.ends_with("size: 5 6\n"), "{on_linux}");
    for flavour in ["glibc", "musl"] {
        let run = Scratch::for_program(&program("pty.c", flavour), "everything", SET).boot(&[]);
        assert_eq!((run.status, run.out.as_str()), (5, on_linux.as_str()), "{flavour}");
    }
}

#[test]
fn without_pseudo_terminals_there_are_none() {
    let set = format!("{SET}\"fs.dev.pty\" = false\n");
    let scratch = Scratch::for_program(&program("pty.c", "glibc"), "everything", &set);
    let run = scratch.boot(&[]);
    assert!(run.out.ends_with("posix_openpt(O_RDWR | O_NOCTTY): no, errno 2\n"), "{run:?}");
    assert_eq!(run.status, 6, "{run:?}");
}

#[test]
fn an_interrupt_from_the_keyboard_ends_a_program() {
    let program = program("tty.c", "musl");
    let scratch = Scratch::for_program(&program, "everything", SET);
    let mut session = Session::start(scratch.path(), bespoke(), &["run", "app.toml", "--", "wait"]);
    session.sees("waiting> ");
    session.types("\x03");
    let (status, said) = session.ends();
    assert_eq!((status, said.contains("^C")), (130, true), "{said:?}");
    // The key that leaves, where Ctrl-C is only a byte.
    let mut session = Session::start(scratch.path(), bespoke(), &["run", "app.toml", "--", "wait"]);
    session.sees("waiting> ");
    session.types("\x1d");
    assert_eq!(session.ends().0, 143);
}

/// Ticks of the processor that a machine below a process has used, and how many machines there are.
fn machine_ticks(parent: u32) -> (u64, usize) {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let mut found = (0, 0);
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        if stat.contains("(qemu-system") {
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
            let ticks = |index: usize| fields.get(index).and_then(|ticks| ticks.parse::<u64>().ok());
            found.0 += ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0);
            found.1 += 1;
        }
        let below = machine_ticks(child);
        found = (found.0 + below.0, found.1 + below.1);
    }
    found
}

#[test]
fn a_program_that_waits_leaves_the_processor_alone() {
    let program = program("tty.c", "musl");
    let scratch = Scratch::for_program(&program, "everything", SET);
    assert_eq!(scratch.run(&["build", "app.toml", "-o", "app.img"]).status, 0);
    for machine in ["microvm", "q35"] {
        for how in ["wait", "poll", "sleep"] {
            let arguments = ["run", "app.img", "--machine", machine, "--", how];
            let mut session = Session::start(scratch.path(), bespoke(), &arguments);
            session.sees("waiting> ");
            let parent = session.child.process_id().expect("it runs");
            let (before, machines) = machine_ticks(parent);
            assert_eq!(machines, 1);
            // Not waited for anything: this is how long the processor is watched. Of 100 ticks one that polls takes all it is given.
            std::thread::sleep(Duration::from_secs(1));
            let used = machine_ticks(parent).0 - before;
            assert!(used <= 15, "{machine}, {how}: {used} ticks");
            session.types("\x03");
            assert_eq!(session.ends().0, 130, "{machine}, {how}");
        }
    }
}

#[test]
fn what_is_piped_in_arrives_whole_and_ends() {
    let scratch = Scratch::new(&format!(
        "schema = 1\nextends = \"preset:everything\"\n[program]\npath = \"/bin/busybox\"\n[set]\n{SET}"
    ));
    let mut data: Vec<u8> = (0..20_000u32).map(|i| (i * 7 + i / 256) as u8).collect();
    data.extend([4, 22, 3, 4, 13, 10, 22]);
    for terminal in ["", "\"console.terminal\" = false\n"] {
        let config = fs::read_to_string(scratch.path().join("app.toml")).unwrap();
        fs::write(scratch.path().join("piped.toml"), format!("{config}{terminal}")).unwrap();
        let mut child = Command::new("timeout")
            .args(["--kill-after=5", &PATIENCE.as_secs().to_string()])
            .arg(bespoke())
            .args(["run", "piped.toml", "--", "cat"])
            .current_dir(scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("timeout(1) runs");
        let mut input = child.stdin.take().unwrap();
        let bytes = data.clone();
        let writer = std::thread::spawn(move || input.write_all(&bytes));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().expect("all is taken");
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(output.stdout.len(), data.len());
        assert!(output.stdout == data, "bytes differ");
    }
}

/// Boots `tests/programs/ends.c`, sends it signals when it is ready, and returns the status and what was said.
fn ended_by(
    scratch: &Scratch,
    machine: &str,
    how: &str,
    options: &[&str],
    signals: &[&str],
) -> (Option<i32>, String) {
    let command = [&["run", "app.img", "--machine", machine], options, &["--", how]].concat();
    let server = Server::spawn(scratch, "ready\n", &command);
    for signal in signals {
        server.signal(signal);
    }
    server.ended()
}

#[test]
fn signals_to_the_runner_end_the_program_in_order() {
    let program = program("ends.c", "musl");
    let scratch = Scratch::for_program(&program, "everything", SET);
    assert_eq!(scratch.run(&["build", "app.toml", "-o", "app.img"]).status, 0);
    let ready = || String::from("ready\n");
    for machine in ["microvm", "q35"] {
        let end =
            |how, options: &[&str], signals: &[&str]| ended_by(&scratch, machine, how, options, signals);
        // A generous time, so that the end is never the runner's.
        let long = &["--grace", "600"][..];
        assert_eq!(end("handler", long, &["TERM"]), (Some(3), ready() + "caught 15\n"), "{machine}");
        assert_eq!(end("handler", long, &["INT"]), (Some(3), ready() + "caught 2\n"), "{machine}");
        assert_eq!(end("default", long, &["TERM"]), (Some(143), ready()), "{machine}");
        assert_eq!(end("busy", long, &["HUP"]), (Some(129), ready()), "{machine}");
        // One that does not listen is stopped: after a while, or when asked twice.
        assert_eq!(end("deaf", &["--grace", "1"], &["TERM"]), (Some(137), ready()), "{machine}");
        assert_eq!(end("deaf", long, &["TERM", "INT"]), (Some(137), ready()), "{machine}");
    }
}

#[test]
fn without_the_control_port_a_signal_stops_the_machine() {
    let program = program("ends.c", "musl");
    let scratch = Scratch::for_program(&program, "everything", &format!("{SET}\"driver.control\" = false\n"));
    assert_eq!(scratch.run(&["build", "app.toml", "-o", "app.img"]).status, 0);
    let end = ended_by(&scratch, "microvm", "busy", &["--grace", "600"], &["TERM"]);
    assert_eq!(end, (Some(137), "ready\n".to_owned()));
}
