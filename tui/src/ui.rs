//! The configurator's loop: events in, effects out, a frame when something changed.
//!
//! One thread reads keys, one waits for signals, and builds and programs run on others; all of them send to one
//! channel, and this loop sleeps on it. It draws only when something happened, so an idle configurator uses no CPU.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use bespoke_kernel::run::{self as machine, Options, RunError, Stopper};
use bespoke_model::{Config, Tree};
use crossterm::event as terminal_event;
use ratatui::layout::Rect;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};

use crate::app::doc::Doc;
use crate::app::keymap::Keymap;
use crate::app::theme::Theme;
use crate::app::{App, Built, Effect, Event, Need};
use crate::backend::{self, Kernel};
use crate::cli::args::Open;
use crate::cli::{Done, Stop};
use crate::presets::{self, Chain, Failure};
use crate::terminal::{self, Screen};
use crate::view;

/// What comes in.
enum Message {
    /// For the state machine.
    App(Event),
    /// A signal: end, keeping the edits.
    End(i32),
    /// A signal: give the terminal to the shell.
    Suspend,
    /// Back from the shell.
    Resumed,
    /// The machine that was booted, to stop it with.
    Machine(Stopper),
    /// No more keys will come.
    Lost,
}

/// How long to measure between two looks at the keyboard.
pub const SLICE: Duration = Duration::from_millis(4);

/// The config to start with when there is none: it extends the smallest preset.
pub const FRESH: &str = "schema = 1\nextends = \"preset:hello\"\n";

/// Opens the configurator.
pub fn open(args: &Open) -> Done {
    let (chain, name, saved) = choose(args.config.as_deref())?;
    if !terminal::is_interactive() {
        let failure = Failure::new("the configurator needs a terminal");
        return Err(Stop::Usage(
            failure.hint("for scripts: bespoke set, build, run, size, check; see bespoke --help"),
        ));
    }
    let keymap = Keymap::load().map_err(|error| Stop::no(format!("{error:#}")))?;
    let kernel = Rc::new(Kernel::new());
    let tree = &kernel.os().tree;
    crate::cli::resolve(tree, &chain)?;
    let doc = Doc::open(tree, kernel.clone(), chain, &name, saved).map_err(Stop::no)?;
    let (width, height) = crossterm::terminal::size()
        .map_err(|error| Stop::no(format!("the terminal does not tell its size: {error}")))?;
    let mut app = App::new(doc, Theme::from_env(args.ascii), keymap, Rect::new(0, 0, width, height));
    app.needs = needs(tree, app.doc.chain());
    let file = PathBuf::from(&name);
    let recovery = recovery_path(&file);
    if let Ok(edits) = std::fs::read_to_string(&recovery) {
        if edits == app.doc.text() {
            let _ = std::fs::remove_file(&recovery);
        } else {
            app.offer_recovery(edits);
        }
    } else if !saved {
        app.message = Some(crate::app::Message {
            tone: crate::app::theme::Tone::Notable,
            text: format!(
                "new, extends {}; {} writes {name}",
                app.doc.extends().unwrap_or_default(),
                app.keymap.shown(crate::app::action::Action::Save)
            ),
        });
    }
    let loop_ =
        Loop { app, kernel, file, recovery, on_disk: String::new(), kept: String::new(), stopper: None };
    loop_.run(!args.no_mouse)
}

/// The config to open: the one that is named, ./bespoke.toml, or a new one.
fn choose(config: Option<&str>) -> Result<(Chain, String, bool), Failure> {
    let fresh = |name: &str, text: &str| -> Result<(Chain, String, bool), Failure> {
        let config =
            Config::parse(name, text).map_err(|d| Failure::new(presets::strip_error(&d.to_string())))?;
        Ok((presets::chain(config, presets::dir_of(Path::new(name)))?, name.to_owned(), false))
    };
    match config {
        None if Path::new("bespoke.toml").exists() => {
            Ok((presets::load("bespoke.toml")?, "bespoke.toml".to_owned(), true))
        }
        None => fresh("bespoke.toml", FRESH),
        // A preset is a start, not a file: what comes of it is saved as one.
        Some(name) if name.starts_with("preset:") => {
            presets::load(name)?;
            fresh("bespoke.toml", &FRESH.replace("preset:hello", name))
        }
        Some(path) if !Path::new(path).exists() && path.ends_with(".toml") => fresh(path, FRESH),
        Some(path) => Ok((presets::load(path)?, path.to_owned(), true)),
    }
}

