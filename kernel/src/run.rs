//! Boots an image in QEMU and answers with the program's own exit status.
//!
//! The machine is `microvm` without ACPI unless told otherwise: it is the quickest to start and to leave. The guest
//! leaves through `isa-debug-exit` at port `0x501`. That device carries seven bits, so the guest first writes the
//! program's exit status to port `0x504`, whose bytes reach the runner through a temporary file. A machine that stops
//! without having written a status has crashed.
//!
//! # Arguments at run time
//!
//! An image carries its program's arguments. [`Options::args`] passes others on the PVH command line, one word
//! `arg=VALUE` for each argument, in order. A value with any byte outside of `A-Z a-z 0-9 _ - . / : = @ % + ,` stands in
//! single quotes, in which every byte but `'` means itself; a `'` is written `'\''`. The guest splits the line as a
//! shell does (blanks separate, `'…'` quotes, `\` takes the next byte as it is) and ignores words that begin
//! otherwise: QEMU adds some of its own. One of these words, `terminal=…`, says what the console's other end is ([`Terminal`]).
//!
//! # Signals
//!
//! With [`Options::control`] the machine has a second serial port, through which [`Stopper::ask`] sends the program a signal, and QEMU is
//! out of the way of signals to the runner's process group: what they mean for the program is up to whoever called.

mod accel;
mod backlog;
mod control;
mod network;
mod storage;
mod vsock;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{Read, Seek};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

pub use accel::Verdict;
use control::{Control, Line};
pub use network::{Network, Publish};
pub use storage::{Drive, Share};
pub use vsock::Vsock;

/// The QEMU binary that is looked for in `PATH`.
pub const QEMU: &str = "qemu-system-x86_64";
/// Where util-linux' `setpriv` may be.
const SETPRIV: [&str; 2] = ["/usr/bin/setpriv", "/bin/setpriv"];
/// Where the guest writes the program's exit status.
pub const STATUS_PORT: u16 = 0x504;
/// Where the guest leaves.
pub const EXIT_PORT: u16 = 0x501;

/// Which machine QEMU makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Machine {
    /// A machine of virtio-mmio devices and little else.
    #[default]
    Microvm,
    /// A PC with PCI Express.
    Q35,
}

/// Who executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accel {
    /// KVM where it was measured to be faster, QEMU's translator otherwise.
    #[default]
    Auto,
    /// QEMU's translator.
    Tcg,
    /// The processor, through KVM.
    Kvm,
}

/// Where the guest's console goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Console {
    /// To standard output, and from standard input.
    #[default]
    Stdio,
    /// To standard output; what is typed comes from [`Running::take_input`].
    Fed,
    /// To pipes: [`Running::take_output`] and [`Running::take_input`], or collected in [`Outcome::console`].
    Piped,
}

/// What the console's other end is, as the guest is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Terminal {
    /// Somebody types, and sees what is typed without the guest's help.
    #[default]
    Quiet,
    /// A stream: it begins behind the first byte 0x02, of which one before may get lost; in it byte 0x16 has the next byte mean itself, and 0x04 is
    /// the end.
    Stream,
    /// A terminal that leaves echo and newlines to the guest.
    Size {
        /// Rows of characters.
        rows: u16,
        /// Characters in a row.
        columns: u16,
    },
}

impl Terminal {
    fn word(self) -> String {
        match self {
            Self::Quiet => "terminal=quiet".to_owned(),
            Self::Stream => "terminal=none".to_owned(),
            Self::Size { rows, columns } => format!("terminal={rows}x{columns}"),
        }
    }
}

