//! What a container of an image would start, and what can be started in its place where that is a script.
//!
//! There is one process: a shell script that starts programs cannot run, nor can a small program that starts another and
//! waits for it. Both are passed over when it is plain what they would start, which is always said; otherwise it is
//! an error, and the user names the program.

use super::{FileKind, Image};
use crate::users;

/// A program of an image, and how it is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launch {
    /// Where it lies in the image.
    pub path: String,
    /// Its arguments, without its own name.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<String>,
    /// Its working directory.
    pub cwd: String,
    /// Its user and group.
    pub user: Option<(u32, u32)>,
    /// What was passed over, in sentences.
    pub notes: Vec<String>,
}

/// Why it is not plain what to start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The image names no command.
    #[error("the image names no program; name one that is in it: `--image FILE PROGRAM -- ARGUMENTS`")]
    Nothing,
    /// The command is not in the image.
    #[error(
        "there is no program {name} in the image; name one that is in it: `--image FILE PROGRAM -- ARGUMENTS`"
    )]
    NotFound {
        /// What was looked for.
        name: String,
    },
    /// A script, and nothing says what it starts.
    #[error(
        "the image is started by {script}, a script of the shell, which cannot run: there is one process{}; name the program \
         that it starts: `--image FILE PROGRAM -- ARGUMENTS`",
        ends(last)
    )]
    Script {
        /// The script.
        script: String,
        /// The last line in it by which it becomes another program.
        last: Option<String>,
    },
    /// A line for a shell that only a shell understands.
    #[error(
        "the image is started by a line for the shell, which cannot run: {line}; name the program that it starts: \
         `--image FILE PROGRAM -- ARGUMENTS`"
    )]
    Line {
        /// The line.
        line: String,
    },
    /// The user is not in the image's list.
    #[error("the image is to run as {0}, who is not in its /etc/passwd or /etc/group; save another image")]
    NoUser(String),
    /// Wrappers around wrappers.
    #[error(
        "the image's command leads through too many scripts; name the program: `--image FILE PROGRAM -- ARGUMENTS`"
    )]
    Endless,
}

fn ends(last: &Option<String>) -> String {
    last.as_ref().map_or(String::new(), |line| format!(" (it ends in `{line}`)"))
}

/// Where programs are looked for when the image does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "zsh"];
/// Programs that wait for the one that they start, and their options that take a value.
const INITS: &[(&str, &[&str])] =
    &[("tini", &["-p", "-e"]), ("dumb-init", &["-r"]), ("catatonit", &[]), ("docker-init", &["-p", "-e"])];

