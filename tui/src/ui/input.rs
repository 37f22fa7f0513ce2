//! What comes in from outside: keys and signals.

use std::io::ErrorKind;
use std::sync::mpsc::Sender;

use crossterm::event as terminal_event;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};

use super::Message;
use crate::app::Event;

/// Passes signals on.
pub(super) fn watch_signals(send: &Sender<Message>) -> std::io::Result<()> {
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

/// Passes keys on, until there are no more.
pub(super) fn read_keys(send: Sender<Message>) {
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