/// How to boot.
#[derive(Debug, Clone)]
pub struct Options {
    /// The guest's memory, in bytes.
    pub memory: u64,
    /// Ports to publish; a virtio network device is there when any is.
    pub ports: Vec<Publish>,
    /// A network device even without ports.
    pub network: bool,
    /// What that device is connected to.
    pub connected: Network,
    /// The guest's address on QEMU's network, when it is not the 10.0.2.15 that QEMU gives out.
    pub guest_address: Option<Ipv4Addr>,
    /// A device that gives the guest random numbers.
    pub entropy: bool,
    /// Disks, in the order in which the guest finds them.
    pub drives: Vec<Drive>,
    /// Folders of the host.
    pub shares: Vec<Share>,
    /// A socket device, and who is at its other end.
    pub vsock: Option<Vsock>,
    /// Arguments that replace the program's.
    pub args: Vec<String>,
    /// The machine.
    pub machine: Machine,
    /// Who executes.
    pub accel: Accel,
    /// Where the console goes.
    pub console: Console,
    /// What is at its other end.
    pub terminal: Terminal,
    /// A control port, and signals kept from QEMU; see the module's documentation.
    pub control: bool,
    /// How long the guest may take.
    pub deadline: Option<Duration>,
    /// The QEMU binary, when not [`QEMU`].
    pub qemu: Option<PathBuf>,
    /// More for QEMU's command line.
    pub extra: Vec<OsString>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            ports: Vec::new(),
            network: false,
            connected: Network::default(),
            guest_address: None,
            entropy: false,
            drives: Vec::new(),
            shares: Vec::new(),
            vsock: None,
            args: Vec::new(),
            machine: Machine::default(),
            accel: Accel::default(),
            console: Console::default(),
            terminal: Terminal::default(),
            control: false,
            deadline: None,
            qemu: None,
            extra: Vec::new(),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The program's exit status, 128 and the signal's number when a signal ended it.
    pub status: i32,
    /// What it wrote, when the console was piped and nobody took the output.
    pub console: Vec<u8>,
    /// From QEMU's start to its end.
    pub elapsed: Duration,
}

/// Why there is no exit status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No QEMU.
    #[error(
        "{0} is not installed; install qemu-system-x86 (or QEMU's x86 system emulator by the name it has here)"
    )]
    NoQemu(String),
    /// The image cannot be read.
    #[error("the image {} cannot be read: {error}; build it first", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// QEMU refused, or died.
    #[error("qemu failed: {0}")]
    Qemu(String),
    /// The machine stopped before the program exited.
    #[error(
        "the machine stopped without an exit status: the OS crashed or was reset; see the console above{hint}"
    )]
    Crashed {
        /// What may help.
        hint: &'static str,
        /// What it wrote, when the console was piped.
        console: Vec<u8>,
    },
    /// It took too long.
    #[error("the machine still ran after {}; give it longer, or look for what the program waits for", seconds(*after))]
    Hung {
        /// The deadline.
        after: Duration,
        /// What it wrote, when the console was piped.
        console: Vec<u8>,
    },
    /// Somebody stopped it.
    #[error("the machine was stopped before the program exited")]
    Stopped,
    /// Not a port mapping.
    #[error("`{0}` does not publish a port; write HOST:GUEST, such as 8080:80")]
    Publish(String),
    /// Not a network.
    #[error("`{0}` is no network; write user, none, tap:INTERFACE or socket:PATH")]
    Network(String),
    /// Ports of a network that is not QEMU's own.
    #[error(
        "ports are published by user networking only; on {0} the machine has an address of its own: leave -p out, or --net"
    )]
    PublishOn(String),
    /// Not a disk.
    #[error("`{0}` names no disk; write FILE, or FILE:ro for one that may only be read")]
    Drive(String),
    /// A disk that cannot be opened.
    #[error("the disk {} cannot be opened: {error}; make one with: bespoke disk {}", path.display(), path.display())]
    NoDrive {
        /// Its file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Not a share.
    #[error(
        "`{0}` shares no folder; write HOSTDIR, HOSTDIR:GUESTDIR, and :ro behind it for one that may only be read"
    )]
    Share(String),
    /// A place that QEMU has no name for.
    #[error("`{0}` cannot be the place of a share; name a folder in at most 31 characters without blanks")]
    ShareName(String),
    /// No folder.
    #[error("{} is not a folder; share one that exists", .0.display())]
    NoShare(PathBuf),
    /// Not a socket device.
    #[error(
        "`{0}` is no socket device; write the guest's CID, from 3 on, or socket:PATH of a vhost-user daemon"
    )]
    Vsock(String),
    /// The kernel has no vhost.
    #[error(
        "{0} is not there; load it with modprobe vhost_vsock, or name the socket of a vhost-user daemon: socket:PATH"
    )]
    NoVhost(&'static str),
    /// Too many devices.
    #[error("a microvm has room for 8 devices; take --machine q35 for more")]
    NoRoom,
    /// A system call of the runner failed.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: std::io::Error,
    },
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f32())
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> RunError {
    move |error| RunError::Io { what, error }
}

