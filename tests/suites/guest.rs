//! A machine whose output is read line by line, with a limit on silence.

use bespoke_tests::bespoke;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Silence for so long is a hang, on however slow a machine.
const SILENCE: Duration = Duration::from_secs(600);

/// How a machine's output went on.
pub enum Heard {
    Line(String),
    /// It ended.
    End,
    /// It said nothing for too long, and was stopped.
    Hang,
}

/// A running machine, stopped when dropped.
pub struct Guest {
    child: Child,
    lines: Receiver<String>,
}

impl Guest {
    /// Boots an image of the folder with this much memory and arguments for its program.
    pub fn boot(folder: &Path, image: &str, memory: &str, arguments: &[String]) -> Self {
        let mut child = Command::new(bespoke())
            .current_dir(folder)
            .args(["run", image, "-m", memory, "--"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .process_group(0)
            .spawn()
            .expect("the binary runs");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                if send.send(text).is_err() {
                    break;
                }
                line.clear();
            }
        });
        Self { child, lines }
    }

    /// The next line.
    pub fn hear(&mut self) -> Heard {
        match self.lines.recv_timeout(SILENCE) {
            Ok(line) => Heard::Line(line),
            Err(RecvTimeoutError::Disconnected) => Heard::End,
            Err(RecvTimeoutError::Timeout) => Heard::Hang,
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // The runner and its machine.
            let _ = Command::new("kill").args(["--", &format!("-{}", self.child.id())]).status();
        }
        let _ = self.child.wait();
    }
}