impl Launch {
    /// What a container of the image would start; or `command` in its place.
    ///
    /// # Errors
    /// When that is not a program, and it is not plain which is meant.
    pub fn of(image: &Image, command: Option<&[String]>) -> Result<Self, LaunchError> {
        let start = image.start();
        let cwd =
            if start.working_dir.is_empty() { "/".to_owned() } else { absolute("/", &start.working_dir) };
        // Docker takes variables without a value; there is nothing in them.
        let is_set = |var: &&String| var.find('=').is_some_and(|at| at > 0) && !var.contains('\0');
        let env = start.env.iter().filter(is_set).cloned().collect();
        let mut launch = Launch { cwd, env, ..Launch::default() };
        let usual: Vec<String> = start.entrypoint.iter().chain(&start.cmd).cloned().collect();
        let mut words = command.map_or(usual, <[String]>::to_vec);
        let mut user = start.user.clone();
        // Each turn takes one wrapper away.
        for _ in 0..16 {
            let Some(first) = words.first().cloned() else { return Err(LaunchError::Nothing) };
            let name = first.rsplit('/').next().unwrap_or_default().to_owned();
            if name == "exec" && !first.contains('/') {
                words.remove(0);
                continue;
            }
            let path =
                launch.find(image, &first).ok_or_else(|| LaunchError::NotFound { name: first.clone() })?;
            if SHELLS.contains(&name.as_str()) && words.get(1).is_some_and(|option| is_command_option(option))
            {
                let line = words.get(2).cloned().unwrap_or_default();
                words = split(&line).ok_or(LaunchError::Line { line })?;
                launch
                    .notes
                    .push(format!("{first} is passed over: the line for it is plain enough to do without."));
            } else if let Some((_, valued)) = INITS.iter().find(|(init, _)| *init == name) {
                words = after_options(&words[1..], valued);
                launch.notes.push(format!("{first} is passed over: there is no other process to wait for."));
            } else if matches!(name.as_str(), "gosu" | "su-exec") && words.len() > 2 {
                user.clone_from(&words[1]);
                words.drain(..2);
                launch.notes.push(format!("{first} is passed over: the program is {user} from the start."));
            } else if name == "env" && words.len() > 1 {
                words.remove(0);
                while words.first().is_some_and(|word| word.contains('=') && !word.starts_with('-')) {
                    launch.set_env(words.remove(0));
                }
                launch.notes.push(format!("{first} is passed over: what it sets is in the environment."));
            } else {
                let head =
                    image.read_file(&path).map_err(|_| LaunchError::NotFound { name: first.clone() })?;
                let Some(mut interpreter) = shebang(&head) else {
                    launch.path = path;
                    launch.args = words.split_off(1);
                    let data = |path: &str| image.read_file(path).ok();
                    let owner =
                        Some(&user).filter(|user| !user.is_empty()).map(|user| users::owner(user, data));
                    launch.user = owner.transpose().map_err(|_| LaunchError::NoUser(user.clone()))?;
                    launch.home(image);
                    return Ok(launch);
                };
                if interpreter.first().is_some_and(|first| first.ends_with("/env")) && interpreter.len() > 1 {
                    interpreter.remove(0);
                    interpreter.retain(|word| word != "-S");
                }
                let what = interpreter.first().and_then(|first| first.rsplit('/').next()).unwrap_or_default();
                if !SHELLS.contains(&what) {
                    launch.notes.push(format!("{path} is a script for {what}, which is started with it."));
                    interpreter.push(path);
                    interpreter.extend(words.drain(..).skip(1));
                    words = interpreter;
                    continue;
                }
                // What a script of the shell is given is what it starts in the end, by the custom of images.
                let next = words.get(1).filter(|next| !next.starts_with('-'));
                if next.and_then(|next| launch.find(image, next)).is_none() {
                    return Err(LaunchError::Script { script: path, last: last_exec(&head) });
                }
                words.remove(0);
                let text = String::from_utf8_lossy(&head);
                let sure = match text.contains("exec \"$@\"") {
                    true => {
                        "It ends by becoming the program that it is given, which is started at once; what else it does is not done."
                    }
                    false => {
                        "It is given the program, which is started at once; what else it does is not done."
                    }
                };
                launch.notes.push(format!("{path} is a script of the shell, which cannot run here. {sure}"));
            }
        }
        Err(LaunchError::Endless)
    }

    fn find(&self, image: &Image, name: &str) -> Option<String> {
        let is_file = |path: &str| matches!(image.kind(path, true), Some(FileKind::File(_)));
        if name.contains('/') {
            return Some(absolute(&self.cwd, name)).filter(|path| is_file(path));
        }
        let paths = self.env.iter().find_map(|var| var.strip_prefix("PATH=")).unwrap_or(PATH);
        let runs = |path: &String| is_file(path) && image.mode(path).is_some_and(|mode| mode & 0o111 != 0);
        paths.split(':').map(|dir| absolute(&self.cwd, &format!("{dir}/{name}"))).find(runs)
    }

    fn set_env(&mut self, var: String) {
        let name = format!("{}=", var.split('=').next().unwrap_or_default());
        self.env.retain(|known| !known.starts_with(&name));
        self.env.push(var);
    }