/// Boots an image and waits for its end.
pub fn run(image: &Path, options: &Options) -> Result<Outcome, RunError> {
    start(image, options)?.wait()
}

/// Boots an image.
pub fn start(image: &Path, options: &Options) -> Result<Running, RunError> {
    network::check(options)?;
    std::fs::File::open(image).map_err(|error| RunError::Image { path: image.to_owned(), error })?;
    let network = network::backend(options).is_some();
    storage::check(
        &options.drives,
        &options.shares,
        options.machine,
        usize::from(network) + usize::from(options.entropy) + usize::from(options.vsock.is_some()),
    )?;
    vsock::check(options.vsock.as_ref())?;
    let accel = match options.accel {
        Accel::Auto => accel::choose(options.qemu.as_deref()),
        other => other,
    };
    Running::spawn(image, options, accel)
}

/// The command line (`-append`) that carries arguments; see the module's documentation.
pub fn command_line(args: &[String]) -> String {
    let mut line = String::new();
    for arg in args {
        if !line.is_empty() {
            line.push(' ');
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&b);
        if arg.bytes().all(plain) {
            let _ = write!(line, "arg={arg}");
        } else {
            let _ = write!(line, "arg='{}'", arg.replace('\'', r"'\''"));
        }
    }
    line
}

/// A booted image.
#[derive(Debug)]
pub struct Running {
    child: Child,
    status: tempfile::NamedTempFile,
    errors: std::fs::File,
    started: Instant,
    deadline: Option<Duration>,
    stopper: Stopper,
}

/// Stops a machine from elsewhere.
#[derive(Debug, Clone)]
pub struct Stopper {
    /// The process, until it is gone.
    pid: Arc<Mutex<Option<Pid>>>,
    asked: Arc<std::sync::atomic::AtomicBool>,
    control: Option<Arc<Mutex<Control>>>,
}

impl Stopper {
    /// Stops the machine at once; its [`Running::wait`] answers [`RunError::Stopped`].
    pub fn stop(&self) {
        self.asked.store(true, std::sync::atomic::Ordering::SeqCst);
        self.kill();
    }

    /// Sends the program a signal. False: it cannot be reached, for want of `driver.control` in the image or of time to start.
    pub fn ask(&self, signal: u8) -> bool {
        self.control().is_some_and(|mut control| control.signal(signal))
    }

    /// Tells the program of its terminal's size, where it can be told.
    pub fn resize(&self, rows: u16, columns: u16) {
        if let Some(mut control) = self.control() {
            control.resize(rows, columns);
        }
    }

    fn control(&self) -> Option<std::sync::MutexGuard<'_, Control>> {
        Some(self.control.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks QEMU to end, which puts the terminal back as it was; and makes it, should it not listen.
    fn kill(&self) {
        if self.signal(Signal::TERM) {
            let stopper = self.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(1));
                stopper.signal(Signal::KILL);
            });
        }
    }

    /// Answers whether the process was still there.
    fn signal(&self, signal: Signal) -> bool {
        self.with_pid(|pid| rustix::process::kill_process(pid, signal).is_ok()).unwrap_or(false)
    }

    /// Does something with the process's number, which cannot become somebody else's meanwhile. `None`: the process is gone.
    fn with_pid<T>(&self, act: impl FnOnce(Pid) -> T) -> Option<T> {
        self.pid.lock().unwrap_or_else(PoisonError::into_inner).map(act)
    }
}

