//! The program that runs: built, booted, typed to and stopped, each on a thread of its own.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::time::Instant;

use bespoke_kernel::Os;
use bespoke_kernel::run::{self as machine, Console, Options, RunError, Running, Stopper};
use bespoke_model::Resolution;

use super::Message;
use crate::app::{Built, Event};
use crate::backend;
use crate::presets::Chain;

/// A machine that runs.
pub(super) struct Machine {
    stopper: Stopper,
    keyboard: Sender<Vec<u8>>,
}

impl Machine {
    fn new(running: &mut Running) -> Self {
        let (keyboard, typed) = mpsc::channel::<Vec<u8>>();
        if let Some(mut input) = running.take_input() {
            // A program that does not read would make the writer wait.
            std::thread::spawn(move || {
                for bytes in typed {
                    if input.write_all(&bytes).and_then(|()| input.flush()).is_err() {
                        break;
                    }
                }
            });
        }
        Machine { stopper: running.stopper(), keyboard }
    }

    /// Passes what was typed on.
    pub(super) fn type_bytes(&self, bytes: Vec<u8>) {
        let _ = self.keyboard.send(bytes);
    }

    /// Ends it.
    pub(super) fn stop(self) {
        self.stopper.stop();
    }
}

/// What is built, and where it goes.
pub(super) struct Job {
    pub(super) os: &'static Os,
    pub(super) chain: Chain,
    pub(super) resolution: Resolution,
    pub(super) image: PathBuf,
    /// How it is booted, when it is; and the number of that run, by which what it says is known.
    pub(super) boot: Option<(u64, Options)>,
}

impl Job {
    /// Does the work on a thread; what comes of it is sent.
    pub(super) fn start(self, send: Sender<Message>) {
        std::thread::spawn(move || {
            // What is only booted leaves nothing behind.
            let scratch = self
                .boot
                .as_ref()
                .and_then(|_| tempfile::Builder::new().prefix("bespoke-run-").tempdir().ok());
            let image = scratch.as_ref().map_or(self.image, |dir| dir.path().join("image"));
            let start = Instant::now();
            let build = || {
                backend::build(self.os, &self.chain, &self.resolution, &image)
                    .map_err(|failure| failure.message)
            };
            let built = std::panic::catch_unwind(std::panic::AssertUnwindSafe(build))
                .unwrap_or_else(|_| Err("the build broke off: that is a fault of bespoke".to_owned()))
                .map(|bytes| Built {
                    path: image.clone(),
                    bytes,
                    millis: start.elapsed().as_secs_f64() * 1000.0,
                });
            match self.boot {
                Some((run, options)) if built.is_ok() => boot(&image, options, run, &send),
                _ => drop(send.send(Message::App(Event::Built(built)))),
            }
        });
    }
}

/// Boots an image; what it says and how it ends goes to the console.
fn boot(image: &Path, options: Options, run: u64, send: &Sender<Message>) {
    let tell = |event| drop(send.send(Message::Run(run, event)));
    let options = Options { console: Console::Piped, ..options };
    let mut running = match machine::start(image, &options) {
        Ok(running) => running,
        Err(error) => return tell(Event::Exited(error.to_string(), false)),
    };
    let _ = send.send(Message::Machine(run, Machine::new(&mut running)));
    tell(Event::Booted);
    let start = Instant::now();
    let reader = running.take_output().map(|mut output| {
        let send = send.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                let said = String::from_utf8_lossy(&buffer[..n]).into_owned();
                if send.send(Message::Run(run, Event::Console(said))).is_err() {
                    break;
                }
            }
        })
    });
    let result = running.wait();
    if let Some(reader) = reader {
        let _ = reader.join();
    }
    let took = start.elapsed().as_millis();
    let (how, good) = match result {
        Ok(outcome) => (format!("exit status {} after {took} ms", outcome.status), outcome.status == 0),
        Err(RunError::Stopped) => ("stopped".to_owned(), true),
        Err(error) => (error.to_string(), false),
    };
    tell(Event::Exited(how, good));
}