/// What the program needs, and the parts that serve it.
fn needs(tree: &Tree, chain: &Chain) -> Vec<Need> {
    let mut needs = Vec::new();
    let fitted: Vec<String> = chain
        .config
        .fit_entries()
        .filter(|(id, _)| tree.find(id).is_some())
        .map(|(id, _)| id.to_owned())
        .collect();
    if !fitted.is_empty() {
        needs.push(Need { what: "what fitting found that it needs".to_owned(), parts: fitted });
    }
    let mut served: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    for n in tree.nodes() {
        let node = tree.node(n);
        for link in &node.provides {
            served.entry(link.text.clone()).or_default().push(node.id.clone());
        }
    }
    let calls: Vec<String> = tree
        .nodes()
        .map(|n| tree.node(n))
        .filter(|node| node.id.starts_with("abi.") && node.kind == bespoke_model::Kind::Component)
        .map(|node| node.id.clone())
        .collect();
    if !calls.is_empty() {
        needs.push(Need { what: "families of system calls it may make".to_owned(), parts: calls });
    }
    needs.extend(served.into_iter().map(|(what, parts)| Need { what, parts }));
    needs
}

/// Where unsaved edits are kept while the configurator runs.
fn recovery_path(file: &Path) -> PathBuf {
    let name = file.file_name().map_or_else(|| "bespoke.toml".into(), |n| n.to_string_lossy().into_owned());
    file.with_file_name(format!(".{name}.unsaved"))
}

struct Loop {
    app: App,
    kernel: Rc<Kernel>,
    file: PathBuf,
    recovery: PathBuf,
    /// The text of the config as it was last read or written here.
    on_disk: String,
    /// The text in the recovery file.
    kept: String,
    stopper: Option<Stopper>,
}

impl Loop {
    fn run(mut self, mouse: bool) -> Done {
        if !self.app.doc.is_new() {
            self.on_disk = self.app.doc.text().to_owned();
        }
        let (send, receive) = mpsc::channel();
        watch_signals(&send).map_err(|error| Stop::no(format!("cannot watch for signals: {error}")))?;
        let mut screen = Screen::enter(mouse)
            .map_err(|error| Stop::no(format!("cannot take the terminal over: {error}")))?;
        read_keys(send.clone());
        let ended = self.turn(&mut screen, &send, &receive);
        drop(screen);
        if let Some(stopper) = self.stopper.take() {
            stopper.stop();
        }
        match ended {
            Ok(None) => {
                let _ = std::fs::remove_file(&self.recovery);
                Ok(ExitCode::SUCCESS)
            }
            Ok(Some(signal)) => {
                self.keep_edits();
                if self.app.doc.is_dirty() {
                    eprintln!("unsaved changes are kept in {}", self.recovery.display());
                }
                Ok(ExitCode::from(128 + signal as u8))
            }
            Err(error) => {
                self.keep_edits();
                Err(Stop::no(format!("the terminal failed: {}", presets::plain(&error))))
            }
        }
    }