    /// Every container has a home.
    fn home(&mut self, image: &Image) {
        if self.env.iter().any(|var| var.starts_with("HOME=")) {
            return;
        }
        let user = self.user.map_or(0, |(user, _)| user);
        let home = users::home(user, |path| image.read_file(path).ok());
        self.env.push(format!("HOME={}", home.unwrap_or_else(|| "/".into())));
    }
}

fn absolute(cwd: &str, path: &str) -> String {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("{cwd}/{path}") };
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    format!("/{}", parts.join("/"))
}

/// `-c`, also among others such as `-ec`.
fn is_command_option(option: &str) -> bool {
    option.starts_with('-') && !option.starts_with("--") && option.ends_with('c')
}

fn after_options(words: &[String], valued: &[&str]) -> Vec<String> {
    let mut words = words.iter().peekable();
    while let Some(word) = words.next_if(|word| word.starts_with('-')) {
        if word == "--" {
            break;
        }
        if valued.contains(&word.as_str()) {
            words.next();
        }
    }
    words.cloned().collect()
}

/// The interpreter of a script, and its argument.
fn shebang(head: &[u8]) -> Option<Vec<String>> {
    let line = head.strip_prefix(b"#!")?;
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(&line[..line.len().min(256)]).into_owned();
    Some(line.split_whitespace().map(str::to_owned).collect())
}

/// The last line of a script that becomes another program.
fn last_exec(script: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(script);
    let last = text.lines().map(str::trim).rfind(|line| line.starts_with("exec "))?;
    Some(last.chars().take(100).collect())
}

