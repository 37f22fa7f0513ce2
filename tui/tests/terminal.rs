//! Whole sessions in a pseudo-terminal: what is on the screen, what is written, and how the terminal is left.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;

struct Session {
    dir: TempDir,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<Mutex<vt100::Parser>>,
    started: Instant,
}

impl Session {
    fn start(dir: TempDir, args: &[&str]) -> Self {
        Self::start_with(dir, args, &[])
    }

    fn start_with(dir: TempDir, args: &[&str], env: &[(&str, &str)]) -> Self {
        let pair = native_pty_system()
            .openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 })
            .unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_bespoke"));
        command.args(args);
        command.cwd(dir.path());
        command.env("HOME", dir.path());
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env("RUST_BACKTRACE", "0");
        command.env_remove("XDG_CONFIG_HOME");
        command.env_remove("XDG_STATE_HOME");
        command.env_remove("NO_COLOR");
        for (name, value) in env {
            command.env(name, value);
        }
        let started = Instant::now();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let parser = screen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                parser.lock().unwrap().process(&buffer[..n]);
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Session { dir, master: pair.master, keys, child, screen, started }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Has the terminal be of another size, before anything is drawn for it.
    fn resizes(&self, rows: u16, cols: u16) {
        let mut screen = self.screen.lock().unwrap();
        screen.screen_mut().set_size(rows, cols);
        self.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    #[track_caller]
    fn sees(&self, what: &str) {
        let start = Instant::now();
        while !self.text().contains(what) {
            assert!(start.elapsed() < Duration::from_secs(120), "`{what}` never came:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Types, then waits for something to be on the screen.
    #[track_caller]
    fn types(&mut self, keys: &str, then: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        self.sees(then);
    }

    fn signal(&self, name: &str) {
        let pid = self.child.process_id().unwrap().to_string();
        let status = std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end: the exit status, what was left on the screen, and the folder.
    #[track_caller]
    fn ends(mut self) -> (u32, String, TempDir) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(120), "it does not end:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        };
        // The last bytes may still be under way.
        std::thread::sleep(Duration::from_millis(100));
        let parser = self.screen.lock().unwrap();
        let screen = parser.screen();
        assert!(!screen.alternate_screen(), "the alternate screen was left");
        assert!(!screen.hide_cursor(), "the cursor is back");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None, "the mouse is given back");
        assert!(!screen.bracketed_paste(), "pasting is as before");
        let text = screen.contents();
        drop(parser);
        (status.exit_code(), text, self.dir)
    }
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn from_nothing_to_a_built_image() {
    let mut session = Session::start(TempDir::new().unwrap(), &[]);
    session.sees("new, extends preset:hello; s writes bespoke.toml");
    println!("start to first frame: {:?}", session.started.elapsed());
    session.types("/", "names, titles, parameters");
    session.types("directories", "abi.directories");
    session.types("\r", "turn on abi.directories: +");
    session.types(" ", "unsaved");
    session.types("/open\r", "cannot turn off abi.open");
    session.types(" ", "let abi.directories follow");
    session.types("1", "abi.open");
    session.types("u", "undone: ");
    session.types("s", "saved bespoke.toml");
    session.types("b", "built bespoke.img");
    session.types("q", "");
    let (code, _, dir) = session.ends();
    assert_eq!(code, 0);
    let config = fs::read_to_string(dir.path().join("bespoke.toml")).unwrap();
    assert_eq!(config, "schema = 1\nextends = \"preset:hello\"\n\n[set]\n\"abi.directories\" = true\n");
    assert_eq!(files(dir.path()), ["bespoke.img", "bespoke.img.sym", "bespoke.toml"]);
}

#[test]
fn a_signal_restores_the_terminal_and_keeps_the_edits() {
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let mut session = Session::start(TempDir::new().unwrap(), &[]);
        session.sees("bespoke.toml");
        session.types("/directories\r", "turn on abi.directories: +");
        session.types(" ", "unsaved");
        session.signal(signal);
        let (ended, text, dir) = session.ends();
        assert_eq!(ended, code, "{signal}");
        assert!(text.contains("unsaved changes are kept in .bespoke.toml.unsaved"), "{signal}: {text}");
        assert_eq!(files(dir.path()), [".bespoke.toml.unsaved"]);

        let mut session = Session::start(dir, &[]);
        session.sees("unsaved changes from last time");
        session.types("t", "took up the edits of last time");
        session.types("s", "saved bespoke.toml");
        session.types("q", "");
        let (_, _, dir) = session.ends();
        assert!(fs::read_to_string(dir.path().join("bespoke.toml")).unwrap().contains("abi.directories"));
        assert_eq!(files(dir.path()), ["bespoke.toml"]);
    }
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_restores_the_terminal_and_keeps_the_edits() {
    let mut session = Session::start_with(TempDir::new().unwrap(), &[], &[("BESPOKE_PANIC_ON_RESIZE", "1")]);
    session.sees("bespoke.toml");
    session.types("/directories\r", "turn on abi.directories: +");
    session.types(" ", "unsaved");
    session.types("j", "");
    while !session.dir.path().join(".bespoke.toml.unsaved").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    session.master.resize(PtySize { rows: 30, cols: 90, pixel_width: 0, pixel_height: 0 }).unwrap();
    let (code, text, dir) = session.ends();
    assert_eq!(code, 101);
    assert!(text.contains("panicked at"), "the report is readable: {text}");
    assert_eq!(files(dir.path()), [".bespoke.toml.unsaved"]);
}

#[test]
fn quitting_with_unsaved_edits_asks_and_can_lose_them() {
    let mut session = Session::start(TempDir::new().unwrap(), &[]);
    session.sees("bespoke.toml");
    session.types("/directories\r", "turn on abi.directories: +");
    session.types(" ", "unsaved");
    session.types("q", "quit with unsaved changes?");
    session.types("d", "");
    let (code, _, dir) = session.ends();
    assert_eq!(code, 0);
    assert!(files(dir.path()).is_empty(), "no config, no recovery file");
}

#[test]
fn a_file_that_somebody_else_changed_is_not_written_over_unasked() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.toml");
    fs::write(&file, "schema = 1\nextends = \"preset:hello\"\n").unwrap();
    let mut session = Session::start(dir, &["a.toml"]);
    session.sees("a.toml");
    fs::write(&file, "# theirs\nschema = 1\n").unwrap();
    session.types("/directories\r", "turn on abi.directories: +");
    session.types(" ", "unsaved");
    session.types("s", "changed by somebody else");
    session.types("\r", "unsaved");
    assert_eq!(fs::read_to_string(&file).unwrap(), "# theirs\nschema = 1\n");
    session.types("s", "changed by somebody else");
    session.types("2", "saved a.toml");
    session.types("q", "");
    session.ends();
}

#[test]
fn waiting_costs_nothing() {
    let mut session = Session::start(TempDir::new().unwrap(), &[]);
    session.sees("bespoke.toml");
    session.types("l", "abi");
    std::thread::sleep(Duration::from_millis(500));
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", session.child.process_id().unwrap())).unwrap();
        let after = stat.rsplit(')').next().unwrap();
        let fields: Vec<&str> = after.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(2));
    // One, should something have been left to do when counting began.
    assert!(ticks() <= before + 1, "two seconds of waiting took more than a clock tick");
    session.types("q", "");
    session.ends();
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    let mut session = Session::start(TempDir::new().unwrap(), &[]);
    session.sees("Linux interface");
    session.resizes(8, 30);
    session.sees("is too small");
    session.resizes(24, 80);
    session.sees("Linux interface");
    session.types("q", "");
    session.ends();
}

#[test]
fn a_config_that_cannot_be_opens_with_ways_out() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.toml");
    let text = "schema = 1\nextends = \"preset:hello\"\n\n[set]\n\"abi.directorys\" = true # typo\n\"abi.open\" = false\n";
    fs::write(&file, text).unwrap();
    let mut session = Session::start(dir, &["a.toml"]);
    session.sees("a.toml cannot be as it is");
    session.sees("Line 5");
    session.sees("read abi.directorys as abi.directories");
    session.types("q", "");
    let (code, _, dir) = session.ends();
    assert_eq!((code, fs::read_to_string(&file).unwrap().as_str()), (0, text), "nothing is written unasked");
    assert_eq!(files(dir.path()), ["a.toml"]);

    let mut session = Session::start(dir, &["a.toml"]);
    session.sees("cannot be as it is");
    session.types("1", "unsaved");
    session.types("s", "saved a.toml");
    session.types("q", "");
    let (_, _, dir) = session.ends();
    let saved = fs::read_to_string(dir.path().join("a.toml")).unwrap();
    assert!(saved.contains("\"abi.directories\" = true"), "{saved}");
}

#[test]
fn a_budget_holds_until_the_next_start() {
    let mut session = Session::start(TempDir::new().unwrap(), &["preset:hello"]);
    session.sees("bespoke.toml");
    session.types("$", "size budget");
    session.types("4MiB\r", "left");
    session.types("s", "saved");
    session.types("q", "");
    let (_, _, dir) = session.ends();
    let mut session = Session::start(dir, &[]);
    session.sees("budget 4,194,304 B");
    session.types("q", "");
    session.ends();
}
