//! The machine of `bespoke run`: keys and signals on their way to the program.

use std::io::{IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ChildStdin, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bespoke_kernel::run::{self as machine, Console, Options, Outcome, RunError, Stopper, Terminal};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use super::{Done, Stop};
use crate::presets::Failure;

/// The start of a stream to the guest, behind a byte that may get lost.
const START: [u8; 2] = [0, 0x02];
/// The end of what is typed, and what has the next byte mean itself, in a stream to the guest.
const CTRL_D: u8 = 0x04;
const CTRL_V: u8 = 0x16;
/// The key that leaves the machine (Ctrl-]).
const LEAVE: u8 = 0x1d;
/// What a program ended by SIGKILL leaves.
const KILLED: u8 = 128 + 9;

/// The terminal in raw mode, for as long as this value lives.
struct Raw;

impl Raw {
    fn enter() -> std::io::Result<Self> {
        enable_raw_mode()?;
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let _ = disable_raw_mode();
            before(info);
        }));
        Ok(Raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = disable_raw_mode();
    }
}

/// Within this time a signal that comes again is the same one: who signals a group and its leader signals twice.
const SAME: Duration = Duration::from_millis(200);

/// Ends the program in order if it can be asked to, and the machine at once otherwise, or when asked again.
#[derive(Clone)]
struct End {
    stopper: Stopper,
    grace: Duration,
    /// When somebody asked, and by which signal.
    asked: Arc<Mutex<Option<(Instant, i32)>>>,
    /// The program did not end in time, or somebody would not wait.
    forced: Arc<AtomicBool>,
}

impl End {
    fn is_asked(&self) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn ask(&self, signal: i32) {
        let before = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let before = *asked;
            asked.get_or_insert_with(|| (Instant::now(), signal));
            before
        };
        match before {
            Some((when, first)) if signal == first && when.elapsed() < SAME => return,
            Some(_) => return self.force(),
            None => {}
        }
        match self.stopper.ask(signal as u8) {
            true => self.force_later(),
            false => self.force(),
        }
    }

    /// Asks for the first time, if the program can be reached by now. False: it cannot.
    fn try_ask(&self, signal: i32) -> bool {
        let reached = self.stopper.ask(signal as u8);
        if reached {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.get_or_insert_with(|| (Instant::now(), signal));
            drop(asked);
            self.force_later();
        }
        reached
    }

    fn force_later(&self) {
        let end = self.clone();
        std::thread::spawn(move || {
            std::thread::sleep(end.grace);
            end.force();
        });
    }

    fn force(&self) {
        self.forced.store(true, Ordering::SeqCst);
        self.stopper.stop();
    }
}

/// How a machine that was attended to ended.
pub struct Ended {
    /// What became of it.
    pub result: Result<Outcome, RunError>,
    /// Somebody asked the program to end.
    pub asked: bool,
    /// It did not, so that the machine was stopped.
    pub forced: bool,
}

/// Boots an image with this process' terminal, or whatever else its streams are, and its signals; the exit status is the program's own.
pub fn boot(image: &Path, options: Options, grace: Duration) -> Done {
    let ended = attend(image, options, grace, None)?;
    match ended.result {
        Err(RunError::Stopped) if ended.forced => {
            let _ = writeln!(std::io::stderr(), "bespoke: the machine was stopped before the program ended");
            Ok(ExitCode::from(KILLED))
        }
        Err(error) => Err(Failure::from_kernel(&error).into()),
        Ok(outcome) => Ok(ExitCode::from(outcome.status as u8)),
    }
}