impl Running {
    fn spawn(image: &Path, options: &Options, accel: Accel) -> Result<Self, RunError> {
        let status = tempfile::Builder::new()
            .prefix("bespoke-status-")
            .tempfile()
            .map_err(io("cannot make a temporary file for the exit status"))?;
        let errors = tempfile::tempfile().map_err(io("cannot make a temporary file for qemu's messages"))?;
        let qemu = options.qemu.clone().unwrap_or_else(|| QEMU.into());
        let (control, line) = options.control.then(Control::new).transpose()?.unzip();
        let mut command = if control.is_some() { detached(&qemu) } else { Command::new(&qemu) };
        command.args(arguments(image, options, accel, status.path()));
        command.args(line.iter().flat_map(Line::arguments));
        match options.console {
            Console::Stdio => {}
            Console::Fed => {
                command.stdin(Stdio::piped());
            }
            Console::Piped => {
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
            }
        }
        command.stderr(errors.try_clone().map_err(io("cannot share a temporary file"))?);
        let started = Instant::now();
        let child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => RunError::NoQemu(qemu.display().to_string()),
            _ => RunError::Io { what: "cannot start qemu", error },
        })?;
        drop(line);
        let stopper = Stopper {
            pid: Arc::new(Mutex::new(Pid::from_raw(child.id() as i32))),
            asked: Arc::default(),
            control: control.map(|control| Arc::new(Mutex::new(control))),
        };
        backlog::lengthen(&options.ports, stopper.clone());
        Ok(Self { child, status, errors, started, deadline: options.deadline, stopper })
    }

    /// QEMU's process, for those who look at what it takes.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The guest's console, when it is piped and was not taken yet.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The guest's keyboard, when it is piped and was not taken yet. It is closed by [`Running::wait`] otherwise.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Something to stop the machine with from another thread.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits for the machine's end.
    pub fn wait(mut self) -> Result<Outcome, RunError> {
        drop(self.child.stdin.take());
        let reader = self.child.stdout.take().map(|mut output| {
            std::thread::spawn(move || {
                let mut console = Vec::new();
                let _ = output.read_to_end(&mut console);
                console
            })
        });
        let expired = self.wait_until_deadline()?;
        let ended = self.child.wait().map_err(io("cannot wait for qemu"))?;
        let elapsed = self.started.elapsed();
        let console = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
        self.judge(ended, expired, console, elapsed)
    }

    /// Returns when the process has ended; answers whether it had to be stopped.
    fn wait_until_deadline(&mut self) -> Result<bool, RunError> {
        let (ended, alarm) = mpsc::channel::<()>();
        let watch = self.deadline.map(|deadline| {
            let (stopper, left) = (self.stopper.clone(), deadline.saturating_sub(self.started.elapsed()));
            std::thread::spawn(move || {
                let expired = alarm.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Timeout);
                if expired {
                    stopper.kill();
                }
                expired
            })
        });
        self.wait_for_end().map_err(io("cannot wait for qemu"))?;
        drop(ended);
        Ok(watch.is_some_and(|watch| watch.join().unwrap_or(false)))
    }

    /// Returns when the process has ended. It keeps its number until it is waited for, but nobody may signal it.
    fn wait_for_end(&self) -> std::io::Result<()> {
        let pid = *self.stopper.pid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = pid {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(error) = rustix::process::waitid(WaitId::Pid(pid), options) {
                if error != rustix::io::Errno::INTR {
                    return Err(error.into());
                }
            }
        }
        *self.stopper.pid.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn judge(
        mut self,
        ended: ExitStatus,
        expired: bool,
        console: Vec<u8>,
        elapsed: Duration,
    ) -> Result<Outcome, RunError> {
        let mut status = Vec::new();
        self.status
            .reopen()
            .and_then(|mut file| file.read_to_end(&mut status))
            .map_err(io("cannot read the exit status"))?;
        if let Some(&status) = status.last() {
            return Ok(Outcome { status: i32::from(status), console, elapsed });
        }
        if self.stopper.asked.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(RunError::Stopped);
        }
        if let (true, Some(after)) = (expired, self.deadline) {
            return Err(RunError::Hung { after, console });
        }
        let mut errors = String::new();
        let _ = self.errors.rewind();
        let _ = self.errors.read_to_string(&mut errors);
        if errors.contains("terminating on signal") {
            return Err(RunError::Stopped);
        }
        let errors: Vec<&str> = errors.lines().filter(|line| !line.contains("warning:")).collect();
        match ended.code() {
            Some(0) => {
                Err(RunError::Crashed { hint: "; give it more memory with -m if it got nowhere", console })
            }
            // isa-debug-exit makes odd codes; QEMU's own failure is 1 with a message.
            Some(code) if code % 2 == 1 && errors.is_empty() => Err(RunError::Crashed { hint: "", console }),
            _ if errors.is_empty() => Err(RunError::Qemu(ended.to_string())),
            _ => Err(RunError::Qemu(errors.join("; "))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `wait` there is nothing left to stop.
        let running = self.stopper.pid.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if running {
            self.stopper.kill();
            if self.wait_for_end().is_ok() {
                let _ = self.child.wait();
            }
        }
    }
}

/// QEMU in a process group of its own, so that a signal to the runner's is not the machine's end; with the runner killed it goes all the same.
fn detached(qemu: &Path) -> Command {
    // A missing QEMU is to be missed by its own name. A path with a slash stays what it is.
    let there = crate::program::in_path(qemu).is_some();
    let setpriv = SETPRIV.iter().find(|path| Path::new(path).exists()).filter(|_| there);
    let mut command = match setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(qemu);
            command
        }
        None => Command::new(qemu),
    };
    command.process_group(0);
    command
}