    /// Runs until the end; the signal that ended it, if one did.
    fn turn(
        &mut self,
        screen: &mut Screen,
        send: &Sender<Message>,
        receive: &Receiver<Message>,
    ) -> std::io::Result<Option<i32>> {
        let mut first = true;
        loop {
            // Everything that has happened is taken in before the next frame: keys that repeat fast never queue up.
            let mut message = if first {
                first = false;
                None
            } else if self.app.unmeasured() {
                match receive.try_recv() {
                    Ok(message) => Some(message),
                    Err(mpsc::TryRecvError::Empty) => None,
                    Err(mpsc::TryRecvError::Disconnected) => return Ok(Some(SIGHUP)),
                }
            } else {
                self.keep_edits();
                match receive.recv() {
                    Ok(message) => Some(message),
                    Err(_) => return Ok(Some(SIGHUP)),
                }
            };
            while let Some(now) = message {
                match now {
                    Message::App(event) => {
                        // How a panic leaves the terminal can only be tried with one.
                        #[cfg(debug_assertions)]
                        if matches!(event, Event::Resize(..))
                            && std::env::var_os("BESPOKE_PANIC_ON_RESIZE").is_some()
                        {
                            panic!("asked for by BESPOKE_PANIC_ON_RESIZE");
                        }
                        self.app.update(event);
                    }
                    Message::End(signal) => return Ok(Some(signal)),
                    Message::Lost => return Ok(Some(SIGHUP)),
                    Message::Suspend => screen.suspend()?,
                    Message::Resumed => {
                        screen.forget();
                        // The terminal may have another size than when it was left.
                        if let Ok((width, height)) = crossterm::terminal::size() {
                            self.app.update(Event::Resize(width, height));
                        }
                    }
                    Message::Machine(stopper) => self.stopper = Some(stopper),
                }
                for effect in std::mem::take(&mut self.app.effects) {
                    if self.carry_out(effect, screen, send)? {
                        return Ok(None);
                    }
                }
                message = receive.try_recv().ok();
            }
            let began = Instant::now();
            self.app.measure(|| began.elapsed() > SLICE);
            screen.draw(|frame| view::draw(&self.app, frame))?;
        }
    }

