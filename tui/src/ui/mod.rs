//! The configurator's loop: events in, effects out, a frame when something changed.
//!
//! One thread reads keys, one waits for signals, and builds and programs run on others; all of them send to one
//! channel, and this loop sleeps on it. It draws only when something happened, so an idle configurator uses no CPU.

mod input;
mod machine;
mod make;
mod proof;
pub(crate) mod start;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use bespoke_kernel::run::{Drive, Publish, Share};
use ratatui::layout::Rect;
use signal_hook::consts::SIGHUP;

use self::machine::{Job, Machine};
use self::start::Start;
use crate::app::action::Action;
use crate::app::doc::Doc;
use crate::app::keymap::Keymap;
use crate::app::theme::{Theme, Tone};
use crate::app::{App, Effect, Event};
use crate::backend::{self, Kernel};
use crate::cli::args::Open;
use crate::cli::{Done, Stop};
use crate::presets::{self, Failure};
use crate::state;
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
    /// The machine that was booted, by the number of its run.
    Machine(u64, Machine),
    /// For the state machine, about a run.
    Run(u64, Event),
    /// No more keys will come.
    Lost,
}

/// How long to measure between two looks at the keyboard.
pub const SLICE: Duration = Duration::from_millis(4);

/// Opens the configurator.
pub fn open(args: &Open) -> Done {
    let Start { mut chain, name, on_disk } = start::choose(args.config.as_deref())?;
    let outside = Outside {
        ports: crate::cli::written(&args.ports)?,
        drives: crate::cli::written(&args.disks)?,
        shares: crate::cli::written(&args.shares)?,
    };
    if !terminal::is_interactive() {
        let failure = Failure::new("the configurator needs a terminal");
        return Err(Stop::Usage(
            failure.hint("for scripts: bespoke set, build, run, size, check; see bespoke --help"),
        ));
    }
    let keymap = Keymap::load().map_err(|error| Stop::no(format!("{error:#}")))?;
    let kernel = Rc::new(Kernel::new());
    let tree = &kernel.os().tree;
    let original = chain.config.clone();
    let trouble = start::trouble(tree, &chain)?;
    if let Some(trouble) = &trouble {
        // The first way out is shown behind the question; nothing is written.
        chain.config = bespoke_model::Config::parse(chain.config.file(), &trouble.ways[0].text)
            .map_err(|problems| Stop::no(problems.to_string()))?;
    }
    let saved = on_disk.is_some();
    let mut doc = Doc::open(tree, kernel.clone(), chain, &name, saved).map_err(Stop::no)?;
    if trouble.is_some() && saved {
        doc.differs_from(original);
    }
    let (width, height) = crossterm::terminal::size()
        .map_err(|error| Stop::no(format!("the terminal does not tell its size: {error}")))?;
    let mut app = App::new(doc, Theme::from_env(args.ascii), keymap, Rect::new(0, 0, width, height));
    app.needs = start::needs(tree, app.doc.chain());
    let file = PathBuf::from(&name);
    app.budget = state::budget(&file);
    if let Some(trouble) = trouble {
        app.offer_ways(trouble.because, trouble.ways);
    } else if !saved {
        let save = app.keymap.shown(Action::Save);
        let from = app.doc.extends().unwrap_or_default();
        let fits = app.keymap.shown(Action::NewProgram);
        app.say(Tone::Notable, format!("new, extends {from}; {save} writes {name}; {fits} fits a program"));
    }
    let recovery = start::recovery_path(&file);
    if let Ok(edits) = std::fs::read_to_string(&recovery) {
        if edits == app.doc.text() {
            let _ = std::fs::remove_file(&recovery);
        } else {
            app.offer_recovery(edits);
        }
    }
    let loop_ = Loop {
        app,
        kernel,
        file,
        recovery,
        on_disk: on_disk.unwrap_or_default(),
        kept: String::new(),
        outside,
        machine: None,
        run: 0,
        search: None,
    };
    loop_.run(!args.no_mouse)
}

/// Ports, disks and folders of this machine that a program is given.
struct Outside {
    ports: Vec<Publish>,
    drives: Vec<Drive>,
    shares: Vec<Share>,
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
    /// What a program that is booted has to do with this machine.
    outside: Outside,
    machine: Option<Machine>,
    /// The number of the run that counts; what is heard of an earlier one is dropped.
    run: u64,
    /// The proof that is being looked for.
    search: Option<proof::Search>,
}