/// The words of a line that any shell splits alike; nothing when it has more in it than words and quotes.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '$' | '`' => return None,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().filter(|c| *c != '\n')?),
            '$' | '`' | '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '?' | '[' | '#' | '~' | '{' | '}'
            | '!' | '\n' => {
                return None;
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    // `NAME=value program` sets a variable for it.
    (!words.first()?.contains('=')).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::tests::{Tarball, image_of};
    use serde_json::{Value, json};

    fn files() -> Tarball {
        Tarball::default()
            .file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nredis:x:999:998::/home/redis:/bin/false\n")
            .file("etc/group", b"root:x:0:\nmedia:x:44:redis\n")
            .file("usr/local/bin/redis-server", b"\x7fELF")
            .file("usr/local/bin/entry.sh", b"#!/bin/sh\nset -e\nchown -R redis .\nexec \"$@\"\n")
            .file("start.sh", b"#!/bin/bash\nexec node server.js $OPTS\n")
            .file("usr/bin/python3", b"\x7fELF")
            .file("usr/bin/gunicorn", b"#!/usr/bin/env python3\n")
            .file("app/serve", b"#!/usr/bin/python3 -E\n")
            .file("bin/sh", b"\x7fELF")
            .file("sbin/tini", b"\x7fELF")
            .file("usr/bin/env", b"\x7fELF")
            .file("usr/local/bin/gosu", b"\x7fELF")
            .file("loop", b"#!/loop\n")
    }

    fn launch(start: Value) -> Result<Launch, LaunchError> {
        Launch::of(&image_of(start, &[files()]), None)
    }

    fn command(words: &[&str]) -> Result<(String, Vec<String>, usize), LaunchError> {
        let launch = launch(json!({ "Cmd": words }))?;
        Ok((launch.path, launch.args, launch.notes.len()))
    }

    #[test]
    fn a_program_is_found_as_a_container_would() {
        let plain =
            launch(json!({ "Cmd": ["redis-server", "--port", "1"], "WorkingDir": "data/", "User": "redis" }))
                .unwrap();
        assert_eq!(plain.path, "/usr/local/bin/redis-server");
        assert_eq!(plain.args, ["--port", "1"]);
        assert_eq!((plain.cwd.as_str(), plain.user), ("/data", Some((999, 998))));
        assert_eq!(plain.env, ["HOME=/home/redis"]);
        assert!(plain.notes.is_empty());
        let relative = launch(
            json!({ "Entrypoint": ["./redis-server"], "WorkingDir": "/usr/local/bin", "Env": ["HOME=/x"] }),
        )
        .unwrap();
        assert_eq!((relative.path.as_str(), relative.env.len()), ("/usr/local/bin/redis-server", 1));
        assert_eq!(launch(json!({})), Err(LaunchError::Nothing));
        let lost = launch(json!({ "Cmd": ["redis-server"], "Env": ["PATH=/bin"] }));
        assert_eq!(lost, Err(LaunchError::NotFound { name: "redis-server".into() }));
        let image = image_of(json!({ "Cmd": ["x"] }), &[files()]);
        let other = Launch::of(&image, Some(&["python3".into(), "-V".into()])).unwrap();
        assert_eq!((other.path.as_str(), other.args.len()), ("/usr/bin/python3", 1));
    }

    #[test]
    fn users_are_looked_up() {
        let user = |user: &str| launch(json!({ "Cmd": ["python3"], "User": user })).map(|launch| launch.user);
        assert_eq!(user("999"), Ok(Some((999, 998))));
        assert_eq!(user("1234"), Ok(Some((1234, 0))));
        assert_eq!(user("redis:media"), Ok(Some((999, 44))));
        assert_eq!(user("5:6"), Ok(Some((5, 6))));
        assert_eq!(user("nobody"), Err(LaunchError::NoUser("nobody".into())));
        assert_eq!(user("redis:none"), Err(LaunchError::NoUser("redis:none".into())));
    }

    #[test]
    fn wrappers_are_passed_over_and_said() {
        let redis = |words: &[&str], args: &[&str], notes: usize| {
            let (path, found, said) = command(words).unwrap();
            assert_eq!((path.as_str(), said), ("/usr/local/bin/redis-server", notes), "{words:?}");
            assert_eq!(found, args);
        };
        redis(&["entry.sh", "redis-server", "a"], &["a"], 1);
        redis(&["/bin/sh", "-c", "exec redis-server 'a b;' \"c\\\"d\" e\\ f"], &["a b;", "c\"d", "e f"], 1);
        redis(&["tini", "-g", "-p", "KILL", "--", "entry.sh", "redis-server"], &[], 2);
        redis(&["gosu", "redis", "redis-server"], &[], 1);
        redis(&["env", "A=1", "redis-server"], &[], 1);
        let gosu =
            launch(json!({ "Cmd": ["gosu", "redis", "env", "A=1", "python3"], "Env": ["A=0", "B=2"] }))
                .unwrap();
        assert_eq!((gosu.user, gosu.env.join(" ")), (Some((999, 998)), "B=2 A=1 HOME=/home/redis".into()));
        let (path, args, _) = command(&["gunicorn", "app"]).unwrap();
        assert_eq!((path.as_str(), args.join(" ")), ("/usr/bin/python3", "/usr/bin/gunicorn app".into()));
        let (path, args, _) = command(&["/app/serve", "x"]).unwrap();
        assert_eq!((path.as_str(), args.join(" ")), ("/usr/bin/python3", "-E /app/serve x".into()));
    }

    #[test]
    fn what_only_a_shell_can_do_is_said() {
        let error = command(&["/start.sh"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/start.sh") && text.contains("exec node server.js $OPTS"), "{text}");
        for args in [&["entry.sh", "--verbose"][..], &["entry.sh"], &["entry.sh", "nothing"]] {
            assert!(matches!(command(args), Err(LaunchError::Script { .. })), "{args:?}");
        }
        for line in ["a && b", "echo $HOME", "x > y", "A=1 redis-server", "'open", "ls *", ""] {
            assert!(matches!(command(&["sh", "-c", line]), Err(LaunchError::Line { .. })), "{line}");
        }
        assert_eq!(command(&["/loop"]), Err(LaunchError::Endless));
    }
}