    /// Carries an effect out; whether it is the end.
    fn carry_out(
        &mut self,
        effect: Effect,
        screen: &mut Screen,
        send: &Sender<Message>,
    ) -> std::io::Result<bool> {
        match effect {
            Effect::Quit => return Ok(true),
            Effect::Suspend => screen.suspend()?,
            Effect::Redraw => screen.forget(),
            Effect::Save { force } => self.save(force),
            Effect::SaveCopy { path, force } => self.save_copy(path, force),
            Effect::DropRecovery => {
                let _ = std::fs::remove_file(&self.recovery);
                self.app.recovery = None;
                self.kept.clear();
            }
            Effect::Build => self.build(send.clone(), false),
            Effect::Boot => self.build(send.clone(), true),
            Effect::Stop => {
                if let Some(stopper) = self.stopper.take() {
                    stopper.stop();
                }
            }
        }
        // What an effect leads to may ask for more (save, then quit).
        for next in std::mem::take(&mut self.app.effects) {
            if self.carry_out(next, screen, send)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn save(&mut self, force: bool) {
        if !force {
            let theirs = match std::fs::read_to_string(&self.file) {
                Ok(text) => text != self.on_disk,
                Err(error) => error.kind() != ErrorKind::NotFound,
            };
            if theirs {
                self.app.update(Event::ChangedOnDisk);
                return;
            }
        }
        let text = self.app.doc.text().to_owned();
        match presets::write(&self.file, &text) {
            Ok(()) => {
                self.on_disk = text;
                self.kept.clear();
                let _ = std::fs::remove_file(&self.recovery);
                self.app.recovery = None;
                self.app.update(Event::Saved(Ok(self.file.clone())));
            }
            Err(failure) => self.app.update(Event::Saved(Err(failure.message))),
        }
    }

    fn save_copy(&mut self, path: PathBuf, force: bool) {
        if path.exists() && !force {
            self.app.update(Event::Exists(path));
            return;
        }
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let result = match made {
            Ok(()) => presets::write(&path, self.app.doc.text()).map_err(|failure| failure.message),
            Err(error) => Err(format!("cannot save {}: {}", path.display(), presets::plain(&error))),
        };
        self.app.update(Event::Copied(result.map(|()| path)));
    }

    /// Keeps unsaved edits in a file, so that nothing is lost whatever ends the configurator.
    fn keep_edits(&mut self) {
        if self.app.recovery.is_some() && !self.app.doc.is_dirty() {
            return; // the edits of last time are still on offer
        }
        let text = self.app.doc.text();
        if self.app.doc.is_dirty() {
            if self.kept != text && presets::write(&self.recovery, text).is_ok() {
                text.clone_into(&mut self.kept);
            }
        } else if !self.kept.is_empty() {
            let _ = std::fs::remove_file(&self.recovery);
            self.kept.clear();
        }
    }

    fn build(&mut self, send: Sender<Message>, boot: bool) {
        if self.app.console.running
            && boot
            && let Some(stopper) = self.stopper.take()
        {
            stopper.stop();
        }
        let os = self.kernel.os();
        let chain = self.app.doc.chain().clone();
        let resolution = self.app.doc.resolution().clone();
        let image = crate::cli::image_path(&self.file.to_string_lossy());
        std::thread::spawn(move || {
            // What is only booted leaves nothing behind.
            let scratch =
                boot.then(|| tempfile::Builder::new().prefix("bespoke-run-").tempdir().ok()).flatten();
            let image = scratch.as_ref().map_or(image, |dir| dir.path().join("image"));
            let app = |event| send.send(Message::App(event)).is_ok();
            let start = Instant::now();
            let build = || backend::build(os, &chain, &resolution, &image).map_err(|failure| failure.message);
            let built = std::panic::catch_unwind(std::panic::AssertUnwindSafe(build))
                .unwrap_or_else(|_| Err("the build broke off: that is a fault of bespoke".to_owned()))
                .map(|bytes| Built {
                    path: image.clone(),
                    bytes,
                    millis: start.elapsed().as_secs_f64() * 1000.0,
                });
            let good = built.is_ok();
            if !boot || !good {
                app(Event::Built(built));
            }
            if good && boot {
                boot_image(&image, &send);
            }
        });
    }
}

/// Boots an image; what it says and how it ends goes to the console.
fn boot_image(image: &Path, send: &Sender<Message>) {
    let app = |event| send.send(Message::App(event)).is_ok();
    let options = Options { console: machine::Console::Piped, ..Options::default() };
    let mut running = match machine::start(image, &options) {
        Ok(running) => running,
        Err(error) => {
            app(Event::Exited(error.to_string(), false));
            return;
        }
    };
    let _ = send.send(Message::Machine(running.stopper()));
    app(Event::Booted);
    let output = running.take_output();
    let start = Instant::now();
    let reader = output.map(|mut output| {
        let send = send.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                let said = String::from_utf8_lossy(&buffer[..n]).into_owned();
                if send.send(Message::App(Event::Console(said))).is_err() {
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
    app(Event::Exited(how, good));
}

fn watch_signals(send: &Sender<Message>) -> std::io::Result<()> {
    let mut signals =
        signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT, SIGTSTP, SIGCONT, SIGWINCH])?;
    let send = send.clone();
    std::thread::spawn(move || {
        for signal in &mut signals {
            let message = match signal {
                SIGTSTP => Message::Suspend,
                SIGWINCH => match crossterm::terminal::size() {
                    Ok((width, height)) => Message::App(Event::Resize(width, height)),
                    Err(_) => continue,
                },
                SIGCONT => Message::Resumed,
                end => Message::End(end),
            };
            if send.send(message).is_err() {
                break;
            }
        }
    });
    Ok(())
}

fn read_keys(send: Sender<Message>) {
    std::thread::spawn(move || {
        loop {
            let event = match terminal_event::read() {
                Ok(terminal_event::Event::Key(key)) if key.kind != terminal_event::KeyEventKind::Release => {
                    Event::Key(key.into())
                }
                Ok(terminal_event::Event::Paste(text)) => Event::Paste(text),
                Ok(terminal_event::Event::Mouse(mouse)) => Event::Mouse(mouse),
                // Resizes are told by the signal: crossterm loses one that comes together with a key.
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => {
                    let _ = send.send(Message::Lost);
                    return;
                }
            };
            if send.send(Message::App(event)).is_err() {
                return;
            }
        }
    });
}
