//! The guests, made from one description of what they run, and booted by the same code in the same machine.

use bespoke_kernel::Payload;
use bespoke_kernel::run::{self, Accel, Console, Machine, Options, RunError, Running};
use bespoke_model::Config;
use bespoke_tests::{bespoke, workspace};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Memory of every guest, in bytes.
pub const MEMORY: u64 = 128 << 20;

/// What a guest runs, as a config says it.
pub struct Work {
    /// What the Linux guest is given: the program and the files of this config.
    config: Config,
    /// What Bespoke builds, but for `[set]`.
    text: String,
}

/// An operating system below the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// The kernel of this name that `tests/beside-linux` has built.
    Linux(&'static str),
    /// The preset of everything, with this member of `hardening.isolation`.
    Bespoke(&'static str),
}

/// What the three columns of a comparison are.
pub const SYSTEMS: [System; 3] =
    [System::Linux("servers"), System::Bespoke("ring3"), System::Bespoke("ring0")];

/// Something that boots.
pub struct Guest {
    image: PathBuf,
    extra: Vec<OsString>,
    linux: bool,
    /// More for Linux' command line. What it does not know it hands to the init.
    words: &'static str,
}

/// Where `tests/beside-linux` keeps what it builds.
pub fn home() -> PathBuf {
    workspace().join("target/beside-linux")
}

impl Work {
    /// A program of the host, with every part that there is.
    pub fn program(path: &Path, args: &[&str]) -> Self {
        let program = format!("schema = 1\n[program]\npath = {path:?}\nargs = {args:?}\n");
        Self::new(&program, &program.replacen('\n', "\nextends = \"preset:everything\"\n", 1))
    }

    /// The same with a file of the host.
    pub fn file(mut self, guest: &str, host: &Path) -> Self {
        self.config.set_file(guest, host.to_str());
        if !self.text.contains("[files]") {
            self.text.push_str("[files]\n");
        }
        let _ = writeln!(self.text, "{guest:?} = {host:?}");
        self
    }

    fn new(linux: &str, text: &str) -> Self {
        let config = Config::parse("beside", linux).unwrap_or_else(|error| panic!("{error}"));
        Self { config, text: text.to_owned() }
    }

    fn bespoke(&self, isolation: &str) -> String {
        let smap = isolation != "ring0";
        format!(
            "{}\n[set]\n\"debug.log\" = false\n\"hardening.isolation\" = {isolation:?}\n\"hardening.smap\" = {smap}\n",
            self.text
        )
    }

    /// Makes the guest's files in `folder`.
    pub fn guest(&self, system: System, folder: &Path) -> Guest {
        match system {
            System::Linux(kernel) => {
                let initrd = folder.join(format!("{kernel}.cpio"));
                fs::write(&initrd, self.archive()).expect("a writable scratch folder");
                Guest::linux(kernel, &initrd)
            }
            System::Bespoke(isolation) => {
                let config = folder.join(format!("{isolation}.toml"));
                fs::write(&config, self.bespoke(isolation)).expect("a writable scratch folder");
                Guest::bespoke(&config)
            }
        }
    }

    /// The initial file system of the Linux guest: the same files, and an init that starts the program.
    fn archive(&self) -> Vec<u8> {
        let payload = Payload::load(&self.config, Path::new("/")).unwrap_or_else(|error| panic!("{error}"));
        let program = self.config.program().expect("there is a program");
        let at = payload.program_path().expect("there is a program");
        let mut archive = Archive::new();
        archive.add("/init", &read(&home().join("init")));
        // A program that is called by a link to it may ask what it was called.
        let called = if Path::new(&program.path).is_symlink() { &program.path } else { at };
        if called != at {
            archive.add(called, &read(Path::new(called)));
        }
        let lines: String = [called]
            .into_iter()
            .chain(program.args.iter().map(String::as_str))
            .flat_map(|line| [line, "\n"])
            .collect();
        archive.add("/etc/app", lines.as_bytes());
        for (path, _) in payload.files() {
            // What is not given lies in the guest where it lies here: the libraries.
            let given = self.config.files().iter().find_map(|(guest, host)| {
                let below = Path::new(path).strip_prefix(guest).ok()?;
                Some(if below == Path::new("") { host.into() } else { Path::new(host).join(below) })
            });
            let host = match given {
                Some(host) => host,
                None if path == at => PathBuf::from(&program.path),
                None => PathBuf::from(path),
            };
            if host.is_file() {
                archive.add(path, &read(&host));
            }
        }
        archive.finish()
    }
}

/// The initial file system of one program that is the init itself.
pub fn bare_archive(program: &Path) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.add("/init", &read(program));
    archive.finish()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}; start tests/beside-linux", path.display()))
}

/// How a guest is booted.
#[derive(Clone, Default)]
pub struct Boot {
    pub machine: Machine,
    /// Count instructions: the guest's clock then advances by a nanosecond with each, and skips what it sleeps.
    pub counting: bool,
    /// The port of the guest that the port of the host reaches.
    pub port: Option<(u16, u16)>,
}