/// Boots an image as [`boot`] does. The program is asked to end when the time is over, where there is a limit.
///
/// # Errors
/// When the machine cannot be started.
pub fn attend(
    image: &Path,
    options: Options,
    grace: Duration,
    limit: Option<Duration>,
) -> Result<Ended, Stop> {
    let typed = std::io::stdin().is_terminal();
    let shown = std::io::stdout().is_terminal();
    let terminal = match (typed, shown) {
        (true, true) => {
            // A terminal that does not say how large it is.
            let (columns, rows) = crossterm::terminal::size().unwrap_or((0, 0));
            Terminal::Size { rows, columns }
        }
        // Its own line editing and echo stay on.
        (true, false) => Terminal::Quiet,
        (false, _) => Terminal::Stream,
    };
    let options = Options { console: Console::Fed, terminal, control: true, ..options };
    // Before the machine is there, so that no signal comes in between.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGWINCH]);
    let mut signals = signals.map_err(|error| Stop::no(format!("cannot watch for signals: {error}")))?;
    let mut running = machine::start(image, &options).map_err(|error| Failure::from_kernel(&error))?;
    let end = End { stopper: running.stopper(), grace, asked: Arc::default(), forced: Arc::default() };
    let raw = match terminal {
        Terminal::Size { .. } => Some(Raw::enter()),
        _ => None,
    };
    let raw = raw.transpose().map_err(|error| Stop::no(format!("cannot read single keys: {error}")))?;
    let over = event().map_err(|error| Stop::no(format!("cannot wait for the machine's end: {error}")))?;
    let over = Arc::new(over);
    let feeding = running.take_input().map(|input| {
        let (end, over) = (end.clone(), Arc::clone(&over));
        std::thread::spawn(move || feed(input, terminal, &end, &over))
    });
    let ending = end.clone();
    std::thread::spawn(move || {
        for signal in &mut signals {
            match signal {
                SIGWINCH => {
                    if let (Terminal::Size { .. }, Ok((columns, rows))) =
                        (terminal, crossterm::terminal::size())
                    {
                        ending.stopper.resize(rows, columns);
                    }
                }
                signal => ending.ask(signal),
            }
        }
    });
    if let Some(limit) = limit {
        let end = end.clone();
        std::thread::spawn(move || {
            std::thread::sleep(limit);
            // A machine that is slow to start may not have come to its program yet.
            let over = Instant::now();
            while !end.is_asked() && !end.try_ask(SIGTERM) {
                if over.elapsed() > end.grace {
                    end.ask(SIGTERM);
                }
                std::thread::sleep(SAME);
            }
        });
    }
    let result = running.wait();
    // What is typed from now on is for whoever comes next.
    if let (Ok(_), Some(feeding)) = (rustix::io::write(&over, &1u64.to_ne_bytes()), feeding) {
        let _ = feeding.join();
    }
    drop(raw);
    Ok(Ended { result, asked: end.is_asked(), forced: end.forced.load(Ordering::SeqCst) })
}

/// Something to wait for beside a stream.
fn event() -> rustix::io::Result<OwnedFd> {
    eventfd(0, EventfdFlags::CLOEXEC)
}

/// Passes this process' standard input on, until either side ends or the machine is `over`. Nothing is read that has nobody to go to: the next
/// machine may want it.
fn feed(mut to: ChildStdin, terminal: Terminal, end: &End, over: &OwnedFd) {
    // Past the standard library's buffer, which would keep what is left for another.
    let input = rustix::stdio::stdin();
    let mut chunk = [0; 4096];
    let mut bytes = Vec::new();
    if terminal == Terminal::Stream && to.write_all(&START).is_err() {
        return;
    }
    loop {
        // QEMU has its output not block, and what the terminal is for the one it is for the other: so it is waited for here.
        let mut ready = [PollFd::new(&input, PollFlags::IN), PollFd::new(over, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) if !ready[1].revents().is_empty() => return,
            Ok(_) | Err(Errno::INTR) if ready[0].revents().is_empty() => continue,
            Ok(_) => {}
            Err(_) => break,
        }
        let count = match rustix::io::read(input, &mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(_) => break,
        };
        bytes.clear();
        for &byte in &chunk[..count] {
            match (terminal, byte) {
                (Terminal::Stream, CTRL_D | CTRL_V) => bytes.extend([CTRL_V, byte]),
                (Terminal::Size { .. }, LEAVE) => end.ask(SIGTERM),
                _ => bytes.push(byte),
            }
        }
        if to.write_all(&bytes).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
    let _ = to.write_all(&[CTRL_D]).and_then(|()| to.flush());
    // QEMU takes no notice of a pipe's end; the guest has been told.
}
