//! A config for a program or a container image, made by a process of its own: to look through code takes time, and may take memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;

use super::Message;
use crate::app::{Event, Wish};
use crate::presets;

/// Makes it; what comes of it is sent.
pub(super) fn start(wish: Wish, folder: &Path, send: Sender<Message>) {
    let name = name(&wish);
    let to = if folder == Path::new(".") { name } else { folder.join(name) };
    if to.exists() && !wish.force {
        let _ = send.send(Message::App(Event::MadeBefore(to, wish)));
        return;
    }
    std::thread::spawn(move || {
        let result = make(&wish, &to).map(|()| to);
        send.send(Message::App(Event::Made(wish, result)))
    });
}

/// What the config is called: after the program, or the archive.
fn name(wish: &Wish) -> PathBuf {
    let from = if wish.image { wish.from.clone() } else { words(&wish.from).swap_remove(0) };
    let file = Path::new(&from).file_name().map(|name| name.to_string_lossy().into_owned());
    let file = file.unwrap_or_else(|| "program".to_owned());
    let stem = match wish.image {
        true => file.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("image"),
        false => &file,
    };
    PathBuf::from(format!("{stem}.toml"))
}

/// A program and its arguments, as a shell would take them apart; there is at least one word. A path that is there may have blanks.
fn words(typed: &str) -> Vec<String> {
    let split = if Path::new(typed).exists() { None } else { shlex::split(typed) };
    split.filter(|words| !words.is_empty()).unwrap_or_else(|| vec![typed.to_owned()])
}

fn make(wish: &Wish, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot look at {}: {}", wish.from, presets::plain(&error));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("new").arg("-o").arg(to);
    if wish.force {
        command.arg("--force");
    }
    if wish.image {
        command.arg(format!("--image={}", wish.from));
    } else {
        let words = words(&wish.from);
        let program = &words[0];
        // Not taken for an option.
        command.arg(if program.starts_with('-') { format!("./{program}") } else { program.clone() });
        command.arg("--").args(&words[1..]);
    }
    let output = command.stdin(Stdio::null()).output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = |start: &str| said.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
    let cause = line("error: ").unwrap_or_else(|| format!("{} cannot be looked at", wish.from));
    Err(line("hint: ").map_or(cause.clone(), |hint| format!("{cause}; {hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_are_called_after_what_they_are_for() {
        for (from, image, expected) in [
            ("/usr/bin/lua5.4", false, "lua5.4.toml"),
            ("redis-server", false, "redis-server.toml"),
            ("redis-server --port '7 000'", false, "redis-server.toml"),
            ("an 'open quote", false, "an 'open quote.toml"),
            ("downloads/redis.oci.tar", true, "redis.toml"),
            ("layout/", true, "layout.toml"),
            (".hidden", true, "image.toml"),
        ] {
            let wish = Wish { from: from.into(), image, force: false };
            assert_eq!(name(&wish), Path::new(expected));
        }
    }
}