impl Guest {
    /// Linux with this kernel and initial file system.
    pub fn linux(kernel: &str, initrd: &Path) -> Self {
        let image = home().join(format!("{kernel}.vmlinux"));
        Self { image, extra: vec!["-initrd".into(), initrd.into()], linux: true, words: "" }
    }

    /// The same with more on its command line.
    pub fn with(self, words: &'static str) -> Self {
        Self { words, ..self }
    }

    /// What Bespoke makes of a config. The image lies beside it.
    pub fn bespoke(config: &Path) -> Self {
        let image = config.with_extension("img");
        let output = Command::new(bespoke())
            .args([Path::new("build"), config, Path::new("-o"), &image])
            .stdin(Stdio::null())
            .output()
            .expect("bespoke runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { image, extra: Vec::new(), linux: false, words: "" }
    }

    /// Starts it.
    pub fn start(&self, boot: &Boot) -> Running {
        let mut extra = self.extra.clone();
        // Without ERMS all of them copy by eight bytes. QEMU goes through a string instruction step by step, so that Linux, which would copy by
        // single ones where they are quick, would look slow for no fault of its own.
        extra.extend(["-cpu", "max,-erms"].map(OsString::from));
        // Threads of QEMU that say what they are.
        extra.extend(["-name", "guest,debug-threads=on"].map(OsString::from));
        if boot.counting {
            extra.extend(["-icount", "shift=0,sleep=off"].map(OsString::from));
        }
        if self.linux {
            // These machines lack what Linux would measure the counter with; without it, it falls back to a slow clock.
            let khz = if boot.counting { 1_000_000 } else { counter_khz() };
            extra.extend([
                "-append".into(),
                format!(
                    "console=ttyS0 reboot=t panic=-1 quiet tsc=reliable tsc_early_khz={khz} {}",
                    self.words
                )
                .into(),
            ]);
        }
        let ports = boot.port.map(|(host, guest)| format!("{host}:{guest}").parse().expect("two ports"));
        let options = Options {
            memory: MEMORY,
            ports: ports.into_iter().collect(),
            machine: boot.machine,
            accel: Accel::Tcg,
            console: Console::Piped,
            deadline: Some(Duration::from_secs(600)),
            extra,
            ..Options::default()
        };
        run::start(&self.image, &options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs it to its end and returns what it said.
    pub fn run(&self, boot: &Boot) -> Result<String, String> {
        let console = match self.start(boot).wait() {
            Ok(outcome) if outcome.status == 0 => outcome.console,
            Ok(outcome) => {
                let said = String::from_utf8_lossy(&outcome.console).into_owned();
                return Err(format!("the program ended with status {}: {said}", outcome.status));
            }
            // Linux resets the machine, which is all that a runner of Bespoke's images sees of it.
            Err(RunError::Crashed { console, .. }) if self.linux => console,
            Err(RunError::Crashed { console, .. } | RunError::Hung { console, .. }) => {
                return Err(format!("the guest died: {}", String::from_utf8_lossy(&console)));
            }
            Err(error) => return Err(error.to_string()),
        };
        Ok(String::from_utf8_lossy(&console).replace('\r', ""))
    }
}

/// Frequency of the processor's time-stamp counter, in kHz, as its clock goes.
#[expect(unsafe_code, reason = "reading the counter is an intrinsic")]
pub fn counter_khz() -> u64 {
    static KHZ: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    // SAFETY: every x86-64 processor has the counter.
    let counter = || unsafe { core::arch::x86_64::_rdtsc() };
    *KHZ.get_or_init(|| {
        let (start, from) = (Instant::now(), counter());
        std::thread::sleep(Duration::from_millis(300));
        let (ticks, passed) = (counter() - from, start.elapsed());
        (u128::from(ticks) * 1_000_000 / passed.as_nanos()) as u64
    })
}

/// A cpio archive in the form that Linux unpacks (`newc`).
struct Archive {
    bytes: Vec<u8>,
    entries: usize,
    folders: Vec<String>,
}

impl Archive {
    fn new() -> Self {
        Self { bytes: Vec::new(), entries: 0, folders: Vec::new() }
    }

    fn add(&mut self, path: &str, data: &[u8]) {
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end > 0) {
            let folder = path[..end].to_owned();
            if !self.folders.contains(&folder) {
                self.entry(&folder, 0o040_755, &[]);
                self.folders.push(folder);
            }
        }
        self.entry(path, 0o100_755, data);
    }

    fn entry(&mut self, path: &str, mode: u32, data: &[u8]) {
        self.entries += 1;
        let name = path.trim_start_matches('/');
        let numbers = [self.entries, mode as usize, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0];
        self.bytes.extend(b"070701");
        for number in numbers {
            self.bytes.extend(format!("{number:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}