/// A path as a value among comma-separated ones.
fn value(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let parts: Vec<&[u8]> = path.as_os_str().as_bytes().split(|&byte| byte == b',').collect();
    OsString::from_vec(parts.join(&b",,"[..]))
}

fn arguments(image: &Path, options: &Options, accel: Accel, status: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| args.extend(words.iter().map(OsString::from));
    add(&["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    let machine = match options.machine {
        Machine::Microvm => "microvm,acpi=off,x-option-roms=off",
        Machine::Q35 => "q35",
    };
    add(&["-M", &format!("{machine}{}", vsock::machine(options.vsock.as_ref()))]);
    add(match accel {
        // One processor needs one thread, and a small cache of translations is quicker to set up.
        Accel::Auto | Accel::Tcg => &["-accel", "tcg,thread=single,tb-size=32", "-cpu", "max"],
        Accel::Kvm => &["-accel", "kvm", "-cpu", "host"],
    });
    add(&["-m", &format!("{}B", options.memory)]);
    add(&["-chardev", "stdio,id=console,signal=on", "-serial", "chardev:console"]);
    add(&["-device", &format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=2")]);
    add(&["-device", &format!("isa-debugcon,iobase={STATUS_PORT:#x},chardev=status")]);
    // Before the network card, which takes any place that is free.
    args.extend(storage::arguments(&options.drives, &options.shares, options.machine));
    let mut add = |words: &[&str]| args.extend(words.iter().map(OsString::from));
    if let Some(net) = network::backend(options) {
        add(&["-netdev", &net, "-device"]);
        add(match options.machine {
            Machine::Microvm => &["virtio-net-device,netdev=net"],
            Machine::Q35 => &["virtio-net-pci,netdev=net,romfile="],
        });
    }
    if options.entropy {
        add(match options.machine {
            Machine::Microvm => &["-device", "virtio-rng-device"],
            Machine::Q35 => &["-device", "virtio-rng-pci"],
        });
    }
    let mut line = options.terminal.word();
    if !options.args.is_empty() {
        line = format!("{line} {}", command_line(&options.args));
    }
    add(&["-append", &line]);
    args.push("-chardev".into());
    let mut file = OsString::from("file,id=status,path=");
    file.push(value(status));
    args.push(file);
    if let Some(vsock) = &options.vsock {
        args.extend(vsock::arguments(vsock, options.machine, options.memory));
    }
    args.push("-kernel".into());
    args.push(image.into());
    args.extend(options.extra.iter().cloned());
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `status` to the status port and leaves.
    fn exits_with(status: u8) -> tempfile::NamedTempFile {
        let code = [
            0x66, 0xba, 0x04, 0x05, 0xb0, status, 0xee, // mov dx, 0x504; mov al, status; out dx, al
            0x66, 0xba, 0x01, 0x05, 0xb0, 0, 0xee, // mov dx, 0x501; mov al, 0; out dx, al
            0xf4, 0xeb, 0xfd, // hlt; jmp to it
        ];
        image(&code)
    }

    fn image(code: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), crate::image::bare(code)).unwrap();
        file
    }

    fn options() -> Options {
        Options {
            memory: 4 << 20,
            accel: Accel::Tcg,
            console: Console::Piped,
            deadline: Some(Duration::from_secs(20)),
            ..Options::default()
        }
    }

    #[test]
    fn all_eight_bits_of_the_status_arrive() {
        for status in [0, 1, 42, 128, 255] {
            let outcome = run(exits_with(status).path(), &options()).unwrap();
            assert_eq!(outcome.status, i32::from(status));
        }
    }

    #[test]
    fn the_pc_boots_the_same_image() {
        let options = Options { machine: Machine::Q35, memory: 64 << 20, ..options() };
        assert_eq!(run(exits_with(200).path(), &options).unwrap().status, 200);
    }

    #[test]
    fn the_console_is_collected() {
        // mov dx, 0x3f8; mov al, 'h'; out dx, al; mov al, 'i'; out dx, al; then status 3
        let mut code = vec![0x66, 0xba, 0xf8, 0x03, 0xb0, b'h', 0xee, 0xb0, b'i', 0xee];
        code.extend([0x66, 0xba, 0x04, 0x05, 0xb0, 3, 0xee, 0x66, 0xba, 0x01, 0x05, 0xee, 0xf4]);
        let outcome = run(image(&code).path(), &options()).unwrap();
        assert_eq!((outcome.console.as_slice(), outcome.status), (&b"hi"[..], 3));
    }

    #[test]
    fn a_crash_a_hang_and_a_stop_are_told_apart() {
        let reset = image(&[0x0f, 0x01, 0x1d, 0, 0, 0, 0, 0x0f, 0x0b]); // lidt [0]; ud2: a triple fault
        assert!(matches!(run(reset.path(), &options()), Err(RunError::Crashed { .. })));
        let left = image(&[0x66, 0xba, 0x01, 0x05, 0xee, 0xf4]); // leaves without a status
        assert!(matches!(run(left.path(), &options()), Err(RunError::Crashed { .. })));

        let spins = image(&[0xeb, 0xfe]);
        let short = Options { deadline: Some(Duration::from_millis(300)), ..options() };
        assert!(matches!(run(spins.path(), &short), Err(RunError::Hung { .. })));

        let running = start(spins.path(), &options()).unwrap();
        let stopper = running.stopper();
        let stop = std::thread::spawn(move || stopper.stop());
        assert!(matches!(running.wait(), Err(RunError::Stopped)));
        stop.join().unwrap();

        // One that nobody waits for does not outlive its handle.
        let running = start(spins.path(), &options()).unwrap();
        let process = format!("/proc/{}", running.child.id());
        drop(running);
        assert!(!Path::new(&process).exists());
    }

    #[test]
    fn published_ports_have_room_for_a_crowd() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let spins = image(&[0xeb, 0xfe]);
        let ports = vec![format!("{}:80", address.port()).parse().unwrap()];
        let running = start(spins.path(), &Options { ports, ..options() }).unwrap();
        let pid = Pid::from_raw(running.child.id() as i32).unwrap();
        // QEMU stands still, so that nobody takes what waits; it may not have listened before.
        let limit = Duration::from_millis(300);
        let crowd = || (0..64).map(|_| std::net::TcpStream::connect_timeout(&address, limit)).collect();
        let waited = Instant::now();
        loop {
            rustix::process::kill_process(pid, Signal::STOP).unwrap();
            let all: Result<Vec<_>, _> = crowd();
            rustix::process::kill_process(pid, Signal::CONT).unwrap();
            if all.is_ok() {
                break;
            }
            assert!(waited.elapsed() < Duration::from_secs(15), "{all:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    fn what_qemu_refuses_is_quoted() {
        let options = Options { extra: vec!["-nonsense".into()], ..options() };
        match run(exits_with(0).path(), &options) {
            Err(RunError::Qemu(text)) => assert!(text.contains("-nonsense"), "{text}"),
            other => panic!("{other:?}"),
        }
        let options = Options { qemu: Some("/nowhere/qemu".into()), ..Options::default() };
        let error = Running::spawn(Path::new("/dev/null"), &options, Accel::Tcg).unwrap_err();
        assert!(error.to_string().contains("install qemu-system-x86"), "{error}");
        assert!(matches!(run(Path::new("/nowhere/image"), &options), Err(RunError::Image { .. })));
    }

    #[test]
    fn arguments_are_quoted_for_the_guest() {
        let args = ["--port", "6379", "it's", "", "a b"].map(String::from);
        let machine = arguments(Path::new("i"), &options(), Accel::Tcg, Path::new("/tmp/a,b"));
        assert!(machine.iter().any(|a| a == "file,id=status,path=/tmp/a,,b"), "{machine:?}");
        assert_eq!(command_line(&args), r"arg=--port arg=6379 arg='it'\''s' arg= arg='a b'");
    }
}