impl Loop {
    fn run(mut self, mouse: bool) -> Done {
        let (send, receive) = mpsc::channel();
        input::watch_signals(&send)
            .map_err(|error| Stop::no(format!("cannot watch for signals: {error}")))?;
        let mut screen = Screen::enter(mouse)
            .map_err(|error| Stop::no(format!("cannot take the terminal over: {error}")))?;
        input::read_keys(send.clone());
        let ended = self.turn(&mut screen, &send, &receive);
        drop(screen);
        if let Some(machine) = self.machine.take() {
            machine.stop();
        }
        match ended {
            Ok(None) => {
                // Edits of last time that nobody decided on stay for next time.
                if self.app.recovery.is_none() {
                    let _ = std::fs::remove_file(&self.recovery);
                }
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
                    Message::Machine(run, machine) if run == self.run => self.machine = Some(machine),
                    Message::Machine(_, machine) => machine.stop(),
                    Message::Run(run, event) if run == self.run => self.app.update(event),
                    Message::Run(..) => {}
                }
                for effect in std::mem::take(&mut self.app.effects) {
                    if self.carry_out(effect, screen, send)? {
                        return Ok(None);
                    }
                }
                message = receive.try_recv().ok();
            }
            self.prove(send);
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
            Effect::New(wish) => make::start(wish, presets::dir_of(&self.file), send.clone()),
            Effect::Open(path) => {
                if let Err(why) = self.reopen(&path) {
                    self.app.say(Tone::Bad, why);
                }
            }
            Effect::Build => self.build(send.clone(), false),
            Effect::Boot => self.build(send.clone(), true),
            Effect::Stop => match self.machine.take() {
                Some(machine) => machine.stop(),
                None => {
                    // It is not there yet, and is not wanted when it comes.
                    self.run += 1;
                    self.app.update(Event::Exited("stopped".to_owned(), true));
                }
            },
            Effect::Type(bytes) => {
                if let Some(machine) = &self.machine {
                    machine.type_bytes(bytes);
                }
            }
            Effect::KeepBudget => {
                if let Err(failure) = state::keep_budget(&self.file, self.app.budget) {
                    self.app.say(Tone::Bad, format!("the budget holds until you quit: {}", failure.message));
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

    /// Goes on with another config.
    fn reopen(&mut self, path: &Path) -> Result<(), String> {
        let name = path.to_string_lossy();
        let Start { chain, name, on_disk } = start::choose(Some(&name)).map_err(|failure| failure.message)?;
        let tree = &self.kernel.os().tree;
        let doc = Doc::open(tree, self.kernel.clone(), chain, &name, on_disk.is_some())?;
        if let Some(machine) = self.machine.take() {
            machine.stop();
        }
        self.run += 1;
        let _ = std::fs::remove_file(&self.recovery);
        let (theme, keymap) = (self.app.theme, self.app.keymap.clone());
        self.app = App::new(doc, theme, keymap, self.app.area);
        self.app.needs = start::needs(tree, self.app.doc.chain());
        self.file = PathBuf::from(&name);
        self.app.budget = state::budget(&self.file);
        self.recovery = start::recovery_path(&self.file);
        self.on_disk = on_disk.unwrap_or_default();
        self.kept.clear();
        let view = self.app.keymap.shown(Action::ViewProgram);
        self.app.say(Tone::Good, format!("{name}: {view} shows what its program needs"));
        Ok(())
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
            Ok(()) => {
                let copy = presets::relocated(self.app.doc.chain(), presets::dir_of(&path));
                presets::write(&path, copy.text()).map_err(|failure| failure.message)
            }
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
        let boot = boot.then(|| {
            if let Some(machine) = self.machine.take() {
                machine.stop();
            }
            self.run += 1;
            let mut options = backend::options(self.app.doc.tree(), self.app.doc.resolution());
            options.ports = self.outside.ports.clone();
            options.drives = self.outside.drives.clone();
            options.shares = self.outside.shares.clone();
            (self.run, options)
        });
        let job = Job {
            os: self.kernel.os(),
            chain: self.app.doc.chain().clone(),
            resolution: self.app.doc.resolution().clone(),
            image: crate::cli::image_path(&self.file.to_string_lossy()),
            boot,
        };
        job.start(send);
    }

    /// Looks for the proof that is wanted, and for no other.
    fn prove(&mut self, send: &Sender<Message>) {
        let wanted = self.app.unproven();
        if let (Some(search), Some(question)) = (&self.search, &wanted)
            && search.is_about(question)
        {
            return;
        }
        // Letting go of a search stops it.
        self.search =
            wanted.map(|question| proof::Search::start(self.app.doc.tree(), question, send.clone()));
    }
}
